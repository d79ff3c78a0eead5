"""Names that a case may use for what its document holds: a script or a drive entry that names nothing is a fault.

Law: read from the plan alone, before anything runs. Iterations stand here as index 0, whatever index a case names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import Call, DagDef, LoopDef, Plan, TaskDef
from aether_protocol.testing.cases.fields import near
from aether_protocol.testing.cases.model import Case, CaseFault, Match, Path, Script
from aether_protocol.testing.scripted import Scripts, path_pattern

_INDEX: Final = re.compile(r"\[\d+\]")


class Place(Struct, frozen=True):
    """A place of the plan where a task run can be made; a hook's has neither task nor path. Containers have no type."""

    type: str | None
    template: str
    task: str | None
    path: str | None


def _calls(plan: Plan) -> Iterator[tuple[Call, str | None]]:
    """All calls of the plan with their paths; hooks, at the end, have none."""
    todo: list[tuple[Call, str]] = [(plan.root, plan.root.name)]
    hooks = list(plan.hooks.values())
    while todo:
        call, path = todo.pop()
        yield call, path
        hooks.extend(call.hooks.values())
        target = call.target
        if isinstance(target, DagDef):
            todo.extend((child, f"{path}.{child.name}") for child in target.tasks)
        elif isinstance(target, LoopDef):
            todo.append((target.body, f"{path}[0]"))
    for hook in hooks:
        yield hook, None


def places(plan: Plan) -> Iterator[Place]:
    """All places of the plan, hooks among them."""
    for call, path in _calls(plan):
        type_ = call.target.executor_type if isinstance(call.target, TaskDef) else None
        yield Place(type_, call.target.name, call.name if path is not None else None, path)


def unscripted(plan: Plan, types: Collection[str], scripts: Sequence[Script]) -> bool:
    """Whether some task has an executor type that is not among `types`, and no script."""
    first = Scripts([replace(script, match=_first(script.match)) for script in scripts])
    return any(
        place.type is not None
        and place.type not in types
        and first.find(place.type, place.template, place.task, place.path) is None
        for place in places(plan)
    )


def _first(match: Match) -> Match:
    """A match as it reads for the first iteration of every loop."""
    return match if match.path is None else replace(match, path=_INDEX.sub("[0]", match.path))


def used_types(plan: Plan) -> set[str]:
    """All executor types that the plan uses."""
    return {place.type for place in places(plan) if place.type is not None}


def touches_files(plan: Plan, types: Mapping[str, ExecutorType]) -> bool:
    """Whether a run may write files: it has artifacts, or programs that are started in the working directory."""
    return any(
        call.artifacts
        or (isinstance(call.target, TaskDef) and (call.target.artifacts or types[call.target.executor_type].files))
        for call, _ in _calls(plan)
    )


def unknown_names(case: Case, plan: Plan, types: Collection[str]) -> list[CaseFault]:
    """Names in `executors` and `drive` that nothing in the plan has."""
    if not case.scripts and not case.drive:
        return []
    all_places = list(places(plan))
    paths = {place.path for place in all_places if place.path is not None}
    leaves = {place.path for place in all_places if place.path is not None and place.type is not None}
    tasks = {place.task for place in all_places if place.task is not None and place.type is not None}
    templates = {place.template for place in all_places if place.type is not None}
    used = {place.type for place in all_places if place.type is not None} | set(types)
    faults: list[CaseFault] = []

    def ask(path: Path, noun: str, name: str | None, known: Collection[str]) -> None:
        if name is not None and name not in known:
            faults.append(case.fault(path, f"the document has no {noun} {name!r}", near(name, known)))

    for script in case.scripts:
        match = script.match
        here = (*script.path, "match")
        ask((*here, "task"), "task", match.task, tasks)
        ask((*here, "template"), "task template", match.template, templates)
        ask((*here, "type"), "executor type", match.type, used)
        if match.path is not None:
            pattern = path_pattern(_INDEX.sub("[0]", match.path))
            if not any(pattern.fullmatch(path) for path in leaves):
                ask((*here, "path"), "task at", match.path, leaves)
    for drive in case.drive:
        if drive.action in ("resume", "duplicate"):
            name = drive.argument["task"] if drive.action == "resume" else drive.argument
            # Who says why a resume is refused may name a task that does not exist; a bare `true` could hide a slip.
            if _INDEX.sub("[0]", name) not in paths and drive.refused in (None, True):
                ask((*drive.path, drive.action), "task at", name, paths)
        elif drive.action == "retry" and "from" in drive.argument and drive.refused in (None, True):
            name = drive.argument["from"]
            if _INDEX.sub("[0]", name) not in paths:
                ask((*drive.path, drive.action, "from"), "task at", name, paths)
    return faults
