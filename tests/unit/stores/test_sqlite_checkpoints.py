"""Check-points of a file that several connections write to: the log stays short, and the race of SQLite before 3.51.3 cannot
arise, since none begins on a log that was moved whole."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.sqlite.database import Database

LONGEST_LOG = 6 * 2**20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Database]:
    database = Database(str(path), "normal")
    try:
        yield database
    finally:
        database.close()


async def write(database: Database, rows: int = 1, size: int = 100) -> None:
    async with database.write() as execute:
        for _ in range(rows):
            execute("INSERT INTO notes (text) VALUES (?)", ("x" * size,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with opened(tmp_path / "a.db") as database:
        database.execute("CREATE TABLE notes (text TEXT)")
    return tmp_path / "a.db"


def log_of(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


class Log:
    """Where the log of a file stands, by SQLite's index of it (kept open: to close it would take SQLite's own locks away)."""

    def __init__(self, path: Path) -> None:
        self._file = open(f"{path}-shm", "rb", 0)  # noqa: SIM115

    def is_moved_whole(self) -> bool:
        self._file.seek(0)
        index = self._file.read(100)
        (frames,), (moved,) = struct.unpack_from("=I", index, 16), struct.unpack_from("=I", index, 96)
        return bool(frames == moved > 0)

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_check_point_begins_on_a_log_that_was_moved_whole(path: Path, seed: int) -> None:
    chance, begun = random.Random(seed), []

    async def go(databases: list[Database]) -> None:
        for _ in range(1_500):
            database = chance.choice(databases)
            kind = chance.random()
            if kind < 0.5:
                database.once("INSERT INTO notes (text) VALUES (?)", ("x",))
            elif kind < 0.6:
                database.once("INSERT INTO notes (text) SELECT 'x' WHERE 0", ())
            elif kind < 0.7:
                await write(database, rows=0)
            elif kind < 0.99:
                await write(database, chance.choice((1, 10)))
            else:
                await write(database, 4_000)

    with contextlib.ExitStack() as stack:
        databases = [stack.enter_context(opened(path)) for _ in range(3)]
        log = Log(path)
        for database in databases:
            told = lambda text: begun.append(log.is_moved_whole()) if "wal_checkpoint" in text else None  # noqa: E731
            database.connection.set_trace_callback(told)
        asyncio.run(go(databases))
    log.close()
    assert len(begun) > 10
    assert not any(begun)


def test_the_log_stays_short_where_many_come_for_little_and_one_stays(path: Path) -> None:
    with opened(path):
        for _ in range(200):
            with opened(path) as database:
                asyncio.run(write(database, 20, size=2_000))
            assert log_of(path) < LONGEST_LOG


def test_who_finds_the_lock_held_leaves_the_log_to_the_holder_and_moves_it_later(path: Path) -> None:
    held = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with opened(path) as database:
        asyncio.run(write(database, 5_000))
        before = log_of(path)
        asyncio.run(write(database))
        assert log_of(path) > before  # appended: nothing was moved
        os.close(held)
        asyncio.run(write(database))
        before = log_of(path)
        asyncio.run(write(database))
        assert log_of(path) == before  # begun anew


def test_compaction_waits_for_the_lock(path: Path) -> None:
    held = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    async def go(database: Database) -> None:
        compacting = asyncio.create_task(database.compact())
        await asyncio.sleep(0)
        await write(database, 100)  # work goes on
        assert not compacting.done()
        os.close(held)
        await compacting
        assert log_of(path) == 0

    with opened(path) as database:
        asyncio.run(go(database))


def test_a_commit_that_wrote_nothing_moves_nothing(path: Path) -> None:
    held = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    told: list[str] = []

    async def go(first: Database, second: Database) -> None:
        await write(first, 5_000)  # a check-point is due there, and another process has the lock
        os.close(held)
        await write(second, 5_000)  # moves all
        first.connection.set_trace_callback(told.append)
        await write(first, rows=0)
        first.once("INSERT INTO notes (text) SELECT 'x' WHERE 0", ())
        assert not any("wal_checkpoint" in text for text in told)
        await write(first)
        assert any("wal_checkpoint" in text for text in told)

    with opened(path) as first, opened(path) as second:
        asyncio.run(go(first, second))
