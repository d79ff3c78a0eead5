"""Everything in a SQLite file looked at: what does not fit together, and what is not what was written.

Law: it reads and changes nothing. Any single change of a stored value is told, except to who drives a run (see sqlite_sums)
and to rows of an older version that have no digest. It raises nothing of its own, whatever the values are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.database import Execute
from aether_protocol.adapters.stores.sqlite.schema import FUNCTIONS
from aether_protocol.adapters.stores.sqlite.sums import COVERED, fits, has_types, next_sum, sum_of_moved
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

MOST: Final = 1_000  # faults that are told
_KEPT: Final = {SNAPSHOT: "snapshot", STATE_ACTION_LOG: "log"}


def _of(table: str, columns: str) -> str:
    return ", ".join([f"{table}.{name}" for name in columns.split(", ")])


# The columns of a run, the number, whether its row must be at the newest step, its head, its plan, its snapshot.
_RUNS: Final = (
    f"SELECT {_of('runs', COVERED['fixed'])}, runs.fixed, {_of('runs', COVERED['moved'])}, runs.moved, runs.head, "
    f"runs.number, closed OR tier = 'snapshot', {_of('heads', COVERED['heads'])}, heads.sum, plans.number, "
    f"{_of('snapshots', COVERED['snapshots'])}, snapshots.sum FROM runs LEFT JOIN heads ON heads.run = runs.number "
    "LEFT JOIN plans ON plans.number = plan LEFT JOIN snapshots ON snapshots.run = runs.number ORDER BY runs.number"
)
_STEPS: Final = "SELECT id, last, ended, lines, sum FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
_OF_RUNS: Final = {  # rows that must belong to a run, by that column
    "steps": "id >> 32",
    "heads": "run",
    "snapshots": "run",
    "requests": "run",
    "logs": "run",
    "log_bounds": "run",
    "artifacts": "run",
}
# A name for a row by its columns, for each table of which a row stands for itself.
_ROWS: Final[Mapping[str, str]] = {
    "requests": "'request ' || rowid",
    "logs": "'line ' || rowid || ' of the logs'",
    "log_bounds": "'what was dropped of the logs of ' || path",
    "documents": "'document ' || name",
    "schedules": "'schedule ' || name",
    "fires": "'fire ' || rowid",
}
_UNBOUND: Final = "SELECT count(*) FROM logs WHERE (run, path) NOT IN (SELECT run, path FROM log_bounds)"


def check(execute: Execute, migrations: Sequence[Sequence[str]]) -> list[str]:
    """What is wrong, in words; at most MOST faults."""
    found = [str(line) for (line,) in execute("PRAGMA integrity_check") if line != "ok"]
    if found:
        return found
    for fault in _faults(execute, migrations):
        found.append(fault)
        if len(found) == MOST:
            found.append(f"more than {MOST} faults: the rest is not told")
            break
    return found


def undigested(execute: Execute) -> int:
    """Runs of which some part was recorded without a digest."""
    text = (
        "SELECT count(*) FROM runs WHERE fixed IS NULL OR moved IS NULL "
        "OR number IN (SELECT id >> 32 FROM steps WHERE sum IS NULL)"
    )
    if execute("SELECT 1 FROM undigested").fetchone() is None:
        return 0
    count: int = execute(text).fetchone()[0]
    return count


def _faults(execute: Execute, migrations: Sequence[Sequence[str]]) -> Iterator[str]:
    if _schema(execute) != _expected(migrations):
        yield "the tables are not those that this version makes"
        return
    old: dict[str, int] = dict(execute("SELECT name, last FROM undigested"))
    yield from _plans(execute)
    for row in execute(_RUNS).fetchall():
        yield from _run(execute, row, old.get("runs", 0))
    for table, where in _OF_RUNS.items():
        stray = execute(f"SELECT count(*) FROM {table} WHERE {where} NOT IN (SELECT number FROM runs)").fetchone()[0]
        if stray:
            yield f"{stray} rows of {table} belong to no run"
    for table, name in _ROWS.items():
        yield from _rows(execute, table, name, old.get("runs" if table == "log_bounds" else table, 0))
    yield from _bounds(execute)
    lost = execute("SELECT count(*) FROM fires WHERE schedule NOT IN (SELECT number FROM schedules)").fetchone()[0]
    if lost:
        yield f"{lost} fires belong to no schedule"
    unbound = execute(_UNBOUND).fetchone()[0]
    if unbound:
        yield f"{unbound} lines of logs are not counted"


def _bounds(execute: Execute) -> Iterator[str]:
    """Logs whose size is not what was counted. Counted here, since `length()` of SQL ends at a NUL."""
    kept: Counter[tuple[int, str]] = Counter()
    for run, path, text in execute("SELECT run, path, text FROM logs"):
        kept[run, path] += len(text)
    for run, path, size in execute("SELECT run, path, size FROM log_bounds"):
        if kept[run, path] != size:
            yield f"the logs of {path} have {kept[run, path]} characters, not {size}"


def _schema(execute: Execute) -> set[tuple[Any, ...]]:
    return set(execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence'"))


def _expected(migrations: Sequence[Sequence[str]]) -> set[tuple[Any, ...]]:
    """The schema of a new file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for name, function in FUNCTIONS.items():
            connection.create_function(name, 1, function)
        for statements in migrations:
            for statement in statements:
                connection.execute(statement)
        return _schema(connection.execute)
    finally:
        connection.close()


def _plans(execute: Execute) -> Iterator[str]:
    for number, digest, text in execute("SELECT number, digest, text FROM plans"):
        if not isinstance(text, str) or sha256(text.encode("utf-8", "surrogateescape")).hexdigest() != digest:
            yield f"plan {number} does not fit its digest"
    lost = execute("SELECT name FROM schedules WHERE plan NOT IN (SELECT number FROM plans)")
    yield from (f"schedule {name} has lost its plan" for (name,) in lost)


def _run(execute: Execute, row: tuple[Any, ...], old: int) -> Iterator[str]:
    """The faults of one run. `old`: the last run that may have rows without digests."""
    fixed, moved = row[:9], row[10:18]
    fixed_sum, moved_sum, head = row[9], row[18], row[19]
    number, exact, *kept = row[20:]
    whose, may_lack = f"run {fixed[0]!r}", number <= old
    right = fits("fixed", fixed, fixed_sum) and has_types("moved", moved) and isinstance(head, bytes | None)
    right = right and (may_lack or None not in (fixed_sum, moved_sum))
    if not right or (moved_sum is not None and sum_of_moved(moved, head) != moved_sum):
        yield f"the row of {whose} does not fit its digest"
        return
    if kept[0] is None or kept[4] is None:
        yield f"{whose} has lost its plan or its header"
    elif not _held("heads", kept[:3], kept[3], may_lack):
        yield f"the header of {whose} does not fit its digest"
    saved = 0
    if kept[5] is not None:
        if not _held("snapshots", kept[5:8], kept[8], may_lack):
            yield f"the snapshot of {whose} does not fit its digest"
            return
        saved = kept[6]
    seq, tier = moved[5], fixed[8]
    steps = _Steps(number, saved, seq, may_lack)
    yield from (f"{whose} {fault}" for fault in steps.faults(execute(_STEPS, (number << 32, ((number + 1) << 32) - 1))))
    reached = max(steps.expected - 1, saved)
    if reached < seq or (exact and reached != seq):
        yield f"{whose} is at step {seq}, its {_KEPT.get(tier, 'record')} at {reached}"
    elif head is not None and steps.head != head:
        yield f"the log of {whose} is not the one that its row was written with"


class _Steps:
    """The chain of a run's rows of steps. `head` is the digest of the row whose last step is `seq`, where there is one."""

    def __init__(self, number: int, saved: int, seq: int, may_lack: bool) -> None:
        self.expected = 1
        self.head: bytes | None = None
        self._base = number << 32
        self._saved = saved
        self._seq = seq
        self._may_lack = may_lack

    def faults(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
        before: bytes | None = b""
        for id_, last, ended, lines, sum_ in rows:
            first = id_ - self._base
            if type(last) is not int or type(ended) is not int or type(lines) is not str:
                yield f"has a damaged record from step {first} on"
                return
            if first != self.expected and not (self.expected == 1 and first == self._saved + 1):
                yield f"has no steps {self.expected} to {first - 1}"
                before = None
            self.expected = last + 1
            if sum_ is None:
                if before or not self._may_lack:
                    yield f"has no digest of steps {first} to {last}"
            elif before is not None and next_sum(before, id_, last, ended, lines) != sum_:
                yield f"has steps {first} to {last} that do not fit their digest"
            before = sum_ if isinstance(sum_, bytes) else b""
            if last == self._seq:
                self.head = before


def _rows(execute: Execute, table: str, name: str, old: int) -> Iterator[str]:
    """Rows that do not fit their digest, or have none and are too new for that."""
    place = "run" if table == "log_bounds" else "rowid"
    for *values, sum_, number, told in execute(f"SELECT {COVERED[table]}, sum, {place}, {name} FROM {table}"):
        if not _held(table, values, sum_, number <= old):
            yield f"{told} does not fit its digest"


def _held(table: str, values: Sequence[Any], sum_: Any, may_lack: bool) -> bool:
    return fits(table, values, sum_) and (may_lack or sum_ is not None)
