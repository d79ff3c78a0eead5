"""The worker protocol over HTTP (docs/reference/worker-protocol.md), and what operators ask about workers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from litestar import Controller, Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from msgspec import Struct, to_builtins

from aether_protocol.adapters.brokers.fleet_view import reasons_of, sessions_named, waiting_of, workers_of
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.diagnostics.suggest import did_you_mean
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
from aether_protocol.server.access import ADMIN, VIEWER, WORKER, caller_of
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.server.runs import Asked
from aether_protocol.service.access.caller import EVERYWHERE, Caller

_Any = Request[Any, Any, Any]
DRAIN_S: Final = 600.0
_SESSION: Final = answers(problems=(410,))
_SECRETS: Final = answers(problems=(404, 410))


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


def _shared(request: _Any) -> WorkerBroker:
    """Return the broker, whose workers all namespaces share. Raises ForbiddenError for an admin of some namespaces alone."""
    caller = caller_of(request)
    if not caller.may("admin", EVERYWHERE):
        raise ForbiddenError(f"{caller.name} may not look after workers", hint="it needs the role admin in all namespaces")
    return _broker(request.app.state)


class DrainRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Drain a worker. `graceSeconds`: how long its attempts may continue."""

    grace_seconds: float = DRAIN_S


class WorkerController(Controller):
    """What workers say, and the answers."""

    path = "/v1/workers"
    opt: ClassVar[dict[str, Any]] = dict(WORKER)  # type: ignore[misc]
    tags: ClassVar[list[str]] = ["workers"]  # type: ignore[misc]

    @post("/", status_code=201, summary="Begin a session", responses=answers(problems=(409,)))
    async def hello(self, data: JSONBody[Hello], request: _Any) -> Welcome:
        caller = caller_of(request)
        if caller.pools and data.pool not in caller.pools:
            known = ", ".join(sorted(caller.pools))
            where = f"join pool {data.pool!r}" if data.pool else "work outside of its pools"
            raise ForbiddenError(f"{caller.name} may not {where}", hint=f"its token is for the pools {known}: --pool NAME")
        known_workers = parts_of(request.app.state).known_workers
        if known_workers is not None:  # before it can get an attempt
            await known_workers.note(data)
        return _broker(request.app.state).hello(data, namespaces=_served(caller), holder=caller.token or "")

    @post("/{session:str}/poll", status_code=200, summary="Ask for work, and wait for it", responses=_SESSION)
    async def poll(self, session: FromPath[str], data: JSONBody[Poll], request: _Any) -> Orders:
        return await _held(request, session).poll(session, data, namespaces=_served(caller_of(request)))

    @post("/{session:str}/beat", status_code=200, summary="Renew the session", responses=_SESSION)
    async def beat(self, session: FromPath[str], data: JSONBody[BeatMessage], request: _Any) -> Orders:
        return _held(request, session).beat(session, data, namespaces=_served(caller_of(request)))

    @post("/{session:str}/report", status_code=200, summary="Report what became of deliveries", responses=_SESSION)
    async def report(self, session: FromPath[str], data: JSONBody[WorkReport], request: _Any) -> Receipt:
        return await _held(request, session).report(session, data, namespaces=_served(caller_of(request)))

    @post(
        "/{session:str}/secrets",
        status_code=200,
        summary="Get the texts of secrets that a delivery refers to",
        responses=_SECRETS,
    )
    async def secrets(self, session: FromPath[str], data: JSONBody[SecretRequest], request: _Any) -> SecretAnswer:
        return await _held(request, session).secrets(session, data)

    @delete("/{session:str}", summary="End a session", responses=_SESSION)
    async def leave(self, session: FromPath[str], request: _Any) -> None:
        _held(request, session).leave(session)

    # --- for operators ---

    @get("/", summary="List workers, and what each carries out", opt=ADMIN, responses=answers())
    async def workers(self, request: _Any) -> dict[str, Any]:
        broker = _shared(request)
        return {"workers": to_builtins(workers_of(broker, broker.clock.now())), "waiting": reasons_of(broker)}

    @post(
        "/{session:str}/drain",
        status_code=202,
        summary="Give a worker, by name, no more work",
        opt=ADMIN,
        responses=answers(problems=(404,)),
    )
    async def drain(self, session: FromPath[str], data: JSONBody[DrainRequest], request: _Any) -> dict[str, Any]:
        broker = _shared(request)
        found = sessions_named(broker, session)
        if not found:
            known = sorted({one.worker for one in broker.fleet.state.sessions.values()})
            hint = did_you_mean(session, known, f"connected: {', '.join(known) or 'none'}")
            raise ApiError(404, "worker-unknown", f"no worker {session!r} is connected", hint=hint)
        for one in found:
            broker.drain(one, data.grace_seconds)
        return {"drained": len(found)}


@get(
    "/v1/runs/{run:str}/waiting",
    tags=["runs"],
    summary="Say why attempts of a run wait for a worker",
    opt=VIEWER,
    responses=answers(problems=(404,)),
)
async def waiting(run: FromPath[str], state: State, client: Asked) -> dict[str, Any]:
    row = await client.runs.get(run)
    return {"runId": row.run_id, "waiting": to_builtins(waiting_of(_broker(state), row.run_id))}
