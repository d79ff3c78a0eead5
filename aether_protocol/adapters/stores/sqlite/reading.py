"""A SQLite file that this process may read and not write: a read-only file, directory or disk.

Law: nothing is written and no file is made, also not beside it. Where nobody has the file open it is read as it lies, and
looked at anew before each reading once it has changed; else SQLite keeps the readers off the writer, as always. What cannot
be read whole is refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from aether_protocol.adapters.stores.sqlite.database import Database, Execute, ReadOnlyError
from aether_protocol.errors import PortError

_WHY: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR})

Look = tuple[int, int, int, bool]


class ReadOnlyDatabase(Database):
    """See `Database`. Writing raises PortError; a file of an older version is refused, for it cannot be brought up to date."""

    writable = False

    def __init__(self, path: str) -> None:
        self._seen: Look | None = None  # what the file was like when it was opened as one that nobody changes
        super().__init__(path, migrate=False)

    def _connect(self) -> sqlite3.Connection:
        self._seen = None
        if os.path.exists(f"{self.path}-wal"):
            try:
                return self._reader("mode=ro")
            except sqlite3.Error as error:
                if os.path.getsize(f"{self.path}-wal"):
                    told = f"{self.path!r} was not closed in order, and its end cannot be read in a read-only place"
                    raise PortError(told, hint=f"copy it with {self.path}-wal to where you may write") from error
        self._seen = self._look()
        return self._reader("mode=ro&immutable=1")

    def _reader(self, mode: str) -> sqlite3.Connection:
        """A connection of which is known that it can read."""
        made = sqlite3.connect(f"file:{quote(self.path)}?{mode}", uri=True, isolation_level=None, cached_statements=256)
        try:
            made.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error:
            made.close()
            raise
        return made

    def _open(self, migrate: bool) -> None:
        version = self.version()
        if version < len(self.migrations):
            told = f"{self.path!r} has schema version {version}, and is read-only: it cannot be brought up to date"
            raise PortError(told, hint="copy it to where you may write")

    def migrate(self) -> tuple[int, int]:
        raise ReadOnlyError(self.path)

    @contextmanager
    def read(self) -> Iterator[Execute]:
        if self._seen is not None and self._seen != self._look():
            with self._told():
                self.connection.close()
                self.connection = self._connect()
                self.execute = self.connection.execute
                self._open(False)
        with super().read() as execute:
            yield execute

    def _look(self) -> Look:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise PortError(f"{self.path!r} cannot be opened: {error.strerror}") from None
        return found.st_ino, found.st_mtime_ns, found.st_size, os.path.exists(f"{self.path}-wal")


def may_be_readable(error: PortError) -> bool:
    """Whether a file that could not be opened for writing, for this reason, may be opened for reading."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorcode & 0xFF in _WHY
    return isinstance(error, ReadOnlyError)
