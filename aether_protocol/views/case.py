"""A run that has ended as a case (docs/reference/case-files.md): a unit test of its document that does again what the run did.

Law: pure, from the state of the run and the records of its events, in which secrets read `***`. Each attempt answers in the
case as it did in the run, at the same time on the case's virtual clock: that of the log entry which it made, so that what was
concurrent comes in the same order. What no executor decided (timeouts, cancellation) is an attempt that hangs until the engine
ends it once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import TaskDef
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.views.report import Report, make_report

SLOTS: Final = 4  # attempts at once up to which a case need not say how many there may be
_Record = Mapping[str, Any]


class _TaskRun(Struct):
    """What a task run, or a hook's run, did: its attempts as scripts, and when the current one was dispatched."""

    path: str
    template: str
    hook: str | None
    attempts: list[dict[str, Json]] = field(default_factory=list)
    dispatched: int | None = None
    due: int | None = None  # of the retry that is scheduled


class _Course:
    """The events of a run, one after the other, at the instants of the case's clock."""

    def __init__(self, state: RunState) -> None:
        self.began = state.header.created_at
        self.runs: dict[str, _TaskRun] = {}  # by id
        self.drives: list[dict[str, Json]] = []
        self.most = 0  # attempts at once
        self._open = 0
        self._nodes = {node.path: node for node in state.nodes if isinstance(node, TaskNode) and node.hook is None}
        self._now = self.began
        self._last = self.began  # when the last result came
        self._seq = 0
        self._cancelled = False

    def take(self, record: _Record) -> None:
        """Take the next record."""
        if record["seq"] != self._seq:
            self._seq = record["seq"]
            self._now = self._instant(record)
        kind, run = record["kind"], self.runs.get(record.get("id", ""))
        if record["cause"].endswith(":CancelRequested") and not self._cancelled:
            self._cancelled = True
            self.drives.append({"at": _span(self._now - self.began), "cancel": "run"})
        if kind in ("NodeCreated", "HookFired"):
            if record.get("templateType", "task") == "task":
                run = _TaskRun(record["path"], record["templateName"], record.get("hook"))
                self.runs[record["id"]] = run
        elif run is None:
            return
        elif kind == "TaskDispatched":
            run.dispatched = self._now if run.due is None else min(self._now, run.due)
            run.due = None
            self._open += 1
            self.most = max(self.most, self._open)
        elif kind == "TaskResumed":
            resume = {"task": run.path, "payload": record["payload"]}
            self.drives.append({"at": _span(self._now - self.began), "resume": resume})
        elif kind in ("TaskSuspended", "RetryScheduled", "NodeEnded") and run.dispatched is not None:
            run.attempts.append(self._attempt(run, record))
            run.dispatched = None
            self._open -= 1
            run.due = _instant(record["due"]) if kind == "RetryScheduled" else None

    def _instant(self, record: _Record) -> int:
        """When a log entry is made in the case: what came from outside keeps its time and its order, what an engine continues
        with happens at once."""
        if record["cause"].endswith(":Continued"):
            return self._now
        at = _instant(record["at"])
        if record["cause"].endswith((":TaskFinished", ":ResumeRequested", ":CancelRequested")):
            at = self._last = max(at, self._last + 1)
        return at

    def _attempt(self, run: _TaskRun, record: _Record) -> dict[str, Json]:
        kind, code = record["kind"], record.get("code", 1)
        ended_by_engine = record["cause"].startswith("timer:") or record["cause"].endswith(":CancelRequested")
        if kind != "TaskSuspended" and (code is None or ended_by_engine):
            return {"hang": True}
        told: dict[str, Json] = {"suspend": True} if kind == "TaskSuspended" else {"code": code}
        if record["message"]:
            told["message"] = record["message"]
        if record.get("outputs"):
            told["outputs"] = _literal(record["outputs"])
        assert run.dispatched is not None
        if (after := max(self._now - run.dispatched, 0)) > 0:
            told["after"] = _span(after)
        node = self._nodes.get(run.path) if run.hook is None else None
        if code == 0 and node is not None and (files := _files(node.target)):
            told["files"] = files
        return told


def make_case(state: RunState, records: Iterable[_Record], secrets: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """Make the case of a run.

    Args:
        state: of the run, which has ended.
        records: all of its events, in order (`views.event_feed`).
        secrets: name and key of each secret that it has used; the case has other texts in their places.
    """
    course = _Course(state)
    for record in records:
        course.take(record)
    header, plan = state.header, state.plan
    snapshot = plan.snapshot if isinstance(plan.snapshot, dict) else {}
    case: dict[str, Json] = {
        "case": f"{plan.name} does what run {header.run_id} did",
        "now": rfc3339(header.created_at if header.scheduled_time is None else header.scheduled_time),
        "document": snapshot.get("workflow"),
    }
    if library := snapshot.get("library"):
        case["library"] = library
    arguments = {name: value for name, value in header.parameters.items() if redacted({name: value}) == {name: value}}
    words = json.dumps([snapshot.get("workflow"), library])
    variables = {space: dict(values) for space, values in header.variables.items() if f"{space}." in words}
    texts: dict[str, Json] = {}
    for number, (name, key) in enumerate(sorted(secrets), 1):
        texts.setdefault(name, {})[key] = f"a secret text of this case, number {number}"
    given: dict[str, Json] = {"arguments": arguments, "variables": variables, "secrets": texts}
    case |= {name: values for name, values in given.items() if values}
    if course.most > SLOTS:
        case["concurrency"] = course.most
    scripts = [*_reused(state), *_of_tasks(course)]
    hooks, alike = _of_hooks(course)
    if scripts or hooks:
        case["executors"] = [*scripts, *hooks]
    if course.drives:
        case["drive"] = course.drives
    case["expect"] = _expect(make_report(state), alike, retried=bool(header.reused))
    return case


def _of_tasks(course: _Course) -> list[Json]:
    found = [run for run in course.runs.values() if run.hook is None and run.attempts]
    return [{"match": {"path": run.path}, "attempts": run.attempts} for run in found]


def _of_hooks(course: _Course) -> tuple[list[Json], bool]:
    """Scripts of the hooks, by template, and whether all runs of each template did the same."""
    found: dict[str, list[dict[str, Json]]] = {}
    alike = True
    for run in course.runs.values():
        if run.hook is not None and run.attempts:
            before = found.setdefault(run.template, run.attempts)
            alike = alike and [_verdict(one) for one in before] == [_verdict(one) for one in run.attempts]
    return [{"match": {"template": name}, "attempts": attempts} for name, attempts in found.items()], alike


def _verdict(attempt: Mapping[str, Json]) -> Json:
    return {name: attempt.get(name) for name in ("code", "hang", "message")}


def _reused(state: RunState) -> list[Json]:
    """Scripts of what a retry took over from the run before: there is no such run in the case."""
    scripts: list[Json] = []
    for path, record in (state.header.reused or {}).items():
        node = state.find(path)
        if isinstance(node, TaskNode) and record["phase"] == "Succeeded":
            attempt: dict[str, Json] = {"code": 0}
            for name in ("message", "outputs"):
                if value := redacted({name: record[name]})[name]:
                    attempt[name] = _literal(value) if name == "outputs" else value
            if files := _files(node.target):
                attempt["files"] = files
            scripts.append({"match": {"path": path}, "attempts": [attempt]})
    return scripts


def _files(target: TaskDef) -> dict[str, Json]:
    """Files in the places of the output artifacts of a task: what these held is not in a case."""
    return {one.path: f"artifact {one.name}\n" for one in target.artifacts if one.path}


def _expect(report: Report, alike: bool, *, retried: bool) -> dict[str, Json]:
    """What the run came to. Hooks of a retry that took something over are left out: those of what it took over did not fire."""
    tasks: dict[str, Json] = {}
    for task in report.tasks:
        told: dict[str, Json] = {"phase": task.phase}
        if task.retries:
            told["retries"] = task.retries
        if task.outputs:
            told["outputs"] = task.outputs
        tasks[task.path] = told
    expect: dict[str, Json] = {"phase": report.phase}
    if report.message and report.phase != "Cancelled":  # the reason is not in a case
        expect["message"] = report.message
    expect |= {"outputs": report.outputs, "tasks": tasks, "notRun": list(report.not_run)}
    if not retried:
        expect["hooks"] = [{"hook": one.hook, "phase": one.phase} if alike else one.hook for one in report.hooks]
    return expect


def _literal(value: Json) -> Json:
    """Outputs as a script gives them back: braces in text would be filled in."""
    if isinstance(value, str):
        return value.replace("{{", "{{{{") if "{{" in value else value
    if isinstance(value, Mapping):
        return {name: _literal(inner) for name, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value


def _instant(text: str) -> int:
    """An instant of a record, in microseconds since the epoch."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _span(microseconds: int) -> str:
    """A duration as documents write it, to the microsecond."""
    seconds, rest = divmod(microseconds, SECOND)
    return f"{seconds}.{rest:06d}".rstrip("0").rstrip(".") + "s"
