"""What differs between two states of runs: two steps of one, or two runs.

Law: pure, from reports in their JSON form. A thing that only one side has is named once, with its phase; ids and instants are
never compared. Durations stand beside what differs and count for nothing: they always differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.views.yaml_text import to_yaml

RUN_FIELDS = ("phase", "message", "progress")
TASK_FIELDS = ("phase", "message", "retries", "templateName", "templateType")
VALUE_FIELDS = ("inputs", "outputs")

Change = dict[str, Json]
_MISSING: Json = object()


class TaskDurations(Struct, frozen=True, gc=False):
    """How long a task took in each of two runs, in seconds; None: it did not run there, or has not ended."""

    path: str
    before: float | None
    after: float | None


def differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Change]:
    """`{path, field, before, after}` of everything that differs: the run's own first (path is empty), then task by task.

    A side that is missing has no such key.
    """
    found = [*_fields("", before, after, RUN_FIELDS), *_values("", "outputs", before["outputs"], after["outputs"])]
    if before["workflow"] != after["workflow"]:
        found.insert(0, _change("", "workflow", before["workflow"], after["workflow"]))
    ours, theirs = _by_path(before), _by_path(after)
    for path in [*ours, *(path for path in theirs if path not in ours)]:
        here, there = ours.get(path), theirs.get(path)
        if here is None or there is None:
            sides = {name: task["phase"] for name, task in (("before", here), ("after", there)) if task is not None}
            found.append({"path": path, "field": "phase", **sides})
            continue
        found += _fields(path, here, there, TASK_FIELDS)
        for name in VALUE_FIELDS:
            found += _values(path, name, here.get(name, {}), there.get(name, {}))
    return found


def parameter_differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Change]:
    """The same of two runs' parameters."""
    return list(_values("", "parameters", before, after))


def durations(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[TaskDurations]:
    """How long the leaves of two runs took, by path: those of the first in document order, then what only the second has."""
    ours, theirs = _times(before), _times(after)
    paths = dict.fromkeys((*ours, *theirs))
    return [TaskDurations(path, ours.get(path), theirs.get(path)) for path in paths]


def _times(report: Mapping[str, Json]) -> dict[str, float]:
    return {
        task["path"]: (datetime.fromisoformat(task["finishedAt"]) - datetime.fromisoformat(task["startedAt"])).total_seconds()
        for task in report["tasks"]
        if task["templateType"] == "task" and task["startedAt"] and task["finishedAt"]
    }


def document_difference(before: Sequence[Json], after: Sequence[Json]) -> list[str]:
    """The lines of a unified diff of the documents of two runs, as YAML. Those of one kind and name belong together."""
    from difflib import unified_diff  # rarely asked for, and its import is a millisecond

    ours, theirs = _named(before), _named(after)
    found: list[str] = []
    for name in dict.fromkeys((*ours, *theirs)):
        old, new = ours.get(name, ""), theirs.get(name, "")
        if old != new:
            found += unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="")
    return found


def _named(documents: Sequence[Json]) -> dict[str, str]:
    """Documents as text, by what they are called; the workflow comes first, whatever its name is."""
    found: dict[str, str] = {}
    for index, document in enumerate(documents):
        metadata = document.get("metadata", {})
        name = f"{metadata.get('namespace', 'default')}/{metadata.get('name', index)}"
        found["workflow" if not index else f"{document.get('kind', 'document')} {name}"] = to_yaml(document)
    return found


def _by_path(report: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Task runs and hook runs; the n-th run of one hook is that of the other side."""
    found: dict[str, Mapping[str, Json]] = {task["path"]: task for task in report["tasks"]}
    for hook in report["hooks"]:
        name, number = hook["hook"], 2
        while name in found:
            name, number = f"{hook['hook']}#{number}", number + 1
        found[name] = hook
    return found


def _fields(path: str, before: Mapping[str, Json], after: Mapping[str, Json], names: tuple[str, ...]) -> Iterator[Change]:
    for name in names:
        if before.get(name) != after.get(name):
            yield _change(path, name, before.get(name), after.get(name))


def _values(path: str, group: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, _MISSING), after.get(name, _MISSING)
        if old is _MISSING or new is _MISSING or old != new or type(old) is not type(new):
            yield _change(path, f"{group}.{name}", old, new)


def _change(path: str, field: str, before: Json, after: Json) -> Change:
    change: Change = {"path": path, "field": field}
    if before is not _MISSING:
        change["before"] = before
    if after is not _MISSING:
        change["after"] = after
    return change
