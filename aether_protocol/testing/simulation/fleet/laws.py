"""The laws of a fleet, judged as things happen: by what machines do, and by what crosses the network. Those of what one server
decides are in `server_laws`.

Law: nothing here trusts an order of queues, an index or a counter of the fleet. A law that does not hold is reported by
its name.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from aether_protocol.fleet.state import FleetState
from aether_protocol.ports.store import LogLine
from aether_protocol.ports.store.logs import LOSS, NOTE
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.worker import Receipt
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.fleet.machine import LEASE, Execution, SimMachine
from aether_protocol.testing.simulation.fleet.network import LATEST, TOKENS
from aether_protocol.testing.simulation.oracles import LawBrokenError, demand
from aether_protocol.testing.simulation.workers import PASSWORD, SECOND

OVERLAP: Final = "two executions of one task run overlap only while a machine is frozen"
UNHELD: Final = "no attempt is outstanding and held by nothing for longer than two leases"
WAITING: Final = "with a fitting free slot nothing waits longer than a tick and a beat"
PRIORITY: Final = "a higher priority is never passed over by a lower one of the same class"
SHARE: Final = "each namespace gets its share"
SECRET_LAW: Final = "no frame holds a secret"
DRAINED: Final = "a drained worker ends with nothing undone and nothing blamed"
STOPPED: Final = "a stopped delivery ends within its grace or its lease"
RECORDED: Final = "results acknowledged as recorded are in the log"
LOGGED: Final = "log bytes of a living worker arrive in order, once"
SETTLED: Final = "once all is calm nothing is left to do or to report"
COUNTED: Final = "every invariant of the fleet holds"
RESTLESS: Final = "worker and server do not exchange messages without end"
MOST_FRAMES: Final = 2_000  # at one instant
ROOM: Final = "no worker carries out more than it has room for"
BLAMED: Final = "an attempt is blamed only for the death of its own child"
PATIENCE: Final = 14 * SECOND  # a beat of at most 9 s, a tick, the world's own look
STOPS_WITHIN: Final = LEASE + LATEST + 10 * SECOND

Report = Callable[[Exception], None]


class FleetLaws:
    """`report` gets what is broken, `counts` what happened. It is the observer of machines and network. `weights` are those of
    namespaces; `thorough`: the fleet of each server is looked through at each step."""

    def __init__(
        self, clock: ManualClock, counts: Counter[str], report: Report, weights: Mapping[str, int], *, thorough: bool
    ) -> None:
        self.acknowledged: set[AttemptRef] = set()
        self.executions: list[Execution] = []
        self.deaths: set[AttemptRef] = set()
        self.ran: dict[tuple[str, AttemptRef], SimMachine] = {}  # by worker and attempt
        self.clock = clock
        self.counts = counts
        self.weights = weights
        self.thorough = thorough
        self.report = report
        self.divided: dict[str, int] = {}  # runs taken from a server that lives and does not know: until when that may show
        self._living: dict[str, list[Execution]] = {}  # by task run
        self._several: set[str] = set()  # task runs with more than one execution
        self._since_rest = 0  # messages

    def demand(self, holds: bool, law: str, told: str) -> None:
        try:
            demand(holds, law, told)
        except LawBrokenError as error:
            self.report(error)

    # --- machines ---

    def began(self, machine: SimMachine, token: str, task: TaskAssignment) -> Execution:
        one = Execution(len(self.executions) + 1, machine, token, task)
        self.executions.append(one)
        self.counts["executions"] += 1
        self.ran[machine.name, task.ref] = machine
        used = Counter(one.slots)
        for other in machine.pool.running.values():
            used.update(other.slots)
        for kind, total in machine.offer.slots.items():
            self.demand(used[kind] <= total, ROOM, f"{machine.name} has {total} {kind}, and uses {used[kind]} with {task.ref}")
        beside = self._living.setdefault(task.task_run_id, [])
        beside.append(one)
        if len(beside) > 1:
            self._several.add(task.task_run_id)
        return one

    def ended(self, execution: Execution) -> None:
        key = execution.task.task_run_id
        self._living[key].remove(execution)
        if len(self._living[key]) < 2:
            self._several.discard(key)

    def child_died(self, execution: Execution) -> None:
        self.deaths.add(execution.ref)
        self.counts["children that died"] += 1

    def gave(self, execution: Execution) -> None:
        """An attempt gave its result."""

    def at_rest(self) -> None:
        """Nothing happens any more before time passes."""
        self._since_rest = 0
        for key in self._several:
            awake = [one for one in self._living[key] if not one.machine.frozen]
            told = ", ".join(f"{one.ref} on {one.machine.name}" for one in self._living[key])
            if self._is_excused(self._living[key]):
                self.counts["overlaps by two faults at once"] += 1
                continue
            self.demand(len(awake) < 2, OVERLAP, told)
            self.counts["moments of overlap"] += 1

    def _is_excused(self, beside: Sequence[Execution]) -> bool:
        """Whether a run was taken from a server that lives and is cut off from the store, and that server does not reach a
        worker either: both have to find out by themselves, one after the other."""
        now = self.clock.now()
        is_divided = now <= self.divided.get(beside[0].ref.run_id, 0)
        return is_divided and any(now <= one.machine.trouble_until for one in beside[:-1])

    # --- network ---

    def frame(self, what: str, body: bytes) -> None:
        self.counts["frames"] += 1
        self._since_rest += 1
        if self._since_rest > MOST_FRAMES:
            told = f"{MOST_FRAMES} messages, the last one {what}: {body.decode()[:300]}"
            self.demand(holds=False, law=RESTLESS, told=told)
            raise LawBrokenError(RESTLESS, told)  # it ends where it was sent
        self.demand(PASSWORD.encode() not in body, SECRET_LAW, f"{what} does")

    def failed(self, error: Exception) -> None:
        """A server could not answer a message, by an error of its own."""
        self.report(error)

    def receipt(self, receipt: Receipt) -> None:
        for token in receipt.recorded:
            holding = TOKENS.read(token)
            self.demand(holding is not None and holding.ref in self.acknowledged, RECORDED, f"{holding}")

    # --- at the end ---

    def settled(self, states: Iterable[FleetState], machines: Iterable[SimMachine]) -> None:
        """All runs have ended, and for a while nothing failed."""
        left = what_is_left(states, machines)
        self.demand(not left, SETTLED, "; ".join(left))

    def drained(self, machine: SimMachine) -> None:
        """A worker that was to drain has ended."""
        left = [str(one.ref) for one in machine.pool.running.values()]
        self.counts["workers drained"] += 1
        if not machine.supervisor.held.are_reported:  # no answer for so long that it left without
            machine.left_logs = True
            self.counts["workers that left without a part of their logs"] += 1
        self.demand(not left and not machine.supervisor.held.tokens, DRAINED, f"{machine.name} still has {left}")

    def judge_logs(self, run_id: str, lines: Sequence[LogLine]) -> None:
        """Every line that an execution wrote is there in order and once; all of them where its worker lived on."""
        written: dict[int, deque[int]] = {}
        text: dict[tuple[str, int, str], str] = {}
        for line in lines:
            is_known = line.stream != NOTE or not line.text.replace(LOSS, "")  # it may be lost twice, one after the other
            self.demand(is_known, LOGGED, f"{run_id}: {line.text}")
            key = line.path, line.attempt, line.stream
            text[key] = text.get(key, "") + line.text
        for key, whole in text.items():
            for piece in whole.split("\n"):
                if piece.startswith("e"):
                    execution, number = piece[1:].split(" ")[:2]
                    before = written.setdefault(int(execution), deque())
                    self.demand(not before or int(number) == before[-1] + 1, LOGGED, f"{run_id} {key}: {whole!r}")
                    before.append(int(number))
        for one in self.executions:
            if one.ref.run_id == run_id and not one.machine.dead and not one.machine.left_logs:
                got = len(written.get(one.number, ()))
                told = f"{run_id} {one.ref}: {got} of {one.lines} lines of execution {one.number}"
                self.demand(got == one.lines, LOGGED, told)



def what_is_left(states: Iterable[FleetState], machines: Iterable[SimMachine]) -> list[str]:
    """What servers and workers have to do or to report still."""
    left: list[str] = []
    for state in states:
        left += [f"{one.work.ref} is {one.state}" for one in state.deliveries.values() if one.state != "ended"]
        left += [f"{work.ref} waits" for work in state.waiting.newest.values()]
    for machine in machines:
        if not machine.ended:
            left += [f"{machine.name} has {machine.pool.refs[token]}" for token in machine.supervisor.held.tokens]
            left += [] if machine.supervisor.held.are_reported else [f"{machine.name} has something to report"]
    return left
