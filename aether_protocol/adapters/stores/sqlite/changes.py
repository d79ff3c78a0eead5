"""The feed of changes in SQLite: which runs have changed since a number.

Steps that say nothing new of an open, awake run carry the number of their change in their own row, so an append dirties one
page. Every other change (a run that was created, imported or deleted, its row written, its passivation) has a row of
`changes`. So what has changed stands in the rows of `changes` after a number, and in the newest steps of the runs that are
open and awake. A row that a newer one of the same run supersedes may be deleted.
"""

from __future__ import annotations

import time
from typing import Final

from aether_protocol.adapters.stores.sql.records import NEWEST, RUNS, SHOWN, make_row
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.ports.store.changes import Change

POLL_S: Final = 0.05  # between two looks for what another process has written
_STEPS: Final = f"FROM runs JOIN steps ON steps.id = {NEWEST} WHERE closed = 0 AND wake_at IS NULL"
_NEWEST_CHANGE: Final = f"SELECT max(coalesce((SELECT max(id) FROM changes), 0), coalesce((SELECT max(change) {_STEPS}), 0))"
_AFTER: Final = (
    "SELECT max(id) AS newest, run, max(gone), max(namespace) "
    "FROM (SELECT id, run, gone, namespace FROM changes WHERE id > ?1 "
    f"UNION ALL SELECT change, number, NULL, NULL {_STEPS} AND change > ?1) GROUP BY run ORDER BY newest LIMIT ?2"
)
_BY_NUMBER: Final = f"SELECT {SHOWN} FROM {RUNS} WHERE number = ?"


class SqliteChanges:
    """`ports.store.ChangeFeed`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def newest(self) -> int:
        with self._db.read() as execute:
            found: int = execute(_NEWEST_CHANGE).fetchone()[0]
        return found

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        with self._db.read() as execute:
            found: list[Change] = []
            for number, run, gone, namespace in execute(_AFTER, (cursor, limit)).fetchall():
                if gone is not None:
                    found.append(Change(number, gone, None, namespace))
                    continue
                row = make_row(execute(_BY_NUMBER, (run,)).fetchone())
                found.append(Change(number, row.run_id, row, row.namespace))
        return found

    async def wait(self, cursor: int, seconds: float) -> bool:
        end = time.monotonic() + seconds
        seen: object = None
        while True:
            state = self._db.state()  # before the look: what is committed after it is seen by the next one
            if seen is None or state != seen:
                if await self.newest() > cursor:
                    return True
                seen = state
            left = end - time.monotonic()
            if left <= 0:
                return False
            import asyncio  # here: most commands never wait, and importing it takes as long as all that `ls` does

            await asyncio.sleep(min(POLL_S, left))
