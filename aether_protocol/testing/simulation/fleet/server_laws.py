"""The laws of one server's fleet, judged by what it decides and by what it leaves undone.

Law: as `laws`. A server that begins has no part in what one before it ordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aether_protocol.errors import BrokenInvariant
from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.invariants import check
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import Work, WorkerDelivery
from aether_protocol.plan.placement import parse_selector
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.testing.simulation.fleet.laws import (
    BLAMED,
    COUNTED,
    DRAINED,
    PATIENCE,
    PRIORITY,
    SHARE,
    STOPPED,
    STOPS_WITHIN,
    UNHELD,
    WAITING,
    FleetLaws,
)
from aether_protocol.testing.simulation.fleet.machine import LEASE, SimMachine
from aether_protocol.testing.simulation.oracles import LawBrokenError
from aether_protocol.testing.simulation.workers import SECOND


class ServerLaws:
    """`shared` are the laws of the whole fleet. It is the observer of one server's."""

    def __init__(self, shared: FleetLaws) -> None:
        self._shared = shared
        self._passed: dict[tuple[str, int], Counter[str]] = {}  # (namespace, priority): who was served before it
        self._stops: dict[int, int] = {}
        self._unheld: dict[AttemptRef, tuple[int, int]] = {}  # the delivery that did not arrive yet, and since when
        self._queued: dict[AttemptRef, dict[str, int]] = {}  # by machine that has room for it: since when

    # --- what it decides ---

    def handled(self, event: e.Event, commands: Sequence[c.Command], state: FleetState) -> None:
        if self._shared.thorough:
            try:
                check(state)
            except BrokenInvariant as error:
                self._shared.report(LawBrokenError(COUNTED, f"after {type(event).__name__}: {error}"))
        for command in commands:
            if isinstance(command, c.Assign):
                self._shared.counts["assignments"] += 1
                self._assigned(event, command, state)
            elif isinstance(command, c.Stop):
                self._stops.setdefault(command.number, self._shared.clock.now())
            elif isinstance(command, c.ReportLost):
                self._shared.counts["attempts lost"] += 1
                self._lost(event, command, state)
        if self._passed:
            waiting = {(work.namespace, work.priority) for work in state.waiting.queued.values()}
            for key in [key for key in self._passed if key not in waiting]:
                del self._passed[key]

    def _lost(self, event: e.Event, command: c.ReportLost, state: FleetState) -> None:
        if command.blamed:
            self._shared.counts["attempts blamed"] += 1
            self._shared.demand(command.ref in self._shared.deaths, BLAMED, f"{command.ref}: {command.reason}")
        if isinstance(event, e.Left):
            worker = command.reason.split("'")[1]
            machine = self._shared.ran.get((worker, command.ref))
            if machine is not None and machine.supervisor.session != event.session:
                machine = None  # an earlier worker of that name
            calm = machine is not None and machine.trouble_until < self._shared.clock.now()  # else its lease may have been over
            self._shared.demand(not calm, DRAINED, f"{command.ref} of {worker} was undone")

    def _assigned(self, event: e.Event, command: c.Assign, state: FleetState) -> None:
        work, session = command.work, state.sessions[command.session]
        group = event.namespaces if isinstance(event, e.Taken) else session.group
        self._passed.pop((work.namespace, work.priority), None)
        passed: set[str] = set()
        for other in state.waiting.queued.values():
            if other.namespace in state.waiting.full or (group is not None and other.namespace not in group):
                continue
            if other.need == work.need:
                told = f"{other.ref} of {other.priority} waits, {work.ref} of {work.priority} was assigned"
                self._shared.demand(other.priority <= work.priority, PRIORITY, told)
            if other.namespace != work.namespace and other.priority == work.priority and _takes(session, other):
                passed.add(other.namespace)
        for namespace in passed:
            served = self._passed.setdefault((namespace, work.priority), Counter())
            served[work.namespace] += 1
            told = f"{work.namespace} was served {served[work.namespace]} times in a row before {namespace}, which waits"
            self._shared.demand(served[work.namespace] <= self._shared.weights.get(work.namespace, 1), SHARE, told)

    def forget(self) -> None:
        """Nothing that was ordered or seen so far counts: the server is cut off."""
        for known in (self._stops, self._unheld, self._queued, self._passed):
            known.clear()

    # --- now and then ---

    def look(
        self, state: FleetState, machines: Iterable[SimMachine], outstanding: Iterable[AttemptRef], calm_since: int
    ) -> None:
        """`outstanding`: attempts that the engine waits for; `calm_since`: when the server had its last fault."""
        now = self._shared.clock.now()
        living = [one for one in machines if not one.ended]
        self._look_for_held(state, living, outstanding, now)
        for number, since in list(self._stops.items()):
            delivery = state.deliveries.get(number)
            if delivery is None or delivery.state != "stopping":
                del self._stops[number]
            else:
                told = f"{delivery.work.ref} was to stop {(now - since) / SECOND} s ago"
                self._shared.demand(now - since <= STOPS_WITHIN + _longer(delivery, state), STOPPED, told)
        self._look_for_room(state, living, calm_since, now)

    def _look_for_room(self, state: FleetState, living: Sequence[SimMachine], calm_since: int, now: int) -> None:
        queued: dict[AttemptRef, dict[str, int]] = {}
        for ref, work in state.waiting.queued.items():
            before = self._queued.get(ref, {})
            queued[ref] = {}
            if work.namespace in state.waiting.full:
                continue
            for machine in living:
                if self._has_place(machine, work, state):
                    since = queued[ref][machine.name] = before.get(machine.name, now)
                    calm = max(since, machine.trouble_until, calm_since)
                    told = f"{ref} waits, and {machine.name} has had room for it for {(now - since) / SECOND} s"
                    self._shared.demand(now - calm <= PATIENCE, WAITING, told)
        self._queued = queued

    def _look_for_held(
        self, state: FleetState, living: Sequence[SimMachine], outstanding: Iterable[AttemptRef], now: int
    ) -> None:
        held = {one.pool.refs[token] for one in living for token in one.supervisor.held.tokens if token in one.pool.refs}
        waiting = {work.ref for work in state.waiting.newest.values()}
        given = {one.work.ref: number for number, one in state.deliveries.items()}
        unheld: dict[AttemptRef, tuple[int, int]] = {}
        for ref in outstanding:
            if ref not in held and ref not in waiting:
                number = given.get(ref, 0)  # given out once more, it may be lost on its way once more
                before = self._unheld.get(ref)
                unheld[ref] = before if before is not None and before[0] == number else (number, now)
        self._unheld = unheld
        for ref, (number, since) in unheld.items():
            within = 2 * LEASE + PATIENCE + _longer(state.deliveries.get(number), state)
            self._shared.demand(now - since <= within, UNHELD, f"{ref}, for {(now - since) / SECOND} s")

    @staticmethod
    def _has_place(machine: SimMachine, work: Work, state: FleetState) -> bool:
        """Whether a worker that is free and well could have taken this."""
        offer, need = machine.offer, work.need
        session = state.sessions.get(machine.supervisor.session)
        if session is None or session.state != "active" or machine.draining or not machine.well:
            return False
        if offer.namespaces is not None and work.namespace not in offer.namespaces:
            return False
        if need.selector and not parse_selector(need.selector).matches(offer.labels):
            return False
        used = Counter[str]()
        for one in machine.pool.running.values():
            used.update(one.slots)
        totals = {"cpu": 1 << 60, "memory": 1 << 60, **offer.slots}
        return all(used[kind] + amount <= totals.get(kind, 0) for kind, amount in need.slots)


def _longer(delivery: WorkerDelivery | None, state: FleetState) -> int:
    """How much longer the end of a delivery may remain unknown: the session of a server, which may have died before it saw the
    end of a worker, lasts for two leases."""
    session = None if delivery is None else state.sessions.get(delivery.session)
    return LEASE if session is not None and session.via else 0


def _takes(session: WorkerSession, work: Work) -> bool:
    """Whether a session fits this and has room for it."""
    need = work.need
    if need.executor not in session.executors or need.pool != session.pool or not session.has_room(need.slots):
        return False
    return not need.selector or parse_selector(need.selector).matches(session.labels)
