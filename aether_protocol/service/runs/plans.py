"""Plans as others see them: the documents that one was compiled from, and its picture with a place for each box.

Law: both are made of the plan alone, so that what a digest names never changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.views.graph.picture import Box, Picture, picture
from aether_protocol.views.graph.svg import folded, place_boxes
from aether_protocol.views.report import HookReport, Report, TaskReport
from aether_protocol.views.text import duration

_ITERATION: Final = re.compile(r"\[[0-9]+\]")
# What matters most first: the phase of a box that stands for several task runs.
_WORST: Final = (
    "Failed", "Error", "Timeout", "Suspended", "Running", "Ready", "Created", "Cancelled", "Succeeded", "Skipped",
)


class PlanDocuments(Struct, frozen=True):
    """A plan by what it was compiled from: the workflow, and the templates of other documents that it refers to."""

    digest: str
    name: str
    namespace: str
    version: str | None
    workflow: Json
    library: Sequence[Json]


class PlanNode(Struct, rename="camel", frozen=True, gc=False):
    """A box of the picture. `parent` is the id of the group around it, null at the top; `kind` is task, approval (it waits for
    a person), hook, dag, loop, or workflow (around the entrypoint, where hooks are drawn beside it); `lines`: what is said
    below its title; `titleLines` and `detailLines`: both, folded into lines that fit; `optional`: it has a `when`. The path of
    a hook is its name: `task:main.load:onFailure`."""

    id: int
    parent: int | None
    kind: str
    title: str
    path: str
    lines: list[str]
    optional: bool
    x: int
    y: int
    width: int
    height: int
    title_lines: list[str] = []
    detail_lines: list[str] = []


class PlanEdge(Struct, frozen=True):
    """An arrow between neighbours in a group. `points`: x, top and bottom of a vertical piece in each layer that it passes."""

    source: int
    target: int
    points: list[tuple[int, int, int]]


class PlanLayout(Struct, frozen=True):
    """Where the boxes of a plan lie, in pixels; each comes after the group around it."""

    digest: str
    width: int
    height: int
    nodes: list[PlanNode]
    edges: list[PlanEdge]


def documents_of(plan: Plan) -> PlanDocuments:
    """Give the documents of a plan."""
    snapshot = plan.snapshot if isinstance(plan.snapshot, dict) else {}
    library = snapshot.get("library")
    several = library if isinstance(library, list) else []
    return PlanDocuments(plan.digest, plan.name, plan.namespace, plan.version, snapshot.get("workflow"), several)


def picture_of_run(layout: PlanLayout, report: Report) -> Picture:
    """Make the picture of a run: that of its plan, with what became of each task, in words and as a phase.

    Args:
        layout: of the plan.
        report: of the run.
    """
    found: dict[str, list[TaskReport | HookReport]] = {}
    for task in report.tasks:
        found.setdefault(_ITERATION.sub("[i]", task.path), []).append(task)
    for hook in report.hooks:
        found.setdefault(_ITERATION.sub("[i]", hook.hook), []).append(hook)
    boxes = [
        Box(
            id=node.id,
            parent=-1 if node.parent is None else node.parent,
            kind=node.kind,
            title=node.title,
            lines=list(node.lines),
            tooltip=node.path,
            path=node.path,
            optional=node.optional,
        )
        for node in layout.nodes
    ]
    for box in boxes:
        if box.kind == "workflow":
            box.phase = report.phase
            continue
        _fill(box, found.get(box.path, []), has_ended=report.finished_at is not None)
        if box.parent >= 0:
            boxes[box.parent].children.append(box.id)
    for edge in layout.edges:
        boxes[boxes[edge.source].parent].edges.append((edge.source, edge.target))
    return Picture(f"{report.workflow.name} {report.run_id}: {report.phase}", boxes)


def _fill(box: Box, tasks: Sequence[TaskReport | HookReport], *, has_ended: bool) -> None:
    """Say in a box what became of the task runs that it stands for."""
    counts = Counter(task.phase for task in tasks)
    box.phase = min(counts, key=_WORST.index, default="Created")
    if len(tasks) > 1:
        box.counts = {phase: counts[phase] for phase in _WORST if phase in counts}
    box.lines.append(_became(tasks) or ("did not run" if has_ended else "has not run yet"))


def _became(tasks: Sequence[TaskReport | HookReport]) -> str:
    """`Failed in 1.20s`, or of several iterations `3 Succeeded, 1 Failed`."""
    if len(tasks) != 1:
        counts = Counter(task.phase for task in tasks)
        return ", ".join(f"{counts[phase]} {phase}" for phase in _WORST if phase in counts)
    task = tasks[0]
    if task.started_at is None or task.finished_at is None:
        return task.phase
    took = datetime.fromisoformat(task.finished_at) - datetime.fromisoformat(task.started_at)
    return f"{task.phase} in {duration(took.total_seconds())}"


def lay_out(plan: Plan, depth: int | None = None, open_loops: Collection[str] | None = None) -> PlanLayout:
    """Lay a plan out; for the arguments see `picture`."""
    shown = picture(plan, depth, open_loops)
    placed = place_boxes(shown)
    nodes = [
        PlanNode(
            id=box.id,
            parent=None if box.parent < 0 else box.parent,
            kind=box.kind,
            title=box.title,
            path=box.path,
            lines=box.lines,
            optional=box.optional,
            x=rect.x,
            y=rect.y,
            width=rect.width,
            height=rect.height,
            title_lines=folded(box, rect.width)[0],
            detail_lines=folded(box, rect.width)[1],
        )
        for box, rect in zip(shown.boxes, placed.rects, strict=True)
    ]
    edges = [PlanEdge(arrow.source, arrow.target, arrow.points) for arrow in placed.arrows]
    return PlanLayout(plan.digest, *placed.size, nodes, edges)
