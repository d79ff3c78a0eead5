"""Rows of runs and of their steps in SQLite as they are read: compared with their digests, and made values of ours.

Law: what is not as it was written is told as a damaged store, whatever it holds instead. Lists compare the types of columns
and what cannot be alone, for they are read far more often than a run is opened.
"""

from __future__ import annotations

import json
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.database import Execute
from aether_protocol.adapters.stores.sqlite.sums import COVERED, damaged, has_types, next_sum, require, require_moved
from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.runs import RunQuery, RunSummary
from aether_protocol.scheduler.transitions import Phase

ROW: Final = (
    "run_id, workflow, namespace, version, labels, phase, message, created_at, started_at, ended_at, closed, seq, "
    "leaves_ended, leaves_known, digest, retry_of, tier"
)
# A run's row as it is now: of an open run, how far it is stands in the newest row of its steps.
_NEWEST: Final = "(SELECT max(id) FROM steps WHERE id BETWEEN number << 32 AND (number << 32) + 4294967295)"
RUNS: Final = f"runs LEFT JOIN steps ON steps.id = CASE closed WHEN 0 THEN {_NEWEST} END"
SEQ: Final = "coalesce(max(last, seq), seq)"
_BROKEN: Final = "(SELECT reason FROM breaks WHERE run = runs.number AND aside = 1)"
_FAR: Final = f"{SEQ}, CASE WHEN last > seq THEN ended ELSE leaves_ended END"
SHOWN: Final = f"{ROW.replace('seq, leaves_ended', _FAR)}, {_BROKEN}"
_COLUMNS: Final = [*ROW.split(", "), "broken"]
WIDTH: Final = len(_COLUMNS)
SUMMED: Final = "fixed, moved, seq, leaves_ended, head"
HEAD: Final = (
    "SELECT run, plan, header, heads.sum, digest, text FROM heads LEFT JOIN plans ON plans.number = plan WHERE run = ?"
)
_ROWS_OF_STEPS: Final = "SELECT id, last, ended, lines, sum FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
_BEFORE: Final = "SELECT sum FROM steps WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
_PHASES: Final = frozenset(map(str, Phase))
_END_OF_TIME: Final = 253_402_300_800_000_000  # the year 10000
_seen_shapes: Final[set[tuple[type, ...]]] = set()  # types of columns that were seen to be right

# The row that step ? is in, or the first one after it.
LINES: Final = (
    "SELECT id, last, ended, lines, sum FROM steps WHERE id >= "
    "coalesce((SELECT max(id) FROM steps WHERE id BETWEEN ? AND ?), ?) AND id < ? ORDER BY id"
)
to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def moved_values(row: RunSummary) -> tuple[Json, ...]:
    """What `runs.moved` covers, as it is stored."""
    times = clean(row.message), row.started_at, row.ended_at, int(row.closed)
    return row.phase, *times, row.seq, row.leaves_ended, row.leaves_known


def require_row(found: tuple[Any, ...], whose: str) -> None:
    """The row of a run fits its digests: `found` has the columns of ROW, then those of SUMMED."""
    fixed, moved, seq, ended, head = found[WIDTH : WIDTH + 5]
    row = dict(zip(_COLUMNS, found, strict=False)) | {"seq": seq, "leaves_ended": ended}
    require("fixed", [row[name] for name in COVERED["fixed"].split(", ")], fixed, f"the row of {whose}")
    require_moved([row[name] for name in COVERED["moved"].split(", ")], head, moved, f"the row of {whose}")


def chained(execute: Execute, number: int, first: int, whose: str) -> list[str]:
    """The lines of the rows of steps from step `first` on, each row compared with its digest."""
    lines: list[str] = []
    before: bytes | None = None
    for row in execute(_ROWS_OF_STEPS, ((number << 32) + first, ((number + 1) << 32) - 1)):
        before = require_chained(execute, row, before, whose)
        lines += row[3].split("\n")
    return lines


def require_chained(execute: Execute, row: tuple[Any, ...], before: bytes | None, whose: str) -> bytes:
    """A row of steps fits its digest, which follows the digest `before` (None: look it up); its own."""
    id_, last, ended, lines, sum_ = row
    if (type(last), type(ended), type(lines)) != (int, int, str):
        raise damaged(f"the record of {whose}")
    if sum_ is None:
        return b""
    if before is None:
        found = execute(_BEFORE, (id_ >> 32 << 32, id_)).fetchone()
        before = found[0] or b"" if found is not None else b""
    if next_sum(before, id_, last, ended, lines) != sum_:
        raise damaged(f"the record of {whose}")
    return bytes(sum_)


def make_row(found: tuple[Any, ...]) -> RunSummary:
    """A row from the columns of ROW. Raises PortError where they do not hold what they should."""
    shape = tuple(map(type, found))
    if shape not in _seen_shapes:
        row = dict(zip(_COLUMNS, found, strict=True))
        if not all(has_types(part, [row[name] for name in COVERED[part].split(", ")]) for part in ("fixed", "moved")) or not (
            isinstance(row["broken"], str | None)
        ):
            raise damaged("the row of a run")
        _seen_shapes.add(shape)
    made = RunSummary(*found)
    labels: Any = made.labels
    try:
        made.labels = json.loads(labels) if labels != "{}" else {}
        sane = made.phase in _PHASES and min(made.created_at, made.ended_at or 0) >= 0 and made.created_at < _END_OF_TIME
        sane = sane and (made.started_at or 0) < _END_OF_TIME and (made.ended_at or 0) < _END_OF_TIME
    except ValueError:
        sane = False
    if not sane or not isinstance(made.labels, dict):
        raise damaged("the row of a run")
    made.closed = made.closed == 1
    return made


def condition(query: RunQuery) -> tuple[str, list[Json]]:
    """The condition, and its values. A label is found as it stands in the JSON text, which no other text can contain."""
    table: list[tuple[str, Json]] = [
        ("workflow = ?", query.name),
        ("namespace = ?", query.namespace),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
        ("ended_at < ?", query.ended_before),
        ("closed = ?", query.closed),
    ]
    held = [(text, value) for text, value in table if value is not None]
    held += [("instr(labels, ?)", clean(to_json({key: value})[1:-1])) for key, value in query.labels.items()]
    texts, values = [text for text, _ in held], [value for _, value in held]
    if query.phases:
        texts.append(f"phase IN ({', '.join('?' * len(query.phases))})")
        values += query.phases
    if query.prefix:
        texts.append("run_id >= ? AND run_id < ?")
        values += (query.prefix, f"{query.prefix}\U0010ffff")
    if query.retries:
        texts.append("retry_of IS NOT NULL")
    if query.before is not None:
        texts.append("(created_at, run_id) < (?, ?)")
        values += query.before
    return f"WHERE {' AND '.join(texts)}" if texts else "", values
