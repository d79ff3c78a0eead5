"""What `aether worker --broker nats://...` runs: pull requests for tickets, and a supervisor for each engine.

Law: a ticket is taken only where a slot is free, else it is for another worker. What is pulled is acknowledged at once: what
comes of it is the engine's to look after.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.adapters.brokers.nats.address import read_nats_url
from aether_protocol.adapters.brokers.nats.calls import NatsCaller
from aether_protocol.adapters.brokers.nats.link import NatsLink, cancelled
from aether_protocol.adapters.brokers.nats.reach import NatsAwayError, require_reachable
from aether_protocol.adapters.brokers.nats.subjects import Announcement, Ticket, Wanted, consumer_of
from aether_protocol.assembly.broker_urls import shown_broker
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import UsageError
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.plan.placement import parse_selector
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE, SecretProvider
from aether_protocol.ports.telemetry import Tracer
from aether_protocol.worker.nats.engines import Engines
from aether_protocol.worker.nats.slots import PoolShare, SharedObserver, SharedSlots, SlotGate
from aether_protocol.worker.nats.transport import NatsTransport
from aether_protocol.worker.offers import offers_of
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.process import drain_at_signals, hello_of, shared_rooms
from aether_protocol.worker.processes import ChildProcesses
from aether_protocol.worker.spool import MOST_BYTES as MOST_LOG_BYTES
from aether_protocol.worker.supervisor import Supervisor, SupervisorSettings, WorkerNews

if TYPE_CHECKING:
    from nats.aio.msg import Msg

PULL_S: Final = 30.0  # how long a pull request stays open
LATE_S: Final = 2.0  # then it is taken for lost
RETRY_S: Final = 5.0  # at most between two tries to reach the server
ASK_S: Final = 5.0  # between two questions who is there
KEEP_S: Final = 3600.0  # results of an engine that does not come back, nor another of its store

_log = logging.getLogger("aether_protocol")
_encode: Final = msgspec.json.Encoder().encode


class _Side(Struct, eq=False):
    """An engine that has given work to this worker, and the supervisor for it."""

    supervisor: Supervisor
    transport: NatsTransport
    gate: SlotGate
    task: asyncio.Task[None]
    seen: int


class NatsWorker:
    """A worker for engines behind NATS.

    Args:
        url: `nats://HOST:PORT`.
        name, slots, labels, pool, executors, modules, log_bytes, grace_s, report, tracer: as for `worker.Worker`.
        secrets: providers that are asked for what assignments refer to.
        artifacts: the URL of the repository of artifacts, the same as the engines'; empty: there is none.

    Raises:
        UsageError: the URL says something else, an executor is not there, or a module cannot be imported.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        slots: Mapping[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        pool: str = "",
        executors: Iterable[str] | None = None,
        modules: Iterable[str] = (),
        secrets: Sequence[SecretProvider] = (),
        artifacts: str = "",
        log_bytes: int = MOST_LOG_BYTES,
        grace_s: float = 600.0,
        report: Callable[[WorkerNews], None] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._url = read_nats_url(url)
        self.urls = [shown_broker(url)]
        self._modules = tuple(modules)
        offers = offers_of(executors, self._modules)
        self.hello = hello_of(offers, name, slots=slots, labels=labels, pool=pool)
        self._inline = offers.inline
        self._offered = frozenset(one.name for one in offers.executors)
        self._book = SecretBook(secrets)
        self._artifacts = artifacts
        self._settings = SupervisorSettings(grace_s=grace_s, log_bytes=log_bytes)
        self._report = report
        self._tracer = tracer
        self._clock = SystemClock()
        self._link = NatsLink(self._url, f"aether-worker {self.hello.worker}", self._tell)
        self._caller = NatsCaller(self._link)
        self._slots = SharedSlots(self.hello.slots["tasks"])
        self._engines = Engines(self._clock.now)
        self._sides: dict[tuple[str, str], _Side] = {}
        self._pulls: dict[str, int] = {}  # by subject: until when its pull request is open
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self._draining = False
        self._ended = asyncio.Event()
        self._inbox = ""
        self._pool: ChildProcesses

    def run(self) -> None:
        """Work until a signal comes: the first lets attempts end for the grace, the second returns them at once. A server
        that is away is waited for.

        Raises:
            PortError: it refuses this worker, or is something else.
            UsageError: a file that the URL names cannot be used.
        """
        asyncio.run(self.work())

    async def work(self) -> None:
        """`run`, in an event loop that is there already."""
        async with shared_rooms() as rooms:
            settings = ChildSettings(artifacts=self._artifacts, workspaces=str(rooms))
            self._pool = ChildProcesses(self._modules, settings=settings, inline=self._inline)
            self._pool.start(SharedObserver(self._slots))
            self._slots.freed.append(self._changed.set)
            drain_at_signals(self.drain)
            try:
                await self._serve()
            finally:
                for side in self._sides.values():
                    side.task.cancel()
                await asyncio.gather(*(side.task for side in self._sides.values()), return_exceptions=True)
                await self._pool.close()
                await self._link.close()

    def drain(self) -> None:
        """Take no more work; called again, return at once what has not ended."""
        grace = 0.0 if self._draining else None
        self._draining = True
        for side in self._sides.values():
            side.supervisor.drain(grace)
        self._look_at_end()

    async def _serve(self) -> None:
        ending = asyncio.create_task(self._ended.wait())
        opening = asyncio.create_task(self._open())
        beside: list[asyncio.Task[None]] = []
        try:
            await asyncio.wait([ending, opening], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():  # a signal came first
                return
            opening.result()
            self._tell("connected", f"connected to {self.urls[0]} as {self.hello.worker!r}")
            beside = [asyncio.create_task(one) for one in (self._ask_on(), self._pull_on())]
            done, _ = await asyncio.wait([ending, *beside], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for task in (opening, *beside):
                await cancelled(task)

    async def _open(self) -> None:
        await self._wait_for_server()
        await self._link.open()
        await self._caller.open()
        names, self._inbox = self._link.names, self._link.inbox()
        self._link.back.append(self._returned)
        await self._link.subscribe(names.engines, self._announced)
        await self._link.subscribe(f"{self._inbox}.*", self._pulled)

    async def _wait_for_server(self) -> None:
        """Wait until it is there; an outage is reported once."""
        for number in count():
            try:
                await asyncio.to_thread(require_reachable, self._url)
                return
            except NatsAwayError as error:
                if not number:
                    self._tell("away", f"{error.message}; it is tried again")
            await asyncio.sleep(min(RETRY_S, 0.2 * 1.5**number))

    # --- tickets ----------------------------------------------------------------------------------------------------

    def _returned(self) -> None:
        """The server is there again, and may have lost everything."""
        self._pulls.clear()
        self._changed.set()

    async def _ask_on(self) -> None:
        """Ask who is there: an announcement may be lost, and engines look after themselves each 5 s."""
        while True:
            await self._link.publish(self._link.names.workers, self.hello.worker.encode())
            await asyncio.sleep(ASK_S)
            self._forget()
            self._changed.set()

    async def _announced(self, message: Msg) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            said = msgspec.json.decode(message.data, type=Announcement)
            if self._engines.heard(said):  # where it follows one that died, it waits for what this worker has
                for side in self._sides.values():
                    if side.transport.site == said.site:
                        side.supervisor.nudged.set()
            self._changed.set()

    def _fits(self, wanted: Wanted) -> bool:
        if wanted.executor not in self._offered or wanted.pool != self.hello.pool:
            return False
        if any(self.hello.slots.get(kind, 0) < amount for kind, amount in wanted.slots):
            return False
        try:
            return not wanted.selector or parse_selector(wanted.selector).matches(self.hello.labels)
        except ValueError:
            return False

    async def _pull_on(self) -> None:
        """Keep a pull request open for each subject that fits, as long as a slot is free."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            now = self._clock.now()
            subjects = sorted((one for one in self._engines.wanted.values() if self._fits(one)), key=_level, reverse=True)
            for wanted in subjects:
                if self._draining or not self._slots.free:
                    break
                if self._pulls.get(wanted.subject, 0) <= now and await self._link.want_consumer(wanted.subject):
                    self._pulls[wanted.subject] = now + round((PULL_S + LATE_S) * 1_000_000)
                    asked = _encode({"batch": 1, "expires": round(PULL_S * 1_000_000_000)})
                    api = f"$JS.API.CONSUMER.MSG.NEXT.{self._link.names.stream}.{consumer_of(wanted.subject)}"
                    await self._link.publish(api, asked, f"{self._inbox}.{consumer_of(wanted.subject)}")

    async def _pulled(self, message: Msg) -> None:
        """A ticket, or what became of a pull request."""
        status = message.headers.get("Status") if message.headers else None
        if status is not None:
            if status in ("100",):  # it is still open
                return
            if status in ("409", "503"):  # the consumer or the stream is gone
                self._link.forget()
            consumer = message.subject.rpartition(".")[2]
            self._pulls = {subject: due for subject, due in self._pulls.items() if consumer_of(subject) != consumer}
            asyncio.get_running_loop().call_later(0.0 if status in ("404", "408") else 0.5, self._changed.set)
            return
        self._pulls.pop(message.subject, None)
        takes = self._slots.free > 0 and not self._draining
        await self._link.publish(message.reply, b"+ACK" if takes else b"-NAK")
        if takes:
            with contextlib.suppress(msgspec.MsgspecError):
                ticket = msgspec.json.decode(message.data, type=Ticket)
                self._side(ticket.site, ticket.instance).gate.call()
        self._changed.set()

    # --- engines ----------------------------------------------------------------------------------------------------

    def _side(self, site: str, instance: str) -> _Side:
        key = site, instance
        side = self._sides.get(key)
        if side is None:
            side = self._sides[key] = self._new_side(key)
        side.seen = self._clock.now()
        return side

    def _new_side(self, key: tuple[str, str]) -> _Side:
        gate = SlotGate(self._slots)
        hello = replace(self.hello, instance=f"{self.hello.instance}-{next(self._numbers)}", number=0)

        def namespace_of(token: str) -> str:
            one = supervisor.held.get(token)
            return DEFAULT_NAMESPACE if one is None else one.namespace

        transport = NatsTransport(
            self._caller, self._link.names, self._engines, key, book=self._book, namespace_of=namespace_of
        )
        supervisor = Supervisor(
            transport,
            PoolShare(self._pool, self._slots),
            hello,
            settings=self._settings,
            seed=secrets.randbits(32),
            clock=self._clock,
            report=self._heard,
            tracer=self._tracer,
            gate=gate,
        )
        task = asyncio.create_task(self._look_after(key, supervisor, hello.instance), name="aether-nats-side")
        return _Side(supervisor, transport, gate, task, self._clock.now())

    async def _look_after(self, key: tuple[str, str], supervisor: Supervisor, instance: str) -> None:
        async def nudged(_: Msg) -> None:
            supervisor.nudged.set()

        try:
            await self._link.subscribe(self._link.names.worker(instance), nudged)
            await supervisor.run()
        except UsageError as error:
            _log.warning("an engine refuses this worker: %s", error.message)
        finally:
            self._sides.pop(key, None)
            self._look_at_end()

    def _forget(self) -> None:
        """Part from engines that are gone and of which nothing is left here."""
        now = self._clock.now()
        for side in list(self._sides.values()):
            transport, holds = side.transport, len(side.supervisor.held) > 0
            if self._engines.is_there(transport.site, self._engines.choose(transport.site, transport.instance)):
                side.seen = now
            elif not holds or now - side.seen > KEEP_S * 1_000_000:
                side.task.cancel()

    def _look_at_end(self) -> None:
        if self._draining and not self._sides:
            self._ended.set()

    def _heard(self, news: WorkerNews) -> None:
        """Say what became of it with an engine; that one is met, or is away, is of every day."""
        if news.kind in ("stopping", "draining"):
            self._tell(news.kind, news.text)
        else:
            _log.debug("%s", news.text)

    def _tell(self, kind: Any, text: str) -> None:
        if self._report is not None:
            self._report(WorkerNews(kind, text))
        else:
            _log.info("%s", text)


def _level(wanted: Wanted) -> str:
    """The level of a subject of tickets."""
    return wanted.subject.split(".")[2]
