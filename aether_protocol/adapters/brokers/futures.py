"""The broker for any `concurrent.futures.Executor`: each attempt is a call in it, which a child process carries out.

    async with Engine(broker=FuturesBroker(ProcessPoolExecutor(4))) as engine: ...

The executor may be a pool of threads or of processes, one of loky, of MPI, or the one of a Dask client
(`client.get_executor()`); what it calls is `worker.hosted.link.carry_out`. While a call runs it is linked to this broker by a
socket in a folder that its user alone may enter; so logs come at once, a stop ends the child, and what runs ends with this
process, as with the local broker. On another machine there is no such link: then logs come with the end, and a call that runs
cannot be stopped: it has its slot, and its task run no other attempt, until it ends by itself.

Law: an attempt is given to the executor once. What the executor loses is reported as lost, and is not blamed: a pool that
breaks does not say which call broke it; and what an attempt itself breaks is its child, which is blamed. After a restart
nothing is known of attempts: they are offered again under the same name and key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from aether_protocol.adapters.brokers.endings import Endings, hear
from aether_protocol.adapters.brokers.unserved import refusal, why_not
from aether_protocol.errors import UsageError, why
from aether_protocol.execution.attempt import Attempt
from aether_protocol.execution.slots import Slots
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.wire_json import encode_assignment

__all__ = ["FuturesBroker"]

CLOSE_S: Final = 8.0  # how long `close` waits for what runs: a child has 7 s to stop
_MOST_BYTES: Final = 2**26  # of a message over a link
_PRIORITY: Final = attrgetter("priority")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def carry_out(body: bytes, path: str) -> bytes:
    """Carry out an order, where the executor calls this. What does it is loaded there, and not by an engine."""
    ended: bytes = import_module("aether_protocol.worker.hosted.link").carry_out(body, path)
    return ended


class _Delivery(Attempt):
    """An attempt on its way through the executor."""

    __slots__ = ("future", "link", "token")

    def __init__(self, assignment: TaskAssignment) -> None:
        super().__init__(assignment)
        self.token = secrets.token_hex(16)
        self.future: Future[bytes] | None = None
        self.link: asyncio.StreamWriter | None = None


class FuturesBroker:
    """See `ports.broker.Broker`.

    Args:
        executor: what calls are given to; it is not shut down here. Or a function that makes one: what it made is shut down
            with the broker, and replaced when it is broken.
        concurrency: how many attempts it has at a time; the number of its workers unless given, where it says that, else the
            number of processors. What waits stays here, in the order of priority.
        modules: imported in each child process before it works, for their `executors` and `functions`.
        artifacts: the URL, or on this machine the folder, of the repository of artifacts; tasks with artifacts are refused
            without it. It has to be the one of the engine.

    Raises:
        UsageError: `executor` is neither.
    """

    def __init__(
        self,
        executor: Executor | Callable[[], Executor],
        *,
        concurrency: int | None = None,
        modules: Sequence[str] = (),
        artifacts: str | os.PathLike[str] = "",
    ) -> None:
        given: Any = executor
        is_executor = isinstance(given, Executor)
        if not is_executor and not callable(given):
            hint = "like FuturesBroker(ProcessPoolExecutor(4)), or a function that makes one"
            raise UsageError(f"{given!r} is not a concurrent.futures.Executor", hint=hint)
        self._executor: Executor | None = given if is_executor else None
        self._make: Callable[[], Executor] | None = None if is_executor else given
        self._concurrency = concurrency
        self._modules = tuple(modules)
        self._artifacts = os.fspath(artifacts)
        self._slots = Slots(concurrency or 0)
        self._by_token: dict[str, _Delivery] = {}
        self._unstored: dict[AttemptRef, Mapping[str, Any]] = {}  # results that are not stored yet
        self._links = _Links(self._linked)
        self._endings: Endings
        self._closing = False
        self._empty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self.sink: ResultSink

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink = sink
        self._loop = asyncio.get_running_loop()
        self._endings = Endings(sink)
        if self._executor is None:
            self._remake()
        if not self._concurrency:
            self._slots.limit = getattr(self._executor, "_max_workers", None) or os.cpu_count() or 1

    def room(self) -> int | None:
        return self._slots.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        await self._links.open()
        refused: dict[AttemptRef, str] = {}
        for assignment in sorted(batch, key=_PRIORITY, reverse=True):
            reason = why_not(assignment, self._artifacts)
            if reason is not None:
                self.sink.finished(refusal(assignment, reason))
                continue
            fault = self._take(assignment)
            if fault is not None:
                refused[assignment.ref] = fault
        return refused

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {ref: "held" if self._slots.holds(ref) or ref in self._unstored else "unknown" for ref in refs}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            self._endings.forget(ref)
            self._unstored.pop(ref, None)
            found = self._slots.withdraw(ref)
            if found is not None:
                self._stop(found)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        await self.stop(refs)  # no other engine can reach them

    async def close(self) -> None:
        self._closing = True
        self._slots.clear()
        self._endings.close()
        for attempt in self._slots:
            self._stop(attempt)
        if self._by_token:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._empty.wait()
        await self._links.close()
        if self._make is not None and self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    # --- beginning ---

    def _take(self, assignment: TaskAssignment) -> str | None:
        """Take an attempt. Returns why that cannot be done now."""
        if assignment.ref in self._unstored:
            self._give(assignment.ref, self._unstored[assignment.ref])
            return None
        attempt = _Delivery(assignment)
        before = self._slots.enter(attempt)
        if before is not attempt:
            if before.follow(assignment) and not before.stopped:
                self._stop(before)  # the order to stop it was lost with the engine that should have given it
        elif self._slots.free:
            return self._begin(attempt)
        else:
            self._slots.enqueue(attempt)
        return None

    def _begin(self, attempt: _Delivery) -> str | None:
        order = {
            "token": attempt.token,
            "assignment": encode_assignment(attempt.assignment),
            "artifacts": self._artifacts,
            "modules": self._modules,
        }
        try:
            attempt.future = self._submit(_encode(order))
        except (BrokenExecutor, RuntimeError) as error:
            self._slots.leave(attempt)
            return _broken(error)
        self._slots.take()
        self._by_token[attempt.token] = attempt
        self._empty.clear()
        attempt.future.add_done_callback(lambda future: self._wake(attempt, future))
        return None

    def _submit(self, body: bytes) -> Future[bytes]:
        assert self._executor is not None, "it was started"
        try:
            return self._executor.submit(carry_out, body, self._links.path)
        except (BrokenExecutor, RuntimeError):
            if self._make is None:
                raise
        self._remake()
        return self._executor.submit(carry_out, body, self._links.path)

    def _remake(self) -> None:
        """Make an executor in place of one that is broken."""
        assert self._make is not None, "it can be made"
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._make()

    # --- ends ---

    def _wake(self, attempt: _Delivery, future: Future[bytes]) -> None:
        """Called in whatever thread the executor likes."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for it
            self._loop.call_soon_threadsafe(self._ended, attempt, future)

    def _ended(self, attempt: _Delivery, future: Future[bytes]) -> None:
        self._by_token.pop(attempt.token, None)
        if not self._by_token:
            self._empty.set()
        self._slots.give_back(attempt)
        successor = self._slots.leave(attempt)
        if not attempt.stopped:
            self._report(attempt, future)
        if self._closing:
            return
        if successor is not None:
            self._take_later(successor)
        while (waiting := self._slots.next()) is not None:
            assert isinstance(waiting, _Delivery)
            fault = self._begin(waiting)
            if fault is not None:
                self.sink.lost(waiting.ref, fault, False)
        self.sink.ready()

    def _take_later(self, assignment: TaskAssignment) -> None:
        fault = self._take(assignment)
        if fault is not None:
            self.sink.lost(assignment.ref, fault, False)

    def _report(self, attempt: _Delivery, future: Future[bytes]) -> None:
        try:
            ended = _decode(future.result())
        except (BrokenExecutor, CancelledError) as error:
            self.sink.lost(attempt.ref, _broken(error), False)
            return
        except BaseException as error:  # what the call raised: it came to no attempt
            self._endings.fail(attempt.ref, f"its executor failed: {type(error).__name__}: {why(error)}{_advice(error)}")
            return
        for news in ended["kept"]:
            hear(self.sink, attempt.ref, news)
        self._give(attempt.ref, ended)

    def _give(self, ref: AttemptRef, ended: Mapping[str, Any]) -> None:
        """Report an ending; a result is kept until it is stored."""
        if ended["end"] == "finished":
            self._unstored[ref] = ended
        self._endings.report(ref, ended, partial(self._stored, ref))

    def _stored(self, ref: AttemptRef) -> None:
        self._unstored.pop(ref, None)

    def _stop(self, attempt: Attempt) -> None:
        assert isinstance(attempt, _Delivery)
        if attempt.stopped:
            return
        attempt.stopped = True
        if attempt.future is None:  # it waits in the queue, where it is passed over
            successor = self._slots.leave(attempt)
            if successor is not None and not self._closing:
                self._take_later(successor)
            self.sink.ready()
        elif not attempt.future.cancel():
            _order_stop(attempt)

    # --- links ---

    def _linked(self, token: str, writer: asyncio.StreamWriter) -> Callable[[dict[str, Any]], None] | None:
        """A call has come to be carried out. Returns what hears what it says; None where it is not one of here."""
        attempt = self._by_token.get(token)
        if attempt is None:
            return None
        attempt.link = writer
        if attempt.stopped:
            _order_stop(attempt)
        return lambda news: self._hear(attempt, news)

    def _hear(self, attempt: _Delivery, news: dict[str, Any]) -> None:
        if not attempt.stopped:
            hear(self.sink, attempt.ref, news)


class _Links:
    """The socket that calls of this machine find their broker by, in a folder that its user alone may enter."""

    def __init__(self, linked: Callable[[str, asyncio.StreamWriter], Callable[[dict[str, Any]], None] | None]) -> None:
        self._linked = linked
        self._folder = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.path = ""

    async def open(self) -> None:
        """Listen, from now on. Raises OSError."""
        if self._server is None:
            self._folder = tempfile.mkdtemp(prefix="aether-")
            self.path = str(Path(self._folder, "broker"))
            self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def close(self) -> None:
        """End all links: what still runs behind them stops."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._open):
            writer.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            first = await _read(reader)
            hear = None if first is None else self._linked(str(first.get("token")), writer)
            while hear is not None and (news := await _read(reader)) is not None:
                hear(news)
        finally:
            self._open.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message of a link; None at its end."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size <= _MOST_BYTES:
            message = _decode(await reader.readexactly(size))
            return message if isinstance(message, dict) else None
    return None


def _order_stop(attempt: _Delivery) -> None:
    if attempt.link is not None and not attempt.link.is_closing():
        body = _encode({"do": "stop"})
        attempt.link.write(len(body).to_bytes(4, "big") + body)


def _broken(error: BaseException) -> str:
    text = why(error)
    return f"its executor does not work any more: {type(error).__name__}{'' if text == type(error).__name__ else f': {text}'}"


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return " (each process of the executor needs aether-protocol, and what the modules named to the broker need)"
    return ""
