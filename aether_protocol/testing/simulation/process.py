"""One engine process of a simulation: a real engine, its store out of reach now and then, its clock not quite right.

Law: once dead, a process changes nothing: its calls of the store never return, its broker sends nothing, and what the old
engine still does has no effect. Only the world brings up another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.snapshots import SnapshotPolicy
from aether_protocol.errors import PortError
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import NewRun, RunAppend, Store
from aether_protocol.ports.store.schedules import ScheduleDecision
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.clock import ManualClock, SequentialIds, SkewedClock
from aether_protocol.testing.gate import GatedStore
from aether_protocol.testing.simulation.chaos import Chaos, fraction
from aether_protocol.testing.simulation.hints import Hints
from aether_protocol.testing.simulation.local_broker import broker_of
from aether_protocol.testing.simulation.workers import SECOND, BrokerProcess, SimWorkers

LEASE_US: Final = 15 * SECOND
_READS: Final = frozenset(
    {"runs.load", "runs.row", "runs.rows", "runs.lines", "mailbox.requests", "leases.owner", "leases.owners", "logs.read"}
    | {"servers.list", "servers.runs"}
    | {"schedules.get", "schedules.find", "schedules.fires", "schedules.plan", "schedules.runs"}
)
_WRITES: Final = frozenset(
    {"runs.create", "runs.append", "runs.delete", "leases.claim", "leases.renew", "leases.release", "leases.lock"}
    | {"leases.unlock", "leases.broke", "upkeep.mend", "mailbox.post", "mailbox.answered", "mailbox.answer"}
    | {"servers.put", "mailbox.withdraw", "logs.write", "schedules.put", "schedules.remove", "schedules.decide"}
)
_HINTED: Final = frozenset({"mailbox.post", "mailbox.answered"})
_LAST_WORDS: Final = frozenset(
    {"leases.release", "leases.unlock", "close", "logs.write", "mailbox.answered", "mailbox.withdraw"}
)  # of one that closes


class _KilledError(Exception):
    """This process is no more."""


class BrokerObserver(Protocol):
    """Who watches what goes through the broker of a process."""

    def dispatched(self, process: Process, task: TaskAssignment) -> None: ...
    def acknowledged(self, process: Process, ref: AttemptRef, times: int) -> None: ...
    def demanded(self, holds: bool, law: str, told: str) -> None: ...


class ProcessObserver(BrokerObserver, Protocol):
    """Who watches a process."""

    def stored(self, process: Process, run_id: str, state: RunState, step: LogEntry) -> None: ...
    def appended(self, process: Process, part: RunAppend) -> None: ...
    def refused(self, process: Process, part: RunAppend) -> None: ...
    def granted(self, process: Process, run_id: str, token: int, now: int) -> None: ...
    def leased(self, process: Process, until: int) -> None: ...
    def released(self, owner: str, run_ids: Sequence[str] | None) -> None: ...
    def passivated(self, count: int) -> None: ...
    def turned(self, process: Process, turn: ScheduleDecision) -> None: ...


class ProcessOptions(Struct, frozen=True):
    """What a process runs on.

    `slots` of its broker (0: no limit; None: its workers are elsewhere), whether messages between engine and broker may get
    lost (`faulty`), the steps between two snapshots of a run, how long a run only waits before it is passivated (None: it stays
    in memory), what makes its broker (`broker`, in place of the simulated ones), its providers of secrets (None: those of the
    workers), and the hints of its store.
    """

    slots: int | None = None
    faulty: bool = True
    snapshot_steps: int = 20
    passivate_after_s: float | None = None
    appends: int = 1
    hints: Hints | None = None
    broker: Callable[[BrokerProcess], Broker] | None = None
    secrets: Sequence[SecretProvider] | None = None


class Process:
    """`number` counts the processes of a world; each is an owner of its own."""

    def __init__(
        self, number: int, clock: ManualClock, store: Any, workers: SimWorkers, watch: ProcessObserver, machine: ProcessOptions
    ) -> None:
        self.number = number
        self.engine_name = f"process-{number}"
        self.dead = False
        self.closing = False
        self.clock = SkewedClock(clock)
        self._chaos: Chaos = workers.chaos
        self._world_clock = clock
        self._witness = watch
        self._seed = workers.seed
        self._hints = machine.hints
        self._reachable_at = 0
        self._held_up = 0  # calls that wait for the store to be in reach
        self._forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._latencies = 0  # that were chosen so far
        self.store: Store = GatedStore(store, self)
        self.store.appends_at_once = machine.appends
        self.engine = RunEngine(
            store=self.store,
            broker=machine.broker(self)
            if machine.broker is not None
            else broker_of(number, workers, self, machine.slots, faulty=machine.faulty),
            clock=self.clock,
            ids=SequentialIds(workers.seed),
            secrets=workers.secrets.providers if machine.secrets is None else machine.secrets,
            observers=[self._stored],
            owner=self.engine_name,
            lease_s=LEASE_US / SECOND,
            passivate_after_s=machine.passivate_after_s,
            most_deaths=10,  # of those that chaos brings
            snapshots=SnapshotPolicy(steps=machine.snapshot_steps, saved_steps=machine.snapshot_steps),
        )

    async def start(self) -> None:
        await self.engine.__aenter__()

    def die(self) -> None:
        self.dead = True

    def cut_off_until(self, instant: int) -> None:
        """Its store is out of its reach until then (microseconds of the world)."""
        self._reachable_at = max(self._reachable_at, instant)

    @property
    def cut_off(self) -> bool:
        """The store is out of its reach, or a call that was held up has not come through yet: what it knows may be old."""
        return self.dead or self._held_up > 0 or self._world_clock.now() < self._reachable_at

    async def bury(self) -> None:
        """Clear away what a dead engine left in this process's memory; or close a living one in order."""
        self.closing = True
        with contextlib.suppress(PortError):
            await self.engine.close()

    # --- what the store's door asks ---

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        writes = name in _WRITES and not self.closing
        try:
            self._must_live()
            while not self.closing and self._world_clock.now() < self._reachable_at:
                await self._wait()
            if writes:
                await self._before()
            elif name in _READS and not self.closing and self._chaos.strikes("read-refused"):
                raise PortError("the disk reports an error")
            await self._travel()
            if name == "mailbox.listen" and self._hints is not None:
                return self._hints.listen(lambda: not self.dead, *arguments)
            given = await call()
            if name in _HINTED and self._hints is not None:
                self._hints.give()
            self._tell(name, arguments, given)
            await self._travel()
            if writes:
                self._after()
            return given
        except _KilledError:
            return await self._end(name)

    async def _travel(self) -> None:
        """Let a message to the store, or its answer, take its time: none, some rounds of the loop, or milliseconds."""
        if self.store.appends_at_once > 1 and not self.closing:
            self._latencies += 1
            chance = fraction(self.number, self._latencies, self._seed)
            if chance < 0.3:
                await self._world_clock.sleep(chance / 100)
            for _ in range(int(chance * 10) - 3):
                await asyncio.sleep(0)
            self._must_live()

    def _must_live(self) -> None:
        if self.dead:
            raise _KilledError

    def _kill(self) -> None:
        self.die()
        raise _KilledError

    async def _wait(self) -> None:
        self._held_up += 1
        try:
            await self._world_clock.sleep((self._reachable_at - self._world_clock.now()) / SECOND)
        finally:
            self._held_up -= 1
        self._must_live()

    async def _before(self) -> None:
        strikes, choose = self._chaos.strikes, self._chaos.choose
        if strikes("clock-set-back"):
            self.clock.offset -= choose(2 * SECOND, 30 * SECOND)
        if strikes("store-out-of-reach"):
            self._reachable_at = self._world_clock.now() + choose(SECOND, 10 * SECOND, 40 * SECOND)
            await self._wait()
        if strikes("crash-before-write"):
            self._kill()
        if strikes("write-refused"):
            raise PortError("the disk is full")

    def _after(self) -> None:
        if self._chaos.strikes("crash-after-write"):
            self._kill()
        if self._chaos.strikes("write-unclear"):
            raise PortError("the connection broke")

    async def _end(self, name: str) -> Any:
        """What a dead process asks for never comes."""
        if name in _LAST_WORDS:
            return None
        if not self.closing:
            await self._forever
        raise PortError("the process is dead")

    def _tell(self, name: str, arguments: tuple[Any, ...], given: Any) -> None:
        if name == "runs.append":
            for part in arguments[0]:
                if part.run_id not in given:
                    self._witness.appended(self, part)
                else:
                    self._witness.refused(self, part)
        elif name == "leases.claim":
            now = self._world_clock.now()  # the store's, whatever the clock of this process shows
            for run_id, token in given:
                self._witness.granted(self, run_id, token, now)
            if given:
                self._witness.leased(self, now + LEASE_US)
        elif name == "schedules.decide":
            for new in arguments[0].runs:
                self._created(new, given.get(new.row.run_id))
            self._witness.turned(self, arguments[0])
        elif name == "runs.create":
            self._created(arguments[0], given)
        elif name == "leases.renew":
            self._witness.leased(self, self._world_clock.now() + LEASE_US)
        elif name == "leases.release":
            owner, run_ids, sleeps = (*arguments, None, None)[:3]
            self._witness.released(owner, run_ids if sleeps is None else [*(run_ids or ()), *sleeps])
            self._witness.passivated(len(sleeps or ()))

    def _created(self, run: NewRun, token: int | None) -> None:
        if token is not None:
            self._witness.granted(self, run.row.run_id, token, 0)
            self._witness.leased(self, self._world_clock.now() + LEASE_US)

    # --- what the engine and its broker tell ---

    def _stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        if not self.dead:
            self._witness.stored(self, run_id, state, step)

    def dispatched(self, task: TaskAssignment) -> None:
        self._witness.dispatched(self, task)

    def acknowledged(self, ref: AttemptRef, times: int) -> None:
        if not self.dead:
            self._witness.acknowledged(self, ref, times)

    def demanded(self, holds: bool, law: str, told: str) -> None:
        self._witness.demanded(holds, law, told)
