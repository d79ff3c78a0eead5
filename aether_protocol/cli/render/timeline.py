"""A run as a timeline: a line for each task, with a bar from its start to its end.

Law: a line is never wider than the terminal; without one it has 100 columns. Every kind of stretch has a shape of its own, so
that no colour is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click

from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.times import here
from aether_protocol.cli.terminal.streams import say, shows, terminal_columns
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import cells, counted, cut, duration, one_line
from aether_protocol.views.timeline import TaskTimeline

USUAL_COLUMNS: Final = 100
LEAST_NAME: Final = 20  # columns of a name, so that the items of a loop differ
MOST_LINES: Final = 200
# What a stretch looks like, and where an encoding lacks that; of a dag or loop `inside`.
SHAPES: Final = {
    "Ready": ("░", "."), "Running": ("█", "#"), "Suspended": ("‖", "="), "retry": ("~", "~"), "Created": (" ", " "),
    "inside": ("─", "-"),
}
LEGEND: Final = (("Running", "runs"), ("Ready", "ready"), ("retry", "waits for a retry"), ("Suspended", "suspended"))


def show_timeline(tasks: Sequence[TaskTimeline], now: str) -> None:
    """Print the lines, in document order; `now` is the end of what is open."""
    shown = [task for task in tasks if task.stretches][:MOST_LINES]
    if not shown:
        click.echo("nothing has begun")
        return
    first = min(_us(task.stretches[0].start) for task in shown)
    last = max(max(_us(stretch.end or now) for stretch in task.stretches) for task in shown)
    columns = terminal_columns() or USUAL_COLUMNS
    names = [f"{'  ' * task.depth}{mark(task.phase)} {_name(task)}" for task in shown]
    width = min(max(map(cells, names)), max(columns // 3, LEAST_NAME))
    room = max(columns - width - 11, 8)
    say(f"{here(first)} {counted_span(first, last)}", further=2)
    for task, name in zip(shown, names, strict=True):
        head = cut(name, width)
        begun = next((stretch.start for stretch in task.stretches if stretch.phase != "Created"), None)
        took = "" if begun is None else duration(max(_us(task.stretches[-1].end or now) - _us(begun), 0) / 1e6)
        click.secho(head + " " * (width - cells(head)), fg=PHASE_COLORS[task.phase], nl=False)
        click.echo(f"  {_bar(task, first, max(last - first, 1), room, now)} {took:>7}".rstrip())
    if len(tasks) > len(shown):
        click.echo(f"({counted(len(tasks) - len(shown), 'more task')}; 'aether events' has them all)")
    say("  ".join(f"{_shape(kind)} {text}" for kind, text in LEGEND), further=0)


def counted_span(first: int, last: int) -> str:
    """How long it is from the first column to the last."""
    return f"to {here(last)} ({duration((last - first) / 1e6)})"


def _name(task: TaskTimeline) -> str:
    name = task.hook or task.path.rpartition(".")[2]
    return one_line(f"{name}{' ' if task.item else ''}{task.item or ''}", 60)


def _bar(task: TaskTimeline, first: int, length: int, room: int, now: str) -> str:
    cells_of = [" "] * room
    for stretch in task.stretches:
        kind = "retry" if stretch.waits else stretch.phase
        if kind not in SHAPES or kind == "Created":
            continue
        if task.kind != "task":
            kind = "inside"
        begin = min(room * (_us(stretch.start) - first) // length, room - 1)
        end = min(max(-(-room * (_us(stretch.end or now) - first) // length), begin + 1), room)
        cells_of[begin:end] = _shape(kind) * (end - begin)
    return "".join(cells_of)


def _shape(kind: str) -> str:
    shape, plain = SHAPES[kind]
    return shape if shows(shape, err=False) else plain


def _us(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000_000)
