"""Routes for monitoring: `/metrics`, and the pools of workers for autoscalers."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath
from msgspec import Struct, structs

from aether_protocol.adapters.brokers.pools import WorkerPool
from aether_protocol.server.access import VIEWER, require_everywhere
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.server.worker_calls import fleet_of

TEXT_FORMAT: Final = "text/plain; version=1.0.0; charset=utf-8"


@get("/metrics", tags=["server"], summary="Metrics for Prometheus", sync_to_thread=False, opt=VIEWER, media_type="text/plain")
def metrics(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """Answer all metrics in the text format. Where tokens are wanted, it needs one that may read all namespaces."""
    require_everywhere(request, "metrics")
    known = parts_of(state).metrics
    assert known is not None  # the route is there only where there are some
    return Response(known.runs.text(), media_type=TEXT_FORMAT)


class PoolsBody(Struct):
    """Pools of workers, at all servers of the store but for those that could not be reached."""

    pools: list[WorkerPool]
    unreachable: list[str]


class PoolBody(WorkerPool, kw_only=True):
    """A pool of workers, at all servers of the store but for those that could not be reached."""

    unreachable: list[str]


@get("/v1/pools", tags=["workers"], summary="All pools of workers", opt=VIEWER, responses=answers())
async def list_pools(request: Request[Any, Any, Any], state: State) -> PoolsBody:
    """Answer what waits and what is free, by pool; the workers without one are the pool `default`."""
    require_everywhere(request, "pools")
    found = await fleet_of(parts_of(state)).pools()
    return PoolsBody(found.pools, found.unreachable)


@get(
    "/v1/pools/{name:str}",
    tags=["workers"],
    summary="A pool of workers, for autoscalers",
    opt=VIEWER,
    responses=answers(),
)
async def get_pool(name: FromPath[str], request: Request[Any, Any, Any], state: State) -> PoolBody:
    """Answer what waits for a pool and what is free in it; one that was scaled down to nothing is answered with zeros."""
    require_everywhere(request, "pools")
    if len(name) > 256:
        raise ApiError(400, "usage", "a pool's name has at most 256 characters")
    found = await fleet_of(parts_of(state)).pools()
    one = next((one for one in found.pools if one.name == name), WorkerPool(name=name))
    return PoolBody(**structs.asdict(one), unreachable=found.unreachable)
