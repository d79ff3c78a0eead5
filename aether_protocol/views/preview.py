"""`--dry-run`: what a run would do, with its inputs bound as far as they are known, and nothing started.

Law: bound as the scheduler binds, from the same sources in the same order; what a task has yet to give is shown by name.
Nothing recurses, and a loop shows one iteration for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from aether_protocol.expressions import Expression, ExpressionError, Name, get_path
from aether_protocol.expressions.values import ABSENT, Absent, Json, has_secret
from aether_protocol.plan.model import (
    Call,
    DagDef,
    InputBinding,
    LoopDef,
    Plan,
    Resources,
    TaskDef,
)
from aether_protocol.plan.placement import Placement, Placements
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.views.text import as_value, one_line

MOST = 10_000  # entries; templates that call templates can stand for billions of tasks
LATER_ROOTS = frozenset({"tasks", "iterator", "loop_iter", "outputs", "phase", "code", "msg", "hook"})


class LaterError(Exception):
    """A value that only the run can tell."""


class PreviewEntry(Struct):
    """One line of the preview. `inputs` are (name, text, known)."""

    path: str
    depth: int
    what: str
    inputs: list[tuple[str, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Scope(Struct):
    """What names mean at one place: None stands for what is not known yet."""

    roots: Mapping[str, Json]
    inputs: Mapping[str, Json]
    later: frozenset[str]
    secret: bool = False

    def item_field(self, field: str) -> Json | Absent:
        raise LaterError(f"item.{field}")

    def __call__(self, name: Name) -> Json | Absent:
        segments = name.segments
        root = segments[0]
        if root in LATER_ROOTS:
            raise LaterError(name.text)
        if root == "inputs" and len(segments) > 2:
            if segments[2] in self.later or segments[1] == "artifacts":
                raise LaterError(name.text)
            return get_path(self.inputs[segments[2]], segments[3:]) if segments[2] in self.inputs else ABSENT  # type: ignore[index]
        if root not in self.roots:
            raise ExpressionError(f"{name.text!r} is not known")
        if root == "workflow":
            if segments[1:2] == ("id",):
                raise LaterError(name.text)
            if segments[1:2] == ("arguments",):
                segments = (root, *segments[2:])
        return get_path(self.roots[root], segments[1:])  # type: ignore[index]


def preview(plan: Plan, header: RunHeader) -> list[PreviewEntry]:
    """All that would be called, in document order. Of `header` its parameters and variables count."""
    workflow = {
        "name": plan.name,
        "namespace": plan.namespace,
        "parameters": header.parameters,
        "createdAt": rfc3339(header.created_at),
        "scheduledTime": None,
    }
    roots = {**header.variables, "workflow": workflow}
    entries: list[PreviewEntry] = []
    placements = Placements(plan)
    stack = [(plan.root, plan.root.name, 0, _Scope(roots, {}, frozenset()), placements.workflow)]
    while stack:
        call, path, depth, scope, around = stack.pop()
        if len(entries) >= MOST:
            entries.append(PreviewEntry("...", 0, "more", notes=[f"only the first {MOST} are shown"]))
            break
        entry = PreviewEntry(path, depth, _what(call))
        inputs, later = _bind(call.inputs, scope, entry)
        _conditions(call, scope, entry)
        entries.append(entry)
        inner = _Scope(roots, inputs, later)
        placed = placements.under(around, call)
        if isinstance(call.target, DagDef):
            stack += [(task, f"{path}.{task.name}", depth + 1, inner, placed) for task in reversed(call.target.tasks)]
        elif isinstance(call.target, LoopDef):
            entry.notes.append(_items(call.target, inner))
            stack.append((call.target.body, f"{path}[i]", depth + 1, inner, placed))
        else:
            entry.notes += _demands(placed.placement, call.target.resources)
    return entries


def task_names(plan: Plan) -> frozenset[str]:
    """The names of all tasks that the plan can run."""
    names: set[str] = set()
    seen: set[int] = set()
    stack = [plan.root]
    while stack:
        call = stack.pop()
        names.add(call.name)
        if id(call.target) in seen:
            continue
        seen.add(id(call.target))
        if isinstance(call.target, DagDef):
            stack.extend(call.target.tasks)
        elif isinstance(call.target, LoopDef):
            stack.append(call.target.body)
    return frozenset(names)


def _what(call: Call) -> str:
    target = call.target
    if isinstance(target, TaskDef):
        return target.executor_type
    return "dag" if isinstance(target, DagDef) else "loop"


def _bind(
    bindings: Sequence[InputBinding], scope: _Scope, entry: PreviewEntry
) -> tuple[dict[str, Json], frozenset[str]]:
    values: dict[str, Json] = {}
    later: set[str] = set()
    for binding in bindings:
        try:
            value, _ = read_sources(binding.sources, scope)
        except LaterError as name:
            later.add(binding.name)
            entry.inputs.append((binding.name, f"<{name}>", False))
            continue
        except ExpressionError as error:
            later.add(binding.name)
            entry.inputs.append((binding.name, f"<cannot be bound: {one_line(error.reason)}>", False))
            continue
        if value is not ABSENT:
            values[binding.name] = value
            text = "***" if has_secret(value) else as_value(value, 100)
            entry.inputs.append((binding.name, text, True))
        elif binding.declared:
            later.add(binding.name)
            entry.inputs.append((binding.name, "<no value>", False))
    return values, frozenset(later)


def _conditions(call: Call, scope: _Scope, entry: PreviewEntry) -> None:
    """What decides whether, when and how often it runs."""
    if call.when is not None:
        try:
            holds = call.when.condition(scope)
            entry.notes.append("when holds" if holds else "skipped: when is false")
        except (LaterError, ExpressionError):
            entry.notes.append(f"when {one_line(call.when.text, 100)}")
    if call.retry is not None and call.retry.limit:
        entry.notes.append(f"up to {call.retry.limit} retries")
    if call.timeout_us is not None:
        entry.notes.append(f"timeout {call.timeout_us / 1e6:g}s")


def _demands(asked: Placement | None, resources: Resources | None) -> list[str]:
    """What it asks of a worker, by all that is around it (RT-136)."""
    found = []
    if asked is not None:
        labels = {"pool": asked.pool, "selector": asked.selector, "prefer": asked.prefer}
        found = [f"{name} {one_line(text, 100)}" for name, text in labels.items() if text]
        if asked.wait_at_most_us is not None:
            found.append(f"waits at most {asked.wait_at_most_us / 1e6:g}s")
    if resources is not None:
        found += [f"{kind} {amount}" for kind in ("cpu", "memory", "gpu") if (amount := getattr(resources, kind)) is not None]
    return ["worker: " + "; ".join(found)] if found else []


def _items(loop: LoopDef, scope: _Scope) -> str:
    if loop.repeat is not None:
        return f"repeats while {one_line(loop.repeat.text, 100)}, {loop.max_iterations} times at most"
    source = loop.items_from if loop.items_from is not None else loop.items
    try:
        if source is None:
            raise LaterError("items")
        items = source.evaluate(scope) if isinstance(source, Expression) else source.resolve(scope)
        if isinstance(items, list):
            return f"{len(items)} iterations, " + _width(loop)
    except (LaterError, ExpressionError):
        pass
    if source is None:
        text: object = "items"
    else:
        text = source.text if isinstance(source, Expression) else source.raw
    return f"for each of {one_line(str(text), 100)}, {_width(loop)}"


def _width(loop: LoopDef) -> str:
    return {0: "all at once", 1: "one by one"}.get(loop.concurrency, f"{loop.concurrency} at once")
