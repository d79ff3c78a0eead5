"""The supervisor of a worker: keeps a session with a server, and lets a pool of processes do the work.

Law: nothing here blocks. What an attempt gave is kept until the server has recorded it. What runs is stopped before the
server may give it to another worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from aether_protocol.engine.clock import SystemClock
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.telemetry import Tracer
from aether_protocol.ports.worker import (
    BeatMessage,
    Hello,
    Orders,
    Poll,
    SecretName,
    SecretRequest,
    SecretText,
    Welcome,
    WorkReport,
)
from aether_protocol.worker.artifacts import ArtifactCarrier, ArtifactTransport
from aether_protocol.worker.cache import ArtifactCache
from aether_protocol.worker.delivery_spans import DeliverySpans
from aether_protocol.worker.held import HeldDeliveries, HeldDelivery
from aether_protocol.worker.outbox import Outbox
from aether_protocol.worker.pool import AttemptPool
from aether_protocol.worker.spool import MOST_BYTES, LogPatience
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError, WorkerTransport

__all__ = ["Supervisor", "SupervisorSettings", "WorkerNews"]

_log = logging.getLogger("aether_protocol")

_SECOND: Final = 1_000_000
STOP_AT: Final = 0.73  # of the lease without an answer: stop what runs; of 30 s that leaves 8 s
KILL_AT: Final = 0.9  # then kill it: of 30 s that leaves 3 s for a clock that runs slow and a kill that takes its time


_ASK_S: Final = 0.1  # after which it is asked what is stored of logs that were sent
_LONGEST_ASK_S: Final = 1.0  # the same, where the store is away
_RESEND_LOGS_S: Final = 5.0  # without an answer: then they are sent again
_LOG_TRIES: Final = 60  # then they are dropped: a store may be away for minutes
_SAME_DRAIN_US: Final = 1_000_000  # an order that came again means the same instant, but for its way here
_LAST_LOGS_S: Final = 10.0  # for logs, before a worker leaves
_RESEND_LAST_LOGS_S: Final = 2.0


class SupervisorSettings(Struct, frozen=True, kw_only=True, gc=False):
    """Times in seconds. `retry_s` to `longest_retry_s`: pauses after messages without an answer, doubling. `resend_s`: when a
    result that was not recorded is sent again. `grace_s`: how long a drain lets attempts go on. `log_bytes`: how much of logs
    is kept on disk while the server does not take them."""

    retry_s: float = 0.2
    longest_retry_s: float = 5.0
    resend_s: float = 1.0
    grace_s: float = 600.0
    log_bytes: int = MOST_BYTES


class WorkerNews(Struct, frozen=True, gc=False):
    """What became of a worker, for people: `text` says it, `kind` to programs."""

    kind: Literal["connected", "away", "back", "stopping", "draining"]
    text: str


class PollGate(Protocol):
    """Says when a supervisor asks for work, and for how much: where several share what a worker has."""

    async def turn(self, free: int) -> int:
        """Wait until work is to be asked for; how many attempts, `free` at most, which are kept for it until `done`."""
        ...

    def done(self, asked: int, given: int) -> None:
        """What was asked for was answered with so many attempts, and these have begun."""
        ...


def _log_news(news: WorkerNews) -> None:
    _log.log(logging.WARNING if news.kind in ("away", "stopping") else logging.INFO, "%s", news.text)


class Supervisor:
    """Keeps one session after the other with a server, until it is drained or cancelled.

    Args:
        transport: the way to the server.
        pool: what carries attempts out.
        hello: what the worker says of itself; its `holding` is filled in here.
        artifacts: the way for artifacts, and where they are kept; None: attempts with artifacts end in an Error.
        settings: pauses and the grace of a drain.
        seed: of the jitter of pauses.
        clock: the time of leases, beats and pauses; it must never jump. That of this machine unless given.
        report: called with what becomes of the worker; it is logged unless given.
        tracer: takes the spans of deliveries; None: they are not traced.
        gate: says when to ask for work; None: whenever there is a free slot.

    `held`: the deliveries that it has. `nudged`: set it, and the next beat comes at once.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        pool: AttemptPool,
        hello: Hello,
        *,
        artifacts: tuple[ArtifactTransport, ArtifactCache] | None = None,
        settings: SupervisorSettings | None = None,
        seed: int | None = None,
        clock: Clock | None = None,
        report: Callable[[WorkerNews], None] | None = None,
        tracer: Tracer | None = None,
        gate: PollGate | None = None,
    ) -> None:
        self._gate = gate
        self.nudged = asyncio.Event()
        self._report = report or _log_news
        self._is_away = False  # the server does not answer, which was reported
        self._transport = transport
        self._pool = pool
        self._hello = hello
        self._settings = settings or SupervisorSettings()
        self._chance = random.Random(seed)
        self._clock = clock or SystemClock()
        self._outbox = Outbox(self._clock, spool_bytes=self._settings.log_bytes)
        carrier = None
        if artifacts is not None:
            carrier = ArtifactCarrier(artifacts[1], artifacts[0], lambda: self._session, self._clock)
        spans = None if tracer is None else DeliverySpans(tracer, hello, self._clock.wall)
        self.held = HeldDeliveries(self._outbox, self._secrets, carrier, spans=spans)
        self._session = ""
        self._welcome: Welcome | None = None
        self._poll = 0
        self._settled = 0  # the last poll that was answered or given up
        self._answered_at = 0  # when the last message that was answered was sent (microseconds)
        self._welcomed = asyncio.Event()  # there was a session
        self._expired = asyncio.Event()  # the session's lease is over
        self._draining = asyncio.Event()
        self._drain_until: int | None = None

    @property
    def hello(self) -> Hello:
        """What the worker says of itself."""
        return self._hello

    @property
    def session(self) -> str:
        """The session's name; empty before the first."""
        return self._session

    @property
    def is_draining(self) -> bool:
        """Whether it takes no more work."""
        return self._drain_until is not None

    @property
    def running(self) -> int:
        """How many attempts it carries out now."""
        return len(self.held.running)

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `drain` was called and has come to its end, or this is cancelled: then what runs is killed.

        Raises:
            RefusedError: the server refuses this worker.
        """
        self._pool.start(self.held)
        guard = asyncio.create_task(self._guard_lease(), name="aether-worker-lease")
        try:
            while not self._is_over():
                await self._say_hello()
                await self._serve()
            if self._session:
                with contextlib.suppress(TransportError, SessionEndedError, RefusedError):
                    await self._send_last_logs()
                    await self._transport.leave(self._session)
                if not self._outbox.logs.is_empty():
                    _log.warning("the server did not take all logs: the last ones are dropped")
        finally:
            guard.cancel()
            self._outbox.logs.close()
            await self._pool.close()
            await self._transport.close()

    def drain(self, grace_s: float | None = None) -> None:
        """Take no more work; return what has not ended after `grace_s` (the setting's, unless given)."""
        until = self._clock.now() + round((self._settings.grace_s if grace_s is None else grace_s) * _SECOND)
        if self._drain_until is None or until < self._drain_until - _SAME_DRAIN_US:
            self._drain_until = until
            self._report(WorkerNews("draining", f"no more work is taken; attempts that still run: {self.running}"))
        self._draining.set()
        self.held.freed.set()

    def _is_over(self) -> bool:
        return self._drain_until is not None and not self.held and self._outbox.is_empty()

    async def _say_hello(self) -> None:
        pause = self._settings.retry_s
        while not self._is_over():
            try:
                await self._begin_session()
            except TransportError as error:
                self._away(error)
                await self._pause(pause)
                pause = min(pause * 2, self._settings.longest_retry_s)
            else:
                return

    async def _begin_session(self) -> None:
        sent = self._clock.now()
        self._hello.holding, self._hello.results = self.held.tokens, self.held.results
        self._hello.number += 1
        self._welcome = await self._transport.hello(self._hello)
        self._session, self._answered_at = self._welcome.session, sent
        self._is_away = False
        self._report(WorkerNews("connected", f"connected to {self._welcome.server} as {self._hello.worker!r}"))
        self._poll = self._settled = 0
        self._expired.clear()
        self._outbox.logs.rewind()  # what an earlier session did not hear of
        self._welcomed.set()

    async def _serve(self) -> None:
        """One session, until it ends or a drain has come to its end."""
        if self._is_over() or self._welcome is None:
            return
        loops = [
            asyncio.create_task(one, name=f"aether-worker-{name}")
            for name, one in (
                ("poll", self._poll_loop()),
                ("beat", self._beat_loop(self._welcome)),
                ("report", self._report_loop()),
                ("logs", self._log_loop()),
                ("lease", self._expired.wait()),
                ("drain", self._drain_loop()),
            )
        ]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                with contextlib.suppress(SessionEndedError):
                    one.result()
        finally:
            for one in loops:
                one.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    # --- loops: each ends the session when it returns or raises -----------------------------------------------------

    async def _poll_loop(self) -> None:
        pause = self._settings.retry_s
        while True:
            free = self._hello.slots.get("tasks", 1) - self.running
            if self._drain_until is not None:
                await asyncio.Event().wait()  # no more work: the other loops end the session
            if free <= 0:
                self.held.freed.clear()
                await self.held.freed.wait()
                continue
            if self._gate is not None:
                free = await self._gate.turn(free)
            given = 0
            self._poll += 1
            poll = Poll(poll=self._poll, free=free, holding=self.held.tokens)
            sent = self._clock.now()
            wait_s = (self._welcome.poll_ms if self._welcome else 25_000) / 1000
            try:
                orders = await self._transport.poll(self._session, poll, wait_s)
                pause = self._settings.retry_s
                self._settled = poll.poll
                self._answered(sent)
                given = len(orders.work)
                self._obey(orders)
            except TransportError as error:
                _log.debug("a poll was not answered: %s", error.message)
                self._settled = poll.poll  # what it may have brought is given out again at the next beat
                await self._pause(pause)
                pause = min(pause * 2, self._settings.longest_retry_s)
            finally:
                if self._gate is not None:
                    self._gate.done(free, given)

    async def _beat_loop(self, welcome: Welcome) -> None:
        while True:
            await _set_within(self._clock, self.nudged, welcome.beat_ms / 1000 * (0.9 + 0.2 * self._chance.random()))
            sent = self._clock.now()
            beat = BeatMessage(poll=self._settled, holding=self.held.tokens)
            try:
                orders = await self._transport.beat(self._session, beat)
            except TransportError as error:
                self._away(error)
                continue
            self._answered(sent)
            self._obey(orders)

    async def _report_loop(self) -> None:
        pause = self._settings.retry_s
        while True:
            await self._outbox.wait(self._settings.resend_s)
            report = self._outbox.take()
            if report is None:
                if self._is_over():
                    return
                continue
            sent = self._clock.now()
            try:
                receipt = await self._transport.report(self._session, report)
            except (TransportError, SessionEndedError) as error:
                self._outbox.put_back(report)
                if isinstance(error, SessionEndedError):
                    raise
                self._away(error)
                await self._pause(pause)
                pause = min(pause * 2, self._settings.longest_retry_s)
                continue
            except asyncio.CancelledError:
                self._outbox.put_back(report)
                raise
            pause = self._settings.retry_s
            self._answered(sent)
            self._outbox.arrived()
            self.held.taken(report, receipt)
            self._obey(Orders(stop=receipt.stop))
            if self._is_over():
                return

    async def _log_loop(self) -> None:
        """Ask for what is stored of logs that were sent, and send again what is not."""
        logs, waits, pause = self._outbox.logs, LogPatience(_RESEND_LOGS_S, _LOG_TRIES), _ASK_S
        while True:
            await logs.flying.wait()
            await self._clock.sleep(pause)
            if not logs.flying.is_set():
                pause = _ASK_S
                continue
            sent = self._clock.now()
            try:
                receipt = await self._transport.report(self._session, WorkReport())
            except TransportError:
                continue  # the other loops see to it
            self._answered(sent)
            logs.acknowledged(receipt.logged)
            waits.look(logs, self._clock.now())
            pause = _ASK_S if receipt.logged else min(2 * pause, _LONGEST_ASK_S)

    async def _send_last_logs(self) -> None:
        """What is left of logs when the worker leaves."""
        logs, waits = self._outbox.logs, LogPatience(_RESEND_LAST_LOGS_S, _LOG_TRIES)
        until = self._clock.now() + round(_LAST_LOGS_S * _SECOND)
        while not logs.is_empty() and self._clock.now() < until:
            try:
                receipt = await self._transport.report(self._session, self._outbox.take() or WorkReport())
                self._outbox.arrived()
                logs.acknowledged(receipt.logged)
                waits.look(logs, self._clock.now())
            except TransportError:
                logs.rewind()
            except SessionEndedError:
                with contextlib.suppress(TransportError):
                    await self._begin_session()
            if not logs.is_empty():
                await self._clock.sleep(_ASK_S)

    async def _guard_lease(self) -> None:
        """Stop what runs where no message was answered for so long that the server may give it to another worker; also while
        the worker says hello to a server that is not there."""
        await self._welcomed.wait()
        stopped = False
        while True:
            assert self._welcome is not None
            lease = self._welcome.lease_ms * 1000
            silent = self._clock.now() - self._answered_at
            stop_at, kill_at = round(lease * STOP_AT), round(lease * KILL_AT)
            if silent >= kill_at:
                for token in self.held.drop_without_result():  # it must not run any longer, and is not this worker's any more
                    self._pool.kill(token)
            elif silent >= stop_at and not stopped:
                told = f"no answer for {silent / _SECOND:.3g} s: attempts are stopped, since the lease ends soon"
                self._report(WorkerNews("stopping", told))
                self._stop_all()
            if silent >= lease:
                self._expired.set()
            stopped = silent >= stop_at
            due = min(at for at in (stop_at, kill_at, lease, silent + lease - kill_at) if at > silent)
            await self._clock.sleep((due - silent) / _SECOND)

    async def _drain_loop(self) -> None:
        await self._draining.wait()
        changed = self.held.freed
        while not self._is_over():
            changed.clear()
            until = self._drain_until or 0
            if self._clock.now() >= until:
                self._stop_all()
                await changed.wait()
                continue
            alarm = self._clock.call_at(until, changed.set)
            try:
                await changed.wait()
            finally:
                alarm.cancel()

    # --- orders -----------------------------------------------------------------------------------------------------

    def _obey(self, orders: Orders) -> None:
        lease = 0 if self._welcome is None else self._welcome.lease_ms * 1000
        late = self._clock.now() - self._answered_at >= round(lease * STOP_AT)
        for item in orders.work:
            # An answer that came after the lease may have ended (this machine was frozen) brings what others have by now.
            if not late and self.held.add(item.token, item.assignment):
                self._pool.begin(item.token, item.assignment)
                self.held.freed.set()  # a drain whose grace is over stops it
        for token in orders.stop:
            one = self.held.get(token)
            if one is not None:
                self._stop(one)
        if orders.drain_ms is not None:
            self.drain(orders.drain_ms / 1000)

    def _stop(self, one: HeldDelivery) -> None:
        if one.state == "running":
            one.state = "stopping"
            self._pool.stop(one.token)

    def _stop_all(self) -> None:
        for one in self.held.running:
            self._stop(one)

    # --- small things -----------------------------------------------------------------------------------------------

    async def _secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        try:
            answer = await self._transport.secrets(self._session, SecretRequest(token=token, secrets=list(wanted)))
        except SessionEndedError:
            raise TransportError("the session with the server has ended") from None
        return answer.texts

    def _answered(self, sent: int) -> None:
        self._answered_at = max(self._answered_at, sent)
        if self._is_away:
            self._is_away = False
            self._report(WorkerNews("back", "the server answers again"))

    def _away(self, error: TransportError) -> None:
        if not self._is_away:
            self._is_away = True
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            self._report(WorkerNews("away", f"{reason}; it is tried again, and what runs continues"))

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep(seconds * (0.5 + self._chance.random()))


async def _set_within(clock: Clock, event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or for so long."""
    alarm = clock.call_at(clock.now() + round(seconds * _SECOND), event.set)
    try:
        await event.wait()
    finally:
        alarm.cancel()
        event.clear()
