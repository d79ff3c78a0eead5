"""SQLite as shared facets see it (`adapters.stores.sql.work`): work is carried out at once, on the one connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from aether_protocol.adapters.stores.sql.work import T, Work
from aether_protocol.adapters.stores.sql.work import run as carry_out
from aether_protocol.adapters.stores.sqlite.database import Database, next_id


class SqliteDialect:
    """The dialect of a file. There is one writer at a time, so that nothing is ever repeated and no row has to be locked."""

    chained_change = "change"
    for_update = if_free = for_key = gone_owner = ""  # an owner that died is seen by its lease
    holds_label = "instr(labels, ?)"
    holds_text = "instr(lower(run_id || ' ' || workflow || ' ' || message), ?)"
    holds_namespace = "namespace IN (SELECT value FROM json_each(?))"
    is_in = "number IN ({})"
    for_each = "kinds JOIN runs AS found ON found.number IN ({})"

    def __init__(self, database: Database) -> None:
        self.path = database.path
        self._db = database

    async def transact(
        self, make: Callable[[], Work[T]], lock: str = "", *, again: Callable[[], Work[T]] | None = None
    ) -> T:
        async with self._db.write() as execute:
            return carry_out(execute, make())

    async def query(self, make: Callable[[], Work[T]], *, bulk: bool = False) -> T:
        with self._db.read() as execute:
            return carry_out(execute, make())

    def list_value(self, values: Sequence[str]) -> str:
        return json.dumps(list(values))

    def next_ids(self, table: str, count: int = 1) -> Work[Sequence[int]]:
        yield from ()
        first = next_id(self._db.execute, table)
        return range(first, first + count)

    def record_change(self, run: int, gone: str | None = None, namespace: str | None = None) -> Work[None]:
        yield from ()
        self._db.numbers.record(self._db.execute, run, gone, namespace)

    def clock(self) -> Work[int]:
        yield from ()
        return self._db.now()
