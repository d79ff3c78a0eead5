"""What a name means at a place (DATA-4), resolved lazily against the state.

Law: one class, one table from the first segment to a method. A builder below makes the resolver of each place of the table
in DATA-4 and fills in just what that place sees. Gives ABSENT for what a task did not give (DATA-13), raises
`ExpressionError` for a name that means nothing here. `secret` turns true as soon as something read may hold a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.expressions import ExpressionError, Name, get_path
from aether_protocol.expressions.values import ABSENT, Absent, Json, has_secret
from aether_protocol.plan.model import (
    InputBinding,
    LibraryDef,
    TaskDef,
)
from aether_protocol.scheduler.nodes import Container, DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.scheduler.transitions import Phase

Value = Json | Absent


class Outcome(Struct):
    """How an attempt or a container is about to end: what its own conditions see."""

    phase: Phase
    code: int | None
    message: str
    outputs: Mapping[str, Json]
    artifacts: Mapping[str, Json]


_ARTIFACT: Final = ("name", "digest", "size")
_NO_ENDINGS: Final[Mapping[int, Outcome]] = {}


class Resolver:
    """Resolves names for one place. Attributes that a place does not set are unknown there."""

    __slots__ = (
        "body",
        "carries",
        "counters",
        "dag",
        "endings",
        "index",
        "inputs",
        "item",
        "libraries",
        "loop",
        "outcome",
        "outputs",
        "own",
        "previous",
        "secret",
        "state",
        "trigger",
    )

    def __init__(
        self, state: RunState, inputs: Sequence[Node], dag: DagNode | None, libraries: Sequence[LibraryDef | None]
    ) -> None:
        self.state = state
        self.inputs = inputs  # whose `inputs.*` are seen, the nearest first
        self.dag = dag  # whose `tasks.*` are seen
        self.endings: Mapping[int, Outcome] = _NO_ENDINGS  # of nodes that end together with the dag, by id
        self.libraries = libraries  # TMPL-1: whose arguments fill in for workflow parameters
        self.loop: LoopNode | None = None  # whose `iterator.*` is seen, with item and index
        self.item: Value = ABSENT
        self.index = -1
        self.previous: Node | None = None
        self.own: str | None = None  # SELF
        self.outcome: Outcome | None = None
        self.outputs: Mapping[str, Json] | None = None
        self.body: Node | None = None  # the finished iteration of a repeat loop
        self.counters: Mapping[str, Mapping[str, int]] | None = None
        self.trigger: HookNode | None = None
        self.secret = False
        self.carries = False

    def __call__(self, name: Name) -> Value:
        segments = name.segments
        resolve = _ROOTS.get(segments[0])  # type: ignore[arg-type]
        if resolve is not None:
            return resolve(self, name)
        namespace = self.state.header.variables.get(segments[0])  # type: ignore[arg-type]
        if namespace is None:
            raise ExpressionError(f"{name.text!r} has an unknown namespace {segments[0]!r}")
        if len(segments) < 2 or segments[1] not in namespace:
            raise _unknown(name)
        return get_path(namespace[segments[1]], segments[2:])  # type: ignore[index]

    def artifact(self, name: Name) -> Value:
        """What `from` names, with all that is needed to unpack it again, which values do not show (ART-3)."""
        self.carries = True
        try:
            return self(name)
        finally:
            self.carries = False

    # --- one method a root ---

    def _workflow(self, name: Name) -> Value:
        segments = name.segments
        if len(segments) >= 3 and segments[1] == "arguments":
            segments = (segments[0], *segments[2:])
        if len(segments) >= 3 and segments[1] == "parameters":
            return get_path(self._parameter(segments[2], name), segments[3:])
        if segments[1:] == ("parameters",):
            self.secret = self.secret or self.state.secret
            return dict(self.state.header.parameters)
        if len(segments) == 2:
            read = _WORKFLOW.get(segments[1])  # type: ignore[arg-type]
            if read is not None:
                return read(self.state)
        raise _unknown(name)

    def _parameter(self, parameter: str | int, name: Name) -> Value:
        state = self.state
        parameters = state.header.parameters
        if parameter in parameters:
            self.secret = self.secret or state.secret
            return parameters[parameter]  # type: ignore[index]
        for library in self.libraries:
            binding = library.parameters.get(parameter) if library is not None else None  # type: ignore[arg-type]
            if binding is not None:
                return self._library_parameter(binding)
        raise ExpressionError(f"there is no workflow parameter {parameter!r} ({name.text!r})")

    def _library_parameter(self, binding: InputBinding) -> Value:
        return read_sources(binding.sources, self)[0]

    def item_field(self, field: str) -> Value:
        """The field of an object item of the loop that is seen here (LOOP-7)."""
        item = self.item
        return item[field] if isinstance(item, dict) and field in item else ABSENT

    def _inputs(self, name: Name) -> Value:
        segments = name.segments
        if segments[1:] == ("parameters",) and self.inputs:
            return self._all_inputs()
        if len(segments) < 3 or segments[1] not in ("parameters", "artifacts"):
            raise _unknown(name)
        parameters = segments[1] == "parameters"
        for node in self.inputs:
            held = node.inputs if parameters else node.input_artifacts
            if segments[2] in held:
                self.secret = self.secret or node.secret
                return get_path(held[segments[2]], segments[3:])  # type: ignore[index]
        calls = [node.call for node in self.inputs]
        if any(b.name == segments[2] for call in calls for b in call.inputs):
            return ABSENT
        if any(b.name == segments[2] and b.optional for call in calls for b in call.artifacts):
            return ABSENT
        raise ExpressionError(f"there is no input {segments[2]!r} here ({name.text!r})")

    def _all_inputs(self) -> Value:
        """All inputs as one object; of two of one name the nearest."""
        merged: dict[str, Json] = {}
        for node in reversed(self.inputs):
            self.secret = self.secret or node.secret
            merged |= node.inputs
        return merged

    def _tasks(self, name: Name) -> Value:
        segments = name.segments
        if len(segments) < 3:
            raise _unknown(name)
        task = segments[1]
        if task == self.own and self.outcome is not None:
            return self._task_field(self.outcome, name)
        if self.body is not None and task == self.body.call.name:
            return self._task_field(self.body, name)
        dag = self.dag
        index = dag.target.index.get(task) if dag is not None else None  # type: ignore[arg-type]
        if dag is None or (index is None and task not in dag.target.outside):
            raise ExpressionError(f"there is no task {task!r} here ({name.text!r})")
        child = dag.children[index] if index is not None else -1
        node = self.state.nodes[child] if child >= 0 else None
        ended = node if node is None or node.ended_at is not None else self.endings.get(node.id)
        if ended is None:
            return None if segments[2] == "phase" and len(segments) == 3 else ABSENT
        value = self._task_field(ended, name)
        if isinstance(node, Container) and not self.secret:
            self.secret = has_secret(value)
        return value

    def _task_field(self, task: Node | Outcome, name: Name) -> Value:
        segments = name.segments
        field = segments[2]
        if field == "outputs" and len(segments) >= 5:
            held = {"parameters": task.outputs, "artifacts": task.artifacts}.get(segments[3])  # type: ignore[arg-type]
            if held is not None:
                value = held.get(segments[4], ABSENT)  # type: ignore[arg-type]
                if held is task.artifacts and not self.carries and isinstance(value, dict):
                    value = {key: value[key] for key in _ARTIFACT if key in value}
                return value if value is ABSENT else get_path(value, segments[5:])
        elif len(segments) == 3 and field in _TASK_FIELDS:
            return _TASK_FIELDS[field](task)
        raise _unknown(name)

    def _iterator(self, name: Name) -> Value:
        segments = name.segments
        if self.loop is None or len(segments) < 2:
            raise _unknown(name)
        field = segments[1]
        if field == "index":
            return self.index
        if field == "previous" and segments[0] == "iterator":
            if len(segments) < 5 or segments[2:4] != ("outputs", "parameters"):
                raise _unknown(name)
            held = self.previous.outputs if self.previous is not None else {}
            value = get_path(held[segments[4]], segments[5:]) if segments[4] in held else None  # type: ignore[index]
            return None if value is ABSENT else value
        if self.item is ABSENT:
            raise _unknown(name)
        self.secret = self.secret or self.loop.secret
        if field == "item":
            return get_path(self.item, segments[2:])
        if segments[0] == "loop_iter":
            return get_path(self.item, segments[1:])
        raise _unknown(name)

    def _outputs(self, name: Name) -> Value:
        segments = name.segments
        if self.outputs is None or len(segments) < 3 or segments[1] != "parameters":
            raise _unknown(name)
        if segments[2] not in self.outputs:
            return ABSENT
        return get_path(self.outputs[segments[2]], segments[3:])  # type: ignore[index]

    def _outcome(self, name: Name) -> Value:
        if self.outcome is None or len(name.segments) > 1:
            raise _unknown(name)
        return _TASK_FIELDS[name.segments[0]](self.outcome)  # type: ignore[index]

    def _counter(self, name: Name) -> Value:
        counters = self.counters.get(name.segments[0]) if self.counters is not None else None  # type: ignore[arg-type]
        if counters is None or len(name.segments) != 2 or name.segments[1] not in counters:
            raise _unknown(name)
        return counters[name.segments[1]]  # type: ignore[index]

    def _hook(self, name: Name) -> Value:
        hook, segments = self.trigger, name.segments
        if hook is None:
            raise _unknown(name)
        if len(segments) >= 4 and segments[1] == "workflow":
            if segments[2] == "parameters":
                return get_path(self._parameter(segments[3], name), segments[4:])
            if segments[2] == "outputs":
                root = self.state.root
                held = root.outputs if root is not None and root.ended_at is not None else {}
                value = get_path(held[segments[3]], segments[4:]) if segments[3] in held else ABSENT  # type: ignore[index]
                self.secret = self.secret or has_secret(value)
                return value
        value = get_path(hook.context, segments[1:])
        if value is ABSENT or isinstance(value, dict):
            raise _unknown(name)
        return value


def _unknown(name: Name) -> ExpressionError:
    return ExpressionError(f"{name.text!r} does not exist here")


_ROOTS: Final[dict[str, Callable[[Resolver, Name], Value]]] = {
    "workflow": Resolver._workflow,
    "inputs": Resolver._inputs,
    "tasks": Resolver._tasks,
    "iterator": Resolver._iterator,
    "loop_iter": Resolver._iterator,
    "outputs": Resolver._outputs,
    "phase": Resolver._outcome,
    "code": Resolver._outcome,
    "msg": Resolver._outcome,
    "dag": Resolver._counter,
    "loop": Resolver._counter,
    "hook": Resolver._hook,
}

_TASK_FIELDS: Final[dict[str, Callable[[Node | Outcome], Value]]] = {
    "phase": lambda task: str(task.phase),
    "code": lambda task: task.code,
    "msg": lambda task: task.message,
}

_WORKFLOW: Final[dict[str, Callable[[RunState], Value]]] = {
    "name": lambda state: state.plan.name,
    "id": lambda state: state.header.run_id,
    "namespace": lambda state: state.plan.namespace,
    "createdAt": lambda state: rfc3339(state.header.created_at),
    "scheduledTime": lambda state: rfc3339(state.header.scheduled_time) if state.header.scheduled_time is not None else None,
}


# --- one builder a place ------------------------------------------------------------------------------------------------


def of_call(state: RunState, node: Node) -> Resolver:
    """`when`, arguments and declared sources of what `node` calls; for an iteration the loop's `arguments` (DATA-4)."""
    scope = node.parent
    own = node.call.target.library
    if scope is None:
        return Resolver(state, (), None, (own,))
    if isinstance(scope, LoopNode):
        resolver = _of_loop(state, scope, (scope.call.target.library, own))
        resolver.loop = scope
        resolver.index = node.index
        if scope.items is not None:
            resolver.item = scope.items[node.index]
        elif node.index > 0:
            resolver.previous = state.nodes[scope.children[node.index - 1]]
        return resolver
    assert isinstance(scope, DagNode)
    return Resolver(state, (scope,), scope, (scope.call.target.library, own))


def _of_loop(state: RunState, loop: LoopNode, libraries: Sequence[LibraryDef | None]) -> Resolver:
    outer = loop.parent if isinstance(loop.parent, DagNode) else None
    return Resolver(state, (loop,), outer, libraries)


def of_items(state: RunState, loop: LoopNode) -> Resolver:
    """`items` and `itemsFrom` of a loop."""
    return _of_loop(state, loop, (loop.call.target.library,))


def of_repeat(state: RunState, loop: LoopNode, body: Node) -> Resolver:
    """`repeatCondition`, after iteration `body`."""
    resolver = of_items(state, loop)
    resolver.loop = loop
    resolver.index = body.index
    resolver.body = body
    return resolver


def of_config(state: RunState, node: TaskNode) -> Resolver:
    """`executor.config` of a leaf: of a template its inputs alone, inline also the dag (DATA-4); of a hook `hook.*`."""
    target = node.call.target
    assert isinstance(target, TaskDef)
    if isinstance(node, HookNode):
        resolver = Resolver(state, (node,), None, (target.library,))
        resolver.trigger = node
        return resolver
    scope = node.parent
    if target.inline and isinstance(scope, DagNode):
        return Resolver(state, (node, scope), scope, (target.library,))
    return Resolver(state, (node,), None, (target.library,))


def of_outcome(state: RunState, node: TaskNode, outcome: Outcome) -> Resolver:
    """`retry.expression`, `phaseConditions` and declared output values of a leaf whose attempt has ended."""
    resolver = of_config(state, node)
    resolver.outcome = outcome
    resolver.outputs = outcome.outputs
    resolver.own = node.call.name
    return resolver


def of_container(state: RunState, scope: Container) -> Resolver:
    """`outputs` of a dag or loop."""
    dag = scope if isinstance(scope, DagNode) else None
    return Resolver(state, (scope,), dag, (scope.call.target.library,))


def of_container_outcome(state: RunState, scope: Container, outcome: Outcome) -> Resolver:
    """`phaseConditions` of a dag or loop (SCHED-8)."""
    resolver = of_container(state, scope)
    resolver.outcome = outcome
    resolver.outputs = outcome.outputs
    counters = {"succeeded": scope.succeeded, "failed": scope.failed, "total": scope.total}
    resolver.counters = {"dag" if isinstance(scope, DagNode) else "loop": counters}
    return resolver


def of_aggregate(state: RunState, loop: LoopNode, outputs: Mapping[str, Json]) -> Resolver:
    """`valueFrom` of a loop's declared outputs (LOOP-6)."""
    resolver = of_container(state, loop)
    resolver.outputs = outputs
    resolver.counters = {"loop": {"succeeded": loop.succeeded, "failed": loop.failed, "total": loop.total}}
    return resolver
