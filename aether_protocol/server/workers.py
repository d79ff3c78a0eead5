"""The worker protocol over HTTP (docs/reference/worker-protocol.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from litestar import Controller, Request, delete, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.errors import ForbiddenError
from aether_protocol.ports.worker import (
    BeatMessage,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkReport,
)
from aether_protocol.server.access import WORKER, caller_of
from aether_protocol.server.parts import parts_of
from aether_protocol.service.access.caller import EVERYWHERE, Caller

_Any = Request[Any, Any, Any]


def _broker(state: State) -> WorkerBroker:
    broker = parts_of(state).workers
    assert broker is not None  # these routes are there only where there is one
    return broker


def _held(request: _Any, session: str) -> WorkerBroker:
    """Return the broker. Raises SessionOverError for a session that was begun with another token."""
    broker = _broker(request.app.state)
    broker.require_holder(session, caller_of(request).token or "")
    return broker


def _served(caller: Caller) -> frozenset[str] | None:
    """Return the namespaces that a worker with this token serves; None: all."""
    return None if EVERYWHERE in caller.roles else frozenset(caller.roles)


class WorkerController(Controller):
    """What workers say, and the answers."""

    path = "/v1/workers"
    opt: ClassVar[dict[str, Any]] = dict(WORKER)  # type: ignore[misc]
    tags: ClassVar[list[str]] = ["workers"]  # type: ignore[misc]

    @post("/", status_code=201, summary="Begin a session")
    async def hello(self, data: JSONBody[Hello], request: _Any) -> Welcome:
        caller = caller_of(request)
        if caller.pools and data.pool not in caller.pools:
            known = ", ".join(sorted(caller.pools))
            raise ForbiddenError(f"{caller.name} may not join pool {data.pool!r}", hint=f"its token is for {known}")
        return _broker(request.app.state).hello(data, namespaces=_served(caller), holder=caller.token or "")

    @post("/{session:str}/poll", status_code=200, summary="Ask for work, and wait for it")
    async def poll(self, session: FromPath[str], data: JSONBody[Poll], request: _Any) -> Orders:
        return await _held(request, session).poll(session, data, namespaces=_served(caller_of(request)))

    @post("/{session:str}/beat", status_code=200, summary="Renew the session")
    async def beat(self, session: FromPath[str], data: JSONBody[BeatMessage], request: _Any) -> Orders:
        return _held(request, session).beat(session, data, namespaces=_served(caller_of(request)))

    @post("/{session:str}/report", status_code=200, summary="Report what became of deliveries")
    async def report(self, session: FromPath[str], data: JSONBody[WorkReport], request: _Any) -> Receipt:
        return await _held(request, session).report(session, data, namespaces=_served(caller_of(request)))

    @post("/{session:str}/secrets", status_code=200, summary="Get the texts of secrets that a delivery refers to")
    async def secrets(self, session: FromPath[str], data: JSONBody[SecretRequest], request: _Any) -> SecretAnswer:
        return await _held(request, session).secrets(session, data)

    @delete("/{session:str}", summary="End a session")
    async def leave(self, session: FromPath[str], request: _Any) -> None:
        _held(request, session).leave(session)
