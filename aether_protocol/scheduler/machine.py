"""The scheduler's only door: `Machine.handle(event) -> LogEntry(facts, commands)`. The package's docstring has the theory.

Law: pure; the same events give the same entries, always. One step starts at most START_LIMIT children and then asks to
continue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import DagDef, Kind, Plan
from aether_protocol.scheduler import events as e
from aether_protocol.scheduler import hooks, tasks
from aether_protocol.scheduler.commands import CloseRun, Command, Continue, LogEntry, SetTimer
from aether_protocol.scheduler.containers import impose, open_scope, settle
from aether_protocol.scheduler.evolve import apply_node_made
from aether_protocol.scheduler.facts import Fact, InputsBound, NodeCreated, NodeEnded, Reported, RunClosed, RunCreated
from aether_protocol.scheduler.nodes import NEVER, Container, HookNode, Node, TaskNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.step_builder import ENGINE_TIMEOUT, StepBuilder
from aether_protocol.scheduler.timing import duration_text
from aether_protocol.scheduler.transitions import CANCELLED, CREATED, RUNNING, TIMEOUT, Phase

TASK: Final = Kind.TASK

# Children that one step starts: it bounds what an event costs, and an entry still has enough in it to pay for its commit.
START_LIMIT: Final = 128


class Machine(StepBuilder):
    """The scheduler of one run. `state` may be one that was rebuilt from its facts; `epoch`: see AttemptRef."""

    def __init__(self, plan: Plan, state: RunState | None = None, epoch: int = 0) -> None:
        super().__init__(plan, state if state is not None else RunState(plan), epoch)
        self._asked = False  # a Continue was issued: until its answer no other event starts what is ready

    def handle(self, event: e.Event) -> LogEntry:
        """Carry out the rules for `event` and return what follows. The state has changed accordingly when this returns.

        An entry without facts changed nothing (a late result, a stale timer, a refusal) and takes no number.
        """
        state = self.state
        facts: list[Fact] = []
        commands: list[Command] = []
        self.facts, self.commands, self.refused = facts, commands, None
        self.cause = state.seq + 1
        before, state.now = state.now, event.at
        kind = type(event)
        handler, name = _HANDLERS[kind]
        handler(self, event)
        if state.ready and not self._asked:
            self._start_ready()
        if self.requested_hooks:
            hooks.fire_requested(self)
        root = state.root
        if root is not None and root.ended_at is not None and not state.closed and not state.hooks_live:
            self.emit(RunClosed())
            commands.append(CloseRun(self.cause))
        if facts:
            state.seq = self.cause
        else:
            state.now = before
        return LogEntry(state.seq, event.at, event.cause + name, facts, commands, self.refused)

    def _start_ready(self) -> None:
        """Start what is ready, oldest first (SCHED-1), at most START_LIMIT of it. Something is."""
        state = self.state
        if self.requested_hooks:
            hooks.fire_requested(self)
        ready, children, make = state.ready, state.ready_children, self._make
        for _ in range(START_LIMIT):
            make(ready[0], children[0])
            if not ready:
                return
        if ready:
            self._asked = True
            self.commands.append(Continue(self.cause))

    def _make(self, scope: Container | None, index: int) -> None:
        """Make a node (child `index` of `scope`, or the root) and start it: dispatch a leaf, open a container."""
        state = self.state
        header = state.header
        if scope is None:
            call = self.plan.root
        else:
            definition = scope.call.target
            call = definition.tasks[index] if type(definition) is DagDef else definition.body  # type: ignore[union-attr]
        unbound = call.when is None and not call.inputs and not call.artifacts  # there is nothing to find out before it
        at_once = unbound and call.kind is TASK and header.reused is None and call.target.config.literal  # type: ignore[union-attr]
        fact = NodeCreated(len(state.nodes), -1 if scope is None else scope.id, index, 1 if at_once else 0)
        self.facts.append(fact)
        node = apply_node_made(state, fact, scope, call)
        if at_once:
            tasks.begin(self, node)  # type: ignore[arg-type]
        elif header.reused is not None and self._take_over(node, header.reused):
            return
        elif unbound or tasks.admit(self, node):
            if call.kind is TASK:
                tasks.dispatch(self, node)  # type: ignore[arg-type]
            else:
                open_scope(self, node)  # type: ignore[arg-type]

    def _take_over(self, node: Node, reused: Mapping[str, Mapping[str, Json]]) -> bool:
        """End a node as it ended in the run before, where that is reused; it is not run, its hooks are not fired (CTRL-4)."""
        record = reused.get(node.path)
        if record is None:
            return False
        inputs, artifacts = record["inputs"], record["inputArtifacts"]
        if inputs or artifacts:
            self.emit(InputsBound(node.id, inputs, (), artifacts, has_secret(inputs)))
        outputs = (record["outputs"], record["artifacts"])
        self.emit(NodeEnded(node.id, Phase(record["phase"]), record["code"], record["message"], *outputs))
        settle(self, node)
        return True

    # --- one method an event ---

    def _submitted(self, event: e.Submitted) -> None:
        if self.state.root is not None:
            self.refused = "the run exists already"
            return
        self.emit(RunCreated(event.header))
        self.commands.append(SetTimer(WORKFLOW, e.TimerKind.TIMEOUT, self.state.deadline, self.cause))
        if event.header.submitted_by:
            self.emit(Reported(WORKFLOW, f"submitted by {event.header.submitted_by}"))
        if event.header.reason:
            self.emit(Reported(WORKFLOW, f"retried: {event.header.reason}"))
        self._make(None, 0)

    def _continued(self, event: e.Continued) -> None:
        """Start what is ready, as every step does."""
        self._asked = False

    def _started(self, event: e.TaskStarted) -> None:
        node = self._node(event.node)
        if node is not None and tasks.is_current(node, event.attempt) and node.phase is not RUNNING:
            tasks.running(self, node)  # type: ignore[arg-type]

    def _finished(self, event: e.TaskFinished) -> None:
        nodes, id_ = self.state.nodes, event.node
        node = nodes[id_] if 0 <= id_ < len(nodes) else None  # `_node`, on the hot path
        if node is not None and tasks.is_current(node, event.result.ref.attempt):
            tasks.finished(self, node, event.result)  # type: ignore[arg-type]
            if node.hook is not None:
                self._hook_ended(node)

    def _timer(self, event: e.TimerFired) -> None:
        if event.node == WORKFLOW:
            root = self.state.root
            if root is not None and root.ended_at is None and event.due == self.state.deadline:
                text = f"the workflow timed out after {duration_text(self.plan.timeout_us)}"
                impose(self, root, TIMEOUT, ENGINE_TIMEOUT, text)
            return
        node = self._node(event.node)
        if node is None or node.ended_at is not None:
            return
        if event.kind is e.TimerKind.BACKOFF:
            if isinstance(node, TaskNode) and node.phase is CREATED and node.backoff_due == event.due:
                tasks.dispatch(self, node)
                self._hook_ended(node)
        elif node.timeout_due == event.due != NEVER:
            if isinstance(node, Container):
                text = f"timed out after {duration_text(node.call.timeout_us or 0)}"
                impose(self, node, TIMEOUT, ENGINE_TIMEOUT, text)
            else:
                assert isinstance(node, TaskNode)
                tasks.timed_out(self, node)
                self._hook_ended(node)

    def _resume(self, event: e.ResumeRequested) -> None:
        node = self._node(event.node)
        if not isinstance(node, TaskNode) or isinstance(node, HookNode):
            self.refused = "there is no such task" if node is None else f"{node.path!r} is not a task that can be resumed"
            return
        self.refused = tasks.resume(self, node, event.payload)
        if event.reason and self.refused is None:
            self.emit(Reported(node.id, f"resumed: {event.reason}"))

    def _cancel(self, event: e.CancelRequested) -> None:
        root = self.state.root
        if root is None or root.ended_at is not None:
            self.refused = f"the run has ended: it is {self.state.phase}"
            return
        text = f"cancelled: {event.reason}" if event.reason else "cancelled"
        impose(self, root, CANCELLED, None, text)

    def _lost(self, event: e.AttemptLost) -> None:
        node = self._node(event.node)
        if node is not None and tasks.is_current(node, event.attempt):
            tasks.lost(self, node, event)  # type: ignore[arg-type]
            self._hook_ended(node)

    def _set_back(self, event: e.ClockSetBack) -> None:
        if self.state.root is not None and not self.state.closed:
            behind = duration_text(event.by_us)
            self.emit(Reported(WORKFLOW, f"the machine's clock is {behind} behind this run, whose times continue from there"))

    def _node(self, id_: int) -> Node | None:
        nodes = self.state.nodes
        return nodes[id_] if 0 <= id_ < len(nodes) else None

    def _hook_ended(self, node: Node) -> None:
        if node.hook is not None and node.ended_at is not None:
            hooks.ended(self, node)  # type: ignore[arg-type]


_RULES: Final[dict[type, Callable[[Machine, Any], None]]] = {
    e.Submitted: Machine._submitted,
    e.Continued: Machine._continued,
    e.TaskStarted: Machine._started,
    e.TaskFinished: Machine._finished,
    e.TimerFired: Machine._timer,
    e.ResumeRequested: Machine._resume,
    e.CancelRequested: Machine._cancel,
    e.AttemptLost: Machine._lost,
    e.ClockSetBack: Machine._set_back,
}
_HANDLERS: Final = {kind: (rule, f":{kind.__name__}") for kind, rule in _RULES.items()}
