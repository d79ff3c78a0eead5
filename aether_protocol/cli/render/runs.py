"""Lists of runs, as a table for people and as JSON.

Law: both forms show the same runs in the same order; a table has a line for each run, whatever is in its names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import lru_cache

import click

from aether_protocol.cli.render.text import PHASE_COLORS, PHASE_MARKS, cells, cut, duration, one_line
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunRow
from aether_protocol.scheduler.timing import SECOND, rfc3339

HEADINGS = ("RUN", "WORKFLOW", "PHASE", "TASKS", "CREATED", "TOOK", "MESSAGE")
PHASE_COLUMN = HEADINGS.index("PHASE")
MESSAGE_COLUMN = HEADINGS.index("MESSAGE")
LEAST_FIRST = [HEADINGS.index(name) for name in ("MESSAGE", "TOOK", "CREATED", "TASKS", "WORKFLOW")]
LEAST_MESSAGE = 12  # columns; less of a message says nothing
GAP = 2

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def row_json(row: RunRow) -> dict[str, Json]:
    """A run in a list; the names are those of the run report."""
    took = None if row.ended_at is None else (row.ended_at - row.created_at) / SECOND
    return {
        "runId": row.run_id,
        "workflow": {"name": row.workflow, "namespace": row.namespace, "version": row.version},
        "labels": dict(row.labels),
        "phase": row.phase,
        "message": row.message,
        "progress": f"{row.leaves_ended}/{row.leaves_known}",
        "createdAt": rfc3339(row.created_at),
        "startedAt": None if row.started_at is None else rfc3339(row.started_at),
        "finishedAt": None if row.ended_at is None else rfc3339(row.ended_at),
        "durationSeconds": took,
        "closed": row.closed,
        "steps": row.seq,
        "digest": row.digest,
        "retryOf": row.retry_of,
        "tier": row.tier,
    }


def print_rows_json(rows: Sequence[RunRow], following: str | None) -> None:
    """`{"runs": [...], "next": cursor}`, a line for each run."""
    lines = ",\n".join(f"    {_to_json(row_json(row))}" for row in rows)
    listed = f"[\n{lines}\n  ]" if rows else "[]"
    click.echo(f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}')


def show_rows(rows: Sequence[RunRow], width: int | None = None) -> None:
    """A table, each column as wide as it must be; on a terminal of `width` columns a line stays a line: the message is cut,
    and what matters least is left out."""
    columns = [[heading, *column] for heading, column in zip(HEADINGS, _columns(rows), strict=True)]
    chosen = list(range(len(HEADINGS)))
    widths = [_width(column) for column in columns]
    if width is not None:
        for column in LEAST_FIRST:
            room = width - sum(widths[i] + GAP for i in chosen if i != column)
            if room >= min(widths[column], LEAST_MESSAGE if column == MESSAGE_COLUMN else widths[column]):
                widths[column] = min(widths[column], room)
                break
            chosen.remove(column)
    padded = {i: _padded(columns[i], widths[i], cuts=i == MESSAGE_COLUMN) for i in chosen}
    colors = sys.stdout.isatty()
    if colors:
        padded[PHASE_COLUMN][1:] = _colored(padded[PHASE_COLUMN][1:], [row.phase for row in rows])
    gap = " " * GAP
    heading, *lines = [gap.join(parts).rstrip() for parts in zip(*padded.values(), strict=True)]
    text = "\n".join([click.style(heading, bold=True) if colors else heading, *lines])
    click.echo(text, color=None if colors else True)  # without colors there are none to look for and take out


def _columns(rows: Sequence[RunRow]) -> list[list[str]]:
    """What stands under each heading."""
    return [
        [row.run_id for row in rows],
        [_short(row.workflow, 40) for row in rows],
        [f"{PHASE_MARKS.get(row.phase, '?')} {row.phase}" for row in rows],
        [f"{row.leaves_ended}/{row.leaves_known}" for row in rows],
        [_second(row.created_at // SECOND) for row in rows],
        ["" if row.ended_at is None else duration((row.ended_at - row.created_at) / SECOND) for row in rows],
        [_short(row.message, 60) if row.message else "" for row in rows],
    ]


# In a long list the same names and seconds come again and again.
_short = lru_cache(maxsize=1024)(one_line)


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return rfc3339(seconds * SECOND)


def _width(texts: Sequence[str]) -> int:
    """The columns of a terminal that the widest takes. Nearly always all are ASCII, and many come again and again."""
    return max(map(len, texts)) if "".join(texts).isascii() else max(map(cells, set(texts)))


def _padded(texts: Sequence[str], width: int, *, cuts: bool) -> list[str]:
    """The texts of a column, all of them `width` columns wide."""
    if cuts:
        made = {text: cut(text, width) for text in set(texts)}
        texts = [made[text] for text in texts]
    if "".join(texts).isascii():
        return [text.ljust(width) for text in texts]
    gaps = {text: " " * (width - cells(text)) for text in set(texts)}
    return [text + gaps[text] for text in texts]


def _colored(texts: Sequence[str], phases: Sequence[str]) -> list[str]:
    made = {
        (text, phase): click.style(text, fg=PHASE_COLORS[phase]) if phase in PHASE_COLORS else text
        for text, phase in set(zip(texts, phases, strict=True))
    }
    return [made[pair] for pair in zip(texts, phases, strict=True)]
