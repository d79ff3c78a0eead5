"""Stores that are opened only to be read: nothing is made, migrated or written, and a read-only place will do."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.sqlite import database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore, open_sqlite
from aether_protocol.errors import PortError
from aether_protocol.ports.store import RunQuery
from aether_protocol.testing.contracts.store.tools import all_well, more, new_run, refused
from tests.unit.stores.test_sqlite_files import age, as_somebody_else, play


async def fill(store: SqliteStore) -> None:
    await store.runs.create(new_run("a"))
    assert await all_well(store, more("a", 0, "kept"))


def seen(path: Path) -> str:
    """The runs in the store, or why it cannot be read."""
    found: list[str] = []

    async def look(store: SqliteStore) -> None:
        found.extend(row.run_id for row in await store.runs.rows(RunQuery()))
        assert (await store.runs.load("a")).row.seq == 1
        assert await store.upkeep.check() == []

    try:
        play(open_sqlite(str(path), reads_only=True), look)
    except PortError as error:
        return f"{error} ({error.hint})"
    return " ".join(found)


def test_the_newest_runs_of_each_workflow_and_those_that_failed_are_found_without_a_look_at_the_others(tmp_path: Path) -> None:
    """Of 100 000 runs: on the thread that steps are appended on."""
    fill = (
        "WITH RECURSIVE made (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM made WHERE i < 100000) INSERT INTO runs "
        "(run_id, workflow, namespace, labels, phase, message, created_at, closed, seq, leaves_ended, leaves_known, digest, "
        "tier, token) SELECT 'r' || i, 'w' || (i % 30), iif(i % 7, 'default', 'ops'), '{}', 'Succeeded', '', i, 1, 1, 1, 1, "
        "'d', 'snapshot', 0 FROM made"
    )

    async def look(store: SqliteStore) -> None:
        store.database.execute(fill)
        looked: list[None] = []
        store.database.connection.set_progress_handler(lambda: looked.append(None), 100)  # steps of its machine
        rows = await store.runs.rows(RunQuery(newest_of_each=20))
        store.database.connection.set_progress_handler(None, 0)
        assert len(rows) == 60 * 20
        assert len(looked) * 100 < 200_000, "about 100 for each row that is given"
        store.database.execute("UPDATE runs SET phase = 'Failed' WHERE created_at % 5000 = 0")
        looked.clear()
        store.database.connection.set_progress_handler(lambda: looked.append(None), 100)
        bad = await store.runs.rows(RunQuery(phases=("Running", "Failed", "Error"), limit=50))
        store.database.connection.set_progress_handler(None, 0)
        assert len(bad) == 20
        assert len(looked) * 100 < 5_000, "runs that succeeded are not looked at"

    play(open_sqlite(str(tmp_path / "a.db")), look)


def contents(folder: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in folder.iterdir()}


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ä b?#%.db"
    play(open_sqlite(str(path)), fill)
    before = contents(tmp_path)
    assert seen(path) == "a"
    assert contents(tmp_path) == before

    async def write(store: SqliteStore) -> None:
        for call in (store.runs.create(new_run("b")), store.runs.delete(["a"]), store.upkeep.vacuum()):
            assert "read-only" in str(await refused(call, PortError))

    play(open_sqlite(str(path), reads_only=True), write)
    assert contents(tmp_path) == before


def test_a_reader_makes_nothing_and_brings_nothing_up_to_date(tmp_path: Path) -> None:
    assert "cannot be opened" in seen(tmp_path / "deep" / "new.db")
    assert list(tmp_path.iterdir()) == []
    old = tmp_path / "old.db"
    play(open_sqlite(str(old)), fill)
    age(old, 1)
    assert "before the first release: its schema is 1" in seen(old)


def test_a_reader_sees_what_a_writer_has_written_and_waits_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def body(store: SqliteStore) -> None:
        await fill(store)
        async with store.database.write() as execute:
            execute("UPDATE runs SET phase = 'Failed'")
            with ThreadPoolExecutor(1) as reading:
                assert reading.submit(seen, path).result() == "a"

    play(open_sqlite(str(path)), body)


@pytest.mark.parametrize("modes", [(0o444, 0o555), (0o444, 0o777), (0o644, 0o555)], ids=["both", "file", "directory"])
def test_what_may_not_be_written_can_be_read(modes: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        path = home / "a.db"
        play(open_sqlite(str(path)), fill)
        path.chmod(modes[0])
        home.chmod(modes[1])
        assert as_somebody_else(lambda: seen(path)) == "a"
        assert "read-only" in as_somebody_else(lambda: opened_to_write(path)) or "cannot be opened" in as_somebody_else(
            lambda: opened_to_write(path)
        )
        home.chmod(0o700)


def opened_to_write(path: Path) -> str:
    try:
        open_sqlite(str(path))
    except PortError as error:
        return str(error)
    return "it was opened"


def test_a_log_that_nobody_may_go_through_is_not_passed_over() -> None:
    """The last steps are in the log beside the file: without it the past would be shown as the present."""
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        path = home / "a.db"

        child = os.fork()
        if child == 0:  # a process that dies with its store open
            store = open_sqlite(str(path))
            store.database.execute("PRAGMA wal_autocheckpoint = 0")
            asyncio.run(fill(store))
            os._exit(0)
        os.waitpid(child, 0)
        assert (home / "a.db-wal").stat().st_size
        (home / "a.db-shm").unlink()
        for item in home.iterdir():
            item.chmod(0o444)
        home.chmod(0o555)
        assert "was not closed in order" in as_somebody_else(lambda: seen(path))
        home.chmod(0o700)
        for item in home.iterdir():
            item.chmod(0o644)
        assert seen(path) == "a"



async def look(store: SqliteStore) -> None:
    assert await store.runs.rows(RunQuery()) == []


def test_a_reader_waits_for_a_file_that_another_process_is_making(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()  # what SQLite does first; its tables come in a transaction, which may take its time on a busy machine
    made: list[object] = []
    making = threading.Timer(0.3, lambda: made.append(play(open_sqlite(str(path)), look)))
    making.start()
    try:
        play(open_sqlite(str(path), reads_only=True), look)
    finally:
        making.join()
    assert made == [None]


def test_a_file_that_stays_empty_is_not_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OPENING_PATIENCE_S", 0.1)
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(PortError, match="is empty: it is not a store yet"):
        open_sqlite(str(path), reads_only=True)
    assert path.stat().st_size == 0
