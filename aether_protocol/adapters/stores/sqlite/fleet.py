"""What servers keep of workers, in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.records import COVERED, damaged, require, sum_of
from aether_protocol.ports.store.fleet import KnownWorker, ServerTerm

_TERM = COVERED["terms"]
_WORKER = COVERED["workers"]


class SqliteFleet:
    """`ports.store.FleetStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def begin_term(self, key: bytes) -> ServerTerm:
        async with self._db.write() as execute:
            found = execute(f"SELECT {_TERM}, sum FROM terms").fetchone()
            values = (1, key.hex(), 0)
            if found is not None:
                *kept, sum_ = found
                require("terms", kept, sum_, "the key of the fleet")
                values = (kept[0], kept[1], kept[2])
            number = values[2] + 1
            term = (values[0], values[1], number)
            execute(f"INSERT OR REPLACE INTO terms ({_TERM}, sum) VALUES (?, ?, ?, ?)", (*term, sum_of("terms", term)))
            try:
                return ServerTerm(bytes.fromhex(term[1]), number)
            except ValueError:
                raise damaged("the key of the fleet") from None

    async def put_workers(self, workers: Sequence[KnownWorker]) -> None:
        async with self._db.write() as execute:
            for one in workers:
                values = (one.name, one.hello, one.at, int(one.connected))
                into = f"INSERT OR REPLACE INTO workers ({_WORKER}, sum) VALUES (?, ?, ?, ?, ?)"
                execute(into, (*values, sum_of("workers", values)))

    async def workers(self) -> list[KnownWorker]:
        with self._db.read() as execute:
            found: list[KnownWorker] = []
            for *values, sum_ in execute(f"SELECT {_WORKER}, sum FROM workers ORDER BY name"):
                require("workers", values, sum_, f"worker {values[0]!r}")
                found.append(KnownWorker(values[0], values[1], values[2], bool(values[3])))
            return found

    async def forget_workers(self, before: int) -> None:
        async with self._db.write() as execute:
            execute("DELETE FROM workers WHERE connected = 0 AND at < ?", (before,))
