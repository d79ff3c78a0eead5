"""Check-points of a SQLite file: when the log is moved into the file, and by whom.

Up to 3.51.2 SQLite may lose what was committed, and damage the file, where a check-point begins on a log that another one has
just moved whole, and a third connection writes meanwhile: it takes frames of the new log for moved. So its own check-points
are off, and ours go one at a time under a lock that all processes heed, which is taken before the commit that comes first: the
log then holds something that was never moved, so that no connection can begin it anew before this check-point has ended.

The lock is that of the folder, so that no file more lies beside the store; who finds it held leaves the log to the holder, and
tries again with its next commit. The last connection that closes a file moves its log too, but then there is no other one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from typing import Final

_COMMITS: Final = 300  # between two check-points: about the thousand pages that SQLite itself waits for
_CHANGES: Final = 4_000  # of rows, likewise, where commits are large
_LONG_LOG: Final = 4 * 2**20  # bytes: who finds such a log moves it with its first commit; others may have left after few


class Checkpoints:
    """The check-points that one connection does.

    Args:
        path: the absolute path of the file; `:memory:` has no log.
        connection: one that writes to it, with `wal_autocheckpoint` off.
    """

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._folder = os.path.dirname(path)
        self._handle = -1
        self._left = _COMMITS if _size(f"{path}-wal") < _LONG_LOG else 0
        self._changes = connection.total_changes

    def is_due(self) -> bool:
        """Whether the commit that comes is followed by a check-point: the lock is held then, until `end`."""
        self._left -= 1
        if self._left > 0 and self._connection.total_changes - self._changes < _CHANGES:
            return False
        return self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def end(self, *, move: bool) -> None:
        """After that commit: move the log, as far as readers let it, and release the lock. `move` is false where the commit
        failed or held nothing; what cannot be moved now is kept in the log, and moved later."""
        try:
            if move:
                self._left, self._changes = _COMMITS, self._connection.total_changes
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            self.release()

    async def wait(self) -> None:
        """Take the lock, once it is free."""
        import asyncio  # 30 ms that a store of one process does not need

        await asyncio.to_thread(self._take, fcntl.LOCK_EX)

    def _take(self, how: int) -> bool:
        try:
            if self._handle < 0:
                self._handle = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._handle, how)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: SQLite has none there either, and one process has the file
            pass
        return True

    def release(self) -> None:
        """Allow check-points of others."""
        with contextlib.suppress(OSError):  # as above
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the folder."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
