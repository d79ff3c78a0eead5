"""The route that lists the servers of a store."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.datastructures import State
from msgspec import Struct

from aether_protocol.ports.store import ServerStore
from aether_protocol.ports.store.servers import FREE
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.server.access import VIEWER, require_everywhere
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of


class ServerBody(Struct, rename="camel", kw_only=True):
    """A server of the store. `address`: where the others reach it; `schema`: the newest of stores that it knows; `runs`: how
    many it drives, those left out that only wait and are in no memory; `stopping`: it takes no more."""

    name: str
    address: str
    version: str
    schema: int
    protocol: int
    started_at: str
    runs: int
    stopping: bool


class ServersBody(Struct, kw_only=True):
    """The servers, in the order in which they began. `free`: runs that none of them drives yet."""

    servers: list[ServerBody]
    free: int


@get("/v1/servers", tags=["server"], summary="The servers of this store", opt=VIEWER, responses=answers())
async def list_servers(request: Request[Any, Any, Any], state: State) -> ServersBody:
    """Answer which servers live, and how the runs are shared among them."""
    require_everywhere(request, "servers")
    servers = parts_of(state).servers
    assert servers is not None  # the route is there only where there are some
    return await _body(servers)


async def _body(servers: ServerStore) -> ServersBody:
    counts = await servers.runs()
    found = [
        ServerBody(
            name=one.name,
            address=one.address,
            version=one.build,
            schema=one.schema,
            protocol=one.protocol,
            started_at=rfc3339(one.started_at),
            runs=counts.get(one.owner, 0),
            stopping=one.stopping,
        )
        for one in await servers.list()
    ]
    return ServersBody(servers=found, free=counts.get(FREE, 0))
