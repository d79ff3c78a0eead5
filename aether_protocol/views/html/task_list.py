"""The tasks of a run on its page: one to unfold each, with its attempts, what went in and out, and the end of its log.

Law: what did not go well stands open; where a run has more than `MOST_TASKS`, that is kept first, and how many others there are
is said. A log shows its last lines, and how many came before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.views.html.page import table, text_of, value_of
from aether_protocol.views.phases import FINE_PHASES, PHASE_MARKS
from aether_protocol.views.report import HookReport, TaskReport
from aether_protocol.views.text import counted, duration
from aether_protocol.views.timeline import TaskTimeline, TimedAttempt

MOST_TASKS: Final = 500
STYLE: Final = """
details.task { border: 1px solid var(--line); border-radius: 8px; margin: 6px 0; padding: 0 12px }
details.task > summary { padding: 7px 0; cursor: pointer; overflow-wrap: anywhere } details.task > div { padding: 0 0 10px }
summary .mark { display: inline-block; width: 1.4em; font-weight: 700 } summary .took { color: var(--soft); margin-left: 8px }
summary .phase { margin-left: 8px } details[id]:target { border-color: var(--ink) }
pre .err { color: var(--bad) } pre .attempt { color: var(--soft); font-weight: 600 }"""
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")


class LogOnPage(Struct):
    """The end of what a task wrote: (attempt, stream, line), oldest first; and how many lines before these are left out."""

    lines: list[tuple[int, str, str]] = field(default_factory=list)
    left_out: int = 0


class TaskOnPage(Struct, frozen=True):
    """A task run or a hook's: its entry of the report, its times, where they are known, and its log."""

    name: str
    entry: TaskReport | HookReport
    times: TaskTimeline | None
    log: LogOnPage | None

    @property
    def kind(self) -> str:
        """task, dag, loop or hook."""
        return self.entry.template_type if isinstance(self.entry, TaskReport) else "hook"


def choose(tasks: Sequence[TaskReport], most: int = MOST_TASKS) -> tuple[list[TaskReport], int]:
    """The tasks that are shown, in their order, and how many others there are."""
    if len(tasks) <= most:
        return list(tasks), 0
    order = sorted(range(len(tasks)), key=lambda number: tasks[number].phase in FINE_PHASES)
    return [tasks[number] for number in sorted(order[:most])], len(tasks) - most


def task_list(tasks: Sequence[TaskOnPage], anchors: Mapping[str, str], waits: Mapping[str, str]) -> list[str]:
    """The elements.

    Args:
        tasks: what is shown.
        anchors: by name the id of its element.
        waits: by name why it has not begun or ended.
    """
    return [_task(task, anchors[task.name], waits.get(task.name)) for task in tasks]


def _task(task: TaskOnPage, anchor: str, waits: str | None) -> str:
    entry = task.entry
    is_open = entry.phase not in FINE_PHASES and task.kind not in ("dag", "loop")
    parts = [
        f'<details class="task" id="{anchor}"{" open" if is_open else ""}><summary>'
        f'<span class="mark {entry.phase}" aria-hidden="true">{PHASE_MARKS.get(entry.phase, "?")}</span>'
        f'<span class="mono">{text_of(task.name)}</span>{_item(entry)}'
        f'<span class="phase {entry.phase}">{text_of(entry.phase)}</span>{_took(entry)}</summary><div>'
    ]
    if entry.message:
        parts.append(f'<pre tabindex="0">{text_of(entry.message)}</pre>')
    if waits:
        parts.append(f"<p>It waits {text_of(waits)}.</p>")
    parts.append(_facts(task))
    if task.times is not None and task.times.attempts:
        rows = map(_attempt, task.times.attempts)
        parts.append("<h3>Attempts</h3>" + table(("No.", "Phase", "Began (UTC)", "Took", "Said"), rows))
    if isinstance(entry, TaskReport):
        parts.append(values("Inputs", entry.inputs))
    parts.append(values("Outputs", entry.outputs))
    parts.append(_log(task.log, entry.message))
    parts.append("</div></details>")
    return "".join(parts)


def _item(entry: TaskReport | HookReport) -> str:
    item = entry.item if isinstance(entry, TaskReport) else None
    return f' <span class="soft">{text_of(item)}</span>' if item else ""


def _took(entry: TaskReport | HookReport) -> str:
    if entry.started_at is None or entry.finished_at is None:
        return ""
    return f'<span class="took">{_between(entry.started_at, entry.finished_at)}</span>'


def _facts(task: TaskOnPage) -> str:
    entry = task.entry
    facts = [("begun (UTC)", instant(entry.started_at)), ("ended (UTC)", instant(entry.finished_at))]
    if isinstance(entry, TaskReport):
        facts.insert(0, ("template", f"{entry.template_name} ({entry.template_type})"))
        facts.append(("retries", str(entry.retries) if entry.retries else ""))
    return described(facts)


def described(facts: Sequence[tuple[str, str]]) -> str:
    """A list of facts, without those that are not known."""
    shown = "".join(f"<dt>{text_of(name)}</dt><dd>{text_of(told)}</dd>" for name, told in facts if told)
    return f"<dl>{shown}</dl>" if shown else ""


def values(title: str, found: Mapping[str, Json]) -> str:
    """Values by name; nothing where there are none."""
    if not found:
        return ""
    shown = "".join(f"<dt>{text_of(name)}</dt><dd>{value_of(value)}</dd>" for name, value in found.items())
    return f"<h3>{title}</h3><dl>{shown}</dl>"


def instant(at: str | None) -> str:
    """`2026-01-31 04:05:06.123`, in UTC."""
    return "" if at is None else at.replace("T", " ").removesuffix("Z").removesuffix("+00:00")[:23]


def _attempt(attempt: TimedAttempt) -> tuple[str, ...]:
    phase = attempt.phase or ("Running" if attempt.started_at else "Ready")
    code = f" (code {attempt.code})" if attempt.code is not None else ""
    lost = f"; lost {counted(attempt.repeats, 'time')} and begun again" if attempt.repeats else ""
    took = _between(attempt.started_at, attempt.ended_at) if attempt.started_at and attempt.ended_at else ""
    shown = f'<span class="{phase}">{PHASE_MARKS.get(phase, "?")} {text_of(phase)}</span>{text_of(code + lost)}'
    began = text_of(instant(attempt.started_at or attempt.dispatched_at))
    return f"#{attempt.number}", shown, began, took, text_of(attempt.message)


def _between(start: str, end: str) -> str:
    return duration(max((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 0))


def _log(log: LogOnPage | None, message: str) -> str:
    if log is None or not (log.lines or log.left_out):
        return ""
    before = f'<p class="soft">{counted(log.left_out, "earlier line")} left out</p>' if log.left_out else ""
    several = len({attempt for attempt, _, _ in log.lines}) > 1
    lines, seen = [], 0
    for attempt, stream, text in log.lines:
        if several and attempt != seen:
            lines.append(f'<span class="attempt">attempt {attempt}</span>')
            seen = attempt
        shown = text_of(_ESCAPES.sub("", text))
        lines.append(f'<span class="err">{shown}</span>' if stream == "stderr" else shown)
    return f'<h3>Log</h3>{before}<pre tabindex="0">{chr(10).join(lines)}</pre>'
