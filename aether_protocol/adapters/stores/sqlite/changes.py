"""The change feed in SQLite.

Law: rows of `changes` are made by triggers, in the transaction that they tell of; there is one writer at a time, so their ids
are in the order of commits. A row that a newer one of the same run supersedes may go.
"""

from __future__ import annotations

import time
from typing import Final

from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.rows import RUNS, SHOWN, make_row
from aether_protocol.ports.store.changes import Change

LOOK_S: Final = 0.05  # between two looks for what another process has written

_NEWEST: Final = "SELECT coalesce(max(id), 0) FROM changes"
_AFTER: Final = "SELECT max(id) AS newest, run, max(gone) FROM changes WHERE id > ? GROUP BY run ORDER BY newest LIMIT ?"
_ROW: Final = f"SELECT {SHOWN} FROM {RUNS} WHERE number = ?"


class SqliteChanges:
    """`ports.store.ChangeFeed`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def newest(self) -> int:
        with self._db.read() as execute:
            found: int = execute(_NEWEST).fetchone()[0]
        return found

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        with self._db.read() as execute:
            found: list[Change] = []
            for id_, number, gone in execute(_AFTER, (cursor, limit)).fetchall():
                row = make_row(execute(_ROW, (number,)).fetchone()) if gone is None else None
                found.append(Change(id_, row.run_id if row is not None else gone, row))
        return found

    async def wait(self, cursor: int, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while await self.newest() <= cursor:
            left = end - time.monotonic()
            if left <= 0:
                return False
            import asyncio  # here: most commands never wait, and importing it takes as long as all that `ls` does

            await asyncio.sleep(min(LOOK_S, left))
        return True
