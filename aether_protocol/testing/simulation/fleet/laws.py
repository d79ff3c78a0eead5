"""The laws of a fleet, judged as things happen: by what machines do, by what the fleet decides, by what crosses the network.

Law: nothing here trusts an order of queues, an index or a counter of the fleet. A law that does not hold is reported by
its name.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from aether_protocol.errors import BrokenInvariant
from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.invariants import check
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import Work
from aether_protocol.plan.placement import parse_selector
from aether_protocol.ports.store import LogLine
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.worker import Receipt
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.fleet.machine import LEASE, Execution, SimMachine
from aether_protocol.testing.simulation.fleet.network import LATEST
from aether_protocol.testing.simulation.fleet.server import TOKENS
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
BLAMED: Final = "an attempt is blamed only for the death of its own child"
PATIENCE: Final = 14 * SECOND  # a beat of at most 9 s, a tick, the world's own look
STOPS_WITHIN: Final = LEASE + LATEST + 10 * SECOND

Report = Callable[[LawBrokenError], None]


class FleetLaws:
    """`report` gets what is broken. It is the observer of machines, network and fleet."""

    def __init__(
        self, clock: ManualClock, counts: Counter[str], report: Report, weights: Mapping[str, int], *, thorough: bool
    ) -> None:
        self.acknowledged: set[AttemptRef] = set()
        self.executions: list[Execution] = []
        self._clock = clock
        self._counts = counts
        self._report = report
        self._weights = weights
        self._thorough = thorough
        self._living: dict[str, list[Execution]] = {}  # by task run
        self._several: set[str] = set()  # task runs with more than one execution
        self._deaths: set[AttemptRef] = set()
        self._ran: dict[tuple[str, AttemptRef], SimMachine] = {}  # by worker and attempt
        self._passed: dict[tuple[str, int], Counter[str]] = {}  # (namespace, priority): who was served before it
        self._since_rest = 0  # messages
        self._stops: dict[int, int] = {}
        self._unheld: dict[AttemptRef, tuple[int, int]] = {}  # the delivery that did not arrive yet, and since when
        self._queued: dict[AttemptRef, dict[str, int]] = {}  # by machine that has room for it: since when

    def _demand(self, holds: bool, law: str, told: str) -> None:
        try:
            demand(holds, law, told)
        except LawBrokenError as error:
            self._report(error)

    # --- machines ---

    def began(self, machine: SimMachine, token: str, task: TaskAssignment) -> Execution:
        one = Execution(len(self.executions) + 1, machine, token, task)
        self.executions.append(one)
        self._counts["executions"] += 1
        self._ran[machine.name, task.ref] = machine
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
        self._deaths.add(execution.ref)
        self._counts["children that died"] += 1

    def gave(self, execution: Execution) -> None:
        """An attempt gave its result."""

    def at_rest(self) -> None:
        """Nothing happens any more before time passes."""
        self._since_rest = 0
        for key in self._several:
            awake = [one for one in self._living[key] if not one.machine.frozen]
            told = ", ".join(f"{one.ref} on {one.machine.name}" for one in self._living[key])
            self._demand(len(awake) < 2, OVERLAP, told)
            self._counts["moments of overlap"] += 1

    # --- network ---

    def frame(self, what: str, body: bytes) -> None:
        self._counts["frames"] += 1
        self._since_rest += 1
        if self._since_rest > MOST_FRAMES:
            raise LawBrokenError(RESTLESS, f"{MOST_FRAMES} messages, the last one {what}: {body.decode()[:300]}")
        self._demand(PASSWORD.encode() not in body, SECRET_LAW, f"{what} does")

    def receipt(self, receipt: Receipt) -> None:
        for token in receipt.recorded:
            holding = TOKENS.read(token)
            self._demand(holding is not None and holding.ref in self.acknowledged, RECORDED, f"{holding}")

    # --- fleet ---

    def handled(self, event: e.Event, commands: Sequence[c.Command], state: FleetState) -> None:
        if self._thorough:
            try:
                check(state)
            except BrokenInvariant as error:
                self._report(LawBrokenError(COUNTED, f"after {type(event).__name__}: {error}"))
        for command in commands:
            if isinstance(command, c.Assign):
                self._counts["assignments"] += 1
                self._assigned(command, state)
            elif isinstance(command, c.Stop):
                self._stops.setdefault(command.number, self._clock.now())
            elif isinstance(command, c.ReportLost):
                self._counts["attempts lost"] += 1
                self._lost(event, command, state)
        if self._passed:
            waiting = {(work.namespace, work.priority) for work in state.waiting.queued.values()}
            for key in [key for key in self._passed if key not in waiting]:
                del self._passed[key]

    def _lost(self, event: e.Event, command: c.ReportLost, state: FleetState) -> None:
        if command.blamed:
            self._counts["attempts blamed"] += 1
            self._demand(command.ref in self._deaths, BLAMED, f"{command.ref}: {command.reason}")
        if isinstance(event, e.Left):
            worker = command.reason.split("'")[1]
            machine = self._ran.get((worker, command.ref))
            if machine is not None and machine.supervisor.session != event.session:
                machine = None  # an earlier worker of that name
            calm = machine is not None and machine.trouble_until < self._clock.now()  # else its lease may have been over
            self._demand(not calm, DRAINED, f"{command.ref} of {worker} was undone")

    def _assigned(self, command: c.Assign, state: FleetState) -> None:
        work, session = command.work, state.sessions[command.session]
        self._passed.pop((work.namespace, work.priority), None)
        passed: set[str] = set()
        for other in state.waiting.queued.values():
            if other.namespace in state.waiting.full or (session.group is not None and other.namespace not in session.group):
                continue
            if other.need == work.need:
                told = f"{other.ref} of {other.priority} waits, {work.ref} of {work.priority} was assigned"
                self._demand(other.priority <= work.priority, PRIORITY, told)
            if other.namespace != work.namespace and other.priority == work.priority and _takes(session, other):
                passed.add(other.namespace)
        for namespace in passed:
            served = self._passed.setdefault((namespace, work.priority), Counter())
            served[work.namespace] += 1
            told = f"{work.namespace} was served {served[work.namespace]} times in a row before {namespace}, which waits"
            self._demand(served[work.namespace] <= self._weights.get(work.namespace, 1), SHARE, told)

    def restarted(self) -> None:
        """Another server has begun, which knows nothing of what an earlier one ordered."""
        for known in (self._stops, self._unheld, self._queued, self._passed):
            known.clear()

    # --- now and then ---

    def look(
        self, state: FleetState, machines: Iterable[SimMachine], outstanding: Iterable[AttemptRef], calm_since: int
    ) -> None:
        """`outstanding`: attempts that the engine waits for; `calm_since`: when the server had its last fault."""
        now = self._clock.now()
        living = [one for one in machines if not one.ended]
        self._look_for_held(state, living, outstanding, now)
        for number, since in list(self._stops.items()):
            delivery = state.deliveries.get(number)
            if delivery is None or delivery.state != "stopping":
                del self._stops[number]
            else:
                told = f"{delivery.work.ref} was to stop {(now - since) / SECOND} s ago"
                self._demand(now - since <= STOPS_WITHIN, STOPPED, told)
        self._look_for_room(state, living, calm_since, now)

    def _look_for_room(self, state: FleetState, living: Sequence[SimMachine], calm_since: int, now: int) -> None:
        queued: dict[AttemptRef, dict[str, int]] = {}
        for ref, work in state.waiting.queued.items():
            before = self._queued.get(ref, {})
            queued[ref] = {}
            if work.namespace in state.waiting.full:
                continue
            for machine in living:
                if self._has_place(machine, work, state):
                    since = queued[ref][machine.name] = before.get(machine.name, now)
                    calm = max(since, machine.trouble_until, calm_since)
                    told = f"{ref} waits, and {machine.name} has had room for it for {(now - since) / SECOND} s"
                    self._demand(now - calm <= PATIENCE, WAITING, told)
        self._queued = queued

    def _look_for_held(
        self, state: FleetState, living: Sequence[SimMachine], outstanding: Iterable[AttemptRef], now: int
    ) -> None:
        held = {one.pool.refs[token] for one in living for token in one.supervisor.held.tokens if token in one.pool.refs}
        waiting = {work.ref for work in state.waiting.newest.values()}
        given = {one.work.ref: number for number, one in state.deliveries.items()}
        unheld: dict[AttemptRef, tuple[int, int]] = {}
        for ref in outstanding:
            if ref not in held and ref not in waiting:
                number = given.get(ref, 0)  # given out once more, it may be lost on its way once more
                before = self._unheld.get(ref)
                unheld[ref] = before if before is not None and before[0] == number else (number, now)
        self._unheld = unheld
        for ref, (_, since) in unheld.items():
            self._demand(now - since <= 2 * LEASE + PATIENCE, UNHELD, f"{ref}, for {(now - since) / SECOND} s")

    @staticmethod
    def _has_place(machine: SimMachine, work: Work, state: FleetState) -> bool:
        """Whether a worker that is free and well could have taken this."""
        offer, need = machine.offer, work.need
        session = state.sessions.get(machine.supervisor.session)
        if session is None or session.state != "active" or machine.draining or not machine.well:
            return False
        if offer.namespaces is not None and work.namespace not in offer.namespaces:
            return False
        if need.selector and not parse_selector(need.selector).matches(offer.labels):
            return False
        used = Counter[str]()
        for one in machine.pool.running.values():
            used.update(one.slots)
        totals = {"cpu": 1 << 60, "memory": 1 << 60, **offer.slots}
        return all(used[kind] + amount <= totals.get(kind, 0) for kind, amount in need.slots)

    # --- at the end ---

    def settled(self, state: FleetState, machines: Iterable[SimMachine]) -> None:
        """All runs have ended, and for a while nothing failed."""
        left = [f"{one.work.ref} is {one.state}" for one in state.deliveries.values() if one.state != "ended"]
        left += [f"{work.ref} waits" for work in state.waiting.newest.values()]
        for machine in machines:
            if not machine.ended:
                left += [f"{machine.name} has {machine.pool.refs[token]}" for token in machine.supervisor.held.tokens]
                left += [] if machine.supervisor.held.are_reported else [f"{machine.name} has something to report"]
        self._demand(not left, SETTLED, "; ".join(left))

    def drained(self, machine: SimMachine) -> None:
        """A worker that was to drain has ended."""
        left = [str(one.ref) for one in machine.pool.running.values()]
        self._counts["workers drained"] += 1
        if not machine.supervisor.held.are_reported:  # no answer for so long that it left without
            machine.left_logs = True
            self._counts["workers that left without a part of their logs"] += 1
        self._demand(not left and not machine.supervisor.held.tokens, DRAINED, f"{machine.name} still has {left}")

    def judge_logs(self, run_id: str, lines: Sequence[LogLine]) -> None:
        """Every line that an execution wrote is there in order and once; all of them where its worker lived on."""
        written: dict[int, deque[int]] = {}
        text: dict[tuple[str, int, str], str] = {}
        for line in lines:
            self._demand(line.stream != "note", LOGGED, f"{run_id}: {line.text}")
            key = line.path, line.attempt, line.stream
            text[key] = text.get(key, "") + line.text
        for key, whole in text.items():
            for piece in whole.split("\n"):
                if piece.startswith("e"):
                    execution, number = piece[1:].split(" ")[:2]
                    before = written.setdefault(int(execution), deque())
                    self._demand(not before or int(number) == before[-1] + 1, LOGGED, f"{run_id} {key}: {whole!r}")
                    before.append(int(number))
        for one in self.executions:
            if one.ref.run_id == run_id and not one.machine.dead and not one.machine.left_logs:
                got = len(written.get(one.number, ()))
                told = f"{run_id} {one.ref}: {got} of {one.lines} lines of execution {one.number}"
                self._demand(got == one.lines, LOGGED, told)


def _takes(session: WorkerSession, work: Work) -> bool:
    """Whether a session fits this and has room for it."""
    need = work.need
    if need.executor not in session.executors or need.pool != session.pool or not session.has_room(need.slots):
        return False
    return not need.selector or parse_selector(need.selector).matches(session.labels)
