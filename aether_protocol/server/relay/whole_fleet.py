"""The workers of all servers of a store, and what waits for them: what one server answers for the whole installation.

All servers are asked at once, and each answers for itself (`peer_questions`). One that does not answer within ASK_S is left out
and named (`unreachable`). Why an attempt waits is said last: what is waited for is held against the workers of all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct, field

from aether_protocol.adapters.brokers.fleet_view import SeenAttempt, SeenWorker, WaitingAttempt, WorkerView
from aether_protocol.adapters.brokers.pools import SeenPools, WorkerPool, add_reasons, added
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.fleet.reasons import FittingWorkers, Reason, WorkDemand, reason_of
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.server.relay.peer_questions import (
    AttemptsAsked,
    CountsAnswer,
    CountsAsked,
    DrainAnswer,
    DrainWanted,
    FittingAsked,
    HeldAnswer,
    HeldAsked,
    PeerAnswers,
    PeerQuestion,
    PoolsAsked,
    WorkersAnswer,
    WorkersAsked,
)
from aether_protocol.server.relay.relays import Directory

ASK_S: Final = 0.5  # that another server has for all that is asked of it
ORDER_S: Final = 2.0  # the same, to do something
MOST_DEMANDS: Final = 30  # that all servers are asked for; of others the workers of one server are looked at
_MINE: Final = ""  # the owner of this server, where it is the only one
_Answer = TypeVar("_Answer")


class LookTransport(Protocol):
    """The way to another server. Raises TransportError, RefusedError."""

    async def look(self, question: PeerQuestion, shape: type[_Answer]) -> _Answer: ...

    async def close(self) -> None: ...


class WorkersFound(Struct, frozen=True):
    """The workers of all servers, by name; `waiting`: how many attempts wait, by the reason in words."""

    workers: list[WorkerView]
    waiting: Mapping[str, int]
    unreachable: list[str]


class WaitingFound(Struct, frozen=True):
    """Why attempts of a run wait, by path."""

    attempts: Sequence[WaitingAttempt] = ()
    unreachable: Sequence[str] = ()


class PoolsFound(Struct, frozen=True):
    """The pools of all servers, by name."""

    pools: list[WorkerPool]
    unreachable: list[str]


class CountsFound(Struct, frozen=True):
    """What all servers have counted since each began."""

    workers: int
    open: int
    ended: Mapping[str, int]
    unreachable: list[str]


class DrainFound(Struct, frozen=True):
    """How many workers get no more work; `known`: the names of all that are connected."""

    drained: int
    known: list[str]
    unreachable: list[str]


class HeldFound(Struct, frozen=True):
    """The attempts that some server has; `spoken_for`: names of servers that answered, and of the workers that they have."""

    held: Collection[AttemptRef]
    spoken_for: Collection[str]


class _Look(Struct):
    """One question of an operator: until when it may take, and who did not answer."""

    until: float
    unreachable: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)  # the same, by owner


class _Waits(Struct, frozen=True):
    """Something waits at a server with a demand; `here`: the workers of that one."""

    owner: str
    demand: WorkDemand
    here: FittingWorkers


class WholeFleet:
    """Asks all servers.

    Args:
        mine: answers for this one.
        owner: the name by which the store knows this one.
        servers: gives the servers that live.
        connect: makes the way to one; None: there are no others.
        directory: says who drives a run.
        drives: whether this server drives a run.
    """

    def __init__(
        self,
        mine: PeerAnswers,
        *,
        owner: str = _MINE,
        servers: Callable[[], Sequence[ServerRow]] = tuple,
        connect: Callable[[ServerRow], LookTransport] | None = None,
        directory: Directory | None = None,
        drives: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.mine = mine
        self._owner = owner
        self._servers = servers
        self._connect = connect
        self._directory = directory
        self._drives = drives
        self._ways: dict[str, LookTransport | None] = {}  # None: it may not be called

    async def close(self) -> None:
        """End all connections."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            if way is not None:
                await way.close()

    # --- questions --------------------------------------------------------------------------------------------------

    async def workers(self) -> WorkersFound:
        """List the workers of all servers, and count what waits by the reason."""
        look = self._begin()
        seen = await self._ask(look, WorkersAsked(), WorkersAnswer)
        counts: Counter[str] = Counter()
        waits: list[tuple[int, _Waits]] = []
        for owner, answer in seen.items():
            for one in answer.waiting:
                if one.reason is not None:
                    counts[one.reason.text] += one.count
                elif one.demand is not None and one.here is not None:
                    waits.append((one.count, _Waits(owner, one.demand, one.here)))
        said = await self._say(look, [one for _, one in waits])
        for (count, _), reason in zip(waits, said, strict=True):
            counts[reason.text] += count
        workers = _once((one for answer in seen.values() for one in answer.workers), seen)
        return WorkersFound(workers, dict(counts.most_common()), sorted(look.unreachable))

    async def waiting(self, run_id: str) -> WaitingFound:
        """Say why attempts of a run wait: they wait at the server that drives it. Raises PortError, BusyError."""
        look, question = self._begin(), AttemptsAsked(run_id)
        drivers = {} if self._directory is None or self._drives(run_id) else await self._directory.drivers([run_id])
        driver = drivers.get(run_id)
        if driver is None or driver.owner == self._owner:
            owner, seen = self._owner, _as(list[SeenAttempt], self.mine.answer(question))
        else:
            owner, seen = driver.owner, await self._ask_one(look, driver, question, list[SeenAttempt]) or []
        asked = [one for one in seen if one.demand is not None and one.here is not None]
        waits = [_Waits(owner, one.demand, one.here) for one in asked if one.demand is not None and one.here is not None]
        said = {id(one): reason for one, reason in zip(asked, await self._say(look, waits), strict=True)}
        found = []
        for one in seen:
            reason = one.reason or said[id(one)]
            found.append(WaitingAttempt(run_id, one.path, one.attempt, reason.code, reason.text))
        return WaitingFound(found, sorted(look.unreachable))

    async def pools(self) -> PoolsFound:
        """Add up the pools of all servers."""
        look = self._begin()
        seen = await self._ask(look, PoolsAsked(), SeenPools)
        pools = added(one for answer in seen.values() for one in answer.pools)
        waiting = [(owner, one) for owner, answer in seen.items() for one in answer.waiting]
        said = await self._say(look, [_Waits(owner, one.demand, one.here) for owner, one in waiting])
        add_reasons(pools, ((one.pool, why.code, one.count) for (_, one), why in zip(waiting, said, strict=True)))
        return PoolsFound(pools, sorted(look.unreachable))

    async def counts(self) -> CountsFound:
        """Add up what all servers have counted."""
        look = self._begin()
        seen = (await self._ask(look, CountsAsked(), CountsAnswer)).values()
        ended: Counter[str] = Counter()
        for one in seen:
            ended.update(one.ended)
        return CountsFound(
            sum(one.workers for one in seen), sum(one.open for one in seen), dict(ended), sorted(look.unreachable)
        )

    async def drain(self, worker: str, grace_s: float) -> DrainFound:
        """Give the workers of a name no more work, at whichever server they are."""
        look = self._begin(ORDER_S)
        seen = (await self._ask(look, DrainWanted(worker, grace_s), DrainAnswer)).values()
        drained = {process for one in seen for process in one.drained}
        known = {name for one in seen for name in one.known}
        return DrainFound(len(drained), sorted(known), sorted(look.unreachable))

    async def held(self, refs: Sequence[AttemptRef]) -> HeldFound:
        """Ask which of these attempts any server has."""
        seen = await self._ask(self._begin(), HeldAsked(list(refs)), HeldAnswer)
        held = {ref for one in seen.values() for ref in one.held}
        return HeldFound(held, {name for one in seen.values() for name in one.processes} | seen.keys())

    # --- asking -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _begin(seconds: float = ASK_S) -> _Look:
        return _Look(asyncio.get_running_loop().time() + seconds)

    async def _ask(self, look: _Look, question: PeerQuestion, shape: type[_Answer]) -> dict[str, _Answer]:
        """The answers of all servers, by owner, this one first."""
        others = [row for row in self._servers() if row.owner != self._owner and row.owner not in look.away]
        await self._forget({row.owner for row in others} | look.away)
        answers = await asyncio.gather(*(self._ask_one(look, row, question, shape) for row in others))
        found = {self._owner: _as(shape, self.mine.answer(question))}
        found.update({row.owner: one for row, one in zip(others, answers, strict=True) if one is not None})
        return found

    async def _ask_one(self, look: _Look, row: ServerRow, question: PeerQuestion, shape: type[_Answer]) -> _Answer | None:
        """The answer of one; None: it cannot be reached."""
        try:
            async with asyncio.timeout_at(look.until):
                if (way := self._way(row)) is not None:
                    return await way.look(question, shape)
        except (TimeoutError, AetherError):
            pass
        look.unreachable.add(row.name)
        look.away.add(row.owner)
        return None

    def _way(self, row: ServerRow) -> LookTransport | None:
        if self._connect is None:
            return None
        if row.owner not in self._ways:
            try:
                self._ways[row.owner] = self._connect(row)
            except UsageError:  # `relays` says so
                self._ways[row.owner] = None
        return self._ways[row.owner]

    async def _forget(self, living: Collection[str]) -> None:
        for owner in self._ways.keys() - living:
            way = self._ways.pop(owner)
            if way is not None:
                await way.close()

    async def _say(self, look: _Look, waits: Sequence[_Waits]) -> list[Reason]:
        """Say why each of these waits, beside the workers of all servers."""
        demands = list(dict.fromkeys(one.demand for one in waits))[:MOST_DEMANDS]
        seen: dict[str, list[FittingWorkers]] = {}
        if demands and len(self._servers()) > 1:
            seen = await self._ask(look, FittingAsked(demands), list[FittingWorkers])
        places = {demand: place for place, demand in enumerate(demands)}
        found = []
        for one in waits:
            place = places.get(one.demand)
            others = [] if place is None else [counts[place] for owner, counts in seen.items() if owner != one.owner]
            found.append(reason_of(one.demand, [one.here, *others]))
        return found


def _once(seen: Iterable[SeenWorker], answered: Collection[str]) -> list[WorkerView]:
    """Each worker once: one that moved is where it was heard last. A server that relays is none, unless it did not answer: then
    it stands for its workers."""
    found: dict[Any, WorkerView] = {}
    for one in seen:
        if one.via and one.instance in answered:
            continue
        name = (one.worker.name, one.instance) if one.instance else one.worker.session
        known = found.get(name)
        if known is None or one.worker.seen_seconds_ago < known.seen_seconds_ago:
            found[name] = one.worker
    return sorted(found.values(), key=lambda one: (one.name, one.session))


def _as(shape: type[_Answer], answer: Any) -> _Answer:
    """The answer of this server, which has the shape of its question."""
    made: _Answer = answer
    return made
