"""PostgreSQL as shared facets see it (`adapters.stores.sql.work`): one await a statement.

`long` work (a copy, a check) is waited for however long it takes, `bulk` statements for a minute, all others for some
seconds (`link`).

A transaction that writes holds a lock on the feed from its first statement on, before it has a number (`changes`). Work with a
lock by name runs alone among its like, whichever server asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from types import CodeType
from typing import Final

from aether_protocol.adapters.stores.postgres.connections import Connections
from aether_protocol.adapters.stores.postgres.link import BULK_S, ORDINAL, QUICK_S, Link
from aether_protocol.adapters.stores.sql.work import T, Work, fetch, fetch_one

BITS: Final = 14  # of the number of a change: which one it is of its transaction
MOST_CHANGES: Final = 1 << BITS
# The number of a change: that of its transaction, moved on by ?1 (see `schema`), and ?2, which one of it.
CHANGE: Final = f"(((pg_current_xact_id()::text::bigint + CAST(?1 AS BIGINT)) << {BITS}) + CAST(?2 AS BIGINT))"
_RECORD: Final = f"INSERT INTO changes (id, run, gone, namespace) VALUES ({CHANGE}, ?3, ?4, ?5)"
_BEGIN: Final = "BEGIN; LOCK TABLE changes IN ROW EXCLUSIVE MODE"
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_UNBOUND: Final = "SET LOCAL idle_in_transaction_session_timeout = 0"
CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class PostgresDialect:
    """The dialect of a server. `now` is the clock by which leases are measured: None, the server's. `changed` is called when
    something was written that the feed shows."""

    chained_change = "CAST(0 AS BIGINT)"  # the server numbers a change, after its digest was made
    for_update = " FOR UPDATE OF runs"
    if_free = " SKIP LOCKED"
    for_key = " FOR KEY SHARE"
    gone_owner = ""  # the lease of an owner that died is ended (`leases`)
    holds_label = "strpos(labels, ?) > 0"
    holds_text = "strpos(lower((run_id || ' ' || workflow || ' ' || message) COLLATE \"C\"), ?) > 0"
    holds_namespace = "namespace = ANY(CAST(? AS TEXT[]))"
    is_in = "number = ANY(ARRAY({}))"  # found first, so that it is not joined as if it were many
    for_each = "kinds CROSS JOIN LATERAL ({}) AS found"

    def __init__(
        self, connections: Connections, now: Callable[[], int] | None, changed: Callable[[], None]
    ) -> None:
        self.path = connections.target.shown
        self.connections = connections
        self.offset = 0
        self._now = now
        self._changed = changed
        self._long: set[CodeType] = set()  # work that is known to take more than one statement

    async def transact(
        self,
        make: Callable[[], Work[T]],
        lock: str = "",
        *,
        again: Callable[[], Work[T]] | None = None,
        long: bool = False,
    ) -> T:
        opening = f"{_BEGIN}; SELECT pg_advisory_xact_lock({self.key(lock)})" if lock else _BEGIN
        if long:
            opening = f"{opening}; {_UNBOUND}"

        async def attempt(link: Link, doubtful: bool) -> T:
            link.ordinal = 0
            await link.said(opening)
            try:
                result = await link.carry_out(again() if doubtful and again is not None else make())
            except BaseException:
                if link.lives:
                    await link.said("ROLLBACK")
                raise
            await link.said("COMMIT")
            if link.ordinal:
                self._changed()
            return result

        return await self.connections.insist(attempt, None if long else QUICK_S)

    async def query(self, make: Callable[[], Work[T]], *, bulk: bool = False, long: bool = False) -> T:
        async def attempt(link: Link, _: bool) -> T:
            work = make()
            code: CodeType = work.gi_code  # type: ignore[attr-defined]  # every generator has it
            if code not in self._long:  # one statement needs no transaction to see one moment
                try:
                    text, values = next(work)
                    work.send(await link.run(text, values))
                except StopIteration as end:
                    result: T = end.value
                    return result
                work.close()
                self._long.add(code)
                work = make()
            await link.said(f"{_READ}; {_UNBOUND}" if long else _READ)
            try:
                return await link.carry_out(work)
            finally:
                if link.lives:
                    await link.said("ROLLBACK")

        return await self.connections.insist(attempt, None if long else BULK_S if bulk else QUICK_S)

    def key(self, name: str) -> int:
        """The number of a lock by name, of this store among all in the database."""
        made = blake2b(f"{self.connections.target.schema}\0{name}".encode(), digest_size=8).digest()
        return int.from_bytes(made, "big", signed=True)

    def list_value(self, values: Sequence[str]) -> list[str]:
        return list(values)

    def next_ids(self, table: str, count: int = 1) -> Work[Sequence[int]]:
        text = f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, CAST(? AS BIGINT))"
        return sorted([id_ for (id_,) in (yield from fetch(text, (count,)))])

    def record_change(self, run: int, gone: str | None = None, namespace: str | None = None) -> Work[None]:
        ordinal = (yield ORDINAL).changed
        yield _RECORD, (self.offset, ordinal, run, gone, namespace)

    def clock(self) -> Work[int]:
        if self._now is not None:
            return self._now()
        found = yield from fetch_one(CLOCK)
        assert found is not None
        now: int = found[0]
        return now

    def changed(self) -> None:
        """Something was written that the feed shows."""
        self._changed()
