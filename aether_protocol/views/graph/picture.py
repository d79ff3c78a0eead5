"""What a picture of a plan shows: boxes, groups of boxes for dags and loops, and arrows between neighbours in a group.

Law: nothing here recurses, and a plan of any size gives a picture of bounded size: a group that would pass `MAX_BOXES`
or lies deeper than asked for is drawn closed, with what it holds in its label.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

from msgspec import Struct, field

from aether_protocol.expressions import Expression
from aether_protocol.plan.model import Call, DagDef, LoopDef, Plan, TaskDef
from aether_protocol.views.text import counted, one_line

MAX_BOXES: Final = 2_000
LABEL: Final = 40  # characters of a line in a box


class Box(Struct):
    """A task, or a group. `kind` is task, dag or loop; `edges` are pairs of child ids; `optional`: it has a `when`."""

    id: int
    parent: int  # -1: none
    kind: str
    title: str
    lines: list[str]
    tooltip: str
    path: str
    optional: bool = False
    phase: str = ""  # of a run, where one is drawn
    children: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def group(self) -> bool:
        return bool(self.children)


class Picture(Struct):
    """Boxes by id; every box comes after its parent, box 0 is the entrypoint."""

    title: str
    boxes: list[Box]


def picture(plan: Plan, depth: int | None = None, open_loops: Collection[str] | None = None) -> Picture:
    """Choose what to show of a plan.

    Args:
        plan: what is drawn.
        depth: groups nested deeper are drawn closed; None: none are.
        open_loops: paths of the loops that are drawn open; None: all are.
    """
    boxes: list[Box] = []
    queue: deque[tuple[Call, int, int, str]] = deque([(plan.root, 0, 0, plan.root.name)])
    boxes.append(_box(plan.root, 0, -1, plan.root.name))
    while queue:
        call, id_, level, path = queue.popleft()
        calls = _inside(call)
        box = boxes[id_]
        if not calls:
            continue
        is_folded = open_loops is not None and isinstance(call.target, LoopDef) and path not in open_loops
        if is_folded or (depth is not None and level >= depth) or len(boxes) + len(calls) > MAX_BOXES:
            if not is_folded:  # of a loop that is folded its line says what it is
                box.lines.append(f"({counted(len(calls), 'task')} inside)")
            continue
        first = len(boxes)
        for offset, child in enumerate(calls):
            child_path = f"{path}[i]" if isinstance(call.target, LoopDef) else f"{path}.{child.name}"
            boxes.append(_box(child, first + offset, id_, child_path))
            queue.append((child, first + offset, level + 1, child_path))
        box.children = list(range(first, first + len(calls)))
        box.edges = [(first + before, first + at) for at, child in enumerate(calls) for before in child.dependencies]
    return Picture(title=plan.name, boxes=boxes)


def _inside(call: Call) -> tuple[Call, ...]:
    if isinstance(call.target, DagDef):
        return call.target.tasks
    if isinstance(call.target, LoopDef):
        return (call.target.body,)
    return ()


def _box(call: Call, id_: int, parent: int, path: str) -> Box:
    target = call.target
    if isinstance(target, TaskDef):
        kind, lines = "task", [one_line(target.executor_type, LABEL)]
    elif isinstance(target, DagDef):
        kind, lines = "dag", []
    else:
        kind, lines = "loop", [one_line(_loop_line(target), LABEL)]
    if call.when is not None:
        lines.append(one_line(f"when {call.when.text}", LABEL))
    if call.retry is not None and call.retry.limit:
        lines.append(f"retry up to {call.retry.limit}")
    tooltip = path if target.name == call.name else f"{path} (template {target.name})"
    if call.when is not None:
        tooltip += f"\nwhen {call.when.text}"
    return Box(
        id=id_,
        parent=parent,
        kind=kind,
        title=one_line(call.name, LABEL),
        lines=lines,
        tooltip=tooltip,
        path=path,
        optional=call.when is not None,
    )


def _loop_line(loop: LoopDef) -> str:
    if loop.repeat is not None:
        return f"repeat while {loop.repeat.text}"
    width = {0: "all at once", 1: "one by one"}.get(loop.concurrency, f"{loop.concurrency} at once")
    if loop.items is not None and loop.items.literal and isinstance(loop.items.raw, list):
        return f"{counted(len(loop.items.raw), 'item')}, {width}"
    if isinstance(loop.items_from, Expression):
        return f"for each of {loop.items_from.text}, {width}"
    source = loop.items_from if loop.items_from is not None else loop.items
    return f"for each of {source.raw if source is not None else 'items'}, {width}"
