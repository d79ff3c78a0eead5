"""Routes for monitoring: `/metrics`, and the pools of workers for autoscalers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath

from aether_protocol.adapters.brokers.pools import WorkerPool, pools_of
from aether_protocol.server.access import VIEWER, require_everywhere
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError

TEXT_FORMAT: Final = "text/plain; version=1.0.0; charset=utf-8"


@get("/metrics", tags=["server"], summary="Metrics for Prometheus", sync_to_thread=False, opt=VIEWER, media_type="text/plain")
def metrics(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """Answer all metrics in the text format. Where tokens are wanted, it needs one that may read all namespaces."""
    require_everywhere(request, "metrics")
    known = parts_of(state).metrics
    assert known is not None  # the route is there only where there are some
    return Response(known.runs.text(), media_type=TEXT_FORMAT)


def _pools(state: State) -> Iterator[WorkerPool]:
    broker = parts_of(state).workers
    assert broker is not None  # these routes are there only where there is one
    return iter(pools_of(broker))


@get("/v1/pools", tags=["workers"], summary="All pools of workers", sync_to_thread=False, opt=VIEWER, responses=answers())
def list_pools(request: Request[Any, Any, Any], state: State) -> list[WorkerPool]:
    """Answer what waits and what is free, by pool; the workers without one are the pool `default`."""
    require_everywhere(request, "pools")
    return list(_pools(state))


@get(
    "/v1/pools/{name:str}",
    tags=["workers"],
    summary="A pool of workers, for autoscalers",
    sync_to_thread=False,
    opt=VIEWER,
    responses=answers(),
)
def get_pool(name: FromPath[str], request: Request[Any, Any, Any], state: State) -> WorkerPool:
    """Answer what waits for a pool and what is free in it; one that was scaled down to nothing is answered with zeros."""
    require_everywhere(request, "pools")
    if len(name) > 256:
        raise ApiError(400, "usage", "a pool's name has at most 256 characters")
    return next((one for one in _pools(state) if one.name == name), WorkerPool(name=name))
