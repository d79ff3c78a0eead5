"""Which engine drives which run, in SQLite: leases, locks, and the mailbox between processes.

An owner has one lease for all that it holds, so renewing it is one row. A run's token grows in the transaction that
changes its owner: what the owner before still writes is refused from then on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.adapters.stores.sqlite.records import COVERED, damaged, require, sum_of
from aether_protocol.errors import NotFoundError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import SNAPSHOT
from aether_protocol.ports.store.leases import BREAKS, FOREVER, Lease, Scope, lives
from aether_protocol.ports.store.mailbox import Request
from aether_protocol.ports.store.runs import NEVER

_SAFE: Final = (3, 51, 3)  # older ones may damage a file that several processes write to, in rare cases

# Whether a lease counts at the instant that is given twice (ports.store.leases.lives).
COUNTS: Final = "(until > ? AND until - ? <= 2 * coalesce(length, until))"
_FREE: Final = (
    "SELECT run_id, number, token, runs.owner, created_at FROM runs LEFT JOIN owners ON owners.owner = runs.owner "
    f"WHERE closed = 0 AND (runs.owner IS NULL OR runs.owner = ? OR NOT coalesce({COUNTS}, 0)) "
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
LEASE: Final = "INSERT OR REPLACE INTO owners (owner, until, length) VALUES (?, ?, ?)"
_TAKE: Final = (
    "UPDATE runs SET wake_at = CASE owner WHEN ? THEN wake_at END, owner = ?, token = ?, "
    f"epoch = epoch + (tier = '{SNAPSHOT}') WHERE number = ?"
)
_SLEEP: Final = "UPDATE runs SET owner = NULL, wake_at = ? WHERE run_id = ? AND owner = ? RETURNING number"
_HELD: Final = "SELECT 1 FROM locks WHERE name = ? AND owner <> ? AND " + COUNTS
_LOCK: Final = "INSERT OR REPLACE INTO locks (name, owner, until, length) VALUES (?, ?, ?, ?)"
_BROKE: Final = (
    "INSERT INTO breaks (run, times, ended, aside, reason) SELECT number, 1, ?2, 0, ?3 FROM runs "
    "WHERE run_id = ?1 AND token = ?4 ON CONFLICT (run) DO UPDATE SET ended = excluded.ended, reason = excluded.reason, "
    "times = CASE ended WHEN excluded.ended THEN times + 1 ELSE 1 END, "
    f"aside = (ended = excluded.ended AND times + 1 >= {BREAKS}) RETURNING aside"
)

_OWNERS: Final = (
    "SELECT owner, max(until), length FROM (SELECT owner, until, length FROM owners "
    "UNION ALL SELECT owner, until, length FROM locks) GROUP BY owner ORDER BY owner"
)

_ASKED: Final = (
    "SELECT id, run_id, run, request, given, requests.sum FROM requests JOIN runs ON number = run "
    "WHERE answer IS NULL AND owner = ? ORDER BY id"
)

_REQUEST: Final = COVERED["requests"]


class SqliteLeases:
    """`ports.store.LeaseStore`. `forget` drops what this process remembers of a run that it passivates."""

    def __init__(self, database: Database, forget: Callable[[str], None]) -> None:
        self._db = database
        self._forget = forget
        self._warned = False

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        if run_ids is None and scope == "woken" and not self._any_woken():
            return []
        claimed: list[tuple[str, int]] = []
        async with self._db.write() as execute:
            now = self._db.now()  # once the write lock is held: waiting for it may have taken long
            found = _find_free(execute, run_ids, scope, (owner, now, now))
            found = sorted(found, key=lambda run: run[3] == owner)[:limit]  # what it holds already keeps nothing from it
            execute(f"DELETE FROM owners WHERE NOT {COUNTS}", (now, now))
            for run_id, number, token, holder, _ in found:
                token += holder != owner
                execute(_TAKE, (owner, owner, token, number))
                claimed.append((run_id, token))
            if claimed:
                execute(LEASE, (owner, end_of(ttl, now), ttl))
            alone = execute("SELECT 1 FROM owners WHERE owner <> ?", (owner,)).fetchone() is None
        if not alone:
            self._warn()
        return claimed

    def _any_woken(self) -> bool:
        """Look before a lock is taken: mostly there is nothing."""
        with self._db.read() as execute:
            return execute(f"{_ANY_WOKEN} LIMIT 1", (self._db.now(),)).fetchone() is not None

    def _warn(self) -> None:
        """Once per store."""
        if sqlite3.sqlite_version_info < _SAFE and not self._warned and self._db.path != ":memory:":
            self._warned = True
            import logging  # here: next to no command logs anything

            told = "%s is written by several processes: before 3.51.3 that may, rarely, damage a file; this SQLite is %s"
            logging.getLogger("aether_protocol").warning(told, self._db.path, sqlite3.sqlite_version)

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        async with self._db.write() as execute:
            until = end_of(ttl, self._db.now())
            execute(LEASE, (owner, until, ttl))
            execute("UPDATE locks SET until = ?, length = ? WHERE owner = ?", (until, ttl, owner))
            mine = set(execute("SELECT run_id, token FROM runs WHERE closed = 0 AND owner = ?", (owner,)))
            lost = [run_id for run_id, token in held.items() if (run_id, token) not in mine]
            ask = "SELECT 1 FROM runs WHERE run_id = ? AND owner = ? AND token = ?"  # one that has closed is not lost
            return [run_id for run_id in lost if execute(ask, (run_id, owner, held[run_id])).fetchone() is None]

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        async with self._db.write() as execute:
            if run_ids is None and sleeps is None:
                execute("UPDATE runs SET owner = NULL WHERE closed = 0 AND owner = ?", (owner,))
                execute("DELETE FROM owners WHERE owner = ?", (owner,))
                execute("DELETE FROM locks WHERE owner = ?", (owner,))
            for run_id in run_ids or ():
                execute("UPDATE runs SET owner = NULL WHERE run_id = ? AND owner = ?", (run_id, owner))
            now = self._db.now()
            for run_id, left in (sleeps or {}).items():
                due = NEVER if left is None else now + left
                for (number,) in execute(_SLEEP, (due, run_id, owner)).fetchall():
                    self._db.numbers.record(execute, number)  # the feed looks at the steps of runs that are awake
        for run_id in sleeps or ():
            self._forget(run_id)

    async def owner(self, run_id: str) -> Lease | None:
        asked = "SELECT owner, until, length FROM runs JOIN owners USING (owner) WHERE run_id = ?"
        with self._db.read() as execute:
            found = execute(asked, (run_id,)).fetchone()
        return None if found is None else self._lease(*found)

    async def owners(self) -> list[Lease]:
        with self._db.read() as execute:
            return [self._lease(*found) for found in execute(_OWNERS).fetchall()]

    def _lease(self, owner: str, until: int, length_us: int | None) -> Lease:
        now = self._db.now()
        return Lease(owner, until - now, lives(until, length_us, now))

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        async with self._db.write() as execute:
            now = self._db.now()
            if execute(_HELD, (name, owner, now, now)).fetchone() is not None:
                return False
            execute(_LOCK, (name, owner, end_of(ttl, now), ttl))
            return True

    async def unlock(self, name: str, owner: str) -> None:
        async with self._db.write() as execute:
            execute("DELETE FROM locks WHERE name = ? AND owner = ?", (name, owner))

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        async with self._db.write() as execute:
            found = execute(_BROKE, (run_id, ended, clean(reason), token)).fetchall()
        return found == [(1,)]


def _find_free(
    execute: Execute, run_ids: Sequence[str] | None, scope: Scope, values: tuple[str, int, int]
) -> list[tuple[str, int, int, str | None, int]]:
    """The runs that may be taken, by the conditions of _FREE whose values are given; oldest first where none are named."""
    if run_ids is None:
        found: list[tuple[str, int, int, str | None, int]] = []
        for condition in _IN_SCOPE[scope]:
            found += execute(f"{_FREE} AND {condition}", (*values, values[1]) if condition is _DUE else values).fetchall()
        return sorted({run[0]: run for run in found}.values(), key=lambda run: (run[4], run[0]))
    found = []
    for run_id in dict.fromkeys(run_ids):
        found += execute(f"{_FREE} AND run_id = ?", (*values, run_id)).fetchall()
    return found


def end_of(ttl: int | None, now: int) -> int:
    """When a lease ends that is taken at `now`."""
    return FOREVER if ttl is None else now + ttl


class SqliteMailbox:
    """`ports.store.MailboxStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def post(self, run_id: str, request: Json) -> int:
        async with self._db.write() as execute:
            id_ = ask(execute, run_id, clean(json.dumps(request, ensure_ascii=False)))
            if id_ is None:
                raise NotFoundError(f"run {run_id!r} is unknown")
            return id_

    async def requests(self, owner: str) -> list[Request]:
        with self._db.read() as execute:
            if execute(_ASKED, (owner,)).fetchone() is None:
                return []
        async with self._db.write() as execute:  # a caller that withdraws one must find out which of the two came first
            found = execute(_ASKED, (owner,)).fetchall()
            for id_, _, run, request, given, sum_ in found:
                require("requests", (run, request, given, None), sum_, f"request {id_}")
                values = (sum_of("requests", (run, request, 1, None)), id_)
                execute("UPDATE requests SET given = 1, sum = ? WHERE id = ?", values)
        return [Request(id_, run_id, _read(request, id_)) for id_, run_id, _, request, _, _ in found]

    async def answered(self, id_: int, answer: Json) -> None:
        async with self._db.write() as execute:
            text = clean(json.dumps(answer, ensure_ascii=False))
            found = execute("SELECT run, request, given FROM requests WHERE id = ? AND answer IS NULL", (id_,)).fetchone()
            if found is not None:
                values = (text, sum_of("requests", (*found, text)), id_)
                execute("UPDATE requests SET answer = ?, sum = ? WHERE id = ?", values)

    async def answer(self, id_: int) -> Json | None:
        with self._db.read() as execute:
            found = execute(f"SELECT {_REQUEST}, sum FROM requests WHERE id = ? AND answer IS NOT NULL", (id_,)).fetchone()
        if found is None:
            return None
        require("requests", found[:-1], found[-1], f"request {id_}")
        async with self._db.write() as execute:
            execute("DELETE FROM requests WHERE id = ?", (id_,))
        return _read(found[3], id_)

    async def withdraw(self, id_: int) -> bool:
        async with self._db.write() as execute:
            return execute("DELETE FROM requests WHERE id = ? AND given = 0 AND answer IS NULL", (id_,)).rowcount == 1


def ask(execute: Execute, run_id: str, request: str, further: str = "") -> int | None:
    """Put a request for a run, if it is there, where the condition `further` holds; its id."""
    found = execute(f"SELECT number FROM runs WHERE run_id = ? {further}", (run_id,)).fetchone()
    if found is None:
        return None
    values = (found[0], request, 0, None)
    made = execute(f"INSERT INTO requests ({_REQUEST}, sum) VALUES (?, ?, ?, ?, ?)", (*values, sum_of("requests", values)))
    return made.lastrowid


def _read(text: str, id_: int) -> Json:
    try:
        return json.loads(text)
    except ValueError as error:
        raise damaged(f"request {id_}") from error
