"""The nodes of a run: one for each task run, container, iteration and hook run.

Law: a node holds plain data and its never-changing place (id, call, parent, index). Only `evolve` writes the rest.
Counters in containers answer every question that the rules ask, so that no rule walks siblings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, DagDef, Kind, LoopDef, TaskDef
from aether_protocol.scheduler.transitions import CREATED, Phase

NO_VALUES: Final[dict[str, Json]] = {}  # shared by all nodes that have none; never written to
NEVER: Final = -1  # no timer


class Node:
    """What all nodes have. Times in microseconds since the epoch; `timeout_due` is NEVER or the instant of its own timer.

    Defaults stand in the class: most nodes never differ from them, and making a node is the hottest thing here.
    `hook` is the event that this run is the hook of, None for a task run.
    """

    phase: Phase = CREATED
    code: int | None = None
    message: str = ""
    inputs: Mapping[str, Json] = NO_VALUES
    outputs: Mapping[str, Json] = NO_VALUES
    artifacts: Mapping[str, Json] = NO_VALUES
    input_artifacts: Mapping[str, Json] = NO_VALUES
    secret: bool = False
    started_at: int | None = None
    ended_at: int | None = None
    timeout_due: int = NEVER
    hook: str | None = None

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        self.id = id_
        self.call = call
        self.parent = parent
        self.index = index
        self.created_at = created_at

    @property
    def kind(self) -> Kind:
        return self.call.kind

    @property
    def path(self) -> str:
        """`main.batch[1].load`: the entrypoint's name, then task names and iterations."""
        above = self.parent
        if above is None:
            return self.call.name
        return f"{above.path}[{self.index}]" if above.call.kind is Kind.LOOP else f"{above.path}.{self.call.name}"

    @property
    def run_path(self) -> str:
        """The path in an AttemptRef."""
        return self.path

    @property
    def depth(self) -> int:
        depth, node = 0, self.parent
        while node is not None:
            depth, node = depth + 1, node.parent
        return depth

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts nodes in document order."""
        above = self.parent
        return (self.index,) if above is None else (*above.order, self.index)

    @property
    def position(self) -> tuple[int, ...]:
        """`order`, and hooks after all else, as they were fired."""
        return (0, *self.order)


class TaskNode(Node):
    """A leaf. `attempt` counts dispatches (WIRE-1), `retries` repetitions (SCHED-9), `losses` those of the current attempt that
    it was blamed for (RT-22); `bound` are the inputs without payloads, once there are payloads.
    `began_at` is when a later attempt than the first to start began: NEVER until it does, None while there is no such one."""

    attempt: int = 0
    retries: int = 0
    losses: int = 0
    payloads: Sequence[Mapping[str, Json]] = ()
    bound: Mapping[str, Json] | None = None
    backoff_due: int = NEVER
    began_at: int | None = None

    @property
    def attempt_began_at(self) -> int | None:
        """When the current attempt was confirmed to have begun for the first time; None: it was not."""
        return self.started_at if self.began_at is None else self.began_at if self.began_at != NEVER else None

    @property
    def target(self) -> TaskDef:
        target = self.call.target
        assert isinstance(target, TaskDef)
        return target

    # Asked for with each dispatch: at most one call up, where `path` and `order` of the base take one a level.

    @property
    def run_path(self) -> str:
        above = self.parent
        if above is None:
            return self.call.name
        path = above._kept_path or above.path
        return f"{path}[{self.index}]" if above.call.kind is Kind.LOOP else f"{path}.{self.call.name}"

    @property
    def position(self) -> tuple[int, ...]:
        above = self.parent
        return (0, self.index) if above is None else (0, *(above._kept_order or above.order), self.index)


class HookNode(TaskNode):
    """One run of a hook (HOOK-2). `scope` is the node that it belongs to, None for the workflow's own; its path is theirs.
    `number` counts the runs of this event in this scope, from 1."""

    number: int = 1

    def __init__(
        self, id_: int, call: Call, created_at: int, *, event: str, scope: Node | None, trigger: Node | None, context: Json
    ) -> None:
        super().__init__(id_, call, None, -1, created_at)
        self.hook = event
        self.scope = scope
        self.trigger = trigger
        self.context = context

    @property
    def path(self) -> str:
        return self.scope.path if self.scope is not None else ""

    @property
    def run_path(self) -> str:
        return f"{self.path}!{self.hook}#{self.number}"

    @property
    def position(self) -> tuple[int, ...]:
        return (1, self.id)


class Container(Node):
    """A dag or loop. `children[i]` is the node id of task or iteration i, -1 for none.

    `live` children are made and not ended, `queued` ones wait in the run's ready queue, `suspended` are the live ones in
    phase Suspended. `rank` and `culprit` follow SCHED-5: the worst untolerated end so far and who brought it first.
    """

    opened: bool = False
    deadline: int | None = None
    live: int = 0
    queued: int = 0
    suspended: int = 0
    succeeded: int = 0
    failed: int = 0
    rank: int = 0
    culprit: Node | None = None
    _kept_path: str | None = None
    _kept_order: tuple[int, ...] | None = None

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        super().__init__(id_, call, parent, index, created_at)
        self.children: list[int] = []

    @property
    def path(self) -> str:
        if self._kept_path is None:  # kept, for those of all below begin with it
            self._kept_path = _path_of(self)
        return self._kept_path

    @property
    def order(self) -> tuple[int, ...]:
        if self._kept_order is None:
            self._kept_order = _order_of(self)
        return self._kept_order

    def child_call(self, index: int) -> Call:
        """What child `index` calls."""
        target = self.call.target
        return target.tasks[index] if type(target) is DagDef else target.body  # type: ignore[union-attr]

    @property
    def total(self) -> int:
        """Tasks of the dag, run or not; iterations of the loop."""
        return len(self.children)


def _path_of(node: Container) -> str:
    parts: list[str] = []
    while (above := node.parent) is not None:
        parts.append(f"[{node.index}]" if above.call.kind is Kind.LOOP else f".{node.call.name}")
        node = above
        if node._kept_path is not None:
            break
    parts.append(node._kept_path or node.call.name)
    return "".join(reversed(parts))


def _order_of(node: Container) -> tuple[int, ...]:
    parts: list[int] = []
    while (above := node.parent) is not None and above._kept_order is None:
        parts.append(node.index)
        node = above
    parts.append(node.index)
    return (*(above._kept_order or () if above is not None else ()), *reversed(parts))


class DagNode(Container):
    """A dag scope: `unmet[i]` dependencies of task i are still open."""

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        super().__init__(id_, call, parent, index, created_at)
        self.unmet: list[int] = []

    @property
    def target(self) -> DagDef:
        target = self.call.target
        assert isinstance(target, DagDef)
        return target


class LoopNode(Container):
    """A loop scope: `items` are its elements (None with repeatCondition); `granted` iterations were put in the ready queue."""

    items: Sequence[Json] | None = None
    granted: int = 0

    @property
    def target(self) -> LoopDef:
        target = self.call.target
        assert isinstance(target, LoopDef)
        return target


NODE_TYPES: Final[dict[Kind, type[TaskNode] | type[DagNode] | type[LoopNode]]] = {
    Kind.TASK: TaskNode,
    Kind.DAG: DagNode,
    Kind.LOOP: LoopNode,
}


_MADE_WITH: Final = ("id", "call", "parent", "index", "created_at")
_OFTEN: Final = ("phase", "started_at", "ended_at", "code", "message", "inputs", "outputs")
_FIELDS_OF_MOST: Final[dict[type[Node], tuple[str, ...]]] = {
    TaskNode: (*_MADE_WITH, *_OFTEN, "attempt", "timeout_due"),
    HookNode: (*_MADE_WITH, *_OFTEN, "attempt", "timeout_due", "hook", "scope", "trigger", "context", "number"),
    DagNode: (*_MADE_WITH, *_OFTEN, "children", "unmet", "opened", "deadline", "queued", "live", "succeeded", "_kept_path"),
    LoopNode: (*_MADE_WITH, *_OFTEN, "children", "items", "opened", "granted", "queued", "live", "succeeded", "_kept_path"),
}


def _learn_fields(kind: type[Node], names: tuple[str, ...]) -> None:
    """Let Python know the fields that most nodes of a kind get, before the first one is made.

    It keeps the values of an object beside those of its like for names that the first objects had. Nodes get most of theirs
    when they end, and without this each one had a dict of its own then: more memory, and twice the work for the collector.
    """
    example = kind.__new__(kind)
    for name in names:
        setattr(example, name, None)


for _kind, _names in _FIELDS_OF_MOST.items():
    _learn_fields(_kind, _names)
