"""One task of a run for people: what went in, what came out, each attempt, and the end of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from aether_protocol.cli.render.logs import tail_lines
from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.times import away, here
from aether_protocol.cli.terminal.streams import say
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import as_value, counted, duration, one_line, printable
from aether_protocol.views.timeline import TimedAttempt

TAIL_LINES = 15


def show_task(task: Mapping[str, Json], attempts: Sequence[TimedAttempt], lines: Sequence[LogLine], now: int) -> None:
    """`task` as a report has it, with `waits`, `workspace`, `below` and `summary`, where there are any."""
    phase = task["phase"]
    click.secho(f"{mark(phase)} {phase}", fg=PHASE_COLORS[phase], bold=True, nl=False)
    item = f"  {task['item']}" if task.get("item") else ""
    click.echo(f"  {printable(task['path'])}{one_line(item)}")
    if task["message"]:
        say(one_line(task["message"], 2000), "  ", further=0)
    for name, text in _head(task):
        say(f"{name + ':':<12} {text}", "  ", further=13)
    for title in ("inputs", "outputs"):
        if task[title]:
            click.echo(f"{title}:")
            for name, value in task[title].items():
                say(f"{printable(name)}: {as_value(value, 500)}", "  ")
    if task.get("summary"):
        click.echo("summary:")
        for line in task["summary"].splitlines():
            click.echo(f"  {printable(line)}".rstrip())
    if attempts:
        click.echo("attempts:")
        for attempt in attempts:
            _attempt(attempt, now, said=task["message"])
    if lines:
        click.echo("log:")
        for line in tail_lines(lines, TAIL_LINES):
            click.echo(f"  | {printable(line)}")


def _head(task: Mapping[str, Json]) -> list[tuple[str, str]]:
    head = [("template", f"{task['templateName']} ({task['templateType']})")] if task.get("templateName") else []
    if task["startedAt"]:
        head.append(("started", here(_us(task["startedAt"]))))
    if task["finishedAt"]:
        took = f" after {duration((_us(task['finishedAt']) - _us(task['startedAt'])) / 1e6)}" if task["startedAt"] else ""
        head.append(("ended", f"{here(_us(task['finishedAt']))}{took}"))
    if task.get("retries"):
        head.append(("retries", str(task["retries"])))
    head += [(name, one_line(task[name], 500)) for name in ("waits", "below", "workspace") if task.get(name)]
    return head


def _attempt(attempt: TimedAttempt, now: int, *, said: str) -> None:
    """A line for it; its message where that does not stand above."""
    phase = attempt.phase or ("Running" if attempt.started_at else "Ready")
    parts = [f"#{attempt.number}", f"{mark(phase)} {phase}", here(_us(attempt.started_at or attempt.dispatched_at))]
    if attempt.started_at and attempt.ended_at:
        parts.append(duration((_us(attempt.ended_at) - _us(attempt.started_at)) / 1e6))
    if attempt.code is not None:
        parts.append(f"code {attempt.code}")
    if attempt.repeats:
        parts.append(f"lost {counted(attempt.repeats, 'time')} and begun again")
    if attempt.due is not None and _us(attempt.due) > now:
        parts.append(f"again {away(_us(attempt.due), now)}")
    if attempt.message and attempt.message != said:
        parts.append(f"- {one_line(attempt.message, 200)}")
    say("  ".join(parts), "  ", color=PHASE_COLORS[phase])


def _us(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000_000)
