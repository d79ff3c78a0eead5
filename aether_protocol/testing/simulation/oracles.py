"""What must hold of a run, whatever failed: judged from its record alone, and from what the outside saw.

Law: nothing here trusts the rules or the counters of the scheduler: everything is counted afresh, fact by fact. A law that
does not hold is reported by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from aether_protocol.errors import BrokenInvariant
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import StoredRun
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.codec import decode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.nodes import Container, DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.snapshot import restore
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import ERROR, FAILED, READY, RUNNING, TERMINAL, TIMEOUT

RESULTS: Final = (f.NodeEnded, f.RetryScheduled, f.TaskSuspended)
_PAUSES: Final = ("onSuspend", "onResume")
LOST: Final = "times in a row"  # in the message of an attempt that was lost too often


class LawBrokenError(Exception):
    """A law of the simulation does not hold."""

    def __init__(self, law: str, told: str) -> None:
        super().__init__(f"{law}: {told}")
        self.law = law


def demand(holds: bool, law: str, told: str) -> None:
    if not holds:
        raise LawBrokenError(law, told)


class Record:
    """The steps of a run as they are stored, applied one by one; every step is judged as it is applied."""

    def __init__(self, plan: Plan, *, thorough: bool) -> None:
        self.state = RunState(plan)
        self.steps: list[LogEntry] = []
        self.results: Counter[tuple[int, int]] = Counter()  # (node, attempt)
        self.ended: dict[int, f.NodeEnded] = {}
        self._thorough = thorough
        self._live: Counter[int] = Counter()
        self._exited: set[int] = set()  # scopes whose onExit was fired

    def read(self, lines: Iterable[tuple[int, str]]) -> RunState:
        """Apply what is stored; the state that it gives."""
        for seq, line in lines:
            step = decode_entry(line)
            last = self.state.seq
            demand(seq == step.seq == last + 1, "steps are numbered without gaps", f"{step.seq} after {last}")
            demand(step.at >= self.state.now, "time never goes back in a record", f"step {seq} at {step.at}")
            self.apply(step)
        return self.state

    def apply(self, step: LogEntry) -> None:
        out = [node for node in self.state.nodes if node.phase is READY or node.phase is RUNNING]
        attempts = {node.id: node.attempt for node in out if isinstance(node, TaskNode)}
        replay(self.state, step)
        self.steps.append(step)
        for fact in step.facts:
            self._judge(fact, attempts)
        if self._thorough:
            examine(self.state)

    def _judge(self, fact: f.Fact, attempts: dict[int, int]) -> None:
        nodes = self.state.nodes
        if isinstance(fact, f.NodeCreated):
            self._made(nodes[fact.node])
        elif isinstance(fact, f.HookFired):
            told = f"{fact.event} of node {fact.scope} at step {self.state.seq}"
            demand(fact.scope not in self._exited, "onExit is fired once, as the last hook of its scope", told)
            if fact.event == "onExit":
                self._exited.add(fact.scope)
        elif isinstance(fact, RESULTS):
            node = nodes[fact.node]
            demand(fact.node not in self.ended, "a result is recorded once", f"{node.path} ended before step {self.state.seq}")
            if fact.node in attempts:
                key = fact.node, attempts.pop(fact.node)
                self.results[key] += 1
                demand(self.results[key] == 1, "a result is recorded once", f"{node.path}, attempt {key[1]}")
            if isinstance(fact, f.NodeEnded):
                self.ended[fact.node] = fact
                if node.parent is not None:
                    self._live[node.parent.id] -= 1

    def _made(self, node: Node) -> None:
        scope = node.parent
        if scope is None:
            return
        self._live[scope.id] += 1
        if isinstance(scope, LoopNode):
            most = scope.target.concurrency if scope.items is not None else 1
            demand(not most or self._live[scope.id] <= most, "loops keep their concurrency", f"{node.path} beyond {most}")
        elif isinstance(scope, DagNode):
            for index in node.call.dependencies:
                child = scope.children[index]
                before = self.state.nodes[child] if child >= 0 else None
                over = before is not None and before.id in self.ended and before.ended_at is not None
                demand(over, "no task starts before its dependencies", f"{node.path} at step {self.state.seq}")


def restored(stored: StoredRun) -> RunState:
    """The state that a store returns."""
    state = RunState(stored.plan) if stored.snapshot is None else restore(stored.plan, stored.snapshot)
    for line in stored.lines:
        replay(state, decode_entry(line))
    return state


def examine(state: RunState) -> None:
    """The scheduler's own invariants, as a law."""
    try:
        check(state)
    except BrokenInvariant as error:
        raise LawBrokenError("every invariant holds", str(error)) from error


def same(first: RunState, second: RunState, what: str) -> None:
    """Two states of one run are the same."""
    one, other = first.fingerprint(), second.fingerprint()
    for name, value in one.items():
        if name != "nodes":
            demand(value == other[name], what, f"{name}: {value!r} against {other[name]!r}")
    demand(len(one["nodes"]) == len(other["nodes"]), what, f"{len(one['nodes'])} against {len(other['nodes'])} nodes")
    for node, (left, right) in enumerate(zip(one["nodes"], other["nodes"], strict=True)):
        demand(left == right, what, f"node {node}: {left!r} against {right!r}")


class RunOutcome(Struct, frozen=True):
    """How a run ended: what two runs of one workflow have in common, whatever the order in which things came.

    `tasks` by path: phase, code, outputs, retries, attempts, and the message where the order has no say in it. `excused`: some
    attempt was lost too often, or the time that the faults took let something time out.
    """

    tasks: Mapping[str, tuple[Any, ...]]
    hooks: Mapping[str, int]
    excused: bool


def ending(state: RunState) -> RunOutcome:
    """How the run of `state` ended."""
    decided = _undisputed(state)
    tasks: dict[str, tuple[Any, ...]] = {}
    excused = False
    for node in state.nodes:
        excused = excused or LOST in node.message or (isinstance(node, Container) and node.phase is TIMEOUT)
        if not isinstance(node, HookNode):
            counts = (node.retries, node.attempt) if isinstance(node, TaskNode) else ()
            message = node.message if node.id in decided else None
            tasks[node.path] = (str(node.phase), node.code, dict(node.outputs), message, *counts)
    # Whether a container as a whole is Suspended for a while depends on what else is running just then.
    fired = [hook for hook in state.hook_nodes if not (hook.hook in _PAUSES and isinstance(hook.scope, Container))]
    hooks = Counter(f"{hook.path}:{hook.hook}" for hook in fired)
    return RunOutcome(tasks, hooks, excused)


def _undisputed(state: RunState) -> set[int]:
    """Nodes whose message does not depend on which of several children ended first (SCHED-5)."""
    sure: set[int] = set()
    for node in reversed(state.nodes):
        if isinstance(node, Container):
            bad = [c for c in node.children if c >= 0 and state.nodes[c].phase in (FAILED, ERROR, TIMEOUT)]
            if len(bad) <= 1 and all(child in sure for child in bad):
                sure.add(node.id)
        else:
            sure.add(node.id)
    return sure


def compare(calm: RunOutcome, ended: RunOutcome) -> None:
    """A run with faults ended as the one without did."""
    law = "a run ends as it does without faults"
    for path in sorted(set(calm.tasks) | set(ended.tasks)):
        wanted, got = calm.tasks.get(path), ended.tasks.get(path)
        demand(wanted == got, law, f"{path}: {wanted} without, {got} with faults")
    demand(calm.hooks == ended.hooks, law, f"hooks {dict(calm.hooks)} without, {dict(ended.hooks)} with faults")


def over(state: RunState) -> None:
    """The run has ended, and everything in it."""
    left = [node.path for node in state.nodes if node.phase not in TERMINAL]
    demand(state.closed and not left, "every run ends", f"still open: {left or 'the run'}")


