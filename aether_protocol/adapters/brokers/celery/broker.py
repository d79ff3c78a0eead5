"""The broker for a Celery fleet, as one engine has it. See `ports.broker.Broker`.

Law: what an engine hears by its inbox is a hint; what is reported to the engine is what the table says, or what only the inbox
has and the engine can do without. An attempt is called lost when no worker can have it any more.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from aether_protocol.adapters.brokers.celery.address import CeleryAddress, read_address
from aether_protocol.adapters.brokers.celery.entries import Entries, Entry
from aether_protocol.adapters.brokers.celery.publisher import Message, Publisher, message_of, step_of
from aether_protocol.adapters.brokers.celery.reach import require_redis
from aether_protocol.adapters.brokers.celery.reports import EngineReports
from aether_protocol.adapters.brokers.celery.table import TTL_MS, AttemptTable, Call, RedisAwayError, cancel_all
from aether_protocol.adapters.brokers.celery.watch import TableWatch
from aether_protocol.adapters.brokers.unserved import refusal, too_large, why_not
from aether_protocol.ports.broker import BrokerParts, Holding, ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.wire_json import encode_assignment

__all__ = ["CeleryBroker", "broker_of_url"]

_log = logging.getLogger("aether_protocol")

AHEAD: Final = 1000  # attempts that wait in queues; the rest waits in the engine, where it is ordered and a stop costs nothing
WATCH_S: Final = 3.0
RETRY_S: Final = 0.5
MOST_BYTES: Final = 64 * 2**20  # of an assignment
_encode: Final = msgspec.json.Encoder().encode


class CeleryBroker:
    """See `ports.broker.Broker`.

    Args:
        address: where the fleet is.
        clock: that of the engine.
        artifacts: the URL by which workers open the repository of artifacts; empty: they cannot.
        watch_s: how often the table is looked at.
    """

    def __init__(self, address: CeleryAddress, clock: Clock, *, artifacts: str = "", watch_s: float = WATCH_S) -> None:
        self._address = address
        self._clock = clock
        self._artifacts = artifacts
        self._watch_s = watch_s
        self._side = secrets.token_hex(8)
        self._table = AttemptTable(address)
        self._entries = Entries()
        self._publisher = Publisher(address, self._published)
        self._reports = EngineReports(self._table, self._entries, self._publisher, clock)
        self._watching = TableWatch(
            self._table,
            self._entries,
            self._publisher,
            self._reports,
            clock=clock,
            side=self._side,
            lease_s=address.lease_s,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_full = False
        self._is_away = False
        self.sink: ResultSink

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink = sink
        self._reports.start(sink)
        loops = {
            "listen": self._listen(),
            "watch": self._watch(),
            "publish": self._publisher.run(),
            "acknowledge": self._reports.acknowledge(),
        }
        loop = asyncio.get_running_loop()
        self._tasks = {loop.create_task(one, name=f"aether-celery-{name}") for name, one in loops.items()}

    def room(self) -> int | None:
        room = max(0, AHEAD - self._entries.waiting)
        self._was_full = self._was_full or not room
        return room

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        sent: list[TaskAssignment] = []
        calls: list[Call] = []
        for assignment in batch:
            body = self._body_of(assignment)
            if body is not None:
                ref = assignment.ref
                token = f"{secrets.randbits(62):016x}"  # a number that the store of any engine has not seen
                sent.append(assignment)
                names = ref.task_run_id, ref.epoch, ref.attempt, token
                calls.append(("put", (*names, body, self._side, TTL_MS, self._message_of(assignment, token).route)))
        try:
            answers = await self._table.run_all(calls)
        except RedisAwayError as error:
            return {assignment.ref: error.message for assignment in sent}
        for assignment, (state, token) in zip(sent, answers, strict=True):
            self._put(assignment, state.decode(), token.decode())
        return {}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        await self._table.run_all([("stop", (ref.task_run_id, ref.epoch, ref.attempt)) for ref in refs])
        self._forget(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        self._forget(refs)
        await self._table.run_all([("release", (ref.task_run_id, self._side)) for ref in refs])

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        found: dict[AttemptRef, Holding] = {}
        answers = await self._table.run_all([("held", (ref.task_run_id, ref.epoch, ref.attempt, self._side)) for ref in refs])
        for ref, (state, token, *route) in zip(refs, answers, strict=True):
            match state.decode():
                case "waiting" | "running" | "ended" as there:
                    message = message_of(ref.task_run_id, token.decode(), route[0].decode() or f"0:{self._address.queue}")
                    now = self._clock.now()
                    entry = Entry(ref, message, published_at=now, sent_at=now)
                    self._entries.add(entry)
                    self._entries.turn(entry, "waiting" if there == "waiting" else "running")
                    found[ref] = "held"
                case "lost":
                    found[ref] = "lost"
                case _:
                    found[ref] = "unknown"
        return found

    async def close(self) -> None:
        """Listen no more. Attempts live on at their workers, and are reported to the next engine."""
        await cancel_all(self._tasks)
        await self._reports.close()
        await self._table.close()
        await asyncio.to_thread(self._publisher.close)

    # --- dispatching ---

    def _body_of(self, assignment: TaskAssignment) -> bytes | None:
        """What a worker is given; None where it is an Error, which is reported."""
        reason = why_not(assignment, self._artifacts)
        asked = assignment.placement
        if reason is None and asked is not None and asked.selector:
            reason = f"Celery does not look at labels (selector {asked.selector!r}): name a pool, which is a queue of its own"
        if reason is None:
            body = _encode(encode_assignment(assignment))
            if len(body) <= MOST_BYTES:
                return body
            reason = too_large(len(body), MOST_BYTES, "a Celery fleet")
        self.sink.finished(refusal(assignment, reason))
        return None

    def _put(self, assignment: TaskAssignment, state: str, token: str) -> None:
        """Note what became of an attempt that was put into the table."""
        ref, asked, now = assignment.ref, assignment.placement, self._clock.now()
        if state == "old":
            return
        before = self._entries.get(ref.task_run_id, token)
        if before is not None and before.ref == ref:
            if before.state == "ended":
                self._entries.turn(before, "running")  # its result is reported anew
            return
        message = self._message_of(assignment, token)
        longest = asked.wait_at_most_us if asked else None
        entry = Entry(ref, message, wait_until=None if longest is None else now + longest)
        self._entries.add(entry)
        if state in ("fresh", "waiting"):
            self._publisher.add(message)
        else:
            self._entries.turn(entry, "after" if state == "after" else "running")

    def _message_of(self, assignment: TaskAssignment, token: str) -> Message:
        asked = assignment.placement
        queue = self._address.queue_of(asked.pool if asked else "")
        return Message(assignment.ref.task_run_id, token, queue, step_of(assignment.priority))

    def _published(self, messages: Sequence[Message]) -> None:
        self._entries.published(messages, self._clock.now())

    # --- hearing ---

    async def _listen(self) -> None:
        while True:
            try:
                events = await self._table.events(self._side)
                self._answers()
                await self._reports.hear(events)
                self._make_room()
            except RedisAwayError as error:
                self._away(error)
                await asyncio.sleep(RETRY_S)
            except Exception:
                _log.exception("an event of a Celery fleet could not be read")

    # --- watching ---

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_s)
            try:
                await self._watching.look()
                self._make_room()  # where nothing is to be looked at, Redis was not asked: that it answers, `_listen` says
            except RedisAwayError as error:
                self._away(error)
            except Exception:
                _log.exception("the table of a Celery fleet could not be looked at")

    # --- small things ---

    def _forget(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            entry = self._entries.get(ref.task_run_id)
            if entry is not None and entry.ref == ref:
                self._entries.drop(ref.task_run_id)

    def _make_room(self) -> None:
        if self._was_full and self._entries.waiting < AHEAD // 2:
            self._was_full = False
            self.sink.ready()

    def _away(self, error: RedisAwayError) -> None:
        if not self._is_away:
            self._is_away = True
            _log.warning("%s; it is tried again, and what runs continues", error.message)

    def _answers(self) -> None:
        if self._is_away:
            self._is_away = False
            _log.info("%s answers again", self._address.shown)
            self.sink.ready()


def broker_of_url(url: str, parts: BrokerParts) -> CeleryBroker:
    """Make the broker of a URL (`address.read_address`).

    Raises:
        UsageError: it cannot be read.
        PortError: its Redis is not there, or refuses.
    """
    address = read_address(url)
    require_redis(address)
    return CeleryBroker(address, parts.clock, artifacts=parts.artifacts)
