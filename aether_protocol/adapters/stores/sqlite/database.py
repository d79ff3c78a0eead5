"""One connection to a SQLite file: opened with care, for writing, for reading, or in a place that is read-only.

A file of another program, of a newer version or of before the first release is never written to. A transaction that writes
takes the lock before it reads, so what it read still holds when it commits; while another process holds that lock, the event
loop continues. Errors of sqlite3 leave this module as PortError, BusyError or UsageError.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from aether_protocol.adapters.stores.sql.schema import APPLICATION_ID, FIRST, MIGRATIONS
from aether_protocol.adapters.stores.sqlite.checkpoints import Checkpoints
from aether_protocol.adapters.stores.sqlite.numbers import ChangeNumbers
from aether_protocol.adapters.stores.sqlite.opening import (
    DURABILITIES,
    OPENING_PATIENCE_S,
    PAUSE_S,
    READ_ONLY,
    Access,
    ReadOnlyError,
    Shared,
    Unchangeable,
    Writing,
)
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError

PATIENCE_S: Final = 15.0  # how long to wait for another process that writes
_LOOK_S: Final = 0.1  # how long the loss of a file may stay undetected while one append follows another

# What SQLite cannot hold, the caller gave: documents are checked before. What cannot be decoded stands in a damaged file, in a
# text or in the name of a table or column.
_UNFIT: Final = (UnicodeEncodeError, OverflowError, UnicodeDecodeError)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_READ_ONLY_CODES: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
)


# (what happened, advice) by SQLite's primary result code; the file's name comes before the first.
_FAULTS: Final[dict[int, tuple[str, str | None]]] = {
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space and start again: what was recorded is kept"),
    sqlite3.SQLITE_READONLY: (READ_ONLY, "use --store for another place"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "is its directory there, and may you write to it?"),
    sqlite3.SQLITE_PERM: ("cannot be opened: permission denied", None),
    sqlite3.SQLITE_NOTADB: ("is not a SQLite database", "move it away, or use --store for another place"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "`aether db check` reports more; restore it from a backup"),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error", "is it full, or failing? what was recorded is kept"
    ),
}

_LOG_BEGIN: Final = b"\x37\x7f\x06"  # of every log of SQLite

_Place = tuple[int, int, int]  # device, number and size of a file; zeros where there is none
Execute = Callable[..., sqlite3.Cursor]


def machine_now() -> int:
    """Read the machine's time in microseconds since the epoch: the one clock of a file that processes of one machine share."""
    return time.time_ns() // 1_000


class Database:
    """A connection, its transactions and its files.

    Args:
        path: A file, or `:memory:`.
        durability: full (survives power loss) or normal (survives the end of the process).
        migrate: Bring a file of an older version up to date; else it is refused.
        reads_only: Make and change nothing; a read-only file, directory or disk will do.
        migrations: The schema, as `schema.MIGRATIONS` writes it.
        now: The clock by which leases are measured.

    Raises:
        PortError: The file cannot be used.
        UsageError: Unknown durability.
    """

    def __init__(
        self,
        path: str,
        durability: str = "full",
        *,
        migrate: bool = True,
        reads_only: bool = False,
        migrations: Sequence[Sequence[str]] = MIGRATIONS,
        now: Callable[[], int] = machine_now,
    ) -> None:
        if durability not in DURABILITIES:
            raise UsageError(f"unknown durability {durability!r}", hint=f"known: {', '.join(DURABILITIES)}")
        self.path = path
        self.now = now
        self._next_look = 0.0
        self._place = os.path.abspath(path)  # a process may change its folder
        self.durability = durability
        self.migrations = migrations
        self.newest_version = FIRST + len(migrations) - 1
        self.numbers = ChangeNumbers()
        self.checkpoints: Checkpoints | None = None  # of a file that is written to
        self._write = _Write(self)
        self._access: Access = Shared(path) if reads_only else Writing(path, durability, migrate)
        try:
            self._connect()
        except PortError as error:
            if not reads_only or not _is_about_rights(error):
                raise
            self._access = Unchangeable(path)
            self._connect()
        self._files = self._find_files()

    @property
    def writable(self) -> bool:
        """False where the file, its directory or the disk is read-only."""
        return self._access.writable

    # --- opening ---

    def _connect(self) -> None:
        with self._translated():
            self.connection = self._access.connect()
        self.execute: Execute = self.connection.execute
        try:
            with self._translated():
                self._access.prepare(self)
        except BaseException:
            self.connection.close()
            raise

    def version(self) -> int:
        """Read the schema version, 0 of a new file. Raises PortError for a file that this version must not use."""
        found, ours, is_used = self._marks()
        if not ours and (found or is_used):
            message = f"{self.path!r} is a database of another program"
            raise PortError(message, hint="use --store for another place: it was not touched")
        if found > self.newest_version:
            message = f"{self.path!r} was written by a newer version: its schema is {found}, this is {self.newest_version}"
            raise PortError(message, hint="use that version: the file was not touched")
        if 0 < found < FIRST:
            message = f"{self.path!r} was written before the first release: its schema is {found}, not {FIRST} or later"
            hint = "finish its runs with the version that wrote it, then move it away, or use --store for another place"
            raise PortError(message, hint=f"{hint}: it was not touched")
        return found

    def _marks(self) -> tuple[int, bool, bool]:
        """Read the version, whether the file is marked as ours, and whether it holds anything: as of one moment, for another
        process may be making it."""
        alone = not self.connection.in_transaction
        if alone:
            self.execute("BEGIN")
        try:
            found: int = self.execute("PRAGMA user_version").fetchone()[0]
            ours = self.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            return found, ours, self.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
        finally:
            if alone:
                self.roll_back()

    def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date, in one transaction; its version before and after."""
        if not self.writable:
            raise ReadOnlyError(self.path)
        with self._translated():
            self.wait_for("BEGIN IMMEDIATE")
            try:
                before = self.version()  # again: another process may have been first
                for statements in self.migrations[before - FIRST + 1 if before else 0 :]:
                    for statement in statements:
                        self.execute(statement)
                self.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self.execute(f"PRAGMA user_version = {self.newest_version}")
                self.execute("COMMIT")
            except BaseException:
                self.roll_back()
                raise
        return before, self.newest_version

    def wait_for(self, statement: str) -> None:
        """Run a statement that does not wait for other processes by itself, such as a change of the journal mode."""
        for _ in self._tries(statement, OPENING_PATIENCE_S):
            time.sleep(PAUSE_S)

    def _tries(self, statement: str, patience_s: float) -> Iterator[None]:
        """Run it, and yield each time that another process is in its way, for so long at most."""
        end = time.monotonic() + patience_s
        while True:
            try:
                self.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() > end:
                    raise
            yield

    def _find_files(self) -> tuple[_Place, ...]:
        """Which files lie at the paths: the file itself, and beside it the log and its index, where it has them."""
        if self.path == ":memory:":
            return ()
        return tuple([_find(self._place + end) for end in ("", "-wal", "-shm")])

    def require_file(self) -> None:
        """Raise PortError where the file, or one of the two beside it, is missing: what is written to it goes nowhere, and what
        is in its place is another store. Costs three looks into the folder and one into the log."""
        files = self._files
        if not files:
            return
        place = self._place
        for (kind, number, _), end in zip(files, ("", "-wal", "-shm"), strict=True):
            found = _find(place + end)
            if number and found[:2] != (kind, number):
                message = "was moved, deleted or replaced while it was in use: nothing that happens now would be recorded"
                hint = "put it back and start again; if it is gone, so is what it held"
                raise PortError(f"{self.path + end!r} {message}", hint=hint)
            if end and number and self._emptied(end, found[2]):
                message = "was emptied while it was in use: what was recorded last may be lost"
                raise PortError(f"{self.path + end!r} {message}", hint="`aether db check` reports what is left")

    def _emptied(self, end: str, size: int) -> bool:
        """Whether a file holds nothing that should hold something, or held nothing before more was written to it. The log is
        empty before the first write, and where another process has moved all of it to the file: then SQLite knows of nothing in
        it."""
        if end == "-shm":
            return size == 0
        if size:
            with open(self._place + end, "rb", 0) as log:  # SQLite has no locks on this one: closing it takes none away
                return log.read(3) != _LOG_BEGIN
        try:
            busy, frames, _ = self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return True
        return not busy and frames > 0

    # --- use ---

    def write(self) -> _Write:
        """`async with database.write() as execute:` is a transaction. There must be no `await` inside."""
        return self._write

    def once(self, statement: str, values: tuple[Any, ...]) -> int:
        """Write with one statement that is a transaction by itself; the rows changed, 0 also while another process writes."""
        now = time.monotonic()
        if now >= self._next_look:  # a look is a tenth of what this costs
            self._next_look = now + _LOOK_S
            self.require_file()
        checkpoints, rows = self.checkpoints, 0
        due = checkpoints is not None and checkpoints.is_due()
        try:
            rows = self.execute(statement, values).rowcount
        except sqlite3.Error as error:
            if _code(error) not in _BUSY:
                raise self.fault(error) from error
        finally:
            if due and checkpoints is not None:
                checkpoints.end(move=rows > 0)
        return rows

    def commit(self, *, wrote: bool) -> None:
        """End the transaction. `wrote`: whether it changed anything."""
        checkpoints, done = self.checkpoints, False
        if checkpoints is None or not checkpoints.is_due():
            self.execute("COMMIT")
            return
        try:
            self.execute("COMMIT")
            done = True
        finally:
            checkpoints.end(move=done and wrote)

    def state(self) -> tuple[int, int] | None:
        """Read what is another one after each commit, of this process or of another; None where only a look can show it."""
        if not self.writable:
            return None
        with self._translated():
            return self.execute("PRAGMA data_version").fetchone()[0], self.connection.total_changes

    @contextmanager
    def read(self) -> Iterator[Execute]:
        """Read with statements that see the same moment. There must be no `await` inside."""
        if self._access.outdated():  # read as it lies, and changed since
            with self._translated():
                self.connection.close()
            self._connect()
        with self._translated():
            self.execute("BEGIN")
            try:
                yield self.execute
            finally:
                self.roll_back()

    @contextmanager
    def read_anything(self) -> Iterator[Execute]:
        """`read` that gives also what is not text where a text should be: its bytes as half characters (surrogateescape)."""
        with self.read() as execute:
            self.connection.text_factory = _any_text
            try:
                yield execute
            finally:
                self.connection.text_factory = str

    async def exclusively(self, statement: str) -> None:
        """Run a statement that must stand alone (VACUUM)."""
        with self._translated():
            await self.patiently(statement)

    async def patiently(self, statement: str) -> None:
        for _ in self._tries(statement, PATIENCE_S):
            import asyncio  # 30 ms that a store of one process does not need

            await asyncio.sleep(PAUSE_S)

    def roll_back(self) -> None:
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    async def compact(self) -> None:
        """Free what the file does not need, and bring the whole log into it."""
        if self.checkpoints is not None:
            await self.checkpoints.wait()
        try:
            await self.exclusively("VACUUM")
            await self.exclusively("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            if self.checkpoints is not None:
                self.checkpoints.release()

    def close(self) -> None:
        with self._translated():
            self.connection.close()
        if self.checkpoints is not None:
            self.checkpoints.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, *_UNFIT) as error:
            raise self.fault(error) from error

    def fault(self, error: Exception) -> AetherError:
        """Translate an error of SQLite, or one of `_UNFIT`."""
        if isinstance(error, UnicodeEncodeError):
            message = f"{str(error.object)[:100]!a} holds half a character (a lone surrogate): no store can hold that"
            return UsageError(message, hint="write it in UTF-8")
        if isinstance(error, OverflowError):
            return UsageError("a number is too large: a store holds whole numbers of up to 63 bits", hint="give a smaller one")
        code = _code(error)
        if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
            code = sqlite3.SQLITE_CORRUPT
        if code in _BUSY:
            return BusyError(f"{self.path!r} is in use by another process", hint="try again when it is done")
        if isinstance(error, sqlite3.ProgrammingError):
            return PortError(f"the store {self.path!r} cannot be used: {str(error).lower().rstrip('.')}")
        message, hint = _FAULTS.get(code, (f"cannot be used: {error}", None))
        return PortError(f"{self.path!r} {message}", hint=hint)


class _Write:
    """The transaction of a database: one object, since there is one at a time."""

    __slots__ = ("_changes", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = 0  # of the connection, when the transaction began

    async def __aenter__(self) -> Execute:
        database = self._database
        database.require_file()
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if _code(error) not in _BUSY:
                raise database.fault(error) from error
            await database.exclusively("BEGIN IMMEDIATE")
        self._changes = database.connection.total_changes
        return database.execute

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        database = self._database
        try:
            if error is None:
                database.commit(wrote=database.connection.total_changes != self._changes)
                return
        except sqlite3.Error as failed:
            error = failed
        database.numbers.forget()
        try:
            if database.connection.in_transaction:  # a full disk has rolled back already
                database.execute("ROLLBACK")
        except sqlite3.Error as failed:
            raise database.fault(failed) from error
        if isinstance(error, (sqlite3.Error, *_UNFIT)):
            raise database.fault(error) from error


def _is_about_rights(error: PortError) -> bool:
    """Whether a file that could not be opened in the usual way, for this reason, may be read as it lies."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return _code(cause) in _READ_ONLY_CODES
    return isinstance(error, ReadOnlyError)


def _find(path: str) -> _Place:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_dev, found.st_ino, found.st_size


def _any_text(given: bytes) -> str:
    return given.decode("utf-8", "surrogateescape")


def _code(error: Exception) -> int:
    """The primary result code; 0 where Python itself raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def next_id(execute: Execute, table: str) -> int:
    """Read the id that the next row of an AUTOINCREMENT table gets; inside of a transaction that writes."""
    found = execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return found[0] + 1 if found is not None else 1
