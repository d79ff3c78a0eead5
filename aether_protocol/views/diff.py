"""What differs between two states of runs: two steps of one, or two runs.

Law: pure, from reports in their JSON form. A thing that only one side has is named once, with its phase; ids and instants are
never compared, durations neither: they always differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aether_protocol.expressions.values import Json

RUN_FIELDS = ("phase", "message", "progress")
TASK_FIELDS = ("phase", "message", "retries", "templateName", "templateType")
VALUE_FIELDS = ("inputs", "outputs")

Change = dict[str, Json]
_MISSING: Json = object()


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
