"""A run as its event records show it: what a view needs of a run that another machine drives.

Law: pure. A mirror has of each task run what its records say, under the names that `scheduler.nodes` uses, and gives each step
as the facts that made it; so a view shows a mirror and the state of a run alike. Kinds that are not known here change nothing.
Where the first steps were not kept, a task run is there from its first record on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Kind
from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.nodes import NEVER, Node
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import CREATED, READY, RUNNING, SUSPENDED, Phase
from aether_protocol.views.event_feed import EventRecord

_NOTHING: Final[Mapping[str, Json]] = {}


class MirrorCall(Struct, frozen=True):
    """What is called: its name is that of the task."""

    name: str


class MirrorHeader(Struct, frozen=True):
    """Which run it is."""

    run_id: str
    created_at: int


class MirrorPlan(Struct, frozen=True):
    """What it is a run of."""

    name: str


class MirrorTask:
    """A task run, or a hook's; its numbers count as those of `scheduler.nodes.TaskNode` do."""

    kind: Kind = Kind.TASK
    phase: Phase = CREATED
    message: str = ""
    started_at: int | None = None
    ended_at: int | None = None
    retries: int = 0
    log_name: str = ""
    backoff_due: int = NEVER
    item: str | None = None

    def __init__(self, id_: int, path: str, name: str, *, parent: MirrorScope | None, index: int, hook: str | None) -> None:
        self.id = id_
        self.path = path
        self.call = MirrorCall(name)
        self.parent = parent
        self.index = index
        self.hook = hook
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.order: tuple[int, ...] = (index,) if parent is None else (*parent.order, index)


class MirrorScope(MirrorTask):
    """A dag or loop: `children` are the numbers of its tasks or iterations, -1 for one that was not made yet."""

    def __init__(self, id_: int, path: str, name: str, *, parent: MirrorScope | None, index: int, hook: str | None) -> None:
        super().__init__(id_, path, name, parent=parent, index=index, hook=hook)
        self.children: list[int] = []
        self.live = 0
        self.expected = 0  # leaves that count as known and were not made yet
        self.names: dict[int, str] = {}  # of tasks that were not made yet, as far as they are known

    @property
    def total(self) -> int:
        """Tasks of the dag, run or not; iterations of the loop."""
        return len(self.children)

    def place(self, index: int, child: int) -> None:
        """Put a child at its place."""
        self.children.extend([-1] * (index + 1 - len(self.children)))
        self.children[index] = child
        self.live += 1


class MirrorRun:
    """The run; see `RunState`, whose names these are. `row` is its row when the first record is asked for."""

    def __init__(self, row: RunSummary) -> None:
        self.header = MirrorHeader(row.run_id, row.created_at)
        self.plan = MirrorPlan(row.workflow)
        self.nodes: list[MirrorTask] = []
        self.seq = 0
        self.leaves_known = 0
        self.leaves_ended = 0
        self._row = row
        self._is_cut = False
        self._by_run_path: dict[str, MirrorTask] = {}

    @property
    def phase(self) -> Phase:
        """The run's phase is that of its root (SCHED-5)."""
        return self.nodes[0].phase if self.nodes else Phase(self._row.phase)

    def order_key(self, node: Node | MirrorTask) -> tuple[int, ...]:
        """Sorts task runs in document order, hook runs last in the order of firing."""
        return (0, *node.order) if node.hook is None else (1, node.id)

    def writer(self, number: int, name: str) -> MirrorTask | None:
        """The task run that wrote a log line (`LogLine.node` and `path`); None where it is not known yet."""
        node = self.nodes[number] if number < len(self.nodes) else None
        if node is not None and node.log_name == name:
            return node
        return next((other for other in self.nodes if other.log_name == name), None) if self._is_cut else None

    def take(self, records: Sequence[EventRecord]) -> LogEntry:
        """Follow one step: all of its records. Gives it as the facts that views know."""
        first = records[0]
        if not self.seq and first["seq"] > 1:  # the steps before were not kept
            self.leaves_known, self.leaves_ended = self._row.leaves_known, self._row.leaves_ended
            self._is_cut = True
        self.seq = first["seq"]
        at = instant_of(first)
        facts = [fact for record in records if (fact := self._apply(record, at)) is not None]
        return LogEntry(self.seq, at, first["cause"], facts, [])

    def _apply(self, record: EventRecord, at: int) -> f.Fact | None:
        apply = _KINDS.get(record["kind"])
        return None if apply is None else apply(self, record, at)

    def expect(self, paths: Sequence[str]) -> None:
        """Learn the names of tasks that have not begun, in document order; what does not fit any more is left out."""
        names: dict[str, list[str]] = {}
        for path in paths:
            names.setdefault(_above(path), []).append(path.rpartition(".")[2])
        for above, missing in names.items():
            scope = self._by_run_path.get(above)
            if isinstance(scope, MirrorScope):
                made = {self.nodes[child].call.name for child in scope.children if child >= 0}
                free = [index for index, child in enumerate(scope.children) if child < 0]
                left = [name for name in missing if name not in made]
                scope.names = dict(zip(free, left, strict=True)) if len(free) == len(left) else {}

    # --- where things are ---

    def node_of(self, record: EventRecord) -> MirrorTask:
        """The task run that a record is about; made here where its making was not kept."""
        run_path = _run_path(record)
        return self._by_run_path.get(run_path) or self.add(record, run_path.rpartition(".")[2], MirrorTask)

    def add(self, record: EventRecord, name: str, kind: type[MirrorTask], index: int | None = None) -> MirrorTask:
        """Make a task run."""
        run_path, hook = _run_path(record), record.get("hook")
        parent = None if hook is not None else self._by_run_path.get(_above(run_path))
        scope = parent if isinstance(parent, MirrorScope) else None
        if index is None:
            index = -1 if hook is not None else 0 if scope is None else scope.total
        shown = None if hook is None else hook.rpartition(":")[2]
        node = kind(len(self.nodes), record["path"], name, parent=scope, index=index, hook=shown)
        node.log_name = hook or node.path
        self.nodes.append(node)
        self._by_run_path[run_path] = node
        if scope is not None:
            scope.place(index, node.id)
        if kind is MirrorTask and hook is None:
            if scope is not None and scope.expected:
                scope.expected -= 1
            else:
                self.leaves_known += 1
        return node


def _created(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    kind = Kind[record["templateType"].upper()]
    node = run.add(record, record["taskName"], MirrorTask if kind is Kind.TASK else MirrorScope, record.get("position"))
    node.kind = kind
    node.item = record.get("item")
    return f.NodeCreated(node.id, -1 if node.parent is None else node.parent.id, node.index)


def _opened(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    if isinstance(node, MirrorScope):
        node.children = [-1] * record.get("children", 0)
        node.expected = record.get("leaves", 0)
        run.leaves_known += node.expected
    return f.ScopeOpened(node.id, None)


def _running(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = RUNNING
    if node.started_at is None:
        node.started_at = at
    return f.TaskRunning(node.id)


def _container(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = Phase(record["phase"])
    if node.phase is RUNNING and node.started_at is None:
        node.started_at = at
    return f.ContainerPhase(node.id, node.phase)


def _dispatched(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = READY
    return f.TaskDispatched(node.id, record["attempt"])


def _suspended(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = SUSPENDED
    node.message = record["message"]
    return f.TaskSuspended(node.id, node.message, _NOTHING, _NOTHING)


def _retried(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = CREATED
    node.message = record["message"]
    node.retries += 1
    node.backoff_due = _instant(record["due"])
    after, outputs = Phase(record["after"]), record.get("outputs", {})
    return f.RetryScheduled(node.id, node.backoff_due, after, record["code"], node.message, outputs)


def _ended(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    node = run.node_of(record)
    node.phase = Phase(record["phase"])
    node.message = record["message"]
    node.ended_at = at
    if node.parent is not None:
        node.parent.live -= 1
    if node.hook is None and not isinstance(node, MirrorScope):
        run.leaves_ended += 1
    return f.NodeEnded(node.id, node.phase, record["code"], node.message, _NOTHING, _NOTHING)


def _fired(run: MirrorRun, record: EventRecord, at: int) -> f.Fact:
    name = record.get("templateName", "")
    node = run.add(record, name, MirrorTask)
    return f.HookFired(node.id, str(node.hook), -1, -1, _NOTHING)


_KINDS: Final[dict[str, Callable[[MirrorRun, Any, int], f.Fact]]] = {
    "NodeCreated": _created,
    "ScopeOpened": _opened,
    "TaskRunning": _running,
    "ContainerPhase": _container,
    "TaskDispatched": _dispatched,
    "TaskSuspended": _suspended,
    "RetryScheduled": _retried,
    "NodeEnded": _ended,
    "HookFired": _fired,
}

SeenRun = RunState | MirrorRun
SeenTask = Node | MirrorTask


def _run_path(record: EventRecord) -> str:
    """A task run's name within its run: `main.batch[1].load`."""
    run_path: str = record["id"].partition("/")[2]
    return run_path


def _above(path: str) -> str:
    """`main.batch[1]` of `main.batch[1].load`, `main.batch` of `main.batch[1]`."""
    return path.rpartition("[" if path.endswith("]") else ".")[0]


def instant_of(record: EventRecord) -> int:
    """When it happened, in microseconds since the epoch."""
    return _instant(record["at"])


def _instant(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
