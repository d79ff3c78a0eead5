"""What the fleet knows, and the steps that its rules are made of. Each keeps all indexes in step (`invariants`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.fleet import commands as c
from aether_protocol.fleet.events import Holding
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.waiting import Waiting
from aether_protocol.fleet.work import Work, WorkerDelivery
from aether_protocol.ports.wire import AttemptRef

RELAY_LEASES: Final = 2  # how many of its own leases long a relaying server's is
_FAVOURITES: Final = 10_000  # runs whose last worker is remembered; beyond that the oldest is forgotten


class FleetSettings(Struct, frozen=True, kw_only=True, gc=False):
    """Times in microseconds. `lease`: how long a session lives after its last message. `reattach`: for how long
    workers of an earlier server may come back with what they hold. `refusal_delay` doubles with each refusal in a row up to
    `longest_delay`; after `refused_at_most` it is an Error. A worker that lost `quarantine_losses` different task runs
    within `quarantine_window` by the death of their own processes gets no more work for as long. What has waited for
    `offer_after` may go to workers of other servers."""

    lease: int = 30_000_000
    reattach: int = 30_000_000
    refusal_delay: int = 1_000_000
    longest_delay: int = 30_000_000
    refused_at_most: int = 300_000_000
    quarantine_losses: int = 3
    quarantine_window: int = 600_000_000
    offer_after: int = 50_000


class FleetState:
    """Sessions, deliveries and waiting attempts of one server.

    Args:
        settings: leases and limits of time.
        first: the number of the first delivery: higher than any that an earlier server may have given.
    """

    def __init__(self, settings: FleetSettings, *, first: int = 1) -> None:
        self.settings = settings
        self.waiting = Waiting()
        self.deliveries: dict[int, WorkerDelivery] = {}
        self.of_task: dict[str, dict[int, WorkerDelivery]] = {}  # those that may still run, by task run
        self.results: dict[AttemptRef, set[int]] = {}  # the deliveries whose results are not recorded yet
        self.promised: dict[int, int] = {}  # those whose workers said that they keep the result; until when it is waited for
        self.expects = True  # that workers which have not said hello here hold attempts of earlier or other servers
        self.strays: dict[str, int] = {}  # task runs of which such a worker may still carry out what was withdrawn; until when
        self.young_until = -1  # so long workers may come with what earlier servers gave them; -1: nothing has happened
        self.given: set[str] = set()  # the task runs that were given out here until then
        self.found: set[str] = set()  # those of which no server has an attempt, until they are offered
        self._next = first
        self._favourites: OrderedDict[str, str] = OrderedDict()  # run -> session
        self._out: list[c.Command] = []

    @property
    def sessions(self) -> Mapping[str, WorkerSession]:
        """The sessions by name."""
        return self.waiting.sessions

    def emit(self, command: c.Command) -> None:
        """Order something to be done, behind what was ordered before."""
        self._out.append(command)

    def take_commands(self) -> list[c.Command]:
        """Return what was ordered since the last time."""
        out, self._out = self._out, []
        return out

    # --- attempts ---------------------------------------------------------------------------------------------------

    def queue(self, work: Work, *, first: bool = False) -> None:
        try:
            self.waiting.queue(work, first=first)
        except ValueError as error:
            self.waiting.remove(work)
            self.emit(c.ReportError(work.ref, str(error)))

    def match(self, now: int) -> None:
        """Assign what waits to the sessions that have an open poll and room for it."""
        answered: dict[str, WorkerSession] = {}
        while (found := self.waiting.choose(self._favourites)) is not None:
            work, session = found
            self.assign(work, session, now)
            session.credit -= 1
            answered[session.name] = session
        for session in answered.values():
            if not session.streaming or not session.credit:
                self.close_poll(session)

    def assign(self, work: Work, session: WorkerSession, now: int) -> None:
        """Make a delivery of an attempt that waits in a queue. One of another server keeps the number that it has there, and is
        that server's to repeat."""
        self.waiting.remove(work, started=True)
        work.waited_until, work.wait_until = work.wait_until, None  # it found a worker
        number = work.number or self._next
        self._next += not work.number
        delivery = WorkerDelivery(number, session.name, work, session.poll, now, adopted=bool(work.number))
        self.add(delivery, session)
        if now < self.young_until:
            self.given.add(work.task_run_id)
        if work.sticky:
            self._favourites[work.run_id] = session.name
            self._favourites.move_to_end(work.run_id)
            if len(self._favourites) > _FAVOURITES:
                self._favourites.popitem(last=False)
        self.emit(c.Assign(session.name, session.poll, number, work))

    # --- deliveries -------------------------------------------------------------------------------------------------

    def add(self, delivery: WorkerDelivery, session: WorkerSession) -> None:
        work = delivery.work
        self.deliveries[delivery.number] = delivery
        self.of_task.setdefault(work.task_run_id, {})[delivery.number] = delivery
        session.deliveries.add(delivery.number)
        session.take(work.need.slots)
        self.waiting.count_start(work.namespace)

    def end(self, delivery: WorkerDelivery, left: Literal["reported", "ended"] | None = None) -> None:
        """Note that a session does not carry out an attempt any more, and what is left of the delivery; None: nothing."""
        session = self.sessions.get(delivery.session)
        work, successor = delivery.work, None
        if not delivery.is_over:
            self.waiting.count_end(work.namespace)
            running = self.of_task[work.task_run_id]
            del running[delivery.number]
            if not running:
                del self.of_task[work.task_run_id]
                successor = self.waiting.behind.get(work.task_run_id)
            if session is not None:
                session.release(work.need.slots)
                self.waiting.mark_ready(session)
        if delivery.state == "reported":
            self.promised.pop(delivery.number, None)
            kept = self.results[work.ref]
            kept.discard(delivery.number)
            if not kept:
                del self.results[work.ref]
        if left is None:
            del self.deliveries[delivery.number]
            if session is not None:
                session.deliveries.discard(delivery.number)
        else:
            delivery.state = left
            if left == "reported":
                self.results.setdefault(work.ref, set()).add(delivery.number)
        if successor is not None:
            self.waiting.remove(successor)
            self.queue(successor)

    def lose(self, delivery: WorkerDelivery, reason: str) -> None:
        ref, tell = delivery.work.ref, delivery.state in ("assigned", "running", "reported")
        self.end(delivery)
        if tell and not self.running(ref) and not self.waits(ref):
            self.emit(c.ReportLost(ref, reason, blamed=False))

    def give_up(self, delivery: WorkerDelivery) -> None:
        """Wait no longer for a result that was promised. It counts all the same where it is the first of its attempt."""
        ref = delivery.work.ref
        self.end(delivery, "ended")
        if not self.running(ref) and not self.waits(ref) and ref not in self.results:
            self.emit(c.ReportLost(ref, "its worker has a result, and cannot report it", blamed=False))

    def stop(self, deliveries: Iterable[WorkerDelivery]) -> None:
        for delivery in deliveries:
            if delivery.state != "stopping":
                delivery.state = "stopping"
                self.emit(c.Stop(delivery.session, delivery.number, delivery.work.ref))

    # --- sessions ---------------------------------------------------------------------------------------------------

    def lease_of(self, via: str) -> int:
        """How long a session lives after its last message. Behind a server that relays the leases of its workers end first."""
        return self.settings.lease * (RELAY_LEASES if via else 1)

    def seen(self, name: str, at: int) -> WorkerSession | None:
        session = self.sessions.get(name)
        if session is not None:
            session.seen_at, session.lease_end = at, at + self.lease_of(session.via)
        return session

    def close_poll(self, session: WorkerSession) -> None:
        session.credit = 0
        self.waiting.mark_unready(session)

    def close(self, session: WorkerSession, reason: str) -> None:
        self.waiting.remove_session(session)
        for number in sorted(session.deliveries):
            self.lose(self.deliveries[number], reason)
        self.emit(c.CloseSession(session.name, reason))

    # --- looking up -------------------------------------------------------------------------------------------------

    def at(self, session: WorkerSession) -> list[WorkerDelivery]:
        return [self.deliveries[number] for number in sorted(session.deliveries)]

    def named(self, session: WorkerSession | None, holding: Iterable[Holding]) -> list[WorkerDelivery]:
        """Return what a session speaks of, without what it does not have, and what is over."""
        if session is None:
            return []
        found = [self.deliveries[one.number] for one in holding if one.number in session.deliveries]
        return [delivery for delivery in found if not delivery.is_over]

    def running(self, ref: AttemptRef) -> list[WorkerDelivery]:
        running = self.of_task.get(ref.task_run_id, {}).values()
        return [one for one in running if one.work.ref == ref and one.state != "stopping"]

    def waits(self, ref: AttemptRef) -> bool:
        waits = self.waiting.newest.get(ref.task_run_id)
        return waits is not None and waits.ref == ref


def seconds(time: int) -> str:
    return f"{time / 1_000_000:g} s"
