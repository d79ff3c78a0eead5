"""The run report: what a run came to, as people and programs read it.

Law: pure, from the run's state alone; copies, so a caller who has a report cannot reach the run; secrets read `***` (DATA-12).
`to_json` is the published form: camelCase, instants as RFC 3339, durations in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Final

from msgspec import Struct

from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Kind
from aether_protocol.scheduler.events import RunConfiguration
from aether_protocol.scheduler.nodes import Container, DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.scheduler.transitions import ERROR, FAILED, SKIPPED, SUCCEEDED, TIMEOUT
from aether_protocol.views.summary import trace_id_of, wake_instant
from aether_protocol.views.text import item_text

FINE: Final = frozenset({SUCCEEDED, SKIPPED})  # what an excerpt leaves out

_FAULTY: Final = frozenset({FAILED, ERROR, TIMEOUT})
_KINDS: Final = {kind: kind.name.lower() for kind in Kind}


class WorkflowName(Struct, frozen=True):
    """Which workflow it was a run of."""

    name: str
    namespace: str
    version: str | None

    def to_json(self) -> dict[str, Json]:
        return {"name": self.name, "namespace": self.namespace, "version": self.version}


class TaskReport(Struct, gc=False):
    """One task run: a task, container or iteration. `template_type` is task, dag or loop."""

    id: str
    path: str
    task_name: str
    template_name: str
    template_type: str
    depth: int
    phase: str
    message: str
    retries: int
    inputs: dict[str, Json]
    outputs: dict[str, Json]
    started_at: str | None
    finished_at: str | None
    item: str | None = None  # of an iteration over items: which one, as people tell it from the others

    def to_json(self) -> dict[str, Json]:
        """Give the entry of `tasks` in the JSON of a report."""
        told: dict[str, Json] = {
            "id": self.id,
            "path": self.path,
            "taskName": self.task_name,
            "templateName": self.template_name,
            "templateType": self.template_type,
            "depth": self.depth,
            "phase": self.phase,
            "message": self.message,
            "retries": self.retries,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
        }
        return told if self.item is None else {**told, "item": self.item}


class HookReport(Struct, frozen=True):
    """One run of a hook: `hook` is `workflow:onExit` or `task:<path>:onSuccess`, `path` the task's path or empty."""

    hook: str
    path: str
    phase: str
    message: str
    outputs: dict[str, Json]
    started_at: str | None
    finished_at: str | None

    def to_json(self) -> dict[str, Json]:
        """Give the entry of `hooks` in the JSON of a report."""
        return {
            "hook": self.hook,
            "path": self.path,
            "phase": self.phase,
            "message": self.message,
            "outputs": self.outputs,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
        }


class Note(Struct, frozen=True):
    """Something that people should know and that changed nothing; `path` is empty for the workflow."""

    path: str
    message: str

    def to_json(self) -> dict[str, Json]:
        return {"path": self.path, "message": self.message}


class Report(Struct, frozen=True):
    """A run as it is now. `tasks` are in document order; `progress` is leaves ended over leaves known so far."""

    run_id: str
    workflow: WorkflowName
    phase: str
    message: str
    outputs: dict[str, Json]
    progress: str
    started_at: str
    finished_at: str | None
    duration_seconds: float | None
    tasks: tuple[TaskReport, ...]
    hooks: tuple[HookReport, ...]
    not_run: tuple[str, ...]
    warnings: tuple[Note, ...]
    broken: str | None = None  # why a run that is stored was set aside
    configuration: RunConfiguration | None = None
    wake_at: int | None = None  # of a stored run that is passivated: see `RunSummary`
    document_version: int | None = None  # of the stored workflow that it was started from by its name
    trace_id: str | None = None  # of the trace that it is in

    def to_json(self) -> dict[str, Json]:
        """The object that `aether run -o json` prints."""
        told: dict[str, Json] = {
            "runId": self.run_id,
            "workflow": self.workflow.to_json(),
            "phase": self.phase,
            "message": self.message,
            "outputs": self.outputs,
            "progress": self.progress,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "durationSeconds": self.duration_seconds,
            "tasks": [task.to_json() for task in self.tasks],
            "hooks": [hook.to_json() for hook in self.hooks],
            "notRun": list(self.not_run),
            "warnings": [note.to_json() for note in self.warnings],
        }
        if self.configuration is not None:
            told["configuration"] = {"profile": self.configuration.profile, "digest": self.configuration.digest}
        if self.document_version is not None:
            told["documentVersion"] = self.document_version
        if self.trace_id is not None:
            told["traceId"] = self.trace_id
        if self.wake_at is not None:
            told |= {"asleep": True, "wakeAt": wake_instant(self.wake_at)}
        return told if self.broken is None else {**told, "broken": self.broken}


def make_report(state: RunState) -> Report:
    """The report of a run in any phase."""
    tasks = [_task(state.header.run_id, *found) for found in in_order(state)]
    return _report(state, tasks, not_run(state))


def make_excerpt(state: RunState, most: int) -> dict[str, Json]:
    """The report of a long run as JSON, without what went well.

    Where there are more than `most` task runs, and tasks that did not run, only the task runs that neither Succeeded nor
    were Skipped are in it, the first `most`, and as many of the tasks that did not run; `leftOut` counts the others, and as
    `bad` all tasks that ended otherwise. Costs a look at every node and what is in it.
    """
    missing = list(islice(_not_run(state), most + 1))
    nodes = [node for node in state.nodes if node.hook is None]
    if len(nodes) + len(missing) <= most:
        return make_report(state).to_json()
    chosen = _first((node for node in nodes if node.phase not in FINE), most)
    tasks = _tasks(state, chosen)
    unmade = sum(node.children.count(-1) for node in nodes if isinstance(node, DagNode))
    bad = sum(node.kind is Kind.TASK and node.ended_at is not None and node.phase not in FINE for node in nodes)
    left = {"tasks": len(nodes) - len(tasks), "notRun": max(unmade - most, 0), "bad": bad}
    return _report(state, tasks, missing[:most]).to_json() | {"leftOut": left}


def faults(state: RunState, most: int) -> tuple[list[TaskReport], int]:
    """The leaves that went wrong, the first `most` in document order; how many there are."""
    leaves = [node for node in state.nodes if node.phase in _FAULTY and node.hook is None and node.kind is Kind.TASK]
    return _tasks(state, _first(leaves, most)), len(leaves)


def _first(nodes: Iterable[Node], most: int) -> list[Node]:
    """The first of them in document order."""
    return nsmallest(most, nodes, key=lambda node: node.order)


def _tasks(state: RunState, nodes: Iterable[Node]) -> list[TaskReport]:
    return [_task(state.header.run_id, node, node.path, node.depth) for node in nodes]


def _report(state: RunState, tasks: Sequence[TaskReport], not_run: Sequence[str]) -> Report:
    header, plan, root = state.header, state.plan, state.root
    ended = root.ended_at if root is not None else None
    return Report(
        run_id=header.run_id,
        workflow=WorkflowName(plan.name, plan.namespace, plan.version),
        phase=str(state.phase),
        message=state.message,
        outputs=redacted(root.outputs) if root is not None else {},
        progress=f"{state.leaves_ended}/{state.leaves_known}",
        started_at=rfc3339(header.created_at),
        finished_at=_instant(ended),
        duration_seconds=None if ended is None else (ended - header.created_at) / SECOND,
        tasks=tuple(tasks),
        hooks=tuple(_hook(node) for node in state.hook_nodes),
        not_run=tuple(not_run),
        warnings=tuple(Note(_place(state, node), text) for node, text in state.notes),
        configuration=header.configuration,
        document_version=header.document_version,
        trace_id=trace_id_of(header),
    )


def _place(state: RunState, number: int) -> str:
    """The path of a task run, the name of a hook's; empty for the workflow."""
    if number == WORKFLOW:
        return ""
    node = state.nodes[number]
    return hook_name(node) if isinstance(node, HookNode) else node.path


def not_run(state: RunState) -> list[str]:
    """Paths of the tasks without a task run in the dags that were opened."""
    return list(_not_run(state))


def _not_run(state: RunState) -> Iterator[str]:
    for node in state.nodes:
        if isinstance(node, DagNode) and node.opened and -1 in node.children:
            path = node.path
            for call, child in zip(node.target.tasks, node.children, strict=True):
                if child < 0:
                    yield f"{path}.{call.name}"


def hook_name(node: HookNode) -> str:
    """`workflow:onExit`, `task:main.fetch:onSuccess`."""
    return f"workflow:{node.hook}" if node.scope is None else f"task:{node.path}:{node.hook}"


def in_order(state: RunState) -> Iterator[tuple[Node, str, int]]:
    """Every task run in document order, with its path and depth; each costs the same, however deep it lies."""
    root, nodes = state.root, state.nodes
    left = [(root, root.call.name, 0)] if root is not None else []
    while left:
        node, path, depth = found = left.pop()
        yield found
        if isinstance(node, Container):
            below = depth + 1
            inside = [nodes[child] for child in reversed(node.children) if child >= 0]
            if isinstance(node, DagNode):
                left += [(child, f"{path}.{child.call.name}", below) for child in inside]
            else:
                left += [(child, f"{path}[{child.index}]", below) for child in inside]


def _task(run_id: str, node: Node, path: str, depth: int) -> TaskReport:
    call = node.call
    return TaskReport(
        id=f"{run_id}/{path}",
        path=path,
        task_name=call.name,
        template_name=call.target.name,
        template_type=_KINDS[call.kind],
        depth=depth,
        phase=str(node.phase),
        message=node.message,
        retries=node.retries if isinstance(node, TaskNode) else 0,
        inputs=redacted(node.inputs) if node.inputs else {},
        outputs=redacted(node.outputs) if node.outputs else {},
        started_at=_instant(node.started_at),
        finished_at=_instant(node.ended_at),
        item=item_of(node),
    )


def item_of(node: Node) -> str | None:
    """Which item an iteration is for, as a short text; None of what is not an iteration over items."""
    above = node.parent
    if not isinstance(above, LoopNode) or above.items is None or not 0 <= node.index < len(above.items):
        return None
    return item_text(redacted(above.items[node.index]))


def _hook(node: HookNode) -> HookReport:
    return HookReport(
        hook=hook_name(node),
        path=node.path,
        phase=str(node.phase),
        message=node.message,
        outputs=redacted(node.outputs),
        started_at=_instant(node.started_at),
        finished_at=_instant(node.ended_at),
    )


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
