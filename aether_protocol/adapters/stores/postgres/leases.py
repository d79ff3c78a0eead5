"""Leases in PostgreSQL: those of all stores in SQL, and a lock that shows at once that an owner has died.

A lease ends by the clock, seconds after its owner died. The lock of the owner's session ends with its process. One who wants to
have runs looks for owners without their lock; where one has had none for GRACE_US, its lease is ended. After a restart of the
server none has one, and all are given time to come back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from aether_protocol.adapters.stores.postgres.dialect import PostgresDialect
from aether_protocol.adapters.stores.postgres.session import StoreSession
from aether_protocol.adapters.stores.sql.leases import SqlLeases
from aether_protocol.adapters.stores.sql.work import Rows, Work, fetch
from aether_protocol.ports.store.leases import Lease, Scope

GRACE_US: Final = 500_000  # that an owner has to take its lock again
_LOOK_S: Final = 0.2  # between two looks
_RESTARTED_US: Final = 5_000_000  # how long after the start of the server a lock that is missing says nothing

_HELD: Final = (
    "EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid::bigint << 32) | objid::bigint = sessions.key)"
)
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_STARTED: Final = "(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000000)::bigint"
_LOOK: Final = (
    f"SELECT owner, gone_at, {_NOW}, {_STARTED} FROM sessions WHERE gone_at IS NOT NULL OR NOT {_HELD}"
)
_IS_GONE: Final = f"UPDATE sessions SET gone_at = ? WHERE owner = ? AND gone_at IS NULL AND NOT {_HELD}"
_IS_BACK: Final = f"UPDATE sessions SET gone_at = NULL WHERE {_HELD}"
_IS_DEAD: Final = f"DELETE FROM sessions WHERE owner = ? AND gone_at = ? AND NOT {_HELD} RETURNING owner"


class PostgresLeases:
    """`ports.store.LeaseStore`."""

    def __init__(self, dialect: PostgresDialect, leases: SqlLeases, session: StoreSession) -> None:
        self._dialect = dialect
        self._leases = leases
        self._session = session
        self._looked_at = 0.0
        self.unlock, self.broke = leases.unlock, leases.broke

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        await self.end_leases_of_the_dead()
        claimed = await self._leases.claim(owner, ttl, limit, run_ids, scope)
        if claimed:
            await self._session.hold(owner)
        return claimed

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        await self._session.hold(owner)
        return await self._leases.renew(owner, ttl, held)

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        await self._leases.release(owner, run_ids, sleeps)
        if run_ids is None and sleeps is None:
            await self._session.drop(owner)

    async def owner(self, run_id: str) -> Lease | None:
        await self.end_leases_of_the_dead()
        return await self._leases.owner(run_id)

    async def owners(self) -> list[Lease]:
        await self.end_leases_of_the_dead()
        return await self._leases.owners()

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        await self.end_leases_of_the_dead()
        if not await self._leases.lock(name, owner, ttl):
            return False
        await self._session.hold(owner)
        return True

    async def end_leases_of_the_dead(self) -> None:
        """Look for owners that have lost their lock, some times a second at most."""
        if self._dialect.connections.target.reads_only or time.monotonic() < self._looked_at + _LOOK_S:
            return
        self._looked_at = time.monotonic()
        for owner, gone_at, now, running in await self._dialect.query(lambda: fetch(_LOOK)):
            if running < _RESTARTED_US:
                return
            if gone_at is None or now - gone_at >= GRACE_US:
                await self._dialect.transact(lambda owner=owner, gone_at=gone_at, now=now: self._end(owner, gone_at, now))  # type: ignore[misc]

    def _end(self, owner: str, gone_at: int | None, now: int) -> Work[None]:
        """Note that an owner has no lock, or end its lease where that was noted long enough ago."""
        yield _IS_BACK, ()
        if gone_at is None:
            yield _IS_GONE, (now, owner)
            return
        for (dead,) in (yield from fetch(_IS_DEAD, (owner, gone_at))):
            yield "UPDATE owners SET until = 0 WHERE owner = ?", Rows([(dead,)])
            yield "UPDATE locks SET until = 0 WHERE owner = ?", Rows([(dead,)])
