"""Upkeep of a SQLite store: what it is, what is wrong with it, and what can be done about that.

`check` reads everything and changes nothing. Any single change of a stored value is reported, except to which engine drives a
run (see `records`). It raises nothing of its own, whatever the values are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from aether_protocol.adapters.stores.sql.checks import (
    LOST_FIRES,
    LOST_PLANS,
    MOST,
    NAMED_ROWS,
    OF_RUNS,
    RUNS_TO_CHECK,
    STEPS_TO_CHECK,
    STRAY,
    UNBOUND,
    number_of,
    plan_faults,
    row_faults,
    run_faults,
)
from aether_protocol.adapters.stores.sql.fleet import identity
from aether_protocol.adapters.stores.sql.records import COVERED
from aether_protocol.adapters.stores.sql.work import SqlDatabase
from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.ports.store.upkeep import StoreInfo

_RESERVED: Final = (
    "SELECT reserved >= max(coalesce((SELECT max(id) FROM changes), 0), coalesce((SELECT max(change) FROM steps), 0)) FROM feed"
)
_STEPS: Final = STEPS_TO_CHECK % "change"


class SqliteUpkeep:
    """`ports.store.UpkeepStore`."""

    def __init__(self, database: Database, dialect: SqlDatabase, tier: str) -> None:
        self._db = database
        self._dialect = dialect
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
        await self._db.compact()

    async def migrate(self) -> tuple[int, int]:
        return self._db.migrate()

    async def identity(self) -> str:
        return await self._dialect.transact(identity, "identity")

    async def artifacts(self) -> Mapping[tuple[str, str], str]:
        with self._db.read() as execute:
            text = "SELECT namespace, artifacts.digest, min(run_id) FROM artifacts JOIN runs ON number = run GROUP BY 1, 2"
            return {(namespace, digest): run_id for namespace, digest, run_id in execute(text).fetchall()}

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
    for row in execute(RUNS_TO_CHECK).fetchall():
        number = number_of(row)
        yield from run_faults(row, execute(_STEPS, (number << 32, ((number + 1) << 32) - 1)))
    for table, where in OF_RUNS.items():
        stray = execute(STRAY.format(table, where)).fetchone()[0]
        if stray:
            yield f"{stray} rows of {table} do not belong to a run"
    for table, name in NAMED_ROWS.items():
        yield from row_faults(table, execute(f"SELECT {COVERED[table]}, sum, {name} FROM {table}"))
    yield from _bounds(execute)
    lost = execute(LOST_FIRES).fetchone()[0]
    if lost:
        yield f"{lost} fires do not belong to a schedule"
    if execute(_RESERVED).fetchall() != [(1,)]:
        yield "changes have numbers that were not reserved: who follows the runs may miss some"
    unbound = execute(UNBOUND).fetchone()[0]
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
        yield from plan_faults(number, digest, text)
    yield from (f"schedule {name} has lost its plan" for (name,) in execute(LOST_PLANS))
