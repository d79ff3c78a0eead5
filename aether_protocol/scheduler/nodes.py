"""The nodes of a run: one for each task run, container, iteration and hook run.

Law: a node holds plain data and its never-changing place (id, call, parent, index). Only `state.apply` writes the rest.
Counters in containers make every question that the rules ask a matter of one look: nobody walks siblings.
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
    """What all nodes have. Times in microseconds since the epoch; `timeout_due` is NEVER or the instant of its own timer."""

    __slots__ = (
        "artifacts",
        "call",
        "code",
        "created_at",
        "ended_at",
        "id",
        "index",
        "input_artifacts",
        "inputs",
        "message",
        "outputs",
        "parent",
        "phase",
        "secret",
        "started_at",
        "timeout_due",
    )

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        self.id = id_
        self.call = call
        self.parent = parent
        self.index = index
        self.phase: Phase = CREATED
        self.code: int | None = None
        self.message = ""
        self.inputs: Mapping[str, Json] = NO_VALUES
        self.outputs: Mapping[str, Json] = NO_VALUES
        self.artifacts: Mapping[str, Json] = NO_VALUES
        self.input_artifacts: Mapping[str, Json] = NO_VALUES
        self.secret = False
        self.created_at = created_at
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.timeout_due = NEVER

    @property
    def kind(self) -> Kind:
        return self.call.kind

    @property
    def hook(self) -> str | None:
        """The event that this run is the hook of, or None for a task run."""
        return None

    @property
    def path(self) -> str:
        """`main.batch[1].load`: the entrypoint's name, then task names and iterations."""
        parts: list[str] = []
        node: Node = self
        while node.parent is not None:
            parts.append(f"[{node.index}]" if node.parent.kind is Kind.LOOP else f".{node.call.name}")
            node = node.parent
        parts.append(node.call.name)
        return "".join(reversed(parts))

    @property
    def depth(self) -> int:
        depth, node = 0, self.parent
        while node is not None:
            depth, node = depth + 1, node.parent
        return depth

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts nodes in document order."""
        parts: list[int] = []
        node: Node | None = self
        while node is not None:
            parts.append(node.index)
            node = node.parent
        return tuple(reversed(parts))


class TaskNode(Node):
    """A leaf. `attempt` counts dispatches (WIRE-1), `retries` repetitions (SCHED-9), `losses` of the current attempt;
    `bound` are the inputs without payloads, once there are payloads."""

    __slots__ = ("attempt", "backoff_due", "bound", "losses", "payloads", "retries")

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        super().__init__(id_, call, parent, index, created_at)
        self.attempt = 0
        self.retries = 0
        self.losses = 0
        self.payloads: Sequence[Mapping[str, Json]] = ()
        self.bound: Mapping[str, Json] | None = None
        self.backoff_due = NEVER

    @property
    def target(self) -> TaskDef:
        target = self.call.target
        assert isinstance(target, TaskDef)
        return target


class HookNode(TaskNode):
    """One run of a hook (HOOK-2). `scope` is the node that it belongs to, None for the workflow's own; its path is theirs."""

    __slots__ = ("context", "event", "scope", "trigger")

    def __init__(
        self,
        id_: int,
        call: Call,
        created_at: int,
        *,
        event: str,
        scope: Node | None,
        trigger: Node | None,
        context: Json,
    ) -> None:
        super().__init__(id_, call, None, -1, created_at)
        self.event = event
        self.scope = scope
        self.trigger = trigger
        self.context = context

    @property
    def hook(self) -> str:
        return self.event

    @property
    def path(self) -> str:
        return self.scope.path if self.scope is not None else ""


class Container(Node):
    """A dag or loop. `children[i]` is the node id of task or iteration i, -1 for none.

    `live` children are made and not ended, `queued` ones wait in the run's ready queue, `suspended` are the live ones in
    phase Suspended. `rank` and `culprit` follow SCHED-5: the worst untolerated end so far and who brought it first.
    """

    __slots__ = (
        "children",
        "culprit",
        "deadline",
        "failed",
        "live",
        "opened",
        "queued",
        "rank",
        "succeeded",
        "suspended",
    )

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        super().__init__(id_, call, parent, index, created_at)
        self.children: list[int] = []
        self.opened = False
        self.deadline: int | None = None
        self.live = 0
        self.queued = 0
        self.suspended = 0
        self.succeeded = 0
        self.failed = 0
        self.rank = 0
        self.culprit: Node | None = None

    @property
    def total(self) -> int:
        """Tasks of the dag, run or not; iterations of the loop."""
        return len(self.children)


class DagNode(Container):
    """A dag scope: `unmet[i]` dependencies of task i are still open."""

    __slots__ = ("unmet",)

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

    __slots__ = ("granted", "items")

    def __init__(self, id_: int, call: Call, parent: Container | None, index: int, created_at: int) -> None:
        super().__init__(id_, call, parent, index, created_at)
        self.items: Sequence[Json] | None = None
        self.granted = 0

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
