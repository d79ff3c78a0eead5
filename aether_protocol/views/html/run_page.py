"""The page of a run: how it ended and why, its graph, its timeline, its tasks, and what went in and out.

Law: made of what every client can be asked for, masked already; what could not be read is said, and the rest is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.views.graph.picture import Picture
from aether_protocol.views.graph.svg import style_of_graph
from aether_protocol.views.html import task_list, time_chart
from aether_protocol.views.html.page import framed, page, text_of
from aether_protocol.views.html.task_list import LogOnPage, TaskOnPage, choose, described, instant, values
from aether_protocol.views.phases import BROKEN, FINE_PHASES, PHASE_MARKS
from aether_protocol.views.report import Report, TaskReport
from aether_protocol.views.text import counted, duration, one_line
from aether_protocol.views.timeline import TaskTimeline

STYLE = """
header .said { font-size: 16px; font-weight: 600 } ul { margin: 4px 0; padding-left: 20px } li { overflow-wrap: anywhere }
footer { margin-top: 40px; color: var(--soft); font-size: 13px }"""
MOST_REASONS = 20


class PageOfRun(Struct):
    """What is shown of a run.

    Attributes:
        row: of the run.
        made_at: when this was read (RFC 3339).
        report: None where it could not be read.
        picture: its graph, where that is known.
        times: by name, in the order of their making.
        logs: by name.
        parameters: those of the run.
        waits: by path why an attempt waits.
        driven: whether a process drives it; None of one that has ended.
        faults: what could not be read, and why.
    """

    row: RunSummary
    made_at: str
    report: Report | None = None
    picture: Picture | None = None
    times: Mapping[str, TaskTimeline] = field(default_factory=dict)
    logs: Mapping[str, LogOnPage] = field(default_factory=dict)
    parameters: Mapping[str, Json] = field(default_factory=dict)
    waits: Mapping[str, str] = field(default_factory=dict)
    driven: bool | None = None
    faults: list[str] = field(default_factory=list)


def run_page(shown: PageOfRun) -> str:
    """The whole file."""
    tasks, more = _tasks(shown)
    anchors = {task.name: f"task-{number}" for number, task in enumerate(tasks)}
    body = [_header(shown), *_faults(shown), *_reasons(tasks, anchors)]
    if shown.picture is not None:
        body += ["<h2>Graph</h2>", framed(shown.picture)]
    body += _timeline(shown)
    if shown.parameters or (shown.report is not None and shown.report.outputs):
        body.append("<h2>Inputs and outputs</h2>")
        body.append(values("Parameters", shown.parameters))
        body.append(values("Outputs", shown.report.outputs if shown.report is not None else {}))
    if tasks:
        body.append("<h2>Tasks</h2>")
        body += task_list.task_list(tasks, anchors, shown.waits)
    if more:
        all_of_them = f"<code>aether show {text_of(shown.row.run_id)} -o json</code>"
        body.append(f'<p class="soft">{counted(more, "more task")} left out; {all_of_them} has all.</p>')
    body += _rest(shown)
    read = "" if shown.row.closed else f"The run had not ended when this was read, at {text_of(instant(shown.made_at))}. "
    body.append(f"<footer>{read}Times are in UTC.</footer>")
    style = "\n".join([STYLE, style_of_graph("svg.graph"), time_chart.STYLE, task_list.STYLE])
    return page(f"{shown.row.workflow} {shown.row.run_id}: {_phase(shown)}", body, style)


def _phase(shown: PageOfRun) -> str:
    return BROKEN if shown.row.broken is not None else shown.row.phase if shown.report is None else shown.report.phase


def _header(shown: PageOfRun) -> str:
    row, report, phase = shown.row, shown.report, _phase(shown)
    message = report.message if report is not None else row.message
    ended = row.ended_at if report is None or report.finished_at is None else None
    finished = report.finished_at if report is not None else None if ended is None else rfc3339(ended)
    took = "" if report is None or report.duration_seconds is None else duration(report.duration_seconds)
    facts = [
        ("run", row.run_id),
        ("namespace", row.namespace if row.namespace != "default" else ""),
        ("version", row.version or ""),
        ("labels", ", ".join(f"{key}={value}" for key, value in row.labels.items())),
        ("begun (UTC)", instant(rfc3339(row.created_at))),
        ("ended (UTC)", instant(finished)),
        ("took", took),
        ("tasks", _progress(shown)),
        ("retry of", row.retry_of or ""),
        ("trace", row.trace_id or ""),
        ("set aside", f"it broke its engine again and again: {row.broken}" if row.broken is not None else ""),
        ("driven", "by no process" if shown.driven is False and row.broken is None else ""),
    ]
    said = f'<pre tabindex="0">{text_of(message)}</pre>' if message else ""
    mark = PHASE_MARKS.get(phase, "!")
    return (
        f'<header><h1>{text_of(row.workflow)}</h1><p class="said {phase}"><span aria-hidden="true">{mark}</span> '
        f"{text_of(phase)}</p>{said}{described(facts)}</header>"
    )


def _progress(shown: PageOfRun) -> str:
    if shown.report is None:
        return f"{shown.row.leaves_ended} of {shown.row.leaves_known} ended"
    leaves = [task for task in shown.report.tasks if task.template_type == "task"]
    good = sum(task.phase in FINE_PHASES for task in leaves)
    return f"{good} of {shown.report.progress.partition('/')[2]} succeeded"


def _faults(shown: PageOfRun) -> list[str]:
    return [f'<p class="Failed">Not shown: {text_of(fault)}</p>' for fault in shown.faults]


def _tasks(shown: PageOfRun) -> tuple[list[TaskOnPage], int]:
    if shown.report is None:
        return [], 0
    chosen, more = choose(shown.report.tasks)
    tasks = [TaskOnPage(task.path, task, shown.times.get(task.path), shown.logs.get(task.path)) for task in chosen]
    hooks = shown.report.hooks
    return [*tasks, *(TaskOnPage(one.hook, one, shown.times.get(one.hook), shown.logs.get(one.hook)) for one in hooks)], more


def _reasons(tasks: Sequence[TaskOnPage], anchors: Mapping[str, str]) -> list[str]:
    """Links to what went wrong."""
    bad = [task for task in tasks if task.kind in ("task", "hook") and task.entry.phase in ("Failed", "Error", "Timeout")]
    if not bad:
        return []
    lines = []
    for task in bad[:MOST_REASONS]:
        item = task.entry.item if isinstance(task.entry, TaskReport) and task.entry.item else ""
        name = f'<a class="mono" href="#{anchors[task.name]}">{text_of(task.name)}</a> {text_of(item)}'
        why = f": {text_of(one_line(task.entry.message))}" if task.entry.message else ""
        lines.append(f'<li>{name} <span class="{task.entry.phase}">{text_of(task.entry.phase)}</span>{why}</li>')
    left = f'<p class="soft">and {len(bad) - MOST_REASONS} more</p>' if len(bad) > MOST_REASONS else ""
    return [f"<h2>What went wrong</h2><ul>{''.join(lines)}</ul>{left}"]


def _timeline(shown: PageOfRun) -> list[str]:
    order = {task.path: number for number, task in enumerate(shown.report.tasks if shown.report is not None else ())}
    tasks = sorted(shown.times.values(), key=lambda task: (task.hook is not None, order.get(task.path, len(order))))
    chart = time_chart.time_chart(tasks, shown.made_at)
    if not chart:
        return []
    left = len(tasks) - time_chart.MOST_ROWS
    more = [f'<p class="soft">{counted(left, "more task")} left out</p>'] if left > 0 else []
    legend = "Thick: runs, or waits for an answer. Thin: is ready, or is a dag or loop. Dashed: waits for its next attempt."
    frame = f'<div class="scroll" tabindex="0" role="region" aria-label="timeline">{chart}</div>'
    return ["<h2>Timeline</h2>", frame, f'<p class="soft">{legend}</p>', *more]


def _rest(shown: PageOfRun) -> list[str]:
    """What did not run, and notes."""
    report, parts = shown.report, []
    if report is not None and report.not_run:
        verdict = "Did not run" if report.finished_at is not None else "Has not run yet"
        lines = "".join(f'<li class="mono">{text_of(path)}</li>' for path in report.not_run[: task_list.MOST_TASKS])
        left = len(report.not_run) - task_list.MOST_TASKS
        parts.append(f"<h2>{verdict}</h2><ul>{lines}</ul>" + (f'<p class="soft">and {left} more</p>' if left > 0 else ""))
    if report is not None and report.warnings:
        notes = [f"{note.path}: {note.message}" if note.path else note.message for note in report.warnings]
        parts.append(f"<h2>Notes</h2><ul>{''.join(f'<li>{text_of(note)}</li>' for note in notes)}</ul>")
    return parts
