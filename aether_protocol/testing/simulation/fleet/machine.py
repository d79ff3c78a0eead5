"""A worker's machine of a simulation: the real supervisor on a clock of its own, and children that carry attempts out.

Law: a machine is one life of a worker process; who comes after it is another one. While it is frozen nothing in it happens:
what is due, and what arrives, waits until it thaws. What an attempt gives depends on the seed alone (`workers.deed_of`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.errors import AetherError, PortError
from aether_protocol.execution.context import sealed
from aether_protocol.execution.secrets import SecretBook, references_in
from aether_protocol.plan.placement import slots_of
from aether_protocol.ports.clock import TimerHandle
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import decode_assignment, encode_result
from aether_protocol.ports.worker import ExecutorOffer, Hello, SecretName
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.chaos import Chaos, fraction
from aether_protocol.testing.simulation.document_generator import EXECUTOR
from aether_protocol.testing.simulation.workers import SECOND, deed_of, place_of
from aether_protocol.worker.pool import STOPPED, PoolObserver
from aether_protocol.worker.supervisor import Supervisor, SupervisorSettings
from aether_protocol.worker.transport import WorkerTransport

_DURATIONS: Final = (0, 0, SECOND // 2, SECOND, SECOND, 3 * SECOND, 8 * SECOND, 25 * SECOND)
_STOPS: Final = (0, 0, SECOND, 5 * SECOND)  # how long an attempt takes to stop
LEASE: Final = 30_000_000
GRAIN: Final = 50_000
_LASTING: Final = 0.1  # first attempts that outlast their lease
_POISON: Final = 0.004  # attempts of such a task run always kill their child


class MachineClock:
    """See `ports.clock.Clock`. `rate`: how fast it runs beside the world's clock; it never jumps."""

    def __init__(self, clock: ManualClock, rate: float = 1.0) -> None:
        self.frozen = False
        self._thawed_at = 0
        self.dead = False
        self._clock = clock
        self._rate = rate
        self._begin = clock.now()
        self._held: list[Callable[[], None]] = []

    def now(self) -> int:
        return self._at(self._clock.now())

    def wall(self) -> int:
        return self.now()

    def _at(self, world: int) -> int:
        return self._begin + int((world - self._begin) * self._rate)

    def call_at(self, due_us: int, callback: Callable[[], None]) -> _Alarm:
        due = -(-(self._begin + math.ceil((due_us - self._begin) / self._rate)) // GRAIN) * GRAIN
        while self._at(due) < due_us:
            due += GRAIN
        alarm = _Alarm(callback)
        alarm.timer = self._clock.call_at(max(due, self._clock.now()), lambda: self.when_awake(alarm.ring))
        return alarm

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        over = asyncio.Event()
        alarm = None if math.isinf(seconds) else self.call_at(self.now() + round(seconds * SECOND), over.set)
        try:
            await over.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    def when_awake(self, callback: Callable[[], None]) -> None:
        """Call it now, or when this thaws."""
        if self.frozen:
            self._held.append(callback)
        elif not self.dead:
            callback()

    @property
    def can_freeze(self) -> bool:
        """Whether it runs, and not since this instant: what it was kept from has to happen first."""
        return not self.frozen and self._thawed_at < self._clock.now()

    def thaw(self) -> None:
        self.frozen, self._thawed_at = False, self._clock.now()
        held, self._held = self._held, []
        for callback in held:
            if not self.dead:
                callback()


class _Alarm:
    """`timer` is that of the world; what is cancelled is taken out of it, so that no time is spent on it."""

    timer: TimerHandle

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None
        self.timer.cancel()

    def ring(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class MachineOffer(Struct, frozen=True):
    """What a worker says of itself. `namespaces`: those that it may serve; None: all. `rate` is that of its clock."""

    name: str
    slots: Mapping[str, int]
    labels: Mapping[str, str] = {}
    pool: str = ""
    namespaces: frozenset[str] | None = None
    rate: float = 1.0


class Execution(Struct, eq=False):
    """An attempt as a child carries it out. `number` counts all of a world; `lines` is how many it has written."""

    number: int
    machine: SimMachine
    token: str
    task: TaskAssignment
    lines: int = 0
    work: asyncio.Task[None] | None = None
    stopping: bool = False
    over: bool = False

    @property
    def ref(self) -> AttemptRef:
        return self.task.ref

    @property
    def slots(self) -> dict[str, int]:
        return dict(slots_of(self.task.resources))


class MachineObserver(Protocol):
    """Who watches machines."""

    def began(self, machine: SimMachine, token: str, task: TaskAssignment) -> Execution: ...
    def ended(self, execution: Execution) -> None: ...
    def child_died(self, execution: Execution) -> None: ...
    def gave(self, execution: Execution) -> None: ...


class SimMachine:
    """One life of a worker. `trouble_until`: a fault reaches it until then (microseconds of the world)."""

    def __init__(
        self, offer: MachineOffer, clock: ManualClock, chaos: Chaos, watch: MachineObserver, *, seed: int, version: str
    ) -> None:
        self.offer = offer
        self.version = version
        self.clock = MachineClock(clock, offer.rate)
        self.children = MachineClock(clock)
        self.dead = False
        self.draining = False
        self.left_logs = False  # it was drained, and could not report all of its logs
        self.cut_to = self.cut_from = False  # its messages reach no server, no server's reach it
        self.cuts: dict[int, tuple[bool, bool]] = {}  # the same, by address of one server
        self.address = 0  # of the server that it talks to
        self.trouble_until = 0
        self.pool = SimPool(self, chaos, watch, seed)
        self.supervisor: Supervisor
        self.task: asyncio.Task[None]

    @property
    def name(self) -> str:
        return self.offer.name

    @property
    def frozen(self) -> bool:
        return self.clock.frozen

    @property
    def well(self) -> bool:
        """It runs, and nothing stands between it and its server."""
        return not (self.frozen or self.cut_to or self.cut_from or self.address in self.cuts)

    def is_cut(self, address: int) -> tuple[bool, bool]:
        """Whether its messages do not reach the server at an address, and whether the server's do not reach it."""
        to, of = self.cuts.get(address, (False, False))
        return self.cut_to or to, self.cut_from or of

    @property
    def ended(self) -> bool:
        return self.dead or self.task.done()

    def begin(self, transport: WorkerTransport) -> None:
        hello = Hello(
            worker=self.name,
            protocols=[1],
            executors=[ExecutorOffer(name=EXECUTOR, version=self.version)],
            slots=dict(self.offer.slots),
            labels=dict(self.offer.labels),
            pool=self.offer.pool,
            instance=f"{self.name} {self.version}",
        )
        settings = SupervisorSettings(grace_s=20.0)
        self.supervisor = Supervisor(transport, self.pool, hello, settings=settings, seed=1, clock=self.clock)
        self.task = asyncio.get_running_loop().create_task(self.supervisor.run())

    def kill(self) -> None:
        """End the supervisor at once; its children follow within a second."""
        self.dead = self.clock.dead = True
        self.task.cancel()

    def freeze(self, *, children: bool) -> None:
        self.clock.frozen = True
        self.children.frozen = children

    def thaw(self) -> None:
        self.children.thaw()
        self.clock.thaw()


class SimPool:
    """See `worker.pool.AttemptPool`."""

    def __init__(self, machine: SimMachine, chaos: Chaos, watch: MachineObserver, seed: int) -> None:
        self.running: dict[str, Execution] = {}
        self.refs: dict[str, AttemptRef] = {}  # by token, of all that it ever had
        self._machine = machine
        self._chaos = chaos
        self._watch = watch
        self._seed = seed
        self._observer: PoolObserver

    def start(self, observer: PoolObserver) -> None:
        self._observer = observer

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        task = decode_assignment(assignment)
        self.refs[token] = task.ref
        one = self.running[token] = self._watch.began(self._machine, token, task)
        one.work = asyncio.get_running_loop().create_task(self._carry_out(one))

    def stop(self, token: str) -> None:
        one = self.running.get(token)
        if one is not None and not one.stopping:
            one.stopping = True
            clock = self._machine.children
            clock.call_at(clock.now() + self._chaos.choose(*_STOPS), lambda: self._stopped(one))

    def kill(self, token: str) -> None:
        one = self.running.get(token)
        if one is not None:
            self._stopped(one)

    async def close(self) -> None:
        for one in list(self.running.values()):
            if self._machine.dead:  # its children notice that it is gone
                clock = self._machine.children
                clock.call_at(clock.now() + self._chaos.choose(0, SECOND), partial(self._abandon, one))
            else:
                self._end(one)

    def _stopped(self, one: Execution) -> None:
        if self._end(one):
            self._tell(lambda: self._observer.returned(one.token, STOPPED))

    def _abandon(self, one: Execution) -> None:
        self._end(one)

    def _end(self, one: Execution) -> bool:
        """Whether it had not ended yet."""
        if one.over:
            return False
        one.over = True
        self.running.pop(one.token, None)
        if one.work is not None:
            one.work.cancel()
        self._watch.ended(one)
        return True

    def _tell(self, report: Callable[[], None]) -> None:
        if not self._machine.dead:
            self._machine.clock.when_awake(report)

    # --- a child ---

    async def _carry_out(self, one: Execution) -> None:
        task, clock, observer = one.task, self._machine.children, self._observer
        place = place_of(task)
        seed = self._seed * 64 + int(task.run_id.rpartition("-")[2])
        dice = [fraction(seed, place, site) for site in range(100, 105)]
        self._tell(lambda: observer.started(one.token))
        try:
            filled, book = await self._filled(one)
        except PortError as error:
            reason = error.message
            if self._end(one):
                self._tell(lambda: observer.returned(one.token, reason, refused=True))
            return
        except AetherError as error:
            self._finish(one, TaskResult(task.ref, ERROR, error.message))
            return
        deed = deed_of(seed, filled)
        result = replace(deed.result, artifacts={})
        masker = book.of(task.run_id).masker
        says = deed.says or "at work\n"
        if masker is not None:
            says, result = masker.text(says), sealed(masker, task.target, result)
        lines = [f"e{one.number} {number} {says}" for number in range(int(dice[1] * 4))]
        duration = _DURATIONS[int(dice[0] * len(_DURATIONS))]
        if (task.attempt == 1 and dice[4] < _LASTING) or (task.timeout_us is not None and dice[3] < 0.5):
            duration = 3 * LEASE  # one with a time limit is to be stopped long before
        dies_at = len(lines) // 2 if dice[2] < _POISON or self._chaos.strikes("child-killed") else None
        written = 0
        for number, line in enumerate(lines):
            if number == dies_at:
                break
            await clock.sleep(duration / SECOND / (len(lines) + 1))
            written = self._write(one, line, written)
        await clock.sleep(duration / SECOND / (len(lines) + 1))
        if dies_at is not None:
            if not one.stopping:
                self._watch.child_died(one)
            if self._end(one):
                self._tell(lambda: observer.died(one.token, f"its process was killed by SIGKILL\nlast words of {task.path}"))
            return
        self._finish(one, result)

    async def _filled(self, one: Execution) -> tuple[TaskAssignment, SecretBook]:
        """The assignment with the texts of its secrets, and what masks them. Raises AetherError."""
        task = one.task
        values = (task.config, task.inputs, task.artifacts, list(task.payloads))
        wanted = list(dict.fromkeys([*references_in(values), *task.secrets]))
        texts: Sequence[Any] = []
        if wanted:
            texts = await self._observer.secrets(one.token, [SecretName(name=name, key=key) for name, key in wanted])
        known: dict[str, dict[str, str]] = {}
        for text in texts:
            known.setdefault(f"{task.namespace}/{text.name}", {})[text.key] = text.text
        book = SecretBook([MappingSecrets(known)])
        return book.fill_at_once(task), book

    def _write(self, one: Execution, line: str, written: int) -> int:
        """Report a line, now and then in two pieces; how much this attempt has written then."""
        cut = len(line) // 2 if self._chaos.choose(0, 0, 1) else len(line)
        for piece in (line[:cut], line[cut:]):
            if piece:
                self._tell(partial(self._observer.logged, one.token, "stdout", written, piece))
                written += len(piece.encode())
        one.lines += 1
        return written

    def _finish(self, one: Execution, result: TaskResult) -> None:
        if one.stopping:
            return  # its result is not wanted: it ends when it has stopped
        if self._end(one):
            self._watch.gave(one)
            self._tell(lambda: self._observer.finished(one.token, encode_result(result)))
