"""The rules over several fields that JSON Schema cannot express: names that stand twice, bounds that depend on each other.

Law: the cost is one look at each list; a list of one entry, which most are, costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from aether_protocol.documents.messages import Path
from aether_protocol.documents.models._structs import (
    Arguments,
    CronWorkflow,
    CronWorkflowSpec,
    Dag,
    Inputs,
    Loop,
    Outputs,
    Task,
    TemplateSpec,
    Workflow,
    WorkflowTemplate,
)

_OWN_NAMES: Final = "give each its own name"
_SPEC: Final[Path] = ("spec",)
_BRANCHES: Final = ("dag", "task", "loop")


class Problem(Struct, frozen=True):
    """A fault that spans fields: where, in the document's spelling."""

    path: Path
    code: str
    message: str
    hint: str | None = None


def problems(model: Workflow | CronWorkflow | WorkflowTemplate) -> Iterator[Problem]:
    """All faults of this kind in a document."""
    spec, base = model.spec, _SPEC
    if isinstance(spec, CronWorkflowSpec):
        yield from _cron(spec)
        spec, base = spec.workflow_spec, (*_SPEC, "workflowSpec")
    yield from _lists(spec.arguments, base, "arguments")
    templates = spec.templates or ()
    yield from _same_template(templates, base)
    for index, template in enumerate(templates):
        for branch in _BRANCHES:
            content: Dag | Task | Loop | None = getattr(template, branch)
            if content is not None:
                yield from _content(content, (*base, "templates", index, branch))


def _content(content: Dag | Task | Loop, path: Path) -> Iterator[Problem]:
    """The faults of one template."""
    yield from _lists(content.inputs, path, "inputs")
    yield from _lists(content.outputs, path, "outputs")
    if not isinstance(content, Dag):
        yield from _lists(content.arguments, path, "arguments")
        if isinstance(content, Loop):
            yield from _loop(content, path)
        return
    yield from _twice([task.name for task in content.tasks], (*path, "tasks"), "task")
    for index, task in enumerate(content.tasks):
        if task.arguments is not None:
            yield from _lists(task.arguments, path, "tasks", index, "arguments")
        if task.executor is not None:
            yield from _lists(task.inputs, path, "tasks", index, "inputs")
            yield from _lists(task.outputs, path, "tasks", index, "outputs")


def _lists(given: Inputs | Outputs | Arguments | None, base: Path, *below: str | int) -> Iterable[Problem]:
    if given is None or (len(given.parameters) < 2 and len(given.artifacts) < 2):
        return ()  # most lists: a big document has thousands of them
    path = (*base, *below)
    return (
        *_twice([entry.name for entry in given.parameters], (*path, "parameters"), "parameter"),
        *_twice([entry.name for entry in given.artifacts], (*path, "artifacts"), "artifact"),
    )


def _twice(names: Sequence[str], path: Path, noun: str) -> Iterator[Problem]:
    """Names that an earlier entry of the list at `path` has already."""
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if (first := seen.setdefault(name, index)) != index:
            message = f"{noun} name {name!r} is already taken by {path[-1]}[{first}]"
            yield Problem((*path, index, "name"), "AE130", message, _OWN_NAMES)


def _same_template(templates: Sequence[TemplateSpec], base: Path) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, template in enumerate(templates):
        for branch in _BRANCHES:
            if (content := getattr(template, branch)) is None:
                continue
            if (first := seen.setdefault(content.name, index)) != index:
                message = f"template name {content.name!r} is already taken by templates[{first}]"
                yield Problem((*base, "templates", index, branch, "name"), "AE130", message, _OWN_NAMES)


def _loop(loop: Loop, path: Path) -> Iterator[Problem]:
    if isinstance(loop.items, list) and loop.max_iterations is not None and len(loop.items) > loop.max_iterations:
        message = f"{len(loop.items)} items exceed maxIterations {loop.max_iterations}"
        yield Problem((*path, "items"), "AE132", message, "raise maxIterations or give fewer items")


def _cron(spec: CronWorkflowSpec) -> Iterator[Problem]:
    instants: list[datetime] = []
    for field, text in (("startAt", spec.start_at), ("endAt", spec.end_at)):
        if text is None:
            continue
        try:
            instant = datetime.fromisoformat(text.upper())
        except ValueError:
            yield Problem(("spec", field), "AE133", f"{text!r} is not a day of the calendar")
            continue
        if instant.tzinfo is not None:  # without an offset its form was reported already
            instants.append(instant)
    if len(instants) == 2 and instants[1] <= instants[0]:
        yield Problem(("spec", "endAt"), "AE134", f"endAt {spec.end_at!r} is not after startAt {spec.start_at!r}")
    if not _zone_exists(spec.timezone):
        message = f"{spec.timezone!r} is not a time zone"
        yield Problem(("spec", "timezone"), "AE124", message, "give an IANA name such as Europe/Vienna")


def _zone_exists(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database, as this machine has it; one without zones refuses none."""
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only schedules in other zones pay for it

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return not _any_zone()
    return True


def _any_zone() -> bool:
    from zoneinfo import available_timezones

    return bool(available_timezones())
