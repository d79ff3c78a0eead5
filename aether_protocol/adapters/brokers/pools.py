"""Pools of workers: what waits and what is free, for autoscalers and people."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.reasons import why_waiting
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


def pools_of(broker: WorkerBroker) -> list[WorkerPool]:
    """Return all pools that have workers or for which something waits. Costs the number of workers and of classes of waiting
    attempts."""
    pools: dict[str, WorkerPool] = {}

    def pool(name: str) -> WorkerPool:
        return pools.setdefault(name, WorkerPool(name=name or DEFAULT))

    now = broker.clock.now()
    waiting = broker.fleet.state.waiting
    for session in waiting.sessions.values():
        one = pool(session.pool)
        one.workers += 1
        one.states[session.state] = one.states.get(session.state, 0) + 1
        one.running += session.used.get(TASKS, 0)
        one.free += session.free if session.state == "active" else 0
        for kind, total in session.slots.items():
            slots = one.slots.setdefault(kind, PoolSlots())
            slots.total += total
            slots.used += session.used.get(kind, 0)
    for group in waiting.classes.values():
        count = len(group.queue)
        first = next(iter(group.queue), None) if count else None
        if first is None:
            continue
        one = pool(group.need.pool)
        reason = why_waiting(broker.fleet.state, first.ref)
        one.waiting += count
        one.oldest_seconds = max(one.oldest_seconds, (now - first.at) / _SECOND)
        code = reason.code if reason is not None else "not-asked"
        one.reasons[code] = one.reasons.get(code, 0) + count
    for why, works in (("refused", waiting.delayed.values()), ("earlier-attempt", waiting.behind.values())):
        for work in works:
            one = pool(work.need.pool)
            one.waiting += 1
            one.reasons[why] = one.reasons.get(why, 0) + 1
    for one in pools.values():
        one.wanted = one.running + one.waiting
    return sorted(pools.values(), key=lambda one: one.name)
