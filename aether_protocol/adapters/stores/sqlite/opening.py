"""How a SQLite file is opened: for writing, for reading beside others that write, or in a place that is read-only."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from aether_protocol.adapters.stores.sqlite.checkpoints import Checkpoints
from aether_protocol.errors import PortError
from aether_protocol.execution.private import make_private

DURABILITIES: Final = {"full": "FULL", "normal": "NORMAL"}
_PAGE: Final = 2048  # bytes: a commit writes and sums up whole pages, and a step is a small part of the usual 4096
_BUSY_MS: Final = 50  # how long SQLite itself may hold the event loop up
_CACHED: Final = 256  # statements: more than the store has, and they are made once
_Status = tuple[int, int, int, bool]  # of a file that is read as it lies: number, instant of change, size, whether it has a log
READ_ONLY: Final = "cannot be written: it or its directory is read-only"
OPENING_PATIENCE_S: Final = 5.0
PAUSE_S: Final = 0.005


class ReadOnlyError(PortError):
    """The file may not be written."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} {READ_ONLY}", hint="use --store for another place")


class Opened(Protocol):
    """What a way to open a file sets up: see `database.Database`."""

    connection: sqlite3.Connection
    execute: Callable[..., sqlite3.Cursor]
    newest_version: int
    checkpoints: Checkpoints | None

    def version(self) -> int: ...

    def migrate(self) -> Any: ...

    def wait_for(self, statement: str) -> None: ...

    def roll_back(self) -> None: ...


class Access(Protocol):
    """A way to open a file."""

    writable: bool

    def connect(self) -> sqlite3.Connection: ...

    def prepare(self, database: Opened) -> None:
        """Check what was opened, and set the connection up."""
        ...

    def outdated(self) -> bool:
        """Whether the connection must be made anew before more is read."""
        ...


class Writing:
    """For writing: the file is made with its directory where it is missing."""

    writable = True

    def __init__(self, path: str, durability: str, migrate: bool) -> None:
        self._path = path
        self._durability = durability
        self._migrate = migrate

    def connect(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            try:
                make_private(Path(self._path).parent)
            except OSError as error:
                raise PortError(f"cannot make the directory of {self._path!r}: {error.strerror}") from None
            _check_rights(self._path)
            _make_file(self._path)
        return _connection(self._path)

    def prepare(self, database: Opened) -> None:
        version = database.version()
        if version < database.newest_version and not self._migrate:
            raise _outdated_schema(self._path, version)
        if not version:
            database.execute(f"PRAGMA page_size = {_PAGE}")
        database.wait_for("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {DURABILITIES[self._durability]}")
        database.execute("PRAGMA journal_size_limit = 67108864")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        if self._path != ":memory:":
            database.checkpoints = Checkpoints(os.path.abspath(self._path), database.connection)
        if version < database.newest_version:
            database.migrate()
        else:
            self._try_to_write(database)
        database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def _try_to_write(self, database: Opened) -> None:
        """Find out now, not in the middle of a run, that the file may not be written."""
        database.wait_for("BEGIN IMMEDIATE")
        try:
            database.execute(f"PRAGMA user_version = {database.newest_version}")
        finally:
            database.roll_back()

    def outdated(self) -> bool:
        return False


class Shared:
    """For reading a file that other processes may write: readers take part in its lock."""

    writable = True

    def __init__(self, path: str) -> None:
        self._path = path

    def connect(self) -> sqlite3.Connection:
        _check_rights(self._path)
        return _connection(f"{Path(self._path).absolute().as_uri()}?mode=rw", uri=True)

    def prepare(self, database: Opened) -> None:
        version = self._version(database)
        if version < database.newest_version:
            raise _outdated_schema(self._path, version)
        database.execute("PRAGMA query_only = ON")
        database.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def outdated(self) -> bool:
        return False


    def _version(self, database: Opened) -> int:
        """Read the schema version; of a file that another process is making, once it is made."""
        end = time.monotonic() + OPENING_PATIENCE_S
        while not (version := database.version()) and time.monotonic() < end:
            time.sleep(PAUSE_S)
        return version


class Unchangeable:
    """For reading where this process may not write: nothing is made, also not beside the file.

    Where no process has the file open it is read as it lies, and opened anew before each reading once it has changed; else
    SQLite keeps readers and the writer apart, as always. What cannot be read whole is refused.
    """

    writable = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: _Status | None = None  # what the file was like when it was opened as one that does not change

    def connect(self) -> sqlite3.Connection:
        self._seen = None
        if os.path.exists(f"{self._path}-wal"):
            try:
                return self._reader("mode=ro")
            except sqlite3.Error as error:
                if os.path.getsize(f"{self._path}-wal"):
                    message = f"{self._path!r} was not closed in order, and its end cannot be read in a read-only place"
                    raise PortError(message, hint=f"copy it with {self._path}-wal to where you may write") from error
        self._seen = self._status()
        return self._reader("mode=ro&immutable=1")

    def _reader(self, mode: str) -> sqlite3.Connection:
        """A connection that is known to be able to read."""
        made = _connection(f"file:{quote(self._path)}?{mode}", uri=True)
        try:
            made.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error:
            made.close()
            raise
        return made

    def prepare(self, database: Opened) -> None:
        version = database.version()
        if version < database.newest_version:
            message = f"{self._path!r} has schema version {version}, and is read-only: it cannot be brought up to date"
            raise PortError(message, hint="copy it to where you may write")

    def outdated(self) -> bool:
        return self._seen is not None and self._seen != self._status()

    def _status(self) -> _Status:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise PortError(f"{self._path!r} cannot be opened: {error.strerror}") from None
        return found.st_ino, found.st_mtime_ns, found.st_size, os.path.exists(f"{self._path}-wal")


def _connection(place: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(place, timeout=OPENING_PATIENCE_S, isolation_level=None, cached_statements=_CACHED, uri=uri)


def _check_rights(path: str) -> None:
    """Refuse a read-only file before SQLite leaves files beside it that its owner may not write."""
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise ReadOnlyError(path)


def _make_file(path: str) -> None:
    """Make a new file its owner's alone: SQLite gives `-wal` and `-shm` the mode of the file that they belong to."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:  # it is there, or SQLite will say why it cannot be
        return


def _outdated_schema(path: str, version: int) -> PortError:
    if not version:
        return PortError(f"{path!r} is empty: it is not a store yet", hint="'aether run' makes one of it")
    return PortError(f"{path!r} has schema version {version}", hint="run `aether db migrate`")
