"""What a picture of a plan shows: boxes, groups of boxes for dags and loops, and arrows between neighbours in a group.

Law: nothing here recurses, and a plan of any size gives a picture of bounded size: a group that would pass `MAX_BOXES`
or lies deeper than asked for is drawn closed, with what it holds in its label.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

from aether_protocol.expressions import Expression
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Call, DagDef, HookEvent, LoopDef, Plan, TaskDef
from aether_protocol.views.text import counted, one_line

MAX_BOXES: Final = 2_000
TEXT: Final = 300  # characters of a text in a box; more is not kept
GROUPS: Final = frozenset({"dag", "loop", "workflow"})
# What is said of a task besides what carries it out: the field of its config, by type.
_TOLD: Final = {"await": "message", "sleep": "duration"}


class Box(Struct):
    """A task, or a group.

    Attributes:
        kind: task, approval (it waits for a person), hook, dag, loop, or workflow (what its hooks are drawn beside).
        lines: what is said below its title, each on one line.
        optional: it has a `when`.
        phase: of a run, where one is drawn; `counts` by phase where it stands for several task runs.
        edges: pairs of children.
    """

    id: int
    parent: int  # -1: none
    kind: str
    title: str
    lines: list[str]
    tooltip: str
    path: str
    optional: bool = False
    phase: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def group(self) -> bool:
        return bool(self.children)


class Picture(Struct):
    """Boxes by id; every box comes after its parent, box 0 is the entrypoint or, where it or the workflow has hooks, the
    workflow around it."""

    title: str
    boxes: list[Box]


class _Open(NamedTuple):
    """A box that may be drawn with what is in it."""

    call: Call
    id: int
    level: int
    path: str


def picture(plan: Plan, depth: int | None = None, open_loops: Collection[str] | None = None) -> Picture:
    """Choose what to show of a plan.

    Args:
        plan: what is drawn.
        depth: groups nested deeper are drawn closed; None: none are.
        open_loops: paths of the loops that are drawn open; None: all are.
    """
    boxes = _outermost(plan)
    root = next(box.id for box in boxes if box.path == plan.root.name)
    queue = deque([_Open(plan.root, root, 0, plan.root.name)])
    while queue:
        call, id_, level, path = queue.popleft()
        calls = _inside(call)
        box = boxes[id_]
        if not calls:
            continue
        is_folded = open_loops is not None and isinstance(call.target, LoopDef) and path not in open_loops
        hooked = sum(len(child.hooks) for child in calls)
        if is_folded or (depth is not None and level >= depth) or len(boxes) + len(calls) + hooked > MAX_BOXES:
            if not is_folded:  # of a loop that is folded its line says what it is
                box.lines.append(f"({counted(len(calls), 'task')} inside)")
            continue
        first = len(boxes)
        for offset, child in enumerate(calls):
            child_path = f"{path}[i]" if isinstance(call.target, LoopDef) else f"{path}.{child.name}"
            boxes.append(_box(child, first + offset, id_, child_path))
            queue.append(_Open(child, first + offset, level + 1, child_path))
        box.children = list(range(first, first + len(calls)))
        box.edges = [(first + before, first + at) for at, child in enumerate(calls) for before in child.dependencies]
        for offset, child in enumerate(calls):
            _add_hooks(boxes, child.hooks, f"task:{boxes[first + offset].path}", first + offset, box)
    return Picture(title=plan.name, boxes=boxes)


def _outermost(plan: Plan) -> list[Box]:
    """The box of the entrypoint, and what is around it where there are hooks."""
    root = plan.root
    if not plan.hooks and not root.hooks:
        return [_box(root, 0, -1, root.name)]
    name = plan.name
    around = Box(id=0, parent=-1, kind="workflow", title=name, lines=[], tooltip=name, path="", children=[1])
    boxes = [around, _box(root, 1, 0, root.name)]
    _add_hooks(boxes, root.hooks, f"task:{root.name}", 1, around)
    _add_hooks(boxes, plan.hooks, "workflow", 1, around)
    return boxes


def _add_hooks(boxes: list[Box], hooks: Mapping[HookEvent, Call], of: str, owner: int, group: Box) -> None:
    """Draw hooks beside the box that they belong to."""
    for event, call in hooks.items():
        path = f"{of}:{event}"
        title = f"{'workflow ' if of == 'workflow' else ''}{event}"
        first, *more = _told(call) or [call.kind.name.lower()]
        lines = [one_line(f"{call.name}: {first}", TEXT), *more]
        group.children.append(len(boxes))
        group.edges.append((owner, len(boxes)))
        hook = Box(
            id=len(boxes), parent=group.id, kind="hook", title=title, lines=lines, tooltip=f"hook {path}", path=path,
            optional=call.when is not None,
        )
        boxes.append(hook)


def _inside(call: Call) -> tuple[Call, ...]:
    if isinstance(call.target, DagDef):
        return call.target.tasks
    if isinstance(call.target, LoopDef):
        return (call.target.body,)
    return ()


def _box(call: Call, id_: int, parent: int, path: str) -> Box:
    target = call.target
    kind = "dag" if isinstance(target, DagDef) else "loop" if isinstance(target, LoopDef) else "task"
    if isinstance(target, TaskDef) and (target.executor_type == "await" or _setting(target, "suspend") is True):
        kind = "approval"
    tooltip = path if target.name == call.name else f"{path} (template {target.name})"
    if call.when is not None:
        tooltip += f"\nwhen {call.when.text}"
    return Box(
        id=id_, parent=parent, kind=kind, title=one_line(call.name, TEXT), lines=_told(call), tooltip=tooltip, path=path,
        optional=call.when is not None,
    )


def _told(call: Call) -> list[str]:
    """What is said of a call."""
    target = call.target
    lines = []
    if isinstance(target, TaskDef):
        told = _setting(target, _TOLD.get(target.executor_type, ""))
        lines.append(one_line(f"{target.executor_type}{': ' if told else ''}{told or ''}", TEXT))
    elif isinstance(target, LoopDef):
        lines.append(one_line(_loop_line(target), TEXT))
    if call.when is not None:
        lines.append(one_line(f"when {call.when.text}", TEXT))
    if call.retry is not None and call.retry.limit:
        lines.append(f"retry up to {call.retry.limit}")
    ends = [name for name, goes_on in _tolerated(call) if goes_on]
    if ends:
        lines.append(f"continues on {', '.join(ends)}")
    return lines


def _tolerated(call: Call) -> Iterator[tuple[str, bool]]:
    """After which ends of a task the others go on, as its own call says."""
    ends = call.continue_on
    if ends is not None:
        yield from (("Failed", ends.failed), ("Error", ends.error), ("Timeout", ends.timeout))


def _setting(task: TaskDef, name: str) -> Json:
    """A field of the config of a task, as the document has it."""
    return task.config.raw.get(name) if isinstance(task.config.raw, dict) else None


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
