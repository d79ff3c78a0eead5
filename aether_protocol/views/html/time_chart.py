"""When each task of a run was ready, ran and waited, as SVG.

Law: without a style sheet it is still to be read; every kind of stretch has a height or a line of its own, so that no colour is
needed. At most `MOST_ROWS` rows; how many more there are is said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from aether_protocol.views.html.page import text_of
from aether_protocol.views.text import cells, cut, duration
from aether_protocol.views.timeline import PhaseStretch, TaskTimeline

MOST_ROWS: Final = 200
# Pixels: of everything, of a row, of a character, of the widest names, and of what stands right of the bars.
WIDTH, ROW, CHAR, NAMES, TIMES = 1080, 22, 7, 340, 76
TICKS: Final = 6
INDENT: Final = 14
STYLE: Final = """
svg.chart { width: 100%; min-width: 720px; height: auto; padding: 6px 10px }
svg.chart text { fill: var(--ink); font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
svg.chart .axis { fill: var(--soft) } svg.chart line { stroke: var(--line) } svg.chart rect { fill: var(--busy) }
svg.chart .ready, svg.chart .inside { fill: var(--soft); opacity: .55 } svg.chart .Suspended { fill: var(--asks) }
svg.chart .retry { fill: none; stroke: var(--asks); stroke-dasharray: 3 3 }
svg.chart .Succeeded { fill: var(--good) } svg.chart .Failed, svg.chart .Error, svg.chart .Timeout { fill: var(--bad) }
svg.chart .Cancelled { fill: var(--off) } svg.chart .Skipped { fill: var(--idle) }"""


def time_chart(tasks: Sequence[TaskTimeline], now: str) -> str:
    """The drawing; empty where nothing has begun.

    Args:
        tasks: in the order of the rows.
        now: the end of what is open.
    """
    shown = [task for task in tasks if _begun(task) is not None][:MOST_ROWS]
    if not shown:
        return ""
    first = min(_us(task.stretches[0].start) for task in shown)
    last = max(max(_us(stretch.end or now) for stretch in task.stretches) for task in shown)
    names = [_name(task) for task in shown]
    left = min(max(cells(name) * CHAR + task.depth * INDENT for task, name in zip(shown, names, strict=True)) + 20, NAMES)
    place = _Place(first, max(last - first, 1), left)
    height = 24 + ROW * len(shown) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="timeline of the run">'
    ]
    for tick in range(TICKS):
        x = left + (WIDTH - TIMES - left) * tick / (TICKS - 1)
        told = duration((last - first) / 1e6 * tick / (TICKS - 1))
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{height}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="12" text-anchor="middle">{told}</text>')
    for index, (task, name) in enumerate(zip(shown, names, strict=True)):
        y = 24 + ROW * index
        x = min(task.depth * INDENT, left // 2)
        parts.append(f'<text x="{x}" y="{y + 15}">{text_of(cut(name, (left - 20 - x) // CHAR))}</text>')
        parts += [place.bar(task, stretch, y, now) for stretch in task.stretches]
        took = _us(task.stretches[-1].end or now) - _us(_begun(task) or now)
        parts.append(f'<text x="{WIDTH}" y="{y + 15}" text-anchor="end">{duration(max(took, 0) / 1e6)}</text>')
    parts.append("</svg>")
    return "\n".join(parts)


class _Place:
    """Where instants lie on the drawing."""

    def __init__(self, first: int, length: int, left: int) -> None:
        self._first = first
        self._length = length
        self._left = left

    def bar(self, task: TaskTimeline, stretch: PhaseStretch, y: int, now: str) -> str:
        """One stretch of a task; nothing of those that say nothing."""
        kind = "retry" if stretch.waits else stretch.phase
        if kind == "Created" or (kind not in ("retry", "Ready", "Running", "Suspended")):
            return ""
        x, end = self._at(stretch.start), self._at(stretch.end or now)
        css = {"Ready": "ready"}.get(kind, kind)
        if kind == "Running":
            css = _outcome(task, stretch)
        top, height = (y + 9, 4) if kind in ("Ready", "retry") else (y + 4, 14)
        if task.kind != "task":
            css, top, height = "inside", y + 9, 4
        took = duration((_us(stretch.end or now) - _us(stretch.start)) / 1e6)
        told = f"{'waits for a retry' if kind == 'retry' else kind} {took}"
        return (
            f'<rect class="{css}" x="{x:.1f}" y="{top}" width="{max(end - x, 1.5):.1f}" height="{height}" rx="2">'
            f"<title>{text_of(told)}</title></rect>"
        )

    def _at(self, instant: str) -> float:
        return self._left + (WIDTH - TIMES - self._left) * (_us(instant) - self._first) / self._length


def _outcome(task: TaskTimeline, stretch: PhaseStretch) -> str:
    """How the attempt ended that ran in a stretch."""
    ended = (attempt.phase for attempt in task.attempts if attempt.ended_at is not None and attempt.ended_at == stretch.end)
    return next(ended, None) or "Running"


def _begun(task: TaskTimeline) -> str | None:
    return next((stretch.start for stretch in task.stretches if stretch.phase != "Created"), None)


def _name(task: TaskTimeline) -> str:
    name = task.hook or task.path.rpartition(".")[2]
    return f"{name}{' ' if task.item else ''}{task.item or ''}"


def _us(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000_000)
