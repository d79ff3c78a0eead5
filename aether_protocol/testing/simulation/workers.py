"""The workers of a simulation and the brokers before them, which lose, double, delay and reorder messages.

Law: what a task gives depends on its path, its attempt and the seed alone, never on the faults, so that a run with faults can
be held against one without. Workers share nothing with the engine: messages are copied.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Final, Protocol
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.execution.context import sealed
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.expressions.values import Json
from aether_protocol.ports.broker import Holding, ResultSink, Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.simulation.artifacts import SimArtifacts, artifacts_of
from aether_protocol.testing.simulation.chaos import Chaos, fraction
from aether_protocol.testing.simulation.document_generator import SECRET

SECOND: Final = 1_000_000
PASSWORD: Final = "correct-horse-battery"
_CODES: Final = (0,) * 24 + (2, 2, 3, 3, 1, 1, 4, 9)
_DELAYS: Final = (0, 0, SECOND // 2, SECOND, 3 * SECOND)


class BrokerProcess(Protocol):
    """The process that a broker lives in."""

    dead: bool

    def die(self) -> None:
        """Killed at once."""
        ...

    def dispatched(self, task: TaskAssignment) -> None:
        """Called for each assignment that goes out."""
        ...

    def acknowledged(self, ref: AttemptRef, times: int) -> None:
        """Called each time that the engine says that a result is stored: so many times of this delivery of it."""
        ...

    def demanded(self, holds: bool, law: str, told: str) -> None:
        """A law that is judged while an attempt runs."""
        ...


def acknowledgement(host: BrokerProcess, ref: AttemptRef) -> Stored:
    """What an engine calls once a result is stored."""
    times = [0]

    def stored() -> None:
        times[0] += 1
        host.acknowledged(ref, times[0])

    return stored


class SimWorkers:
    """All workers. `survive`: they outlive the engine that gave them work, and their results then go to another one, by
    way of `elsewhere`, if there is one."""

    def __init__(self, seed: int, clock: Clock, chaos: Chaos, elsewhere: Callable[[TaskResult], None] | None) -> None:
        self.seed = seed
        self.clock = clock
        self.chaos = chaos
        self.elsewhere = elsewhere
        self.shelf = SimArtifacts(seed, clock)
        self.secrets = SecretBook([MappingSecrets({SECRET[0]: {SECRET[1]: PASSWORD}})])
        self.stopped: set[tuple[int, AttemptRef]] = set()  # (number of the broker, attempt)
        self._at_work: Counter[tuple[int, AttemptRef]] = Counter()

    def later(self, delay: int, call: Callable[[], None]) -> None:
        self.clock.call_at(self.clock.now() + delay, call)

    def delay(self) -> int:
        return self.chaos.choose(SECOND, 4 * SECOND, 20 * SECOND) if self.chaos.strikes("message-delayed") else 0

    def loss(self) -> tuple[str, bool] | None:
        """How an attempt is lost in place of its result, if it is: the reason, and whether the broker blames it."""
        if self.chaos.strikes("worker-lost"):
            return "its worker is gone", False
        return ("killed by signal 9", True) if self.chaos.strikes("child-lost") else None

    def send(self, broker: SimulatedBroker, task: TaskAssignment) -> None:
        """An assignment on its way to a worker."""
        chaos = self.chaos
        if chaos.strikes("assignment-lost"):
            return
        for _ in range(2 if chaos.strikes("assignment-doubled") else 1):
            self.later(self.delay(), lambda: self._work(broker, task))

    def holds(self, number: int, ref: AttemptRef) -> Holding:
        """What became of an attempt, as the broker with this number can tell."""
        known = [key for key, count in self._at_work.items() if count and key[1] == ref and key not in self.stopped]
        if self.elsewhere is None:
            return "held" if any(key[0] == number for key in known) else "lost"
        return "held" if known else "unknown"

    def _work(self, broker: SimulatedBroker, task: TaskAssignment) -> None:
        if self._gone(broker, task):
            return
        self._at_work[broker.number, task.ref] += 1
        deed = self._deed(task)
        if not broker.host.dead:
            if deed.tells_start:
                broker.sink.started(task.ref)
            if deed.says:
                broker.sink.logged(task.ref, "stdout", deed.says)
        self.later(deed.duration, lambda: self._returned(broker, task, deed.result))

    def _deed(self, task: TaskAssignment) -> Deed:
        """What this attempt does, carried out as everywhere: secrets filled in, and masked in all that it says."""
        deed = deed_of(self.seed, self.secrets.fill_at_once(task))
        masker = self.secrets.of(task.run_id).masker
        if masker is None:
            return deed
        return replace(deed, says=masker.text(deed.says), result=sealed(masker, task.target, deed.result))

    def _returned(self, broker: SimulatedBroker, task: TaskAssignment, result: TaskResult) -> None:
        self._at_work[broker.number, task.ref] -= 1
        if self._gone(broker, task):
            return
        self.shelf.give(result.artifacts)
        loss = self.loss()
        if loss is not None:
            self.later(self.delay(), lambda: None if broker.host.dead else broker.sink.lost(task.ref, *loss))
            return
        if self.chaos.strikes("result-lost"):
            return
        for _ in range(2 if self.chaos.strikes("result-doubled") else 1):
            self.later(self.delay(), lambda: self._arrives(broker, result))

    def _arrives(self, broker: SimulatedBroker, result: TaskResult) -> None:
        if not broker.host.dead:
            broker.sink.finished(copied(result), acknowledgement(broker.host, result.ref))
        elif self.elsewhere is not None:
            self.elsewhere(copied(result))

    def _gone(self, broker: SimulatedBroker, task: TaskAssignment) -> bool:
        key = broker.number, task.ref
        return key in self.stopped or (broker.host.dead and self.elsewhere is None)


class Outages:
    """When the broker of a process is away, and what it refuses."""

    def __init__(self, workers: SimWorkers, host: BrokerProcess) -> None:
        self._workers = workers
        self._host = host
        self._until = 0

    def away(self) -> bool:
        """For the next minute, now and then. It does not report that it is back."""
        now = self._workers.clock.now()
        if now >= self._until and self._workers.chaos.strikes("broker-away"):
            self._until = now + self._workers.chaos.choose(SECOND, 60 * SECOND)
        return now < self._until

    def refuses(self, batch: Sequence[TaskAssignment]) -> dict[AttemptRef, str]:
        """Those of a batch that are refused."""
        if self.away():
            return {task.ref: "the queue is away" for task in batch}
        strikes = self._workers.chaos.strikes
        return {task.ref: "the queue has no room" for task in batch if strikes("dispatch-refused")}

    def sent(self, batch: Sequence[TaskAssignment], refused: Container[AttemptRef]) -> Iterator[TaskAssignment]:
        """Those that go out, until the process dies."""
        for task in batch:
            if self._host.dead:
                return
            if self._workers.chaos.strikes("crash-before-dispatch"):
                self._host.die()
                return
            if task.ref not in refused:
                self._host.dispatched(task)
                yield task


class SimulatedBroker:
    """The broker of one engine process. See `ports.broker.Broker`."""

    def __init__(self, number: int, workers: SimWorkers, host: BrokerProcess) -> None:
        self.number = number
        self.workers = workers
        self.host = host
        self.sink: ResultSink
        self._outages = Outages(workers, host)

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def room(self) -> int | None:
        return None

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        refused = self._outages.refuses(batch)
        for task in self._outages.sent(batch, refused):
            self.workers.stopped.discard((self.number, task.ref))
            self.workers.send(self, task)
        return refused

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            if not self.host.dead and not self.workers.chaos.strikes("stop-ignored"):
                self.workers.stopped.add((self.number, ref))

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        """Workers that outlive their engine go on; others belong to this process."""
        if self.workers.elsewhere is None:
            await self.stop(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {} if self.host.dead or self._outages.away() else {ref: self.workers.holds(self.number, ref) for ref in refs}

    async def close(self) -> None:
        """Workers belong to no process."""


class Deed(Struct):
    """What an attempt does: whether it tells its start, what it writes to the log, what it gives, after how long."""

    tells_start: bool
    says: str
    result: TaskResult
    duration: int


def place_of(task: TaskAssignment) -> int:
    """A number for a task run, the same in all attempts."""
    return crc32(f"{task.hook}/{task.path}".encode())


def deed_of(seed: int, task: TaskAssignment) -> Deed:
    """What this attempt does, in every world with this seed."""
    place = place_of(task)
    dice = [fraction(seed, place, task.attempt, site) for site in range(4)]
    token = task.inputs.get("token")
    says = f"here is {token}\n" if isinstance(token, str) else "at work\n" if dice[1] < 0.1 else ""
    result = outcome(task, dice[1:])
    result.artifacts = artifacts_of(seed, place, task.attempt)
    return Deed(dice[0] < 0.5, says, result, _DELAYS[int(dice[3] * len(_DELAYS))])


def outcome(task: TaskAssignment, dice: Sequence[float]) -> TaskResult:
    """What this attempt gives, by three fractions. A task that was given a secret tells it in every way it can."""
    code = _CODES[int(dice[0] * len(_CODES))]
    if code == 1 and len(task.payloads) > (dice[2] < 0.3):  # some ask twice
        code = 0
    outputs: dict[str, Json] = {"x": int(dice[1] * 4)} if dice[1] < 0.8 else {}
    message = "why" if dice[2] < 0.5 else ""
    token = task.inputs.get("token")
    if isinstance(token, str):
        outputs["told"] = {"it": [token]}
        message = f"it is {token}"
    return TaskResult(task.ref, code, message, outputs)


def copied(result: TaskResult) -> TaskResult:
    values = json.loads(json.dumps(dict(result.outputs)))
    return replace(result, outputs=values)
