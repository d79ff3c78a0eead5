"""Renew an engine's lease on a durable store, claim and release runs, and check the mailbox for requests to them.

Law: an engine drives a run only while it holds it, and its locks. The lease is renewed well before it ends, and at once where
the machine's clock was set; what was taken over, or could not be renewed in time, is given up here at once. All of it happens
between turns of the loop, when no append of this engine is on its way: it writes nothing else at the same time. One thing
waits for no turn, since the loop may be waiting for a store that never answers: the end of the lease, an alarm by the engine's
own clocks. A lease counts from when the last call that took or renewed it, and was answered, was sent (RT-153).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.clock import LeaseAge, Sending
from aether_protocol.engine.inbox import Reply
from aether_protocol.engine.mailbox import KEY, opened, to_event, told, wants_answer
from aether_protocol.engine.observers import Observers
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError
from aether_protocol.execution.sealing import SealingKey
from aether_protocol.expressions.values import Json
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.store import Request, Store
from aether_protocol.ports.store.leases import BREAKS
from aether_protocol.scheduler.events import Event

LEASE_S: Final = 15.0
BEAT_US: Final = 1_000_000  # how often the mailbox is looked into
_SILENT: Final = PortError("the store did not answer in time")

_log = logging.getLogger("aether_protocol")


def _nothing() -> None:
    """No loop is there to be woken."""


def _ended(run_id: str, error: AetherError) -> LeaseEndedError:
    return LeaseEndedError(f"the lease of run {run_id!r} ended before it could be renewed: {error.message}", hint=error.hint)


class LeaseEndedError(BusyError):
    """The store did not let the lease of a run be renewed in time: another engine may drive it now."""

    exit_code = PortError.exit_code


def _held(driver: Drives) -> dict[str, int]:
    return {run.id: run.token for run in driver.runs.values() if run.token and not run.over}


class Drives(Protocol):
    """What the keeper needs of its driver."""

    runs: dict[str, ActiveRun]

    def put(self, run: ActiveRun, event: Event, reply: Reply | None = None) -> None: ...
    def abandon(self, run: ActiveRun, error: BaseException) -> None: ...


class LeaseKeeper:
    """`owner` names the engine in the store. `lease_us` None: it never ends, and nothing is done by the clock.

    `due`: the loop shall call `work` before its next turn; `wake` wakes it for that. `errors` receives failures of the store.
    """

    def __init__(self, store: Store, clock: Clock, owner: str, lease_us: int | None, errors: Observers) -> None:
        self.owner = owner
        self.due = False
        self._store = store
        self._clock = clock
        self._errors = errors
        self._is_silent = False  # the store does not answer, which was reported
        self._lease_us = lease_us
        self._beat_us = BEAT_US if lease_us is None else max(min(BEAT_US, lease_us // 3), 1_000)
        self.wake: Callable[[], None] = _nothing
        self._withdraw: Callable[[], None] = _nothing
        self._driver: Drives | None = None
        self._age = LeaseAge(clock, lease_us)
        self._expected_us = 0  # when the alarm is to ring, by that
        self._lapses = 0  # how often the lease has ended
        self._has_lapsed = False  # and was not taken since
        self._failure: AetherError = _SILENT  # why the lease was not renewed
        self._is_spared = False  # the lease is over, and the store gets one more beat to answer
        self._locks: set[str] = set()
        self._given_up: list[str] = []
        self._broke: list[tuple[str, int, int, str]] = []  # runs that broke this engine: token, leaves ended by then, reason
        self._alarm: TimerHandle | None = None
        self._asked: set[int] = set()  # requests that are on their way through the inbox
        self._answers: list[tuple[int, Json | None]] = []  # None: no caller waits for it
        self._owed = self._answers, self._given_up, self._broke  # of what is in them the store has yet to hear
        self._stopped = False
        self._key = SealingKey()  # for what is asked through the store and must not lie open there

    # --- the lease ---

    @property
    def ttl(self) -> int | None:
        """How long a lease is that is taken now, in microseconds; None: it has no end."""
        return self._lease_us

    def start(self, driver: Drives, wake: Callable[[], None], withdraw: Callable[[], None]) -> None:
        """Keep the lease of a driver. `withdraw` withdraws from its broker, at once, what was released."""
        self._driver, self.wake, self._withdraw = driver, wake, withdraw

    def sending(self) -> Sending:
        """Note that a call is sent now that may take the lease: see `lease_taken`."""
        return Sending(self._age.look(), self._lapses)

    def lease_taken(self, sent: Sending) -> None:
        """Keep the lease: something was claimed by a call that was sent then. What took longer than a lease has none."""
        self._age.begin(sent.at)
        self._failure, self._has_lapsed = _SILENT, False
        if self._age.is_over:
            self._lapse()
        if self._lease_us is not None and self._alarm is None:
            self._arm()

    def require(self, run_id: str, sent: Sending) -> None:
        """Raise LeaseEndedError where the lease has ended since it was to be taken for that run."""
        if self._lapses != sent.lapses:
            raise _ended(run_id, _SILENT)

    def _lapse(self) -> None:
        """The lease has ended, whatever the store says later: others may drive the runs from now on."""
        self._lapses += 1
        self._has_lapsed = True
        if self._driver is not None:
            for run_id in _held(self._driver):
                self._driver.abandon(self._driver.runs[run_id], _ended(run_id, self._failure))
            self._withdraw()

    def check_mailbox(self) -> None:
        """Look into the mailbox before the next turn."""
        self.due = True
        self.wake()

    def release_run(self, run_id: str) -> None:
        """The run is not driven here any more: others may have it."""
        self._given_up.append(run_id)
        self.due = True
        self.wake()

    def broke(self, run_id: str, token: int, ended: int, reason: str) -> None:
        """The run broke this engine: the store shall know before others may have it."""
        self._broke.append((run_id, token, ended, reason))

    async def tell_breaks(self) -> None:
        """Let the store know of what broke this engine."""
        while self._broke:
            run_id, token, ended, reason = self._broke[0]
            if await self._store.leases.broke(run_id, token, ended, reason):
                _log.error("run %s was set aside: it broke its engine %d times in a row; %s", run_id, BREAKS, reason)
            self._broke.pop(0)

    async def lock(self, name: str) -> bool:
        sent = self.sending()
        taken = await self._store.leases.lock(name, self.owner, self._lease_us)
        if taken:
            self._locks.add(name)
            self.lease_taken(sent)
        return taken

    async def unlock(self, name: str) -> None:
        self._locks.discard(name)
        await self._store.leases.unlock(name, self.owner)

    def _arm(self) -> None:
        """Ring at the next beat, or at the end of the lease if that comes first."""
        now = self._age.look()
        wait = min(self._beat_us, self._age.left or self._beat_us)
        self._expected_us = now + wait
        self._alarm = self._clock.call_at(self._clock.now() + wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._age.look(self._expected_us)  # so much has passed, also where a clock was set back
        stood_still = now > self._expected_us + self._beat_us  # the machine slept: the store was not asked yet
        if self._age.is_over and (self._is_spared or not stood_still) and not self._has_lapsed:
            self._lapse()
        self._is_spared = self._age.is_over
        self.due = True
        self.wake()
        if self._driver is not None and not self._stopped and (self._locks or any(self._owed) or _held(self._driver)):
            self._arm()

    def stop(self) -> None:
        """No more beats; what was not answered so far is the next owner's affair."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # --- the chores ---

    async def work(self, driver: Drives) -> None:
        """What is due now. What the store refuses for a moment is tried again at the next beat."""
        self.due = False
        held = _held(driver)
        try:
            await self._answer()
            await self._renew(driver, held)
            if held:
                await self.collect(driver)
            self._is_silent = False
        except (PortError, BusyError) as error:
            self.silent(error)
        if self._alarm is None and self._lease_us is not None and (held or self._locks or any(self._owed)):
            self._arm()

    def silent(self, error: AetherError) -> None:
        """Report that the store does not answer, once for each time that it falls silent."""
        _log.warning("the store does not answer: %s", error.message)
        if not self._is_silent:
            self._is_silent = True
            self._errors.failed(error, "store", severity="warning")

    async def _renew(self, driver: Drives, held: dict[str, int]) -> None:
        await self.tell_breaks()
        if self._given_up:
            dropped = [run_id for run_id in self._given_up if run_id not in held]
            await self._store.leases.release(self.owner, dropped)
            self._given_up.clear()
        if self._lease_us is None or not (held or self._locks):
            return
        sent = self.sending()
        if not self._age.urgent and self._age.left > self._lease_us - self._lease_us // 3:
            return
        runs = [driver.runs[run_id] for run_id in held]
        self._age.urgent = False
        try:
            lost = await self._store.leases.renew(self.owner, self._lease_us, held)
        except (PortError, BusyError) as error:
            self._age.urgent, self._failure = True, error  # tried again with the next beat
            self._age.look()
            if self._age.is_over:
                self._lapse()
            raise
        self.lease_taken(sent)
        for run in runs:
            if run.id in lost:
                driver.abandon(run, BusyError(f"run {run.id!r} was taken over by another engine"))
        for name in list(self._locks):
            if not await self._store.leases.lock(name, self.owner, self._lease_us):  # the engine that has it relies on it
                self._locks.discard(name)
                for run in runs:
                    text = f"lock {name!r} was taken over by another engine: run {run.id!r} is left as it is"
                    driver.abandon(run, BusyError(text))

    async def collect(self, driver: Drives) -> None:
        """Put what others ask of our runs into the inbox."""
        for request in await self._store.mailbox.requests(self.owner):
            run = driver.runs.get(request.run_id)
            if run is None or run.error is not None or request.id in self._asked:
                continue
            self._asked.add(request.id)
            if isinstance(request.request, dict) and request.request.get("kind") == KEY:
                self._reply(request.id, self._own_key())
                continue
            try:
                question = opened(self._key, request.request)
            except AetherError as error:  # sealed for the engine that had the run before, or nothing here opens it
                self._reply(request.id, {**told(error), "again": isinstance(error, UsageError)})
                continue
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done, request=request: self._answered(request, done))  # type: ignore[misc]
            try:
                driver.put(run, to_event(run.state, question), answer)
            except AetherError as error:
                answer.set_exception(error)

    def _own_key(self) -> Json:
        """The key to seal with, as an answer."""
        try:
            return {**told(None), "key": self._key.public}
        except PortError as error:
            return told(error)

    def _answered(self, request: Request, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if self._stopped or done.cancelled() or isinstance(error, BusyError | PortError):
            self._asked.discard(request.id)  # the next owner's affair
            return
        self._reply(request.id, told(error) if wants_answer(request.request) else None)

    def _reply(self, number: int, answer: Json | None) -> None:
        """Answer a request with the next chores. None: no caller waits for it."""
        self._answers.append((number, answer))
        self.due = True
        self.wake()

    async def _answer(self) -> None:
        while self._answers:
            number, answer = self._answers[0]
            await self._store.mailbox.answered(number, {} if answer is None else answer)
            if answer is None:  # no caller will read it
                await self._store.mailbox.answer(number)
            self._asked.discard(number)
            self._answers.pop(0)

    async def release(self) -> None:
        """Give everything back, with the last answers."""
        self.stop()
        await self.tell_breaks()
        await self._answer()
        await self._store.leases.release(self.owner)
