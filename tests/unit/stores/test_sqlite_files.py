"""Files that a SQLite store cannot use: each is reported with its reason, and none is harmed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sql.schema import APPLICATION_ID, FIRST, MIGRATIONS, NEWEST
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore, open_sqlite
from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.ports.store import NewDocument, RunQuery
from aether_protocol.testing.contracts.store.tools import SECOND, all_well, more, new_run, put_document, refused, texts


def play(store: SqliteStore, body: Callable[[SqliteStore], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(go())


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()


def age(path: Path, version: int) -> None:
    """Make a file of a version from before the first release, as far as the number of its schema shows."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (number INTEGER PRIMARY KEY, run_id TEXT)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def from_the_future(path: Path) -> None:
    play(open_sqlite(str(path)), lambda store: store.upkeep.vacuum())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database\n" * 1_000)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (other_program, "is a database of another program"),
        (other_version, "is a database of another program"),
        (from_the_future, "was written by a newer version: its schema is 99"),
        (no_database, "is not a SQLite database"),
    ],
)
def test_what_is_not_ours_is_refused_and_not_touched(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    path = tmp_path / "a.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(PortError, match=told) as caught:
        open_sqlite(str(path))
    assert caught.value.hint
    assert path.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.db"]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PortError, match="cannot make the directory"):
        open_sqlite(str(tmp_path / "file" / "a.db"))
    with pytest.raises(PortError, match="cannot be opened"):
        open_sqlite(str(tmp_path))


def as_somebody_else(body: Callable[[], str]) -> str:
    """What `body` says in a child process to which the rights of files apply, also where the tests run as root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(writing, body().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def opened(path: Path) -> str:
    try:
        open_sqlite(str(path))
    except PortError as error:
        return f"{error} ({error.hint})"
    return "it was opened"


def test_a_directory_and_a_file_that_are_read_only() -> None:
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        path = home / "a.db"
        play(open_sqlite(str(path)), lambda store: store.upkeep.vacuum())
        path.chmod(0o444)
        home.chmod(0o555)
        said = as_somebody_else(lambda: opened(path))
        assert "cannot be opened" in said or "read-only" in said
        assert "cannot be opened" in as_somebody_else(lambda: opened(home / "new.db"))
        assert "cannot make the directory" in as_somebody_else(lambda: opened(home / "deep" / "new.db"))
        home.chmod(0o700)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    store = open_sqlite(str(tmp_path / "a.db"))

    async def body(store: SqliteStore) -> None:
        await store.runs.create(new_run("a"))
        store.database.execute("PRAGMA query_only = ON")  # what SQLite says of a read-only file, for any user
        error = await refused(store.runs.append([more("a", 0)]), PortError)
        assert "read-only" in str(error)
        store.database.execute("PRAGMA query_only = OFF")
        assert await all_well(store, more("a", 0))

    play(store, body)


def test_a_full_disk_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await store.runs.create(new_run("a"))
        assert await all_well(store, more("a", 0, "kept"))
        pages = store.database.execute("PRAGMA page_count").fetchone()[0]
        store.database.execute(f"PRAGMA max_page_count = {pages + 4}")
        error = await refused(store.runs.append([more("a", 1, "x" * 100_000)]), PortError)
        assert "the disk is full" in str(error)
        assert error.hint
        assert texts((await store.runs.load("a")).lines) == ["kept"]
        store.database.execute("PRAGMA max_page_count = 1000000")
        assert await all_well(store, more("a", 1, "there is space again"))
        assert await store.upkeep.check() == []

    play(open_sqlite(str(tmp_path / "a.db")), body)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def fill(store: SqliteStore) -> None:
        for number in range(50):
            await store.runs.create(new_run(f"r{number}"))
            assert await all_well(store, more(f"r{number}", 0, *["x" * 100] * 50))
        await store.upkeep.vacuum()

    async def look(store: SqliteStore) -> None:
        told = [str(error) for number in range(50) if (error := await fault_of(store.runs.load(f"r{number}")))]
        assert told
        assert all("is damaged" in text or "cannot be read" in text for text in told)
        assert await fault_of(store.upkeep.check()) or await store.upkeep.check()

    play(open_sqlite(str(path)), fill)
    held = bytearray(path.read_bytes())
    held[len(held) // 2 : len(held) - 4096] = b"\x07" * (len(held) - 4096 - len(held) // 2)
    path.write_bytes(held)
    play(open_sqlite(str(path)), look)


async def fault_of(call: Coroutine[Any, Any, Any]) -> PortError | None:
    try:
        await call
    except PortError as error:
        return error
    return None


def test_check_finds_what_does_not_fit_together(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        for run in ("gap", "behind", "headless"):
            await store.runs.create(new_run(run))
            for after in range(3):
                assert await all_well(store, more(run, after))
        store.database.execute("DELETE FROM steps WHERE id = (1 << 32) + 2")
        store.database.execute("DELETE FROM steps WHERE id = (2 << 32) + 3")
        store.database.execute("DELETE FROM heads WHERE run = 3")
        store.database.execute("INSERT INTO steps VALUES (9 << 32, 0, 0, 0, '', NULL)")
        assert await store.upkeep.check() == [
            "run 'gap' has no steps 2 to 2",
            "run 'behind' is at step 3, its log at 2",
            "run 'headless' has lost its plan or its header",
            "1 rows of steps do not belong to a run",
        ]
        await refused(store.runs.load("headless"), PortError)

    play(open_sqlite(str(tmp_path / "a.db")), body)


@pytest.mark.rule("RT-121")
@pytest.mark.parametrize("version", [1, FIRST - 1])
@pytest.mark.parametrize("how", [{}, {"migrate": False}, {"reads_only": True}])
def test_a_file_of_before_the_first_release_is_refused_and_not_touched(
    tmp_path: Path, version: int, how: dict[str, bool]
) -> None:
    path = tmp_path / "a.db"
    age(path, version)
    before = path.read_bytes()
    with pytest.raises(PortError, match=f"before the first release: its schema is {version}, not {FIRST} or later") as caught:
        open_sqlite(str(path), **how)
    assert "finish its runs with the version that wrote it" in str(caught.value.hint)
    assert path.read_bytes() == before


def test_a_newer_schema_is_brought_about_where_that_is_wanted(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    play(open_sqlite(path), lambda store: store.runs.create(new_run("a")))
    later = (*MIGRATIONS, ("CREATE TABLE later (x)",))
    with pytest.raises(PortError, match=f"has schema version {NEWEST}") as caught:
        Database(path, migrate=False, migrations=later)
    assert caught.value.hint == "run `aether db migrate`"
    database = Database(path, migrations=later)
    assert database.version() == NEWEST + 1
    database.close()
    with pytest.raises(PortError, match="written by a newer version"):
        open_sqlite(path)


def test_a_log_whose_end_was_cut_off_does_not_fit_its_row(tmp_path: Path) -> None:
    """Also where the row is made to tell of fewer steps: it holds the digest of the last one."""

    async def body(store: SqliteStore) -> None:
        await store.runs.create(new_run("a"))
        for after in range(4):
            assert await all_well(store, more("a", after, phase="Suspended" if after == 3 else "Running"))
        store.database.execute("DELETE FROM steps WHERE id > (1 << 32) + 2")
        assert await store.upkeep.check() == ["run 'a' is at step 4, its log at 2"]
        store.database.execute("UPDATE runs SET seq = 2")
        assert await store.upkeep.check() == ["the row of run 'a' does not fit its digest"]

    play(open_sqlite(str(tmp_path / "a.db")), body)


@pytest.mark.parametrize("value", ["x", b"", b"\xff", 7, None], ids=repr)
@pytest.mark.parametrize("column", ["text", "digest"])
def test_a_plan_that_is_no_text_is_told_as_damage(tmp_path: Path, column: str, value: object) -> None:
    async def body(store: SqliteStore) -> None:
        await store.runs.create(new_run("a"))
        store.database.execute("DROP TABLE plans")
        store.database.execute("CREATE TABLE plans (number INTEGER PRIMARY KEY, digest, text)")
        row = {"digest": "d", "text": "t", column: value}
        store.database.execute("INSERT INTO plans VALUES (1, :digest, :text)", row)
        told = await refused(store.runs.load("a"), PortError)
        assert "run 'a'" in str(told)
        assert "db check" in str(told.hint)

    play(open_sqlite(str(tmp_path / "a.db")), body)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    play(open_sqlite(path), lambda store: store.upkeep.vacuum())
    with pytest.raises(PortError, match="no_such_table"):
        Database(path, migrations=(*MIGRATIONS, ("CREATE TABLE half (x)", "DROP TABLE no_such_table")))
    database = Database(path, migrate=False)
    assert database.version() == NEWEST
    assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None
    database.close()


def test_words_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with pytest.raises(UsageError, match="unknown durability 'half'"):
        open_sqlite(str(path), durability="half")
    with pytest.raises(UsageError, match="unknown tier 'diary'"):
        open_sqlite(str(path), tier="diary")
    assert not path.exists()


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_durability_is_what_sqlite_is_told(tmp_path: Path, durability: str, synchronous: int) -> None:
    async def body(store: SqliteStore) -> None:
        assert store.database.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        details = (await store.upkeep.info()).details
        assert (details["journal"], details["durability"]) == ("wal", durability)

    play(open_sqlite(str(tmp_path / "a.db"), durability=durability), body)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_sqlite(str(tmp_path / "a.db"))
    play(store, lambda store: store.upkeep.vacuum())
    error = asyncio.run(refused(store.runs.rows(RunQuery()), PortError))
    assert "closed" in str(error)


def test_a_plan_is_kept_once_and_goes_with_its_last_run(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        def plans() -> int:
            count: int = store.database.execute("SELECT count(*) FROM plans").fetchone()[0]
            return count

        for run in ("a", "b"):
            await store.runs.create(new_run(run))
        assert plans() == 1
        await store.runs.delete(["a"])
        assert (plans(), (await store.runs.load("b")).plan.name) == (1, "tiny")
        given = new_run("c")
        await store.runs.create(given)
        await store.runs.delete(["b", "c"])
        assert plans() == 0
        await store.runs.create(given)
        assert (plans(), (await store.runs.load("c")).plan.name) == (1, "tiny")

    play(open_sqlite(str(tmp_path / "a.db")), body)


def put(path: Path, text: str) -> None:
    async def body(store: SqliteStore) -> None:
        await put_document(store, "T", "default", "lib", text, 1)

    play(open_sqlite(str(path)), body)


def read(path: Path) -> str:
    found: list[str] = []

    async def body(store: SqliteStore) -> None:
        found.extend(document.text for document in await store.library.newest("T"))

    try:
        play(open_sqlite(str(path), reads_only=True), body)
    except PortError as error:
        return f"{error} ({error.hint})"
    return ",".join(found)


def test_whoever_only_reads_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert "cannot be opened" in read(path)
    assert "cannot be opened" in read(tmp_path / "deep" / "a.db")
    assert list(tmp_path.iterdir()) == []
    put(path, "one")
    before = path.read_bytes()
    assert read(path) == "one"
    assert (path.read_bytes(), [item.name for item in tmp_path.iterdir()]) == (before, ["a.db"])

    async def body(store: SqliteStore) -> None:
        assert "read-only" in str(await refused(put_document(store, "T", "default", "lib", "two", 2), PortError))

    play(open_sqlite(str(path), reads_only=True), body)
    assert read(path) == "one"


def test_what_another_process_has_open_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def body(store: SqliteStore) -> None:
        for text in ("one", "two"):
            await put_document(store, "T", "default", "lib", text, 1)
            shown = await asyncio.to_thread(read, path)
            assert shown == text

    play(open_sqlite(str(path)), body)


def test_a_store_where_nobody_can_write_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        path = home / "a.db"
        put(path, "one")
        path.chmod(0o444)
        home.chmod(0o555)
        assert as_somebody_else(lambda: read(path)) == "one"
        home.chmod(0o700)


def test_of_several_documents_all_are_kept_or_none(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        await put_document(store, "T", "default", "a", "old", 1)
        store.database.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON documents WHEN NEW.name = 'c' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        batch = [NewDocument("T", "default", name, "new") for name in ("a", "b", "c")]
        await refused(store.library.put(batch, 2), PortError)
        assert [(one.name, one.text) for one in await store.library.newest("T")] == [("a", "old")]
        await store.library.put(batch[:2], 3)
        assert [(one.name, one.version) for one in await store.library.newest("T")] == [("a", 2), ("b", 1)]

    play(open_sqlite(str(tmp_path / "a.db")), body)


@pytest.mark.parametrize("progress", [None, 0])
def test_what_another_handle_has_written_is_not_written_over(tmp_path: Path, progress: int | None) -> None:
    path = str(tmp_path / "runs.db")

    async def body() -> None:
        mine, other = open_sqlite(path), open_sqlite(path)
        await mine.runs.create(new_run("a", owner="me", ttl=9 * SECOND))
        assert not await mine.runs.append([more("a", 0, "one", token=1)])
        assert not await other.runs.append([more("a", 1, "two", token=1, progress=progress)])
        late = more("a", 1, "another two", token=1, progress=progress)
        assert isinstance((await mine.runs.append([late]))["a"], BusyError)  # it knew of step 1 alone
        assert texts((await mine.runs.load("a")).lines) == ["one", "two"]
        await mine.close()
        await other.close()

    asyncio.run(body())


@pytest.mark.parametrize("progress", [None, 0])
def test_a_file_that_is_gone_is_not_written_to(tmp_path: Path, progress: int | None) -> None:
    path = tmp_path / "kept" / "runs.db"

    async def body() -> None:
        store = open_sqlite(str(path))
        await store.runs.create(new_run("a", owner="me", ttl=9 * SECOND))
        assert not await store.runs.append([more("a", 0, "one", token=1, progress=None)])
        path.parent.rename(tmp_path / "elsewhere")
        with pytest.raises(PortError, match="was moved, deleted or replaced"):
            await store.runs.append([more("a", 1, "two", token=1, progress=progress)])
        (tmp_path / "elsewhere").rename(path.parent)
        assert not await store.runs.append([more("a", 1, "two", token=1, progress=progress)])
        await store.close()

    asyncio.run(body())


LOST = "was moved, deleted or replaced|was emptied"


def harm(beside: Path, how: str) -> None:
    assert beside.stat().st_size
    elsewhere = beside.with_name("elsewhere")
    if how == "emptied" and beside.name.endswith("-wal"):
        os.truncate(beside, 0)
    elif how == "emptied":  # a page that is mapped and then cut off ends the process that touches it: put an empty one there
        beside.rename(elsewhere)
        beside.touch()
    elif how == "replaced":
        held = beside.read_bytes()
        beside.rename(elsewhere)
        beside.write_bytes(held)
    elif how == "moved":
        beside.rename(elsewhere)
    else:
        beside.unlink()


@pytest.mark.parametrize("progress", [None, 0])
@pytest.mark.parametrize("how", ["deleted", "emptied", "moved", "replaced"])
@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_what_lies_beside_the_file_is_missed_at_the_next_write(
    tmp_path: Path, end: str, how: str, progress: int | None
) -> None:
    path = tmp_path / "runs.db"

    async def body() -> None:
        store = open_sqlite(str(path))
        await store.runs.create(new_run("a", owner="me", ttl=9 * SECOND))
        assert not await store.runs.append([more("a", 0, "one", token=1)])
        assert not await store.runs.append([more("a", 1, "two", token=1, progress=progress)])
        harm(Path(f"{path}{end}"), how)
        store.database._next_look = 0.0
        with pytest.raises(PortError, match=LOST):
            await store.runs.append([more("a", 2, "three", token=1, progress=progress)])
        with pytest.raises(PortError, match=LOST):
            await store.runs.create(new_run("b"))
        store.database.connection.close()

    asyncio.run(body())


def test_a_log_that_was_emptied_between_two_looks_is_missed_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def body() -> None:
        store = open_sqlite(str(path))
        await store.runs.create(new_run("a", owner="me", ttl=9 * SECOND))
        assert not await store.runs.append([more("a", 0, "one", token=1)])
        store.database._next_look = float("inf")
        os.truncate(f"{path}-wal", 0)
        await store.runs.append([more("a", 1, "two", token=1, progress=0)])
        store.database._next_look = 0.0
        with pytest.raises(PortError, match="was emptied while it was in use"):
            await store.runs.append([more("a", 2, "three", token=1, progress=0)])
        store.database.connection.close()

    asyncio.run(body())


def size(path: str) -> int:
    return os.path.getsize(path)


def test_a_log_that_another_process_has_taken_over_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def body() -> None:
        store = open_sqlite(str(path))
        await store.runs.create(new_run("a"))
        other = open_sqlite(str(path))
        await other.upkeep.vacuum()
        assert not size(f"{path}-wal")
        assert await all_well(store, more("a", 0))
        await other.upkeep.vacuum()
        assert await all_well(store, more("a", 1, progress=0), more("a", 2, progress=0))
        await other.close()
        assert await all_well(store, more("a", 3))
        assert await store.upkeep.check() == []
        await store.close()

    asyncio.run(body())


def test_a_new_file_and_its_folders_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.db"
    before = os.umask(0)
    try:
        store = open_sqlite(str(path))
        asyncio.run(store.runs.create(new_run("a")))
        modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in (path.parent.parent, *path.parent.parent.rglob("*"))}
        asyncio.run(store.close())
    finally:
        os.umask(before)
    assert modes == {"deep": 0o700, "er": 0o700, "a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    play(open_sqlite(str(path)), lambda store: store.upkeep.vacuum())
    path.chmod(0o640)
    play(open_sqlite(str(path)), lambda store: store.upkeep.vacuum())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
