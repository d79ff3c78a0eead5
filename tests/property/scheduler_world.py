"""A world without clock or threads that runs random plans on the bare scheduler.

Everything is drawn from one `random.Random`, so a failing example is repeated by its seed. The world answers commands as a
bad outside would: late, twice, never, in another order; it resumes, cancels and loses attempts at random.
"""

from __future__ import annotations

import heapq
import itertools
import random

from aether_protocol.plan.model import Plan
from aether_protocol.scheduler import commands as c
from aether_protocol.scheduler import events as e
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.carry_over import Reused
from aether_protocol.scheduler.codec import decode_entry, encode_entry
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.facts import unfold
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.outstanding import outstanding, under_way
from aether_protocol.scheduler.snapshot import restore, snapshot
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUSPENDED, TERMINAL, TRANSITIONS, Phase

SECOND = 1_000_000


class World:
    """Runs a plan to its end. `check_all` checks every invariant after every event."""

    def __init__(self, plan: Plan, rng: random.Random, reused: Reused | None = None) -> None:
        self.rng = rng
        self.reused = reused
        self.dispatched: list[str] = []
        self.machine = Machine(plan)
        self.now = 0
        self.queue: list[tuple[int, int, e.Event]] = []
        self.number = itertools.count()
        self.timers: dict[tuple[int, int], int] = {}
        self.steps: list[str] = []
        self.phases: dict[int, Phase] = {}
        self.wild = rng.random() < 0.7  # duplicates, losses, cancels, hangs
        self.crashes = 0.0  # how often the engine is lost after a step and another recovers it from the record

    def put(self, delay: int, event: e.Event) -> None:
        heapq.heappush(self.queue, (self.now + delay, next(self.number), event))

    def run(self, limit: int = 20_000) -> RunState:
        header = e.RunHeader("run", 0, None, {}, {"system": {"os": "linux"}}, self.rng.randint(0, 9), reused=self.reused)
        self.put(0, e.Submitted(0, header, "test"))
        if self.wild and self.rng.random() < 0.2:
            self.put(self.rng.randint(0, 20 * SECOND), e.CancelRequested(0, "test"))
        for _ in range(limit):
            if not self.queue:
                break
            self.now, _number, event = heapq.heappop(self.queue)
            event.at = self.now
            self.handle(event)
        state = self.machine.state
        assert state.closed, f"the run did not end: {[(n.path, str(n.phase)) for n in state.nodes if n.ended_at is None]}"
        return state

    def handle(self, event: e.Event) -> None:
        state = self.machine.state
        before = len(state.nodes)
        step = self.machine.handle(event)
        check(state)
        self.check_arrows(before)
        if step.facts:
            self.steps.append(encode_entry(step))
            assert step.seq == len(self.steps) == state.seq
        else:
            assert not step.commands
        if self.crashes and self.rng.random() < self.crashes:
            self.crash()
        else:
            for command in step.commands:
                self.carry_out(command)

    def crash(self) -> None:
        """Another engine loads the run (from steps or a snapshot) and continues; the old one's timers and inbox are gone, and
        so are the commands that it had stored and not carried out. What workers still bring of old attempts comes late."""
        state = self.machine.state
        rebuilt = self.replayed() if self.rng.random() < 0.5 else restored(state)
        assert rebuilt.fingerprint() == state.fingerprint()
        check(rebuilt)
        self.machine = Machine(state.plan, rebuilt)
        self.queue = [entry for entry in self.queue if not isinstance(entry[2], e.TimerFired | e.Continued | e.AttemptLost)]
        heapq.heapify(self.queue)
        self.timers.clear()
        for command in outstanding(rebuilt):
            self.carry_out(command)
        known = {(entry[2].node, entry[2].result.ref.attempt) for entry in self.queue if isinstance(entry[2], e.TaskFinished)}
        for node in under_way(rebuilt):
            if (node.id, node.attempt) not in known or self.rng.random() < 0.5:
                self.put(0, e.AttemptLost(0, node.id, node.attempt, "recovery"))

    def check_arrows(self, before: int) -> None:
        """Between two events a node may go several arrows; each reachable phase must be reachable by the table."""
        for node in self.machine.state.nodes:
            last = self.phases.get(node.id, Phase.CREATED)
            if node.phase is not last:
                assert _reachable(last, node.phase), f"{node.path}: {last} -> {node.phase}"
                self.phases[node.id] = node.phase

    def carry_out(self, command: c.Command) -> None:
        if isinstance(command, c.DispatchTask):
            self.work(command)
        elif isinstance(command, c.SetTimer):
            assert command.due >= self.now
            self.timers[command.node, command.kind] = command.due
            event = e.TimerFired(0, command.node, command.kind, command.due, "timer")
            self.put(command.due - self.now, event)  # stale ones fire too: they must change nothing
        elif isinstance(command, c.ClearTimer):
            self.timers.pop((command.node, command.kind), None)
        elif isinstance(command, c.Continue):
            self.put(0, e.Continued(0, "driver"))

    def work(self, command: c.DispatchTask) -> None:
        rng = self.rng
        task = command.assignment
        node, attempt = command.node, task.attempt
        if task.hook is None:
            self.dispatched.append(task.path)
        delay = rng.choice([0, 0, SECOND // 2, SECOND, 5 * SECOND])
        if self.wild and rng.random() < 0.05:
            self.put(delay, e.AttemptLost(0, node, attempt, "broker", rng.random() < 0.5))
            return
        if rng.random() < 0.5:
            self.put(min(delay, rng.choice([0, SECOND])), e.TaskStarted(0, node, attempt, "broker"))
            if self.wild and rng.random() < 0.05:
                return  # hangs for ever
        code = rng.choices([0, 1, 2, 3, 4, 9], [12, 2, 3, 3, 1, 1])[0]
        if code == 1 and task.payloads:
            code = 0
        outputs = {"x": rng.randint(0, 3)} if rng.random() < 0.5 else {}
        finished = e.TaskFinished(0, node, TaskResult(task.ref, code, rng.choice(["", "why"]), outputs), "broker")
        self.put(delay, finished)
        if self.wild and rng.random() < 0.2:
            self.put(delay + rng.choice([0, SECOND]), e.TaskFinished(0, node, TaskResult(task.ref, 2, "twice"), "broker"))
        if code == 1 and rng.random() < 0.8:
            self.put(delay + 2 * SECOND, e.ResumeRequested(0, node, {"answer": rng.randint(0, 2)}, "test"))

    def replayed(self, *, unfolded: bool = False) -> RunState:
        """A second state, from the recorded steps alone; `unfolded`: with each change as a fact of its own."""
        state = RunState(self.machine.plan)
        for line in self.steps:
            entry = decode_entry(line)
            if unfolded:
                entry.facts = list(unfold(entry.facts))
            replay(state, entry)
        return state

    def suspended(self) -> list[TaskNode]:
        return [n for n in self.machine.state.nodes if isinstance(n, TaskNode) and n.phase is SUSPENDED]


def restored(state: RunState) -> RunState:
    """The state after a way through its snapshot's JSON."""
    return restore(state.plan, snapshot(state))


def _reachable(start: Phase, end: Phase) -> bool:
    todo, seen = [start], set()
    while todo:
        phase = todo.pop()
        if phase is end and phase is not start:
            return True
        if phase not in seen and phase not in TERMINAL:
            seen.add(phase)
            todo.extend(TRANSITIONS[phase])
    return False
