"""What waits for workers here and may go to those of other servers: offers of it, and what another server can take.

Law: an offer is a bell and nothing more. It names no attempt: a server that hears it asks for as many as its workers have room
for, and gets those that are most urgent then. So what is offered still waits here, where priority and cancel reach it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import TASKS, Need, Slots

MOST_OFFERS = 100  # classes of attempts in one bell


class NeedMessage(Struct, rename="camel", frozen=True):
    """What attempts ask of a worker."""

    executor: str
    pool: str = ""
    selector: str = ""
    prefer: str = ""
    slots: Slots = ((TASKS, 1),)
    unfit: tuple[str, ...] = ()

    def as_need(self) -> Need:
        """Return it as the fleet has it."""
        return Need(self.executor, self.pool, self.selector, self.prefer, slots=tuple(sorted(self.slots)), unfit=self.unfit)


class WorkOffer(Struct, rename="camel", frozen=True):
    """So many attempts that ask for this wait. `namespaces` are theirs."""

    need: NeedMessage
    count: int
    namespaces: list[str]


class OfferBell(Struct, rename="camel", frozen=True):
    """A server has attempts for which it finds no worker, the most urgent first. `owner`: what the store calls it."""

    owner: str
    offers: list[WorkOffer]


class TakeRequest(Struct, rename="camel", frozen=True):
    """Ask for attempts. `take` counts from 1; `free`: how many at most; `namespaces`: of these alone, None: of all; `holding`:
    all that workers of the asking server have of the other one's; `number`: as that of a beat."""

    take: int
    need: NeedMessage
    free: int
    namespaces: list[str] | None
    holding: list[str]
    number: int = 0


def offers_of(fleet: FleetState, now: int) -> list[WorkOffer]:
    """Return what has waited for a worker for longer than a moment, but for what another server placed here."""
    found: list[tuple[object, WorkOffer]] = []
    for need, group in fleet.waiting.busy.items():
        head = group.queue.peek(None, fleet.waiting.full)
        if head is None or head[1].number or now - head[1].at < fleet.settings.offer_after:
            continue
        message = NeedMessage(need.executor, need.pool, need.selector, need.prefer, slots=need.slots, unfit=need.unfit)
        found.append((head[0], WorkOffer(message, len(group.queue), group.queue.namespaces())))
    found.sort(key=lambda one: one[0])  # type: ignore[arg-type,return-value]
    return [offer for _, offer in found[:MOST_OFFERS]]


def room_for(fleet: FleetState, offer: WorkOffer) -> tuple[int, frozenset[str] | None]:
    """Say how many attempts of an offer workers here would begin at once, and of which namespaces (None: of all). What waits
    here comes first: a worker that may begin it has no room left."""
    need, namespaces = offer.need.as_need(), frozenset(offer.namespaces)
    try:
        sessions = fleet.waiting.sessions_for(need).values()
    except ValueError:
        return 0, None
    fitting = [one for one in sessions if one.credit > 0 and one.state == "active" and _serves(one, namespaces)]
    count = sum(min(one.credit, _room(one, need.slots)) for one in fitting)
    served = None if any(one.group is None for one in fitting) else frozenset[str]().union(*_groups(fitting)) & namespaces
    return min(count, offer.count), served


def _serves(session: WorkerSession, namespaces: frozenset[str]) -> bool:
    return session.group is None or bool(session.group & namespaces)


def _groups(sessions: Sequence[WorkerSession]) -> list[frozenset[str]]:
    return [one.group for one in sessions if one.group is not None]


def _room(session: WorkerSession, slots: Slots) -> int:
    """How many times these fit into what is free at a session."""
    room = session.credit
    for kind, amount in slots:
        total = session.slots.get(kind)
        if total is not None and amount:
            room = min(room, (total - session.used.get(kind, 0)) // amount)
    return max(room, 0)
