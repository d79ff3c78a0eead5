"""Which engine drives which run, in SQL: leases, locks, and the mailbox between processes.

An owner has one lease for all that it holds, so renewing it is one row. A run's token grows in the transaction that
changes its owner: what the owner before still writes is refused from then on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aether_protocol.adapters.stores.sql.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.work import Row, Rows, SqlDatabase, Work, change, fetch, fetch_one
from aether_protocol.errors import NotFoundError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import SNAPSHOT
from aether_protocol.ports.store.leases import BREAKS, FOREVER, Lease, Scope, lives
from aether_protocol.ports.store.mailbox import Request
from aether_protocol.ports.store.runs import NEVER

# Whether a lease counts at the instant that is given twice (ports.store.leases.lives).
COUNTS: Final = "(until > ? AND until - ? <= 2 * coalesce(length, until))"
_FREE: Final = (
    "SELECT run_id, number, token, runs.owner, created_at FROM runs LEFT JOIN owners ON owners.owner = runs.owner "
    f"WHERE closed = 0 AND (runs.owner IS NULL OR runs.owner = ? OR owners.owner IS NULL OR NOT {COUNTS}%s) "
    "AND NOT EXISTS (SELECT 1 FROM breaks WHERE run = number AND aside = 1)"
)
# Of any runs: those that are awake, those that are due, and those that are asked for something; each by an index of its own, so
# that many sleeping runs cost nothing.
_AWAKE: Final = "wake_at IS NULL"
_DUE: Final = "wake_at <= ?"
_ASKED_FOR: Final = "wake_at IS NOT NULL AND number IN (SELECT run FROM requests WHERE answer IS NULL)"
_IN_SCOPE: Final[Mapping[Scope, Sequence[str]]] = {
    "ready": (_AWAKE, _DUE, _ASKED_FOR),
    "woken": (_DUE, _ASKED_FOR),
    "all": (_AWAKE, "wake_at IS NOT NULL"),
}
_ANY_WOKEN: Final = " UNION ALL ".join([f"SELECT 1 FROM runs WHERE closed = 0 AND {one}" for one in (_DUE, _ASKED_FOR)])
_KEPT: Final = "DO UPDATE SET until = excluded.until, length = excluded.length"
LEASE: Final = f"INSERT INTO owners (owner, until, length) VALUES (?, ?, ?) ON CONFLICT (owner) {_KEPT}"
_TAKE: Final = (
    "UPDATE runs SET wake_at = CASE owner WHEN ? THEN wake_at END, owner = ?, token = ?, "
    f"epoch = epoch + CASE tier WHEN '{SNAPSHOT}' THEN 1 ELSE 0 END WHERE number = ?"
)
_SLEEP: Final = "UPDATE runs SET owner = NULL, wake_at = ? WHERE run_id = ? AND owner = ? RETURNING number"
_GIVE_UP: Final = "UPDATE runs SET owner = NULL WHERE run_id = ? AND owner = ?"
_HELD: Final = "SELECT owner FROM locks WHERE name = ? AND owner <> ? AND " + COUNTS
_LOCK: Final = (
    f"INSERT INTO locks (name, owner, until, length) VALUES (?, ?, ?, ?) ON CONFLICT (name) {_KEPT}, owner = excluded.owner"
)
_BROKE: Final = (
    "INSERT INTO breaks (run, times, ended, aside, reason) SELECT number, 1, ?2, 0, ?3 FROM runs "
    "WHERE run_id = ?1 AND token = ?4 ON CONFLICT (run) DO UPDATE SET ended = excluded.ended, reason = excluded.reason, "
    "times = CASE breaks.ended WHEN excluded.ended THEN breaks.times + 1 ELSE 1 END, "
    f"aside = CASE WHEN breaks.ended = excluded.ended AND breaks.times + 1 >= {BREAKS} THEN 1 ELSE 0 END RETURNING aside"
)

_OWNERS: Final = (
    "SELECT owner, until, length FROM owners UNION ALL SELECT owner, until, length FROM locks ORDER BY owner, until"
)

_ASKED: Final = (
    "SELECT id, run_id, run, request, requests.sum, given FROM requests JOIN runs ON number = run "
    "WHERE answer IS NULL AND owner = ? ORDER BY id"
)

_REQUEST: Final = COVERED["requests"]


class SqlLeases:
    """`ports.store.LeaseStore`.

    Args:
        database: Where they are.
        forget: Drops what this process remembers of a run that it passivates.
    """

    def __init__(self, database: SqlDatabase, forget: Callable[[str], None]) -> None:
        self._db = database
        self._forget = forget

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        if run_ids is None and scope == "woken" and not await self._db.query(self._any_woken):
            return []  # mostly there is nothing, and a look takes no lock
        asked = None if run_ids is None else list(dict.fromkeys(run_ids))
        return await self._db.transact(lambda: self._claim(owner, ttl, limit, asked, scope), "leases")

    def _any_woken(self) -> Work[bool]:
        now = yield from self._db.clock()
        return (yield from fetch_one(f"{_ANY_WOKEN} LIMIT 1", (now,))) is not None

    def _claim(
        self, owner: str, ttl: int | None, limit: int | None, run_ids: Sequence[str] | None, scope: Scope
    ) -> Work[list[tuple[str, int]]]:
        claimed: list[tuple[str, int]] = []
        now = yield from self._db.clock()  # once others are locked out: waiting for that may have taken long
        found = yield from self._find_free(run_ids, scope, (owner, now, now))
        found = sorted(found, key=lambda run: run[3] == owner)[:limit]  # what it holds already keeps nothing from it
        yield f"DELETE FROM owners WHERE NOT {COUNTS}{self._db.gone_owner}", (now, now)
        for run_id, number, token, holder, _ in found:
            token += holder != owner
            yield _TAKE, (owner, owner, token, number)
            claimed.append((run_id, token))
        if claimed:
            yield LEASE, (owner, end_of(ttl, now), ttl)
        return claimed

    def _find_free(
        self, run_ids: Sequence[str] | None, scope: Scope, values: tuple[str, int, int]
    ) -> Work[list[Row]]:
        """The runs that may be taken, by the conditions of _FREE whose values are given; oldest first where none are named."""
        free = _FREE % self._db.gone_owner
        found: list[Row] = []
        if run_ids is None:
            for condition in _IN_SCOPE[scope]:
                given = (*values, values[1]) if condition is _DUE else values
                found += yield from fetch(f"{free} AND {condition}{self._db.for_update}{self._db.if_free}", given)
            return sorted({run[0]: run for run in found}.values(), key=lambda run: (run[4], run[0]))
        for run_id in dict.fromkeys(run_ids):
            found += yield from fetch(f"{free} AND run_id = ?{self._db.for_update}", (*values, run_id))
        return found

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        return await self._db.transact(lambda: self._renew(owner, ttl, held))

    def _renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> Work[list[str]]:
        until = end_of(ttl, (yield from self._db.clock()))
        yield LEASE, (owner, until, ttl)
        yield "UPDATE locks SET until = ?, length = ? WHERE owner = ?", (until, ttl, owner)
        mine = set((yield from fetch("SELECT run_id, token FROM runs WHERE closed = 0 AND owner = ?", (owner,))))
        lost = []
        for run_id, token in held.items():
            if (run_id, token) not in mine:
                ask = "SELECT 1 FROM runs WHERE run_id = ? AND owner = ? AND token = ?"  # one that has closed is not lost
                if (yield from fetch_one(ask, (run_id, owner, token))) is None:
                    lost.append(run_id)
        return lost

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        await self._db.transact(lambda: self._release(owner, run_ids, sleeps), "leases")
        for run_id in sleeps or ():
            self._forget(run_id)

    def _release(
        self, owner: str, run_ids: Sequence[str] | None, sleeps: Mapping[str, int | None] | None
    ) -> Work[None]:
        if run_ids is None and sleeps is None:
            yield "UPDATE runs SET owner = NULL WHERE closed = 0 AND owner = ?", (owner,)
            yield "DELETE FROM owners WHERE owner = ?", (owner,)
            yield "DELETE FROM servers WHERE owner = ?", (owner,)
            yield "DELETE FROM locks WHERE owner = ?", (owner,)
        if run_ids:
            yield _GIVE_UP, Rows([(run_id, owner) for run_id in run_ids])
        if not sleeps:
            return
        now = yield from self._db.clock()
        for run_id, left in sleeps.items():
            due = NEVER if left is None else now + left
            for (number,) in (yield from fetch(_SLEEP, (due, run_id, owner))):
                yield from self._db.record_change(number)  # the feed looks at the steps of runs that are awake

    async def owner(self, run_id: str) -> Lease | None:
        asked = "SELECT owner, until, length FROM runs JOIN owners USING (owner) WHERE run_id = ?"
        found = await self._db.query(lambda: self._leases(asked, (run_id,)))
        return found[0] if found else None

    async def owners(self) -> list[Lease]:
        found = await self._db.query(lambda: self._leases(_OWNERS))
        return list({one.owner: one for one in found}.values())  # of several the last, which lasts longest

    def _leases(self, text: str, values: Sequence[object] = ()) -> Work[list[Lease]]:
        found = yield from fetch(text, values)
        now = yield from self._db.clock()
        return [Lease(owner, until - now, lives(until, length, now)) for owner, until, length in found]

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        return await self._db.transact(lambda: self._lock(name, owner, ttl), "leases")

    def _lock(self, name: str, owner: str, ttl: int | None) -> Work[bool]:
        now = yield from self._db.clock()
        if (yield from fetch_one(_HELD, (name, owner, now, now))) is not None:
            return False
        yield _LOCK, (name, owner, end_of(ttl, now), ttl)
        return True

    async def unlock(self, name: str, owner: str) -> None:
        await self._db.transact(lambda: change("DELETE FROM locks WHERE name = ? AND owner = ?", (name, owner)), "leases")

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        found = await self._db.transact(lambda: fetch(_BROKE, (run_id, ended, clean(reason), token)))
        return found == [(1,)]


def end_of(ttl: int | None, now: int) -> int:
    """When a lease ends that is taken at `now`."""
    return FOREVER if ttl is None else now + ttl


class SqlMailbox:
    """`ports.store.MailboxStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def post(self, run_id: str, request: Json) -> int:
        id_ = await self._db.transact(lambda: self.ask(run_id, clean(json.dumps(request, ensure_ascii=False))))
        if id_ is None:
            raise NotFoundError(f"run {run_id!r} is unknown")
        return id_

    def ask(self, run_id: str, request: str, further: str = "") -> Work[int | None]:
        """Put a request for a run, if it is there, where the condition `further` holds; its id."""
        found = yield from fetch_one(f"SELECT number FROM runs WHERE run_id = ? {further}", (run_id,))
        if found is None:
            return None
        values = (found[0], request, 0, None)
        text = f"INSERT INTO requests ({_REQUEST}, sum) VALUES (?, ?, ?, ?, ?) RETURNING id"
        made = yield from fetch_one(text, (*values, sum_of("requests", values)))
        assert made is not None
        return int(made[0])

    async def requests(self, owner: str) -> list[Request]:
        if not await self._db.query(lambda: fetch(f"{_ASKED} LIMIT 1", (owner,))):
            return []
        return await self._db.transact(lambda: self._requests(owner))

    def _requests(self, owner: str) -> Work[list[Request]]:
        given: list[Request] = []
        for id_, run_id, run, request, sum_, before in (yield from fetch(_ASKED, (owner,))):
            require("requests", (run, request, before, None), sum_, f"request {id_}")
            values = (sum_of("requests", (run, request, 1, None)), id_)
            # A caller that withdraws it must find out which of the two came first.
            if (yield from change("UPDATE requests SET given = 1, sum = ? WHERE id = ? AND answer IS NULL", values)) == 1:
                given.append(Request(id_, run_id, _read(request, id_)))
        return given

    async def answered(self, id_: int, answer: Json) -> None:
        await self._db.transact(lambda: self._answered(id_, clean(json.dumps(answer, ensure_ascii=False))))

    def _answered(self, id_: int, text: str) -> Work[None]:
        found = yield from fetch_one("SELECT run, request FROM requests WHERE id = ? AND answer IS NULL", (id_,))
        if found is not None:
            values = (text, sum_of("requests", (*found, 1, text)), id_)
            yield "UPDATE requests SET answer = ?, given = 1, sum = ? WHERE id = ? AND answer IS NULL", values

    async def answer(self, id_: int) -> Json | None:
        text = f"SELECT {_REQUEST}, sum FROM requests WHERE id = ? AND answer IS NOT NULL"
        found = await self._db.query(lambda: fetch_one(text, (id_,)))
        if found is None:
            return None
        require("requests", found[:-1], found[-1], f"request {id_}")
        await self._db.transact(lambda: change("DELETE FROM requests WHERE id = ?", (id_,)))
        return _read(found[3], id_)

    async def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        return None

    async def withdraw(self, id_: int) -> bool:
        text = "DELETE FROM requests WHERE id = ? AND given = 0 AND answer IS NULL"
        return await self._db.transact(lambda: change(text, (id_,))) == 1


def _read(text: str, id_: int) -> Json:
    try:
        return json.loads(text)
    except ValueError as error:
        raise damaged(f"request {id_}") from error
