"""Pools of workers: what waits and what is free, for autoscalers and people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.reasons import FittingWorkers, WorkDemand, count_fitting, demand_of, reason_of
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.work import TASKS

DEFAULT: Final = "default"  # the workers without a pool
_SECOND: Final = 1_000_000


class PoolSlots(Struct, rename="camel"):
    """Slots of a kind: how many the workers of a pool have, and how many are taken."""

    total: int = 0
    used: int = 0


class WorkerPool(Struct, rename="camel", kw_only=True):
    """A pool of workers. `waiting`: attempts that wait for a worker of it, by reason in `reasons`; `oldest_seconds`: how long
    the one that waits longest has; `free`: how many more attempts its active workers take now; `wanted`: how many slots for
    attempts would let nothing wait; `states`: how many workers are active, draining or quarantined."""

    name: str
    waiting: int = 0
    oldest_seconds: float = 0.0
    running: int = 0
    free: int = 0
    wanted: int = 0
    workers: int = 0
    states: dict[str, int] = field(default_factory=dict)
    slots: dict[str, PoolSlots] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


class PoolWaiting(Struct, rename="camel", frozen=True):
    """So many attempts wait for a pool with the demand that the first of them has; `here`: the workers of this server beside
    it."""

    pool: str
    count: int
    demand: WorkDemand
    here: FittingWorkers


class SeenPools(Struct, rename="camel"):
    """The pools of a server, and what waits for them with a reason that all servers are to be asked for."""

    pools: list[WorkerPool]
    waiting: list[PoolWaiting]


def pools_of(broker: WorkerBroker) -> list[WorkerPool]:
    """Return all pools that have workers or for which something waits. Costs the number of workers and of classes of waiting
    attempts."""
    seen = seen_pools(broker)
    add_reasons(seen.pools, ((one.pool, reason_of(one.demand, [one.here]).code, one.count) for one in seen.waiting))
    return seen.pools


def add_reasons(pools: Iterable[WorkerPool], reasons: Iterable[tuple[str, str, int]]) -> None:
    """Count in pools why attempts wait: the name of the pool, the reason, and how many."""
    named = {one.name: one.reasons for one in pools}
    for pool, code, count in reasons:
        named[pool][code] = named[pool].get(code, 0) + count


def seen_pools(broker: WorkerBroker) -> SeenPools:
    """Return the pools of this server, for another one."""
    pools: dict[str, WorkerPool] = {}

    def pool(name: str) -> WorkerPool:
        return pools.setdefault(name, WorkerPool(name=name or DEFAULT))

    state, found = broker.fleet.state, list[PoolWaiting]()
    now, waiting = broker.clock.now(), state.waiting
    for session in waiting.sessions.values():
        if not session.via:  # a server: its workers are counted there
            _add_session(pool(session.pool), session)
    for group in waiting.classes.values():
        count = len(group.queue)
        first = next(iter(group.queue), None) if count else None
        if first is None:
            continue
        one, demand = pool(group.need.pool), demand_of(first)
        one.waiting += count
        one.oldest_seconds = max(one.oldest_seconds, (now - first.at) / _SECOND)
        found.append(PoolWaiting(one.name, count, demand, count_fitting(state, demand)))
    for why, works in (("refused", waiting.delayed.values()), ("earlier-attempt", waiting.behind.values())):
        for work in works:
            one = pool(work.need.pool)
            one.waiting += 1
            one.reasons[why] = one.reasons.get(why, 0) + 1
    for one in pools.values():
        one.wanted = one.running + one.waiting
    return SeenPools(sorted(pools.values(), key=lambda one: one.name), found)


def _add_session(pool: WorkerPool, session: WorkerSession) -> None:
    pool.workers += 1
    pool.states[session.state] = pool.states.get(session.state, 0) + 1
    pool.running += session.used.get(TASKS, 0)
    pool.free += session.free if session.state == "active" else 0
    for kind, total in session.slots.items():
        slots = pool.slots.setdefault(kind, PoolSlots())
        slots.total += total
        slots.used += session.used.get(kind, 0)


def added(pools: Iterable[WorkerPool]) -> list[WorkerPool]:
    """Return the pools of several servers as one, by name."""
    found: dict[str, WorkerPool] = {}
    for other in pools:
        one = found.setdefault(other.name, WorkerPool(name=other.name))
        for name in ("waiting", "running", "free", "wanted", "workers"):
            setattr(one, name, getattr(one, name) + getattr(other, name))
        one.oldest_seconds = max(one.oldest_seconds, other.oldest_seconds)
        for counts, more in ((one.states, other.states), (one.reasons, other.reasons)):
            for key, count in more.items():
                counts[key] = counts.get(key, 0) + count
        for kind, slots in other.slots.items():
            sum_ = one.slots.setdefault(kind, PoolSlots())
            sum_.total += slots.total
            sum_.used += slots.used
    return sorted(found.values(), key=lambda one: one.name)
