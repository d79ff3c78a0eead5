"""Lists of runs, as a table for people and as JSON.

Law: both forms show the same runs in the same order; a table has a line for each run, whatever is in its names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

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
    lines = ",\n".join(f"    {json.dumps(row_json(row), ensure_ascii=False)}" for row in rows)
    listed = f"[\n{lines}\n  ]" if rows else "[]"
    click.echo(f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}')


def show_rows(rows: Sequence[RunRow], width: int | None = None) -> None:
    """A table, each column as wide as it must be; on a terminal of `width` columns a line stays a line: the message is cut,
    and what matters least is left out."""
    table = [HEADINGS, *(_cells(row) for row in rows)]
    chosen = list(range(len(HEADINGS)))
    widths = [max(cells(line[i]) for line in table) for i in chosen]
    if width is not None:
        for column in LEAST_FIRST:
            room = width - sum(widths[i] + GAP for i in chosen if i != column)
            if room >= min(widths[column], LEAST_MESSAGE if column == MESSAGE_COLUMN else widths[column]):
                widths[column] = min(widths[column], room)
                break
            chosen.remove(column)
    heading, *lines = (_padded(line, widths, chosen) for line in table)
    colored = [_colored(parts, chosen, PHASE_COLORS.get(row.phase)) for parts, row in zip(lines, rows, strict=True)]
    click.echo("\n".join([click.style((" " * GAP).join(heading).rstrip(), bold=True), *colored]))


def _cells(row: RunRow) -> tuple[str, ...]:
    took = duration((row.ended_at - row.created_at) / SECOND) if row.ended_at is not None else ""
    return (
        row.run_id,
        one_line(row.workflow, 40),
        f"{PHASE_MARKS.get(row.phase, '?')} {row.phase}",
        f"{row.leaves_ended}/{row.leaves_known}",
        rfc3339(row.created_at - row.created_at % SECOND),
        took,
        one_line(row.message, 60),
    )


def _padded(line: Sequence[str], widths: Sequence[int], chosen: Sequence[int]) -> list[str]:
    texts = [cut(line[i], widths[i]) if i == MESSAGE_COLUMN else line[i] for i in chosen]
    return [text + " " * (widths[i] - cells(text)) for text, i in zip(texts, chosen, strict=True)]


def _colored(parts: list[str], chosen: Sequence[int], color: str | None) -> str:
    if color is not None:
        place = chosen.index(PHASE_COLUMN)
        parts[place] = click.style(parts[place], fg=color)
    return (" " * GAP).join(parts).rstrip()
