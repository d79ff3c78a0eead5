"""Upkeep of a SQLite store: what it is, what is wrong with it, and what can be done about that.

`check` reads everything and changes nothing. Any single change of a stored value is reported, except to which engine drives a
run (see `records`). It raises nothing of its own, whatever the values are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from aether_protocol.adapters.stores.sql.records import COVERED, fits, has_types, next_sum, sum_of_moved
from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.ports.store.upkeep import StoreInfo

MOST: Final = 1_000  # faults that are reported
_KEPT: Final = {SNAPSHOT: "snapshot", STATE_ACTION_LOG: "log"}


def _of(table: str, columns: str) -> str:
    return ", ".join([f"{table}.{name}" for name in columns.split(", ")])


_FIXED: Final = len(COVERED["fixed"].split(", "))
_MOVED: Final = len(COVERED["moved"].split(", "))

# The columns of a run, the number, whether its row must be at the newest step, its head, its plan, its snapshot.
_RUNS: Final = (
    f"SELECT {_of('runs', COVERED['fixed'])}, runs.fixed, {_of('runs', COVERED['moved'])}, runs.moved, runs.head, "
    f"runs.number, closed OR tier = 'snapshot', {_of('heads', COVERED['heads'])}, heads.sum, plans.number, "
    f"{_of('snapshots', COVERED['snapshots'])}, snapshots.sum FROM runs LEFT JOIN heads ON heads.run = runs.number "
    "LEFT JOIN plans ON plans.number = plan LEFT JOIN snapshots ON snapshots.run = runs.number ORDER BY runs.number"
)
_STEPS: Final = "SELECT id, last, ended, change, lines, sum FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
_OF_RUNS: Final = {  # rows that must belong to a run, by that column
    "steps": "id >> 32",
    "heads": "run",
    "snapshots": "run",
    "requests": "run",
    "logs": "run",
    "log_bounds": "run",
    "artifacts": "run",
    "keys": "run",
}
# A name for a row by its columns, for each table of which a row stands for itself.
_ROWS: Final[Mapping[str, str]] = {
    "requests": "'request ' || rowid",
    "logs": "'line ' || rowid || ' of the logs'",
    "log_bounds": "'what was dropped of the logs of ' || path",
    "keys": "'the idempotency key ' || key",
    "documents": "'document ' || name",
    "document_marks": "'what became of ' || file",
    "schedules": "'schedule ' || name",
    "fires": "'fire ' || rowid",
    "tokens": "'token ' || token",
    "namespaces": "'namespace ' || name",
    "audit": "'audit record ' || rowid",
    "terms": "'the key of the fleet'",
    "workers": "'worker ' || name",
}
_RESERVED: Final = (
    "SELECT reserved >= max(coalesce((SELECT max(id) FROM changes), 0), coalesce((SELECT max(change) FROM steps), 0)) FROM feed"
)
_UNBOUND: Final = "SELECT count(*) FROM logs WHERE (run, path) NOT IN (SELECT run, path FROM log_bounds)"


class SqliteUpkeep:
    """`ports.store.UpkeepStore`."""

    def __init__(self, database: Database, tier: str) -> None:
        self._db = database
        self._tier = tier

    async def info(self) -> StoreInfo:
        with self._db.read() as execute:
            runs, open_runs = execute("SELECT count(*), coalesce(sum(closed = 0), 0) FROM runs").fetchone()
            pages, size = execute("PRAGMA page_count").fetchone()[0], execute("PRAGMA page_size").fetchone()[0]
            details = {
                "adapter": "sqlite",
                "path": self._db.path,
                "tier": self._tier,
                "durability": self._db.durability,
                "journal": str(execute("PRAGMA journal_mode").fetchone()[0]) if self._db.writable else "(read-only)",
                "sqlite": sqlite3.sqlite_version,
            }
            return StoreInfo(self._db.version(), runs, open_runs, pages * size, details)

    async def check(self) -> list[str]:
        with self._db.read_anything() as execute:
            return check(execute, self._db.migrations)

    async def vacuum(self) -> None:
        async with self._db.write() as execute:
            execute("DELETE FROM requests WHERE answer IS NOT NULL OR run NOT IN (SELECT number FROM runs WHERE closed = 0)")
            execute("DELETE FROM changes WHERE id NOT IN (SELECT max(id) FROM changes GROUP BY run)")
        await self._db.exclusively("VACUUM")
        await self._db.exclusively("PRAGMA wal_checkpoint(TRUNCATE)")

    async def migrate(self) -> tuple[int, int]:
        return self._db.migrate()

    async def artifacts(self) -> Mapping[str, str]:
        with self._db.read() as execute:
            text = "SELECT artifacts.digest, min(run_id) FROM artifacts JOIN runs ON number = run GROUP BY 1"
            return dict(execute(text).fetchall())

    async def mend(self, run_id: str) -> bool:
        asked = "UPDATE breaks SET aside = 0 WHERE aside = 1 AND run = (SELECT number FROM runs WHERE run_id = ?)"
        async with self._db.write() as execute:
            return execute(asked, (run_id,)).rowcount == 1


def check(execute: Execute, migrations: Sequence[Sequence[str]]) -> list[str]:
    """Read everything; what is wrong, in words, at most MOST faults."""
    found = [str(line) for (line,) in execute("PRAGMA integrity_check") if line != "ok"]
    if found:
        return found
    for fault in _faults(execute, migrations):
        found.append(fault)
        if len(found) == MOST:
            found.append(f"more than {MOST} faults: the rest is not listed")
            break
    return found


def _faults(execute: Execute, migrations: Sequence[Sequence[str]]) -> Iterator[str]:
    if _schema(execute) != _expected(migrations):
        yield "the tables are not those that this version makes"
        return
    yield from _plans(execute)
    for row in execute(_RUNS).fetchall():
        yield from _run(execute, row)
    for table, where in _OF_RUNS.items():
        stray = execute(f"SELECT count(*) FROM {table} WHERE {where} NOT IN (SELECT number FROM runs)").fetchone()[0]
        if stray:
            yield f"{stray} rows of {table} do not belong to a run"
    for table, name in _ROWS.items():
        yield from _rows(execute, table, name)
    yield from _bounds(execute)
    lost = execute("SELECT count(*) FROM fires WHERE schedule NOT IN (SELECT number FROM schedules)").fetchone()[0]
    if lost:
        yield f"{lost} fires do not belong to a schedule"
    if execute(_RESERVED).fetchall() != [(1,)]:
        yield "changes have numbers that were not reserved: who follows the runs may miss some"
    unbound = execute(_UNBOUND).fetchone()[0]
    if unbound:
        yield f"{unbound} lines of logs are not counted"


def _bounds(execute: Execute) -> Iterator[str]:
    """Find logs whose size is not what was counted. Counted here, since `length()` of SQL ends at a NUL."""
    kept: Counter[tuple[int, str]] = Counter()
    for run, path, text in execute("SELECT run, path, text FROM logs"):
        kept[run, path] += len(text)
    for run, path, size in execute("SELECT run, path, size FROM log_bounds"):
        if kept[run, path] != size:
            yield f"the logs of {path} have {kept[run, path]} characters, not {size}"


def _schema(execute: Execute) -> set[tuple[Any, ...]]:
    return set(execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'sqlite_sequence'"))


def _expected(migrations: Sequence[Sequence[str]]) -> set[tuple[Any, ...]]:
    """Make the schema of a new file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
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


def _run(execute: Execute, row: tuple[Any, ...]) -> Iterator[str]:
    """Find the faults of one run."""
    fixed, (fixed_sum, *others) = row[:_FIXED], row[_FIXED:]
    moved, (moved_sum, head, number, exact, *kept) = others[:_MOVED], others[_MOVED:]
    whose = f"run {fixed[0]!r}"
    right = fits("fixed", fixed, fixed_sum) and has_types("moved", moved) and isinstance(head, bytes | None)
    if not right or sum_of_moved(moved, head) != moved_sum:
        yield f"the row of {whose} does not fit its digest"
        return
    if kept[0] is None or kept[4] is None:
        yield f"{whose} has lost its plan or its header"
    elif not fits("heads", kept[:3], kept[3]):
        yield f"the header of {whose} does not fit its digest"
    saved = 0
    if kept[5] is not None:
        if not fits("snapshots", kept[5:8], kept[8]):
            yield f"the snapshot of {whose} does not fit its digest"
            return
        saved = kept[6]
    seq, tier = moved[5], fixed[8]
    steps = _StepChain(number, saved, seq)
    yield from (f"{whose} {fault}" for fault in steps.faults(execute(_STEPS, (number << 32, ((number + 1) << 32) - 1))))
    reached = max(steps.expected - 1, saved)
    if reached < seq or (exact and reached != seq):
        yield f"{whose} is at step {seq}, its {_KEPT.get(tier, 'record')} at {reached}"
    elif head is not None and steps.head != head:
        yield f"the log of {whose} is not the one that its row was written with"


class _StepChain:
    """The chain of a run's rows of steps. `head` is the digest of the row whose last step is `seq`, where there is one."""

    def __init__(self, number: int, saved: int, seq: int) -> None:
        self.expected = 1
        self.head: bytes | None = None
        self._base = number << 32
        self._saved = saved
        self._seq = seq

    def faults(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
        before: bytes | None = b""
        for id_, last, ended, change, lines, sum_ in rows:
            first = id_ - self._base
            if (type(last), type(ended), type(change), type(lines)) != (int, int, int, str):
                yield f"has a damaged record from step {first} on"
                return
            if first != self.expected and not (self.expected == 1 and first == self._saved + 1):
                yield f"has no steps {self.expected} to {first - 1}"
                before = None
            self.expected = last + 1
            if sum_ is None:
                yield f"has no digest of steps {first} to {last}"
            elif before is not None and next_sum(before, id_, last, ended, change, lines) != sum_:
                yield f"has steps {first} to {last} that do not fit their digest"
            before = sum_ if isinstance(sum_, bytes) else b""
            if last == self._seq:
                self.head = before


def _rows(execute: Execute, table: str, name: str) -> Iterator[str]:
    """Find rows that do not fit their digest."""
    for *values, sum_, shown in execute(f"SELECT {COVERED[table]}, sum, {name} FROM {table}"):
        if not fits(table, values, sum_):
            yield f"{shown} does not fit its digest"
