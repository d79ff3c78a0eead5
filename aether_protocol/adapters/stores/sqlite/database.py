"""One connection to a SQLite file: opening it with care, transactions, and errors in our words.

Law: a file that is not ours, or is from the future, is never written to. A write takes the lock before it looks, so what it
read still holds when it commits. While another process writes, the event loop goes on. No sqlite3 error leaves this file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.schema import APPLICATION_ID, FUNCTIONS, MIGRATIONS, OLDEST
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError
from aether_protocol.execution.private import make_private

DURABILITIES: Final = {"full": "FULL", "normal": "NORMAL"}
PATIENCE_S: Final = 15.0  # how long to wait for another process that writes
OPENING_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.1  # how long a file that went away may go unnoticed while steps come one upon the other
_PAGE: Final = 2048  # bytes: a commit writes and sums up whole pages, and a step is a small part of the usual 4096
_PAUSE_S: Final = 0.005
_BUSY_MS: Final = 50  # how long SQLite itself may hold the event loop up

# What SQLite cannot hold, the caller gave: documents are checked before. What cannot be decoded stands in a damaged file, in a
# text or in the name of a table or column.
_UNFIT: Final = (UnicodeEncodeError, OverflowError, UnicodeDecodeError)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_READ_ONLY: Final = "cannot be written: it or its directory is read-only"

# (what happened, advice) by SQLite's primary result code; the file's name comes before the first.
_FAULTS: Final[dict[int, tuple[str, str | None]]] = {
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space and start again: what was recorded is kept"),
    sqlite3.SQLITE_READONLY: (_READ_ONLY, "use --store for another place"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "is its directory there, and may you write to it?"),
    sqlite3.SQLITE_PERM: ("cannot be opened: permission denied", None),
    sqlite3.SQLITE_NOTADB: ("is no SQLite database", "move it away, or use --store for another place"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "`aether db check` tells more; restore it from a backup"),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error", "is it full, or failing? what was recorded is kept"
    ),
}

_LOG_BEGIN: Final = b"\x37\x7f\x06"  # of every log of SQLite

_Place = tuple[int, int, int]  # device, number and size of a file; zeros where there is none
Execute = Callable[..., sqlite3.Cursor]


def machine_now() -> int:
    """The machine's time in microseconds since the epoch: the one clock of a file that processes of one machine share."""
    return time.time_ns() // 1_000


class Database:
    """`path` is a file, or `:memory:`. Raises PortError and UsageError where the file cannot be used.

    With `migrate` false a file of an older version is refused, too. With `reads_only` it must be there, and is never
    written to. `now` is the clock by which leases are measured.
    """

    writable = True

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
        self._write = _Write(self)
        with self._told():
            self.connection = self._connect_to_read() if reads_only else self._connect()
        self.execute: Execute = self.connection.execute
        try:
            with self._told():
                self._open_to_read() if reads_only else self._open(migrate)
            self._files = self._find_files()
        except BaseException:
            self.connection.close()
            raise

    # --- opening ---

    def _connect(self) -> sqlite3.Connection:
        if self.path != ":memory:":
            try:
                make_private(Path(self.path).parent)
            except OSError as error:
                raise PortError(f"cannot make the directory of {self.path!r}: {error.strerror}") from None
            self._check_rights()
            self._make_file()
        return sqlite3.connect(self.path, timeout=OPENING_PATIENCE_S, isolation_level=None, cached_statements=256)

    def _connect_to_read(self) -> sqlite3.Connection:
        self._check_rights()
        place = f"{Path(self.path).absolute().as_uri()}?mode=rw"  # readers of a file that others write to take part in its lock
        return sqlite3.connect(place, timeout=OPENING_PATIENCE_S, isolation_level=None, cached_statements=256, uri=True)

    def _check_rights(self) -> None:
        """Before SQLite leaves files beside it that its owner may not write to."""
        if os.path.exists(self.path) and not os.access(self.path, os.W_OK):
            raise ReadOnlyError(self.path)

    def _make_file(self) -> None:
        """A new file is its owner's alone, and SQLite gives `-wal` and `-shm` the mode of the file that they belong to."""
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError:  # it is there, or SQLite will say why it cannot be
            return

    def _open_to_read(self) -> None:
        version = self.version()
        if version < len(self.migrations):
            raise PortError(f"{self.path!r} has schema version {version}", hint="run `aether db migrate`")
        self.execute("PRAGMA query_only = ON")
        self.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def _open(self, migrate: bool) -> None:
        version = self.version()
        if version < len(self.migrations) and not migrate:
            raise PortError(f"{self.path!r} has schema version {version}", hint="run `aether db migrate`")
        if not version:
            self.execute(f"PRAGMA page_size = {_PAGE}")
        self._patiently("PRAGMA journal_mode = WAL")
        self.execute(f"PRAGMA synchronous = {DURABILITIES[self.durability]}")
        self.execute("PRAGMA journal_size_limit = 67108864")
        if version < len(self.migrations):
            self.migrate()
        else:
            self._may_write()
        self.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def version(self) -> int:
        """The schema version, 0 for a new file. Raises PortError for a file that is not ours or from the future."""
        found: int = self.execute("PRAGMA user_version").fetchone()[0]
        ours = self.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if not ours and (found or self.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()):
            told = f"{self.path!r} is a database of another program"
            raise PortError(told, hint="use --store for another place: it was not touched")
        if found > len(self.migrations):
            told = f"{self.path!r} was written by a newer version: its schema is {found}, this is {len(self.migrations)}"
            raise PortError(told, hint="use that version: the file was not touched")
        if 0 < found < OLDEST:
            message = f"{self.path!r} was written before the first release: its schema is {found}, not {OLDEST} or later"
            hint = "finish its runs with the version that wrote it, then move it away, or use --store for another place"
            raise PortError(message, hint=f"{hint}: it was not touched")
        return found

    def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date, in one transaction; its version before and after."""
        with self._told():
            self._patiently("BEGIN IMMEDIATE")
            try:
                for name, function in FUNCTIONS.items():
                    self.connection.create_function(name, 1, function)
                before = self.version()  # again: another process may have been first
                for number in range(before, len(self.migrations)):
                    for statement in self.migrations[number]:
                        self.execute(statement)
                self.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self.execute(f"PRAGMA user_version = {len(self.migrations)}")
                self.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        return before, len(self.migrations)

    def _may_write(self) -> None:
        """A file that nobody may write to is found out now, not in the middle of a run."""
        self._patiently("BEGIN IMMEDIATE")
        try:
            self.execute(f"PRAGMA user_version = {len(self.migrations)}")
        finally:
            self._roll_back()

    def _patiently(self, statement: str) -> None:
        """Changing the journal mode does not wait by itself."""
        for _ in self._tries(statement, OPENING_PATIENCE_S):
            time.sleep(_PAUSE_S)

    def _tries(self, statement: str, patience_s: float) -> Iterator[None]:
        """Run it, and give way each time that another process is in the way of it, for so long at most."""
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
        """Raises PortError where the file, or one of the two beside it, is not there: what is written to it goes nowhere, and
        what is in its place is another store. Costs three looks into the folder and one into the log."""
        files = self._files
        if not files:
            return
        place = self._place
        for (kind, number, _), end in zip(files, ("", "-wal", "-shm"), strict=True):
            found = _find(place + end)
            if number and found[:2] != (kind, number):
                told = "was moved, deleted or replaced while it was in use: nothing that happens now would be recorded"
                hint = "put it back and start again; if it is gone, so is what it held"
                raise PortError(f"{self.path + end!r} {told}", hint=hint)
            if end and number and self._emptied(end, found[2]):
                told = "was emptied while it was in use: what was recorded last may be lost"
                raise PortError(f"{self.path + end!r} {told}", hint="`aether db check` tells what is left")

    def _emptied(self, end: str, size: int) -> bool:
        """Whether a file holds nothing that should hold something, or held nothing before more was written to it. The log is
        empty before the first write, and where another process has taken all of it over: then SQLite knows of nothing in it."""
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
        """Write with one statement that is a transaction by itself: the rows changed, 0 also while another process writes."""
        now = time.monotonic()
        if now >= self._next_look:  # a look is a tenth of what this costs
            self._next_look = now + _LOOK_S
            self.require_file()
        try:
            return self.execute(statement, values).rowcount
        except sqlite3.Error as error:
            if _code(error) not in _BUSY:
                raise self.fault(error) from error
            return 0

    @contextmanager
    def read(self) -> Iterator[Execute]:
        """Statements that see the same moment. There must be no `await` inside."""
        with self._told():
            self.execute("BEGIN")
            try:
                yield self.execute
            finally:
                self._roll_back()

    @contextmanager
    def read_anything(self) -> Iterator[Execute]:
        """`read` that gives also what is no text where a text should be: its bytes as half characters (surrogateescape)."""
        with self.read() as execute:
            self.connection.text_factory = _any_text
            try:
                yield execute
            finally:
                self.connection.text_factory = str

    async def exclusively(self, statement: str) -> None:
        """Run a statement that must stand alone (VACUUM)."""
        with self._told():
            await self.patiently(statement)

    async def patiently(self, statement: str) -> None:
        for _ in self._tries(statement, PATIENCE_S):
            import asyncio  # 30 ms that a store which nobody else uses does not need

            await asyncio.sleep(_PAUSE_S)

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        with self._told():
            self.connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, *_UNFIT) as error:
            raise self.fault(error) from error

    def fault(self, error: Exception) -> AetherError:
        """`error`, of SQLite or one of `_UNFIT`, in our words."""
        if isinstance(error, UnicodeEncodeError):
            told = f"{str(error.object)[:100]!a} holds half a character (a lone surrogate): no store can hold that"
            return UsageError(told, hint="write it in UTF-8")
        if isinstance(error, OverflowError):
            return UsageError("a number is too large: a store holds whole numbers of up to 63 bits", hint="give a smaller one")
        code = _code(error)
        if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
            code = sqlite3.SQLITE_CORRUPT
        if code in _BUSY:
            return BusyError(f"{self.path!r} is in use by another process", hint="try again when it is done")
        if isinstance(error, sqlite3.ProgrammingError):
            return PortError(f"the store {self.path!r} cannot be used: {str(error).lower().rstrip('.')}")
        told, hint = _FAULTS.get(code, (f"cannot be used: {error}", None))
        return PortError(f"{self.path!r} {told}", hint=hint)


class _Write:
    """The transaction of a database: one object, for there is never more than one at a time."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Execute:
        database = self._database
        database.require_file()
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if _code(error) not in _BUSY:
                raise database.fault(error) from error
            await database.exclusively("BEGIN IMMEDIATE")
        return database.execute

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        database = self._database
        try:
            if error is None:
                database.execute("COMMIT")
                return
        except sqlite3.Error as failed:
            error = failed
        try:
            if database.connection.in_transaction:  # a full disk has rolled back already
                database.execute("ROLLBACK")
        except sqlite3.Error as failed:
            raise database.fault(failed) from error
        if isinstance(error, (sqlite3.Error, *_UNFIT)):
            raise database.fault(error) from error


class ReadOnlyError(PortError):
    """The file may not be written to."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} {_READ_ONLY}", hint=_FAULTS[sqlite3.SQLITE_READONLY][1])


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
    """The id that the next row of an AUTOINCREMENT table gets; inside of a transaction that writes."""
    found = execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return found[0] + 1 if found is not None else 1
