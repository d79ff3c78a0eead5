"""The worker protocol over HTTP (docs/reference/worker-protocol.md), and what operators ask about workers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from msgspec import Struct, to_builtins

from aether_protocol.adapters.brokers.elsewhere import PeerHello
from aether_protocol.adapters.brokers.spilling import OfferBell, TakeRequest
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
from aether_protocol.server.access import ADMIN, PEER, VIEWER, WORKER, caller_of
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.server.relay.forwarding import FORWARDED
from aether_protocol.server.relay.peer_questions import LOOK, PeerQuestion
from aether_protocol.server.relay.peers import BELL, HELLO
from aether_protocol.server.relay.whole_fleet import WaitingFound
from aether_protocol.server.runs import Asked
from aether_protocol.server.worker_calls import DRAIN_S, WorkerCalls, WorkerSupervision, fleet_of

_Any = Request[Any, Any, Any]
_SESSION: Final = answers(problems=(410,))
_SECRETS: Final = answers(problems=(404, 410))


def _calls(request: _Any) -> WorkerCalls:
    headers = request.headers
    return WorkerCalls(
        parts_of(request.app.state),
        caller_of(request),
        authorization=headers.get("authorization"),
        was_forwarded=FORWARDED in headers,
    )


def _supervision(request: _Any) -> WorkerSupervision:
    return WorkerSupervision(parts_of(request.app.state), caller_of(request))


class DrainRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Drain a worker. `graceSeconds`: how long its attempts may continue."""

    grace_seconds: float = DRAIN_S


@post("/v1/workers", opt=WORKER, include_in_schema=False)
async def no_workers() -> None:
    """Refuse workers where the server has no broker for them."""
    hint = "'aether serve' takes workers, and so does asgi(engine, workers=BROKER)"
    raise ApiError(404, "no-workers", "this server takes no workers: its own process carries tasks out", hint=hint)


@post(HELLO, opt=PEER, status_code=201, include_in_schema=False)
async def relay_workers(data: JSONBody[PeerHello], request: _Any) -> Welcome:
    """Begin the session of another server of the same store."""
    return _calls(request).relay(data)


@post(f"{HELLO}/{{session:str}}/take", opt=PEER, status_code=200, include_in_schema=False)
async def take_work(session: FromPath[str], data: JSONBody[TakeRequest], request: _Any) -> Orders:
    """Give another server attempts that find no worker here."""
    return _calls(request).take(session, data)


@post(BELL, opt=PEER, status_code=202, include_in_schema=False)
async def hear_offers(data: JSONBody[OfferBell], state: State) -> None:
    """Hear of attempts that find no worker at another server."""
    spill = parts_of(state).spill
    if spill is not None:
        spill.hear(data)


@post(LOOK, opt=PEER, status_code=200, include_in_schema=False)
async def look(data: JSONBody[PeerQuestion], state: State) -> Response[Any]:
    """Answer another server for this one alone."""
    return Response(fleet_of(parts_of(state)).mine.answer(data))


class WorkerController(Controller):
    """What workers say, and the answers."""

    path = "/v1/workers"
    opt: ClassVar[dict[str, Any]] = dict(WORKER)  # type: ignore[misc]
    tags: ClassVar[list[str]] = ["workers"]  # type: ignore[misc]

    @post("/", status_code=201, summary="Begin a session", responses=answers(problems=(409,)))
    async def hello(self, data: JSONBody[Hello], request: _Any) -> Welcome:
        return await _calls(request).hello(data)

    @post("/{session:str}/poll", status_code=200, summary="Ask for work, and wait for it", responses=_SESSION)
    async def poll(self, session: FromPath[str], data: JSONBody[Poll], request: _Any) -> Orders:
        return await _calls(request).poll(session, data)

    @post("/{session:str}/beat", status_code=200, summary="Renew the session", responses=_SESSION)
    async def beat(self, session: FromPath[str], data: JSONBody[BeatMessage], request: _Any) -> Orders:
        return await _calls(request).beat(session, data)

    @post("/{session:str}/report", status_code=200, summary="Report what became of deliveries", responses=_SESSION)
    async def report(self, session: FromPath[str], data: JSONBody[WorkReport], request: _Any) -> Receipt:
        return await _calls(request).report(session, data)

    @post(
        "/{session:str}/secrets",
        status_code=200,
        summary="Get the texts of secrets that a delivery refers to",
        responses=_SECRETS,
    )
    async def secrets(self, session: FromPath[str], data: JSONBody[SecretRequest], request: _Any) -> SecretAnswer:
        return await _calls(request).secrets(session, data)

    @delete("/{session:str}", summary="End a session", responses=_SESSION)
    async def leave(self, session: FromPath[str], request: _Any) -> None:
        await _calls(request).leave(session)

    # --- for operators ---

    @get("/", summary="List workers, and what each carries out", opt=ADMIN, responses=answers())
    async def workers(self, request: _Any) -> dict[str, Any]:
        found: dict[str, Any] = to_builtins(await _supervision(request).workers())
        return found

    @post(
        "/{session:str}/drain",
        status_code=202,
        summary="Give a worker, by name, no more work",
        opt=ADMIN,
        responses=answers(problems=(404,)),
    )
    async def drain(self, session: FromPath[str], data: JSONBody[DrainRequest], request: _Any) -> dict[str, Any]:
        found = await _supervision(request).drain(session, data.grace_seconds)
        return {"drained": found.drained, "unreachable": found.unreachable}


@get(
    "/v1/runs/{run:str}/waiting",
    tags=["runs"],
    summary="Say why attempts of a run wait for a worker",
    opt=VIEWER,
    responses=answers(problems=(404,)),
)
async def waiting(run: FromPath[str], state: State, client: Asked) -> dict[str, Any]:
    row = await client.runs.get(run)
    found = WaitingFound() if row.closed else await fleet_of(parts_of(state)).waiting(row.run_id)
    return {"runId": row.run_id, "waiting": to_builtins(found.attempts), "unreachable": list(found.unreachable)}
