"""The broker for workers elsewhere: it gives attempts to those that talk to this process, over whatever transport.

Law: nothing here decides who gets what; that is the fleet's (`fleet.machine`). This carries its commands out: it answers open
polls, reports to the engine, and keeps the time. All of it runs on the event loop's thread. It holds assignments with
references to secrets alone; the texts are given to the worker that has a live delivery which refers to them (`secrets`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, cast

from msgspec import Struct, field

from aether_protocol.adapters.brokers.elsewhere import PeerHello
from aether_protocol.adapters.brokers.executor_variants import ExecutorVariants
from aether_protocol.adapters.brokers.spilling import TakeRequest
from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.adapters.brokers.worker_logs import WorkerLogs
from aether_protocol.adapters.brokers.worker_reports import WorkerReports
from aether_protocol.adapters.brokers.worker_results import WorkerResults, serves
from aether_protocol.errors import UsageError
from aether_protocol.execution.secrets import SecretBook, SecretsAwayError, references_in
from aether_protocol.expressions.json_copy import clean
from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.machine import Fleet, FleetSettings
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import Need, Work, WorkerDelivery, work_of
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_assignment, encode_assignment
from aether_protocol.ports.worker import (
    PROTOCOL_VERSION,
    BeatMessage,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    SecretText,
    Welcome,
    WorkItem,
    WorkReport,
)

__all__ = ["SessionOverError", "WorkerBroker", "digests_of"]

_SECOND: Final = 1_000_000
_NUMBER_BITS: Final = 40  # of the number of a delivery within its term
_NO_ORDERS: Final = Orders()
_NONE_REFUSED: Final[Mapping[AttemptRef, str]] = {}


class SessionOverError(Exception):
    """The session is not known (any more): the worker has to say hello again."""


class _Session(Struct, eq=False):
    """What is to be said to a worker with the next answer, and its open poll. `holder`: whose token it was begun with."""

    holder: str = ""
    orders: Orders = field(default_factory=Orders)
    poll: int = 0
    answer: asyncio.Future[None] | None = None


class WorkerBroker:
    """See `ports.broker.Broker`.

    Args:
        clock: the time of leases and delays.
        key: signs the tokens of deliveries: 32 random bytes that stay the same over restarts.
        secrets: providers of the texts that assignments refer to.
        artifacts: where the artifacts that results name have to be; None: it is not looked at.
        settings: leases and limits of time.
        term: the number of this server's term of service, higher than that of every server of its store before it.
        server: the name by which workers know this server.
        place: how the names of its sessions begin, where there are several servers: each knows whose a session is.
        beat_s, poll_s: how often workers beat, and how long a poll without work stays open.
        refuses: why no worker gets a session here; empty where they do.
        fleet: matches attempts with workers; one of its own unless given.
    """

    def __init__(
        self,
        clock: Clock,
        key: bytes,
        *,
        secrets: Sequence[SecretProvider] = (),
        artifacts: ArtifactRepository | None = None,
        settings: FleetSettings | None = None,
        term: int = 0,
        server: str = "aether",
        place: str = "",
        beat_s: float = 3.0,
        poll_s: float = 25.0,
        refuses: str = "",
        fleet: Fleet | None = None,
    ) -> None:
        self._refuses = refuses
        self.settings = settings or FleetSettings()
        self.server = server
        self._place = f"{place}." if place else ""
        self.clock = clock
        self._beat_s, self._poll_s = beat_s, poll_s
        self.tokens = Tokens(key)
        self._secrets = SecretBook(secrets)
        # A server that counts no terms starts at the microsecond: no earlier one came as far, if the clock was not set back.
        self.fleet = fleet or Fleet(self.settings, first=term << _NUMBER_BITS if term else clock.now())
        self._is_paused = self._is_closed = False
        self._sessions: dict[str, _Session] = {}
        self.watchers: list[Callable[[c.Command, int], None]] = []  # called with what the fleet orders, and when
        self.log_drops: list[Callable[[int], None]] = []  # called with how many bytes of logs a worker has dropped
        self.spill: Callable[[], None] | None = None  # called where attempts wait for a worker
        self.sought: Callable[[Sequence[AttemptRef]], None] | None = None  # called with attempts that may be at another server
        self.nowhere: set[AttemptRef] = set()  # those that were found to be at no worker of any
        self.variants = ExecutorVariants()
        self._logs = WorkerLogs(clock, self.tokens, self._secrets)
        self._results = WorkerResults(clock, self.tokens, artifacts)
        self.reports = WorkerReports(self.fleet, self.tokens, self._send, self._logs, self._results, clock=clock)
        self._asked: dict[int, int] = {}  # by delivery that no engine of this server gave: when it is asked for again
        self._timer: TimerHandle | None = None
        self._timer_due = 0
        self.sink: ResultSink

    # --- Broker -----------------------------------------------------------------------------------------------------

    def start(self, sink: ResultSink) -> None:
        self.sink = self._logs.sink = self._results.sink = self.reports.sink = sink

    def room(self) -> int | None:
        return None  # what waits here is ordered by the fleet, where priority, fairness and cancel reach it

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        works: list[Work] = []
        for assignment in batch:
            try:
                works.append(work_of(assignment, self.clock.now()))
            except ValueError as error:
                self.sink.finished(TaskResult(assignment.ref, ERROR, clean(str(error))))
        self._send(e.Offered(self.clock.now(), works))
        return _NONE_REFUSED

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        self._send(e.Withdrawn(self.clock.now(), refs))

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        self._send(e.Released(self.clock.now(), refs))

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        nowhere = {ref for ref in refs if ref in self.nowhere}
        self.nowhere -= nowhere
        found = self.fleet.held(refs, self.clock.now(), nowhere)
        if self.sought is not None and (left := [ref for ref in refs if ref not in found]):
            self.sought(left)
        return cast("Mapping[AttemptRef, Holding]", found)

    async def close(self) -> None:
        """Answer all polls, and those that still come. Attempts live on at their workers, and are taken over by the next
        server."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for session in self._sessions.values():
            _answer(session)

    # --- workers ----------------------------------------------------------------------------------------------------

    def hello(
        self, hello: Hello, *, namespaces: frozenset[str] | None = None, holder: str = "", via: str = ""
    ) -> Welcome:
        """Begin a session.

        Args:
            hello: what the worker says of itself.
            namespaces: those that it may serve; None: all.
            holder: whose token it has.
            via: the server that it is, where it relays for workers of its own.

        Raises:
            UsageError: it speaks no version of the protocol that this server speaks, holds what is not its own, or no worker is
                wanted here.
        """
        if self._refuses:
            raise UsageError(self._refuses)
        if PROTOCOL_VERSION not in hello.protocols:
            spoken = ", ".join(map(str, hello.protocols))
            hint = "install the same version of aether-protocol on both sides"
            raise UsageError(
                f"the worker speaks version {spoken} of the worker protocol, this server {PROTOCOL_VERSION}", hint=hint
            )
        holding = self.tokens.read_all(hello.holding)
        if namespaces is not None and any(one.namespace not in namespaces for one in holding):
            raise UsageError("the worker holds deliveries of a namespace that it may not serve")
        if (begun := _begun_by(self.fleet.state, hello, holder)) is not None:
            return _welcome(self, begun, via)
        name = self._place + secrets.token_urlsafe(16)  # who knows it may speak for the worker
        self._sessions[name] = _Session(holder)
        self._send(
            e.Joined(
                self.clock.now(),
                name,
                hello.worker,
                frozenset(offer.name for offer in hello.executors),
                hello.slots,
                variants=self.variants.note(hello.executors),
                labels=hello.labels,
                pool=hello.pool,
                namespaces=namespaces,
                holding=holding,
                instance=hello.instance,
                holder=holder,
                number=hello.number,
                via=via,
                results=frozenset(one.number for one in self.tokens.read_all(hello.results)),
            )
        )
        return _welcome(self, name, via)

    def is_here(self, name: str) -> bool:
        """Whether a session is of this server, if it is of any."""
        return name in self._sessions or (name.startswith(self._place) if self._place else True)

    def require_holder(self, name: str, holder: str) -> None:
        """Raise SessionOverError for a session that was begun with another token."""
        session = self._sessions.get(name)
        if session is not None and session.holder != holder:
            raise SessionOverError(name)

    async def poll(self, name: str, poll: Poll, *, namespaces: frozenset[str] | None = None) -> Orders:
        """Give a worker work, or what else is to be said to it, as soon as there is something; at the end of the poll's time
        nothing.

        Raises:
            SessionOverError: the session is not known.
        """
        session = self._session(name)
        _answer(session)  # an earlier poll whose connection is gone
        session.orders.work = []  # what it was to be given never arrived, and is given out anew
        session.poll = poll.poll
        answer = session.answer = asyncio.get_running_loop().create_future()
        free = 0 if self._is_paused else poll.free
        holding = [one for one in self.tokens.read_all(poll.holding) if serves(namespaces, one)]
        self._send(e.Polled(self.clock.now(), name, poll.poll, free, holding))
        if session.orders != _NO_ORDERS or self._is_closed:  # what was to be said before it asked
            _answer(session, answer)
        due = self.clock.call_at(self.clock.now() + round(self._poll_s * _SECOND), lambda: _answer(session, answer))
        try:
            await answer
        finally:
            due.cancel()
            if session.poll == poll.poll:
                session.answer = None
                self._send(e.PollEnded(self.clock.now(), name, poll.poll))
        self._session(name)
        return _take(session) if session.poll == poll.poll else Orders()

    def beat(self, name: str, beat: BeatMessage, *, namespaces: frozenset[str] | None = None) -> Orders:
        """Renew a session, and say what else is to be said.

        Raises:
            SessionOverError: the session is not known.
        """
        session = self._session(name)
        holding = [one for one in self.tokens.read_all(beat.holding) if serves(namespaces, one)]
        self._send(e.Beat(self.clock.now(), name, beat.poll, holding, beat.number))
        orders = Orders(stop=session.orders.stop, drain_ms=session.orders.drain_ms)
        session.orders.stop, session.orders.drain_ms = [], None
        return orders

    async def report(
        self, name: str, report: WorkReport, *, namespaces: frozenset[str] | None = None
    ) -> Receipt:
        """Take in what became of deliveries. Returns when the results are recorded, or after RECORD_S.

        Raises:
            SessionOverError: the session is not known, and the report has nothing but what needs one.
        """
        session = self._sessions.get(name)
        if session is None and (self._refuses or not report.results):
            raise SessionOverError(name)
        for watch in self.log_drops if report.log_bytes_dropped else ():
            watch(report.log_bytes_dropped)
        self._send(e.WorkerHeard(self.clock.now(), name))  # its worker counts from here, also where nothing but logs is in it
        receipt = await self.reports.take(name, report, namespaces, in_session=session is not None)
        if session is not None:
            receipt.stop, session.orders.stop = session.orders.stop, []
        return receipt

    async def secrets(self, name: str, request: SecretRequest) -> SecretAnswer:
        """Give the texts of secrets to a worker that has a delivery which refers to them.

        Raises:
            SessionOverError: the session is not known.
            UsageError: it does not have that delivery, or the delivery does not refer to one of them.
            MissingSecretError: no provider has one, or none answered; or no server here gave the delivery out.
        """
        self._session(name)
        self._send(e.WorkerHeard(self.clock.now(), name))
        delivery = self.live(name, request.token)
        if delivery is None and self.fleet.state.sessions[name].via:  # no fault of the attempt: it may drive the run no more
            raise SecretsAwayError("the server that was asked does not have this delivery")
        if delivery is None:
            held = _at(self.fleet.state, name, self.tokens.read(request.token))
            if held is not None and held.state == "stopping":
                raise SecretsAwayError("this attempt is to stop")  # another server may count on it still: it ends with no Error
            raise UsageError("the delivery is not one of this session")
        relay = self.reports.relay(name, delivery.work.run_id)
        if relay is not None:
            return await relay.secrets(request)
        assignment = delivery.work.load
        if not isinstance(assignment, TaskAssignment):  # its worker brought it along: another server knows to what it refers
            raise SecretsAwayError("the server that gave this attempt out is gone, and with it to which secrets it refers")
        wanted = [(one.name, one.key) for one in request.secrets]
        if not _references(assignment).issuperset(wanted):
            raise UsageError("the delivery does not refer to all of these secrets")
        texts = await self._secrets.texts(delivery.work.namespace, wanted)
        self._secrets.learn(delivery.work.run_id, texts)
        return SecretAnswer(texts=[SecretText(name=n, key=key, text=texts[n, key]) for n, key in wanted])

    def live(self, name: str, token: str) -> WorkerDelivery | None:
        """Return the delivery that a token names, where this session has it and its attempt may still run."""
        delivery = _at(self.fleet.state, name, self.tokens.read(token))
        return None if delivery is None or delivery.state not in ("assigned", "running") else delivery

    def leave(self, name: str) -> None:
        """End a session: its worker carries nothing out any more."""
        self._send(e.Left(self.clock.now(), name))

    def pause(self) -> None:
        """Assign no more: this server is about to stop. What workers have continues, and is reported here or to the next."""
        self._is_paused = True
        for name, session in self._sessions.items():
            if session.answer is not None:
                self._send(e.PollEnded(self.clock.now(), name, session.poll))

    def share(self, weights: Mapping[str, int], limits: Mapping[str, int]) -> None:
        """Say how namespaces share the workers.

        Args:
            weights: how many attempts of a namespace are started in its turn; 1 unless given.
            limits: the most attempts of a namespace at a time; no limit unless given.
        """
        self._send(e.LimitsSet(self.clock.now(), weights, limits))

    def drain(self, name: str, grace_s: float) -> None:
        """Give a worker no more work, and ask it to return what has not ended after `grace_s`."""
        now = self.clock.now()
        self._send(e.DrainAsked(now, name, now + round(grace_s * _SECOND)))

    # --- commands ---------------------------------------------------------------------------------------------------

    def _send(self, event: e.Event) -> None:
        """Let the fleet take an event in, and carry out what it orders."""
        told: dict[str, None] = {}  # in this order
        unfit: list[e.Unfit] = []
        for command in self.fleet.handle(event):
            for watch in self.watchers:
                watch(command, event.at)
            match command:
                case c.Assign(session=name, number=number, work=work):
                    told[name] = None
                    misfit = _misfit(self.fleet, self.variants, command, event.at)
                    if misfit is not None:
                        unfit.append(misfit)
                        continue
                    item = work.load if isinstance(work.load, WorkItem) else _work_item(self.tokens, number, work)
                    self._sessions[name].orders.work.append(item)
                case c.Stop(session=name):
                    token = self.tokens.make(_item_of(self.fleet.state.deliveries[command.number]))
                    if token not in self._sessions[name].orders.stop:
                        self._sessions[name].orders.stop.append(token)
                    told[name] = None
                case c.AskDrain(session=name, until=until):
                    if name in self._sessions:
                        self._sessions[name].orders.drain_ms = max(0, until - self.clock.now()) // 1000
                        told[name] = None
                case c.CloseSession(session=name):
                    closed = self._sessions.pop(name, None)
                    self._logs.close(name)
                    if closed is not None:
                        _answer(closed)
                case _:
                    self._tell(command)
        for name in told:
            _answer(self._sessions[name])
        for one in reversed(unfit):  # they wait for another worker, each at the head of what waits
            self._send(one)
        if self.spill is not None and self.fleet.state.waiting.queued:
            self.spill()
        self._set_timer()

    def _tell(self, command: c.ReportStarted | c.ReportLost | c.ReportError) -> None:
        """Report to the engine. That of another server hears of it from what is reported and held."""
        if self.reports.elsewhere.relay(command.ref.run_id) is not None:
            self.reports.elsewhere.changed(command.ref.run_id)
            return
        match command:
            case c.ReportStarted(ref=ref):
                self.sink.started(ref)
            case c.ReportLost(ref=ref, reason=reason, blamed=blamed):
                self.sink.lost(ref, reason, blamed)
            case c.ReportError(ref=ref, message=message):
                self.sink.finished(TaskResult(ref, ERROR, clean(message)))

    def _set_timer(self) -> None:
        due = self.fleet.next_due()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.clock.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._logs.forget(self.fleet.state.deliveries)
        now = self.clock.now()
        self._send(e.Ticked(now))
        self._asked = {number: due for number, due in self._asked.items() if due > now}
        for delivery in self.fleet.unclaimed():
            if delivery.number not in self._asked:  # it may be there for days, while its run sleeps
                self._asked[delivery.number] = now + self.settings.lease
                self.sink.brought(delivery.work.ref, partial(_unwanted, self, delivery))

    # --- values -----------------------------------------------------------------------------------------------------

    def _session(self, name: str) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            raise SessionOverError(name)
        return session


def _begun_by(state: FleetState, hello: Hello, holder: str) -> str | None:
    """Return the session that began with this very hello, which may come twice; None: there is none, or it has no number."""
    if not (hello.instance and hello.number):
        return None
    named = (hello.instance, holder, hello.number)
    return next((name for name, one in state.sessions.items() if (one.instance, one.holder, one.number) == named), None)


def _welcome(broker: WorkerBroker, name: str, via: str) -> Welcome:
    lease = broker.fleet.state.lease_of(via) // 1000
    beat, poll = round(broker._beat_s * 1000), round(broker._poll_s * 1000)
    return Welcome(session=name, server=broker.server, protocol=PROTOCOL_VERSION, lease_ms=lease, beat_ms=beat, poll_ms=poll)


def _at(state: FleetState, name: str, holding: e.Holding | None) -> WorkerDelivery | None:
    """Return a delivery that a session has, whatever became of it."""
    delivery = None if holding is None else state.deliveries.get(holding.number)
    return delivery if delivery is not None and delivery.session == name else None


def _work_item(tokens: Tokens, number: int, work: Work) -> WorkItem:
    token = tokens.make(e.Holding(number, work.ref, work.namespace, work.need.slots))
    return WorkItem(token=token, assignment=encode_assignment(cast("TaskAssignment", work.load)))


def hello_of_peer(broker: WorkerBroker, hello: PeerHello, holder: str = "") -> Welcome:
    """Begin the session of another server, for what its workers have of runs that this one drives.

    Args:
        broker: that of this server.
        hello: what the other server says.
        holder: whose token it has.

    Raises:
        UsageError: as `WorkerBroker.hello`, and where another server was meant.
    """
    if broker._place and f"{hello.place}." != broker._place:
        raise UsageError("another server is here", hint="the one that was meant is gone: ask the store for the address of this")
    return broker.hello(hello, holder=holder, via=hello.worker)


def take_from(broker: WorkerBroker, name: str, request: TakeRequest) -> Orders:
    """Give attempts that wait here to the workers of another server, whose session this is.

    Raises:
        SessionOverError: the session is not known.
    """
    session = broker._session(name)
    session.orders.work = []  # what an earlier answer held that never arrived is given out anew
    namespaces = None if request.namespaces is None else frozenset(request.namespaces)
    count = 0 if broker._is_paused else request.free
    now, holding = broker.clock.now(), broker.tokens.read_all(request.holding)
    need, number = request.need.as_need(), request.number
    broker._send(e.Taken(now, name, request.take, need, namespaces, count=count, holding=holding, number=number))
    orders = Orders(work=session.orders.work)
    session.orders.work = []
    return orders


def place_at(broker: WorkerBroker, items: Sequence[WorkItem], need: Need) -> None:
    """Let attempts of another server wait for workers of this one; `WorkerReports.elsewhere` has to know that it drives them.
    What cannot be read, or is none of this store, is left out. `need`: what they ask of a worker, as that server knows it."""
    works: list[Work] = []
    now = broker.clock.now()
    for item in items:
        holding = broker.tokens.read(item.token)
        try:
            work = work_of(decode_assignment(item.assignment), now)
        except (WireError, ValueError):
            continue
        if holding is not None and holding.ref == work.ref:
            work.number, work.load, work.wait_until, work.need = holding.number, item, None, need
            works.append(work)
    broker._send(e.Offered(now, works))


def withdraw_from(broker: WorkerBroker, works: Sequence[Work]) -> None:
    """Let attempts of another server wait here no longer."""
    broker._send(e.Released(broker.clock.now(), [work.ref for work in works]))


def _unwanted(broker: WorkerBroker, delivery: WorkerDelivery) -> None:
    """The run may have ended, and its server with it before it could stop this."""
    if delivery.number in broker.fleet.state.deliveries and delivery.state == "running":
        broker._send(e.Withdrawn(broker.clock.now(), [delivery.work.ref]))


def digests_of(delivery: WorkerDelivery) -> frozenset[str] | None:
    """Return the digests of the artifacts that an assignment names; None: its worker brought it along, and no server of now
    has seen it (a digest is as good as a token: it tells the content's reader from all others)."""
    if not isinstance(delivery.work.load, TaskAssignment):
        return None
    named: set[str] = set()
    for value in delivery.work.load.artifacts.values():
        for one in (value, value.get("fetched") or {}):
            if isinstance(one.get("digest"), str):
                named.add(one["digest"])
    return frozenset(named)


def _item_of(delivery: WorkerDelivery) -> e.Holding:
    """What the token of a delivery says."""
    work = delivery.work
    return e.Holding(delivery.number, work.ref, work.namespace, work.need.slots)


def _references(assignment: TaskAssignment) -> frozenset[tuple[str, str]]:
    values = (assignment.config, assignment.inputs, assignment.artifacts, assignment.payloads)
    return frozenset([*references_in(values), *assignment.secrets])


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _answer(session: _Session, only: asyncio.Future[None] | None = None) -> None:
    """Let the open poll return; `only` that one."""
    if session.answer is not None and (only is None or session.answer is only):
        _set(session.answer)


def _take(session: _Session) -> Orders:
    orders, session.orders = session.orders, Orders()
    return orders


def _misfit(fleet: Fleet, variants: ExecutorVariants, command: c.Assign, now: int) -> e.Unfit | None:
    """What is to be said where an attempt does not fit what its worker declares. One that another server gave is sent."""
    work = command.work
    if not isinstance(work.load, TaskAssignment):
        return None
    variant = fleet.state.sessions[command.session].variants.get(work.need.executor, "")
    reason = variants.why_not(work.load, variant)
    return None if reason is None else e.Unfit(now, command.session, command.number, variant, reason)
