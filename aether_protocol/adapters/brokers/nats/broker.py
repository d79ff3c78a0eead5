"""The engine's side: its fleet answers workers over NATS, and tickets wake those that wait for work.

Law: all that is at NATS may be lost. What waits, and who carries out what, is known here; each look (LOOK_S) publishes what is
missed there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from aether_protocol.adapters.brokers.nats.address import NatsUrl, read_nats_url
from aether_protocol.adapters.brokers.nats.calls import Answer, Answerer, EngineCall
from aether_protocol.adapters.brokers.nats.frames import MOST_BYTES
from aether_protocol.adapters.brokers.nats.link import NatsLink, cancelled
from aether_protocol.adapters.brokers.nats.reach import require_reachable
from aether_protocol.adapters.brokers.nats.subjects import Announcement, Ticket, Wanted
from aether_protocol.adapters.brokers.unserved import refusal, refused, too_large, why_not
from aether_protocol.adapters.brokers.workers import SessionOverError, WorkerBroker
from aether_protocol.errors import AetherError, PortError
from aether_protocol.fleet import commands as c
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.fleet.work import Need
from aether_protocol.ports.broker import BrokerParts, Holding, ResultSink
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.worker import BeatMessage, Hello, Orders, Poll, WorkReport

if TYPE_CHECKING:
    from nats.aio.msg import Msg

LOOK_S: Final = 1.0
ANNOUNCE_S: Final = 5.0
RECONCILE_S: Final = 6.0  # a ticket that woke no worker for so long was lost
LONELY_S: Final = 5.0  # what waits for so long while no worker is here is reported
HOLD_S: Final = 0.05  # how long a worker stays for what comes next: a chain of tasks needs no ticket for each
FIRST_TICKETS: Final = 8  # workers that are woken at once; each that leaves something wakes the next
BEATS: Final = 10  # of a worker in a lease
_AWAY: Final = "NATS is being connected"
_SLACK: Final = 65_536  # of a message, for all but its assignments

_log = logging.getLogger("aether_protocol")
_encode: Final = msgspec.json.Encoder().encode


class NatsBroker:
    """See `ports.broker.Broker`."""

    def __init__(self, url: NatsUrl, parts: BrokerParts) -> None:
        self._url = url
        self._parts = parts
        self._link = NatsLink(url, "aether-engine")
        self._answerer = Answerer(self._link, self._serve)
        self.instance = secrets.token_hex(6)
        self.site = ""
        self.workers: WorkerBroker | None = None  # once it is connected
        self._wanted: dict[str, Wanted] = {}
        self._woken: dict[Need, int] = {}  # by what waits: when the last ticket for it went out
        self._visited = False  # a worker has been here since, and may have left something
        self._due = False
        self._lonely_since: int | None = None  # since when something waits and no worker is here
        self._is_said = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._sink: ResultSink

    # --- Broker -----------------------------------------------------------------------------------------------------

    def start(self, sink: ResultSink) -> None:
        self._sink = sink
        self._opening = asyncio.get_running_loop().create_task(self._open(), name="aether-nats")

    def room(self) -> int | None:
        return 0 if self.workers is None else None  # until it is connected: `ready` says when

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        if self.workers is None:
            return {task.ref: _AWAY for task in batch}
        fit = []
        for task in batch:
            reason = why_not(task, self._parts.artifacts)
            if reason is None:
                fit.append(task)
            else:
                self._sink.finished(refusal(task, reason))
        answer = await self.workers.dispatch(fit)
        self._wake()
        return answer

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        await self._connected().stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        if self.workers is not None:
            await self.workers.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {} if self.workers is None else await self.workers.held(refs)

    async def close(self) -> None:
        if self._opening is not None:
            await cancelled(self._opening)
        if self.workers is not None:
            self._answerer.close()
            await self.workers.close()
            await self._announce(gone=True)
        await self._link.close()
        for task in self._tasks:
            task.cancel()

    def _connected(self) -> WorkerBroker:
        if self.workers is None:
            raise PortError(_AWAY)
        return self.workers

    # --- life -------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        key, number = secrets.token_bytes(32), 0
        if self._parts.begin_term is not None:
            term = await self._parts.begin_term()
            key, number = term.key, term.number
        lease = round(self._url.lease_s * 1_000_000)
        workers = WorkerBroker(
            self._parts.clock,
            key,
            secrets=self._parts.secrets,
            settings=FleetSettings(lease=lease, reattach=lease),
            term=number,
            server=f"the engine {self.instance}",
            beat_s=self._url.lease_s / BEATS,
            poll_s=HOLD_S,
        )
        workers.watchers.append(self._ordered)
        workers.start(self._sink)
        self.site = hashlib.blake2b(key, digest_size=8, person=b"aether-site").hexdigest()
        await self._link.open()
        names = self._link.names
        await self._answerer.open(names.engine(self.site, self.instance))
        await self._link.subscribe(names.workers, self._asked)
        self._link.back.append(lambda: self._do(self._returned()))
        await self._link.want_stream()
        self.workers = workers
        await self._announce()
        self._sink.ready()
        await self._look_on()

    async def _returned(self) -> None:
        """The server is there again, and may have lost everything."""
        self._woken.clear()
        await self._link.want_stream()
        await self._announce()
        self._wake()

    async def _look_on(self) -> None:
        announced = self._parts.clock.now()
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._parts.clock.now()
            if now - announced >= ANNOUNCE_S * 1_000_000:
                announced = now
                await self._link.want_stream()
                await self._announce()
            self._look_for_workers(now)
            self._wake()

    def _look_for_workers(self, now: int) -> None:
        """Say so, once, where something waits and no worker asks for it."""
        state = self._connected().fleet.state
        waiting = sorted({need.executor for need, group in state.waiting.classes.items() if len(group.queue)})
        if not waiting or state.sessions:
            self._lonely_since, self._is_said = None, False
        elif self._lonely_since is None:
            self._lonely_since = now
        elif now - self._lonely_since >= LONELY_S * 1_000_000 and not self._is_said:
            self._is_said = True
            _log.warning(
                "no worker has asked for work at %s for %g s, and tasks wait for one that offers %s: "
                "`aether worker --broker URL`, with the URL of this engine, begins one",
                self._link.place,
                LONELY_S,
                ", ".join(waiting),
            )

    # --- tickets ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Look for what waits, once for all that happens now."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(lambda: self._do(self._publish()))

    async def _publish(self) -> None:
        self._due = False
        if self.workers is None:
            return
        visited, self._visited = self._visited, False
        now, news, names = self.workers.clock.now(), False, self._link.names
        out: list[str] = []
        for need, group in list(self.workers.fleet.state.waiting.classes.items()):
            first = next(iter(group.queue), None) if len(group.queue) else None
            if first is None:
                self._woken.pop(need, None)
                continue
            subject = names.ticket(need, first.priority)
            if subject not in self._wanted:
                self._wanted[subject] = Wanted(subject, need.executor, need.pool, need.selector, need.slots)
                news = True
            woken = self._woken.get(need)
            if woken is None or visited or now - woken >= RECONCILE_S * 1_000_000:
                self._woken[need] = now
                out += [subject] * (min(len(group.queue), FIRST_TICKETS) if woken is None else 1)
        if news:
            await self._announce()
        ticket = _encode(Ticket(self.site, self.instance))
        for subject in out:
            await self._link.publish(subject, ticket)

    async def _announce(self, *, gone: bool = False) -> None:
        said = Announcement(self.site, self.instance, list(self._wanted.values()), gone)
        await self._link.publish(self._link.names.engines, _encode(said))

    async def _asked(self, message: Msg) -> None:
        """A worker asks who is there."""
        await self._announce()

    # --- workers ----------------------------------------------------------------------------------------------------

    def _ordered(self, command: c.Command, at: int) -> None:
        """A stop order is for the next beat of its worker, which comes at once."""
        if isinstance(command, c.Stop) and self.workers is not None:
            session = self.workers.fleet.state.sessions.get(command.session)
            if session is not None:
                self._do(self._link.publish(self._link.names.worker(session.instance), command.session.encode()))

    async def _serve(self, call: EngineCall) -> Answer:
        if self.workers is None:
            return Answer(fault="the engine is not ready", later=True)
        try:
            said = await self._said(self.workers, call)
        except SessionOverError:
            return Answer(over=True)
        except msgspec.MsgspecError as error:
            return Answer(fault=f"a {call.do} does not fit: {error}", hint="are both sides of one version?")
        except AetherError as error:
            return Answer(fault=error.message, hint=error.hint, later=isinstance(error, PortError))
        except Exception:
            _log.exception("a %s of a worker failed", call.do)
            return Answer(fault="an internal error", later=True)
        self._wake()
        return Answer(msgspec.Raw(_encode(said)))

    async def _said(self, workers: WorkerBroker, call: EngineCall) -> Any:
        decode = msgspec.json.decode
        match call.do:
            case "hello":
                return workers.hello(decode(call.body, type=Hello))
            case "poll":
                orders = await workers.poll(call.session, decode(call.body, type=Poll))
                self._visited = True  # where it leaves something, another worker is woken
                return await self._fitting(workers, orders)
            case "beat":
                return workers.beat(call.session, decode(call.body, type=BeatMessage))
            case "report":
                return await workers.report(call.session, decode(call.body, type=WorkReport))
            case "leave":
                workers.leave(call.session)
                return None
        raise PortError(f"an engine of this version knows no {call.do!r}")

    async def _fitting(self, workers: WorkerBroker, orders: Orders) -> Orders:
        """Orders that fit into a message. What does not fit beside others is given out again; what fits into none is an
        Error."""
        limit = MOST_BYTES - _SLACK
        if not orders.work or len(_encode(orders)) <= limit:
            return orders
        kept, size = [], 0
        for item in orders.work:
            takes = len(_encode(item))
            if takes > limit:
                named = item.assignment
                run_id, _, path = str(named["taskRunId"]).partition("/")
                ref = AttemptRef(run_id, path, named["attempt"], named["epoch"])
                await workers.stop([ref])
                self._sink.finished(refused(ref, too_large(takes, MOST_BYTES, "the broker")))
            elif size + takes <= limit:
                kept.append(item)
                size += takes
        orders.work = kept
        return orders

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def broker_of_url(url: str, parts: BrokerParts) -> NatsBroker:
    """Make the broker of `nats://HOST:PORT`.

    Raises:
        UsageError: the URL says something else.
        PortError: nothing answers there, or it refuses.
    """
    read = read_nats_url(url)
    require_reachable(read)
    return NatsBroker(read, parts)
