"""What servers keep of workers, in SQL."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Final

from aether_protocol.adapters.stores.sql.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.work import SqlDatabase, Work, change, fetch, fetch_one
from aether_protocol.ports.store.fleet import KnownWorker, ServerTerm

_IDENTITY: Final = COVERED["identity"]
_TERM: Final = COVERED["terms"]
_WORKER: Final = COVERED["workers"]
_PUT_TERM: Final = (
    f"INSERT INTO terms ({_TERM}, sum) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "text = excluded.text, term = excluded.term, sum = excluded.sum"
)
_PUT_WORKER: Final = (
    f"INSERT INTO workers ({_WORKER}, sum) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "text = excluded.text, namespaces = excluded.namespaces, at = excluded.at, "
    "connected = excluded.connected, sum = excluded.sum"
)


class SqlFleet:
    """`ports.store.FleetStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def begin_term(self, key: bytes) -> ServerTerm:
        return await self._db.transact(lambda: self._begin_term(key), "fleet")

    def _begin_term(self, key: bytes) -> Work[ServerTerm]:
        found = yield from fetch_one(f"SELECT {_TERM}, sum FROM terms")
        values = (1, key.hex(), 0)
        if found is not None:
            *kept, sum_ = found
            require("terms", kept, sum_, "the key of the fleet")
            values = (kept[0], kept[1], kept[2])
        number = values[2] + 1
        term = (values[0], values[1], number)
        yield _PUT_TERM, (*term, sum_of("terms", term))
        try:
            return ServerTerm(bytes.fromhex(term[1]), number)
        except ValueError:
            raise damaged("the key of the fleet") from None

    async def put_workers(self, workers: Sequence[KnownWorker]) -> None:
        await self._db.transact(lambda: self._put_workers(workers), "fleet")

    def _put_workers(self, workers: Sequence[KnownWorker]) -> Work[None]:
        for one in workers:
            namespaces = json.dumps(None if one.namespaces is None else sorted(one.namespaces))
            values = (one.name, one.hello, namespaces, one.at, int(one.connected))
            yield _PUT_WORKER, (*values, sum_of("workers", values))

    async def workers(self) -> list[KnownWorker]:
        found: list[KnownWorker] = []
        for *values, sum_ in await self._db.query(lambda: fetch(f"SELECT {_WORKER}, sum FROM workers ORDER BY name")):
            require("workers", values, sum_, f"worker {values[0]!r}")
            name, hello, namespaces, at, connected = values
            served = json.loads(namespaces)
            served = None if served is None else tuple(served)
            found.append(KnownWorker(name=name, hello=hello, namespaces=served, at=at, connected=bool(connected)))
        return found

    async def forget_workers(self, before: int) -> None:
        await self._db.transact(lambda: change("DELETE FROM workers WHERE connected = 0 AND at < ?", (before,)), "fleet")


def identity() -> Work[str]:
    """Return the name of the store, which no other one has; it is made when it is first asked for."""
    found = yield from fetch_one(f"SELECT {_IDENTITY}, sum FROM identity")
    if found is not None:
        *values, sum_ = found
        require("identity", values, sum_, "the name of the store")
        return str(values[1])
    values = [1, secrets.token_hex(16)]
    yield f"INSERT INTO identity ({_IDENTITY}, sum) VALUES (?, ?, ?)", (*values, sum_of("identity", values))
    return str(values[1])
