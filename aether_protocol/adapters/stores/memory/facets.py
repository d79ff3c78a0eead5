"""What the memory store keeps besides runs: leases and locks, requests, logs, documents, schedules, workers.

Law: the same answers as a durable store gives, within one process; logs are bounded per task run.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from aether_protocol.errors import BusyError, NotFoundError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.changes import Change
from aether_protocol.ports.store.fleet import KnownWorker, ServerTerm
from aether_protocol.ports.store.leases import BREAKS, FOREVER, Lease, Scope, lives
from aether_protocol.ports.store.logs import LogLine, new_of
from aether_protocol.ports.store.mailbox import MailboxStore, Request
from aether_protocol.ports.store.runs import NEVER, RunStore, RunSummary
from aether_protocol.ports.store.schedules import (
    CANCEL,
    KEEP_FIRES,
    FireRecord,
    ScheduleDecision,
    StoredSchedule,
)
from aether_protocol.ports.store.servers import FREE, ServerRow

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan

KEEP_LOG_CHARACTERS: Final = 256 * 1024  # of a task run


class LeaseBook:
    """Leases, locks and tokens, by the clock `now`. `tokens` count changes of hands; `broken` says why runs were set aside."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.tokens: dict[str, int] = {}
        self.claims: dict[str, int] = {}  # how often each run was claimed
        self.broken: dict[str, str] = {}
        self.leases: dict[str, tuple[int, int | None]] = {}  # end and length, by owner
        self.locks: dict[str, tuple[str, int, int | None]] = {}  # owner, end and length
        self.holders: dict[str, str] = {}  # of runs
        self.servers: dict[str, ServerRow] = {}  # by owner
        self.asleep: dict[str, int] = {}  # passivated runs, and when each is due
        self._breaks: dict[str, tuple[int, int]] = {}  # times in a row, leaves ended by then

    def held(self, run_id: str) -> bool:
        """Whether its owner's lease counts."""
        lease = self.leases.get(self.holders.get(run_id, ""))
        return lease is not None and lives(*lease, self.now())

    def may(self, run_id: str, owner: str) -> bool:
        return run_id not in self.broken and (self.holders.get(run_id) == owner or not self.held(run_id))

    def take(self, run_id: str, owner: str, ttl: int | None) -> int:
        if self.holders.get(run_id) != owner:
            self.holders[run_id] = owner
            self.asleep.pop(run_id, None)
            self.tokens[run_id] = self.tokens.get(run_id, 0) + 1
        self.extend(owner, ttl)
        return self.tokens[run_id]

    def extend(self, owner: str, ttl: int | None) -> None:
        self.leases[owner] = self._ends(ttl), ttl

    def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        self.extend(owner, ttl)
        self.locks |= {name: (owner, *self.leases[owner]) for name, lock in self.locks.items() if lock[0] == owner}
        return [run for run, token in held.items() if self.holders.get(run) != owner or self.tokens.get(run) != token]

    def release(self, owner: str, run_ids: Sequence[str] | None) -> None:
        for run_id in list(self.holders) if run_ids is None else run_ids:
            if self.holders.get(run_id) == owner:
                del self.holders[run_id]
        if run_ids is None:
            self.leases.pop(owner, None)
            self.servers.pop(owner, None)
            self.locks = {name: lock for name, lock in self.locks.items() if lock[0] != owner}

    def forget(self, run_id: str) -> None:
        for held in (self.holders, self.tokens, self.claims, self.broken, self.asleep, self._breaks):
            held.pop(run_id, None)

    def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        before = self.locks.get(name)
        if before is not None and before[0] != owner and lives(before[1], before[2], self.now()):
            return False
        self.locks[name] = owner, self._ends(ttl), ttl
        return True

    def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        if self.tokens.get(run_id) != token:
            return False
        times, before = self._breaks.get(run_id, (0, ended))
        times = times + 1 if before == ended else 1
        self._breaks[run_id] = times, ended
        if times < BREAKS:
            return False
        self.broken[run_id] = reason
        return True

    def _ends(self, ttl: int | None) -> int:
        return FOREVER if ttl is None else self.now() + ttl


class MemoryChanges:
    """`ports.store.ChangeFeed`. `row` reads the row of a run, None of one that is gone."""

    def __init__(self, row: Callable[[str], RunSummary | None]) -> None:
        self._row = row
        self._newest = 0
        self._last = ""
        self._changed: dict[str, int] = {}  # the number of the newest change of each run, oldest first
        self._gone: dict[str, str] = {}  # the namespaces of runs that were deleted
        self._waiting: list[asyncio.Future[None]] = []

    def note_gone(self, run_id: str, namespace: str) -> None:
        """The run of this namespace was deleted."""
        self._gone[run_id] = namespace
        self.note(run_id)

    def note(self, run_id: str) -> None:
        """The run has changed."""
        self._newest += 1
        if run_id != self._last:  # else it is the newest in the table already
            self._changed.pop(run_id, None)
            self._last = run_id
        self._changed[run_id] = self._newest
        if self._waiting:
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)
            self._waiting.clear()

    async def newest(self) -> int:
        return self._newest

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        found = list(takewhile(lambda item: item[1] > cursor, reversed(self._changed.items())))[::-1][:limit]
        rows = [(number, run_id, self._row(run_id)) for run_id, number in found]
        return [Change(number, name, row, self._gone[name] if row is None else row.namespace) for number, name, row in rows]

    async def wait(self, cursor: int, seconds: float) -> bool:
        if self._newest <= cursor:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await asyncio.wait([future], timeout=seconds)
        return self._newest > cursor


class Kept(Protocol):
    """A run as far as other facets care."""

    closed: bool

    @property
    def created_at(self) -> int: ...


class MemoryLeases:
    """`ports.store.LeaseStore` of the runs that `runs` holds."""

    def __init__(self, book: LeaseBook, runs: Mapping[str, Kept], asked: Callable[[], set[str]]) -> None:
        self._book = book
        self._runs = runs
        self._asked = asked  # the runs that something is asked of

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        wanted = self._runs if run_ids is None else [run_id for run_id in dict.fromkeys(run_ids) if run_id in self._runs]
        free = [run_id for run_id in wanted if not self._runs[run_id].closed and self._book.may(run_id, owner)]
        holders = self._book.holders
        if run_ids is None and scope != "all":
            now, asked, asleep = self._book.now(), self._asked(), self._book.asleep
            free = [run_id for run_id in free if run_id in asked or asleep.get(run_id, now) <= now]
            if scope == "woken":
                free = [run_id for run_id in free if run_id in asleep]
        free.sort(key=lambda run_id: (holders.get(run_id) == owner, self._runs[run_id].created_at, run_id))
        for run_id in free[:limit]:
            self._book.claims[run_id] = self._book.claims.get(run_id, 0) + 1
        return [(run_id, self._book.take(run_id, owner, ttl)) for run_id in free[:limit]]

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        return self._book.renew(owner, ttl, held)

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        for run_id, left in (sleeps or {}).items():
            if self._book.holders.get(run_id) == owner:
                self._book.asleep[run_id] = NEVER if left is None else self._book.now() + left
        self._book.release(owner, run_ids if sleeps is None else [*(run_ids or ()), *sleeps])

    async def owner(self, run_id: str) -> Lease | None:
        owner = self._book.holders.get(run_id)
        lease = None if owner is None else self._book.leases.get(owner)
        return None if owner is None or lease is None else self._lease(owner, *lease)

    async def owners(self) -> list[Lease]:
        found = dict(self._book.leases)
        for owner, until, ttl in self._book.locks.values():
            if owner not in found or found[owner][0] < until:
                found[owner] = until, ttl
        return [self._lease(owner, *found[owner]) for owner in sorted(found)]

    def _lease(self, owner: str, until: int, ttl: int | None) -> Lease:
        now = self._book.now()
        return Lease(owner, until - now, lives(until, ttl, now))

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        return self._book.lock(name, owner, ttl)

    async def unlock(self, name: str, owner: str) -> None:
        if self._book.locks.get(name, ("", 0, None))[0] == owner:
            del self._book.locks[name]

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        return self._book.broke(run_id, token, ended, reason)


class MemoryMailbox:
    """`ports.store.MailboxStore`: requests to those that hold `runs`, and their answers."""

    def __init__(self, book: LeaseBook, runs: Container[str]) -> None:
        self._book = book
        self._runs = runs
        self._requests: dict[int, Request] = {}
        self._answers: dict[int, Json] = {}
        self._given: set[int] = set()  # what some engine has in hand
        self._posted = 0

    async def post(self, run_id: str, request: Json) -> int:
        if run_id not in self._runs:
            raise NotFoundError(f"run {run_id!r} is unknown")
        self._posted += 1
        self._requests[self._posted] = Request(self._posted, run_id, request)
        return self._posted

    async def requests(self, owner: str) -> list[Request]:
        found = [item for item in self._requests.values() if self._book.holders.get(item.run_id) == owner]
        self._given.update(item.id for item in found)
        return found

    async def answered(self, id_: int, answer: Json) -> None:
        self._given.discard(id_)
        if self._requests.pop(id_, None) is not None:
            self._answers[id_] = answer

    async def answer(self, id_: int) -> Json | None:
        return self._answers.pop(id_, None)

    async def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        return None

    async def withdraw(self, id_: int) -> bool:
        return id_ not in self._given and self._requests.pop(id_, None) is not None

    def asked(self) -> set[str]:
        """The runs that something is asked of."""
        return {item.run_id for item in self._requests.values()}

    def text(self) -> Iterator[str]:
        """Everything that is kept, to search in."""
        yield from map(str, (self._requests, self._answers))

    def forget(self, run_id: str) -> None:
        self._requests = {id_: item for id_, item in self._requests.items() if item.run_id != run_id}


class _Log:
    """The newest lines of one task run; `dropped` characters were before them, the last of them in line `last`."""

    __slots__ = ("dropped", "last", "lines", "size", "stored")

    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque()
        self.size = 0
        self.dropped = 0
        self.last = 0
        self.stored: dict[tuple[int, str], int] = {}  # by delivery and stream: the bytes that came


class MemoryLogs:
    """`ports.store.LogStore`: logs by run and path."""

    def __init__(self, runs: Container[str]) -> None:
        self._runs = runs
        self._logs: dict[str, dict[str, _Log]] = {}
        self._log_lines = 0

    async def write(self, lines: Sequence[LogLine]) -> None:
        for line in lines:
            if line.run_id not in self._runs:
                continue
            log = self._logs.setdefault(line.run_id, {}).setdefault(line.path, _Log())
            text = line.text
            if line.delivery:
                where = line.delivery, line.stream
                known = log.stored.get(where, 0)
                text, log.stored[where] = new_of(line, known), max(known, line.end_byte)
                if not text:
                    continue
            self._log_lines += 1
            log.lines.append(replace(line, seq=self._log_lines, text=text, delivery=0, start_byte=0, end_byte=0))
            log.size += len(text)
            while log.size > KEEP_LOG_CHARACTERS and len(log.lines) > 1:
                gone = log.lines.popleft()
                log.size -= len(gone.text)
                log.dropped += len(gone.text)
                log.last = gone.seq

    async def read(
        self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000, *, before: int | None = None
    ) -> list[LogLine]:
        found: list[LogLine] = []
        for there, log in self._logs.get(run_id, {}).items():
            if path is None or there == path or there.startswith((f"{path}.", f"{path}[")):
                if log.last > after:
                    first = log.lines[0]
                    text = f"{log.dropped} characters before this were dropped\n"
                    found.append(replace(first, stream="note", text=text, seq=log.last))
                found += [line for line in log.lines if line.seq > after]
        found.sort(key=lambda line: line.seq)
        if before is not None:
            return [line for line in found if line.seq < before][-limit:]
        return found[:limit]

    def text(self) -> Iterator[str]:
        """Everything that is kept, to search in."""
        yield from (str(log.lines) for run in self._logs.values() for log in run.values())

    def forget(self, run_id: str) -> None:
        self._logs.pop(run_id, None)


class MemoryFleet:
    """`ports.store.FleetStore`."""

    def __init__(self) -> None:
        self._term: ServerTerm | None = None
        self._workers: dict[str, KnownWorker] = {}

    async def begin_term(self, key: bytes) -> ServerTerm:
        self._term = ServerTerm(key, 1) if self._term is None else ServerTerm(self._term.key, self._term.number + 1)
        return self._term

    async def put_workers(self, workers: Sequence[KnownWorker]) -> None:
        self._workers |= {one.name: one for one in workers}

    async def workers(self) -> list[KnownWorker]:
        return [self._workers[name] for name in sorted(self._workers)]

    async def forget_workers(self, before: int) -> None:
        self._workers = {name: one for name, one in self._workers.items() if one.connected or one.at >= before}


class MemoryServers:
    """`ports.store.ServerStore`."""

    def __init__(self, book: LeaseBook, runs: Mapping[str, Kept]) -> None:
        self._book = book
        self._runs = runs

    async def put(self, server: ServerRow, ttl: int | None) -> None:
        self._book.extend(server.owner, ttl)
        self._book.servers[server.owner] = server

    async def list(self) -> list[ServerRow]:
        leases, now = self._book.leases, self._book.now()
        found = self._book.servers.items()
        living = [row for owner, row in found if owner in leases and lives(*leases[owner], now)]
        return sorted(living, key=lambda row: (row.started_at, row.owner))

    async def runs(self) -> Mapping[str, int]:
        book, found = self._book, Counter[str]()
        for run_id, run in self._runs.items():
            if not (run.closed or run_id in book.asleep or run_id in book.broken):
                found[book.holders[run_id] if book.held(run_id) else FREE] += 1
        return found


class MemorySchedules:
    """`ports.store.ScheduleStore`: schedules by namespace and name; their records, oldest first."""

    def __init__(self, runs: RunStore, mailbox: MailboxStore) -> None:
        self._runs = runs
        self._mailbox = mailbox
        self._schedules: dict[tuple[str, str], tuple[StoredSchedule, Plan]] = {}
        self._fires: dict[tuple[str, str], list[FireRecord]] = {}
        self._records = 0

    async def put(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        return self.write(schedule, plan)

    def check(self, schedule: StoredSchedule, plan: Plan | None) -> Plan:
        """Raise where `put` would; else give the plan that the schedule will have."""
        if schedule.version:
            before = self._changeable(schedule)
            return before if plan is None else plan
        if plan is None:
            raise UsageError(f"schedule {schedule.name!r} has no plan")
        if (schedule.namespace, schedule.name) in self._schedules:
            raise BusyError(f"schedule {schedule.name!r} exists already")
        return plan

    def write(self, schedule: StoredSchedule, plan: Plan | None) -> StoredSchedule:
        """`put`, without waiting."""
        key = (schedule.namespace, schedule.name)
        plan = self.check(schedule, plan)
        if not schedule.version:
            self._fires[key] = []
        made = replace(schedule, version=schedule.version + 1)
        self._schedules[key] = (made, plan)
        return replace(made)

    async def get(self, namespace: str, name: str) -> StoredSchedule | None:
        found = self._schedules.get((namespace, name))
        return replace(found[0]) if found is not None else None

    async def find(
        self,
        namespace: str | None = None,
        *,
        due: int | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> list[StoredSchedule]:
        found = [one for _, (one, _) in sorted(self._schedules.items(), key=lambda item: item[0])]
        found = [one for one in found if namespace in (None, one.namespace)]
        if after is not None:
            found = [one for one in found if (one.namespace, one.name) > after]
        if due is not None:
            fires = [(one.next_at, one) for one in found if one.next_at is not None and one.next_at <= due]
            found = [one for _, one in sorted(fires, key=lambda item: item[0])]
        return [replace(one) for one in found[:limit]]

    async def plan(self, namespace: str, name: str) -> Plan:
        found = self._schedules.get((namespace, name))
        if found is None:
            raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return found[1]

    async def remove(self, namespace: str, name: str) -> bool:
        self._fires.pop((namespace, name), None)
        return self._schedules.pop((namespace, name), None) is not None

    async def decide(self, decision: ScheduleDecision) -> Mapping[str, int]:
        schedule = decision.schedule
        plan = self._changeable(schedule)
        there = {run.row.run_id for run in decision.runs if await self._runs.row(run.row.run_id) is not None}
        tokens = {run.row.run_id: await self._runs.create(run) for run in decision.runs if run.row.run_id not in there}
        for run_id in decision.cancel:
            row = await self._runs.row(run_id)
            if row is not None and not row.closed:
                await self._mailbox.post(run_id, CANCEL)
        key = (schedule.namespace, schedule.name)
        self._schedules[key] = (replace(schedule, version=schedule.version + 1), plan)
        for record in decision.records:
            if record.run_id not in there:
                self._records += 1
                self._fires[key].append(replace(record, id=self._records))
        await self._drop_old(key)
        return tokens

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        found = reversed(self._fires.get((namespace, name), []))
        return [replace(one) for one in found if before is None or one.id < before][:limit]

    async def runs(
        self, namespace: str | None = None, name: str | None = None, *, closed: bool | None = None
    ) -> list[RunSummary]:
        wanted = [key for key in self._fires if namespace in (None, key[0]) and name in (None, key[1])]
        times = {one.run_id: one.at for key in wanted for one in self._fires[key] if one.run_id is not None}
        latest = sorted(times.items(), key=lambda item: (item[1], item[0]), reverse=True)
        rows = [await self._runs.row(run_id) for run_id, _ in latest]
        return [row for row in rows if row is not None and closed in (None, row.closed)]

    def _changeable(self, schedule: StoredSchedule) -> Plan:
        """The plan of the schedule, if this is the version that is there."""
        found = self._schedules.get((schedule.namespace, schedule.name))
        if found is None or found[0].version != schedule.version:
            raise BusyError(f"schedule {schedule.name!r} was changed by another process", hint="look at it, and try again")
        return found[1]

    async def _drop_old(self, key: tuple[str, str]) -> None:
        records = self._fires[key]
        old, new = records[:-KEEP_FIRES], records[-KEEP_FIRES:]
        kept = [one for one in old if one.run_id is not None and await self._runs.row(one.run_id) is not None]
        self._fires[key] = kept + new
