"""WorkerService: the worker protocol (docs/reference/worker-protocol.md) as calls, and as one stream of frames.

`Work` carries every message of a worker in one stream: each frame is answered by one of the same number, and a poll stays open
beside all others. The calls are for workers that are written by hand. For these the server keeps what `PollTasks` has given and
no result has come for: `max_tasks` bounds that, and a heartbeat need not name a poll.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from aether_protocol.ports import worker as w
from aether_protocol.ports.grpc import aether_pb2 as pb
from aether_protocol.ports.grpc.messages import read_message, write_message
from aether_protocol.ports.wire_json import WireError
from aether_protocol.server.access import require_of
from aether_protocol.server.grpc.callers import GrpcCall, authorization_in, find_caller
from aether_protocol.server.grpc.statuses import problem_of
from aether_protocol.server.worker_calls import WorkerCalls

MOST_FRAMES: Final = 64  # of one stream at a time; the next ones are read when one of them is answered
_SESSION: Final = frozenset({"session"})


class PolledSession:
    """What a worker that calls `PollTasks` has.

    `held`: tokens without a result. `stopped`: those of them that it was asked to stop. `number`: of the last poll whose
    answer was sent.
    """

    def __init__(self, held: set[str], number: int) -> None:
        self.held = held
        self.stopped: set[str] = set()
        self.number = number
        self.has_changed = asyncio.Event()

    def release(self, tokens: Iterable[str]) -> None:
        """These are not held any more."""
        before = len(self.held)
        self.held.difference_update(tokens)
        if len(self.held) < before:
            self.has_changed.set()

    def release_stopped(self, holding: Collection[str]) -> None:
        """Of what it was asked to stop, what it does not name any more is not held."""
        gone = self.stopped.difference(holding)
        self.stopped -= gone
        self.release(gone)


async def register(call: GrpcCall, request: Any) -> Any:
    """Begin a session."""
    return write_message(await call.worker.hello(read_message(request, w.Hello)), pb.RegisterResponse())


async def poll_tasks(call: GrpcCall, request: Any) -> AsyncIterator[Any]:
    """Give work as it comes, for as long as the stream is open."""
    session, calls = request.session, call.worker
    calls.require(session)
    before = call.polled.get(session)
    if before is not None:
        before.has_changed.set()  # that stream is left behind: it ends
    polled = call.polled[session] = PolledSession(set(request.holding), round(asyncio.get_running_loop().time() * 1000))
    number = polled.number
    try:
        while call.polled.get(session) is polled:
            number += 1
            polled.has_changed.clear()
            free = max(0, request.max_tasks - len(polled.held))
            orders = await _first(polled, calls.poll(session, w.Poll(poll=number, free=free, holding=list(polled.held))))
            if orders is not None and orders != w.Orders():
                polled.held.update(item.token for item in orders.work)
                polled.stopped.update(orders.stop)
                yield write_message(orders, pb.Orders())
                polled.number = number
    finally:
        if call.polled.get(session) is polled:
            del call.polled[session]


async def _first(polled: PolledSession, poll: Awaitable[w.Orders]) -> w.Orders | None:
    """The answer to a poll; None where the worker has room before there is one."""
    asked = asyncio.ensure_future(poll)
    changed = asyncio.ensure_future(polled.has_changed.wait())
    try:
        await asyncio.wait({asked, changed}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        changed.cancel()
        asked.cancel()


async def complete_step(call: GrpcCall, request: Any) -> Any:
    """Take in results."""
    return await _report(call, request.session, w.WorkReport(results=_read_results(request)))


def _read_results(request: Any) -> list[w.ResultReport]:
    return [read_message(one, w.ResultReport) for one in request.results]


async def report_step(call: GrpcCall, request: Any) -> Any:
    """Take in what became of deliveries."""
    return await _report(call, request.session, read_message(request.report, w.WorkReport))


async def _report(call: GrpcCall, session: str, report: w.WorkReport) -> Any:
    receipt = await call.worker.report(session, report)
    polled = call.polled.get(session)
    if polled is not None:
        gone = [one.token for one in report.died] + [one.token for one in report.returned]
        polled.release([*receipt.recorded, *receipt.unknown, *gone])
    return write_message(receipt, pb.WorkReceipt())


async def heartbeat(call: GrpcCall, request: Any) -> Any:
    """Renew a session."""
    beat = read_message(request, w.BeatMessage, without=_SESSION)
    polled = call.polled.get(request.session)
    if polled is not None:
        polled.release_stopped(beat.holding)
        if not beat.poll:
            beat = w.BeatMessage(poll=polled.number, holding=beat.holding or list(polled.held))
    orders = await call.worker.beat(request.session, beat)
    if polled is not None:
        polled.stopped.update(orders.stop)
    return write_message(orders, pb.Orders())


# --- one stream for all of it -----------------------------------------------------------------------------------------


async def _hello(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    return {"welcome": write_message(await calls.hello(read_message(message, w.Hello)), pb.RegisterResponse())}


async def _poll(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    return {"orders": write_message(await calls.poll(session, read_message(message, w.Poll)), pb.Orders())}


async def _beat(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    beat = read_message(message, w.BeatMessage, without=_SESSION)
    return {"orders": write_message(await calls.beat(session, beat), pb.Orders())}


async def _frame_report(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    receipt = await calls.report(session, read_message(message, w.WorkReport))
    return {"receipt": write_message(receipt, pb.WorkReceipt())}


async def _secrets(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    answer = await calls.secrets(session, read_message(message, w.SecretRequest))
    return {"secrets": write_message(answer, pb.SecretAnswer())}


async def _leave(calls: WorkerCalls, session: str, message: Any) -> dict[str, Any]:
    await calls.leave(session)
    return {"left": pb.Leave()}


_FRAMES: Final[Mapping[str, Callable[[WorkerCalls, str, Any], Awaitable[dict[str, Any]]]]] = {
    "hello": _hello,
    "poll": _poll,
    "beat": _beat,
    "report": _frame_report,
    "secrets": _secrets,
    "leave": _leave,
}


async def work(call: GrpcCall, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Answer the frames of a worker, each when its answer is there."""
    answers: asyncio.Queue[Any] = asyncio.Queue(MOST_FRAMES)  # a worker that does not read is not read from either
    room = asyncio.Semaphore(MOST_FRAMES)
    answering: set[asyncio.Task[None]] = set()

    async def read() -> None:
        try:
            async for frame in requests:
                await room.acquire()
                task = asyncio.create_task(answer(frame))
                answering.add(task)
                task.add_done_callback(answering.discard)
            await asyncio.gather(*answering)
        except Exception as error:
            await answers.put(WireError(f"a frame cannot be read: {error or type(error).__name__}"))
        else:
            await answers.put(None)

    async def answer(frame: Any) -> None:
        try:
            await answers.put(await _answer(call, frame))
        finally:
            room.release()

    reading = asyncio.create_task(read())
    try:
        while (frame := await answers.get()) is not None:
            if isinstance(frame, WireError):
                raise frame
            yield frame
    finally:
        for task in (reading, *answering):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(reading, *answering, return_exceptions=True)


async def _answer(call: GrpcCall, frame: Any) -> Any:
    """Answer one frame: its token is looked at each time, for the stream may outlive it."""
    try:
        kind = frame.WhichOneof("message")
        if kind is None:
            raise WireError("a frame without a message, or with one that this server does not know")
        metadata = call.context.invocation_metadata() or ()
        caller = await find_caller(call.parts, metadata, counts=False)
        require_of(caller, "worker")
        calls = WorkerCalls(call.parts, caller, authorization=authorization_in(metadata))
        answer = await _FRAMES[kind](calls, frame.session, getattr(frame, kind))
    except Exception as error:
        status, problem = problem_of(error, "WorkerService.Work")
        hint = f" ({problem['hint']})" if problem.get("hint") else ""
        refusal = pb.Refusal(status=status, code=str(problem["code"]), detail=f"{problem['detail']}{hint}")
        return pb.ServerFrame(number=frame.number, refusal=refusal)
    return pb.ServerFrame(number=frame.number, **answer)
