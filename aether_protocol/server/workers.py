"""The worker protocol over HTTP (docs/reference/worker-protocol.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from litestar import Controller, delete, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from aether_protocol.adapters.brokers.workers import WorkerBroker
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
from aether_protocol.server.access import WORKER
from aether_protocol.server.parts import parts_of


def _broker(state: State) -> WorkerBroker:
    broker = parts_of(state).workers
    assert broker is not None  # these routes are there only where there is one
    return broker


class WorkerController(Controller):
    """What workers say, and the answers."""

    path = "/v1/workers"
    opt: ClassVar[dict[str, Any]] = dict(WORKER)  # type: ignore[misc]
    tags: ClassVar[list[str]] = ["workers"]  # type: ignore[misc]

    @post("/", status_code=201, summary="Begin a session")
    async def hello(self, data: JSONBody[Hello], state: State) -> Welcome:
        return _broker(state).hello(data)

    @post("/{session:str}/poll", status_code=200, summary="Ask for work, and wait for it")
    async def poll(self, session: FromPath[str], data: JSONBody[Poll], state: State) -> Orders:
        return await _broker(state).poll(session, data)

    @post("/{session:str}/beat", status_code=200, summary="Renew the session")
    async def beat(self, session: FromPath[str], data: JSONBody[BeatMessage], state: State) -> Orders:
        return _broker(state).beat(session, data)

    @post("/{session:str}/report", status_code=200, summary="Report what became of deliveries")
    async def report(self, session: FromPath[str], data: JSONBody[WorkReport], state: State) -> Receipt:
        return await _broker(state).report(session, data)

    @post("/{session:str}/secrets", status_code=200, summary="Get the texts of secrets that a delivery refers to")
    async def secrets(self, session: FromPath[str], data: JSONBody[SecretRequest], state: State) -> SecretAnswer:
        return await _broker(state).secrets(session, data)

    @delete("/{session:str}", summary="End a session")
    async def leave(self, session: FromPath[str], state: State) -> None:
        _broker(state).leave(session)
