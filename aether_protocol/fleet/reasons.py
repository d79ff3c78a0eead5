"""Why does an attempt wait? An answer for people, from what the fleet knows now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import TASKS, Work
from aether_protocol.ports.wire import AttemptRef

ReasonCode = Literal[
    "earlier-attempt",
    "refused",
    "no-workers",
    "no-namespace",
    "no-pool",
    "no-executor",
    "no-version",
    "no-labels",
    "too-large",
    "not-active",
    "namespace-limit",
    "no-slots",
    "not-asked",
]


_OF_ALL: Final = frozenset({"no-workers", "no-namespace", "no-pool"})


class Reason(Struct, frozen=True, gc=False):
    """Why an attempt waits: a code for programs and metrics, a sentence for people."""

    code: ReasonCode
    text: str


def why_waiting(fleet: FleetState, ref: AttemptRef) -> Reason | None:
    """Say what an attempt waits for; None: it does not wait here."""
    work = fleet.waiting.newest.get(ref.task_run_id)
    if work is None or work.ref != ref:
        return None
    if ref.task_run_id in fleet.waiting.behind:
        (earlier, *_) = fleet.of_task[ref.task_run_id].values()
        return Reason(
            "earlier-attempt", f"attempt {earlier.work.ref.attempt} of it is stopping at {_name(fleet, earlier.session)}"
        )
    if ref in fleet.waiting.delayed and not work.refusals:
        return Reason("earlier-attempt", "an earlier attempt of it may still run at a worker that has not come back yet")
    if ref in fleet.waiting.delayed:
        return Reason(
            "refused", f"refused {work.refusals} times, the last time because {work.reason}; it is offered again soon"
        )
    return _of_workers(fleet, work)


def _of_workers(fleet: FleetState, work: Work) -> Reason:
    """Narrow the workers down by one demand after the other, until none is left."""
    need = work.need
    fitting = fleet.waiting.sessions_for(need)
    pool = f"no worker is in pool {need.pool!r}" if need.pool else "all workers are in pools, and it asks for none"
    steps: list[tuple[ReasonCode, str, Callable[[WorkerSession], bool]]] = [
        ("no-workers", "no worker is connected", lambda one: True),
        (
            "no-namespace",
            f"no worker serves namespace {work.namespace!r}",
            lambda one: one.group is None or work.namespace in one.group,
        ),
        ("no-pool", pool, lambda one: one.pool == need.pool),
        ("no-executor", f"no worker offers executor {need.executor!r}", lambda one: need.executor in one.executors),
        ("no-version", _misfit(work), lambda one: one.variants.get(need.executor) not in need.unfit),
        ("too-large", f"no worker is large enough for {_slots(work)}", lambda one: one.could_take(need.slots)),
        ("no-labels", f"no worker has the labels {need.selector!r}", lambda one: one.name in fitting),
    ]
    found = list(fleet.sessions.values())
    for code, text, holds in steps:
        left = [one for one in found if holds(one)]
        if not left:
            beside = f" (of {len(found)} that would do otherwise)" if code not in _OF_ALL else ""
            return Reason(code, text + beside)
        found = left
    return _of_fitting(fleet, work, found)


def _of_fitting(fleet: FleetState, work: Work, found: list[WorkerSession]) -> Reason:
    active = [one for one in found if one.state == "active"]
    if not active:
        states = Counter(one.state for one in found)
        return Reason(
            "not-active", "of the workers that fit " + " and ".join(f"{n} are {state}" for state, n in states.items())
        )
    if work.namespace in fleet.waiting.full:
        count = fleet.waiting.running(work.namespace)
        return Reason("namespace-limit", f"namespace {work.namespace!r} is at its limit of running attempts ({count})")
    if not any(one.has_room(work.need.slots) for one in active):
        busy = "the one worker that fits is busy" if len(active) == 1 else f"all {len(active)} workers that fit are busy"
        return Reason("no-slots", f"{busy}; {len(fleet.waiting)} wait")
    return Reason("not-asked", "a worker has room for it, and has not asked for work yet")


def _misfit(work: Work) -> str:
    return f"no worker has executor {work.need.executor!r} in a version that its config fits: {work.misfit}"


def _slots(work: Work) -> str:
    return ", ".join(f"{kind}={amount}" for kind, amount in work.need.slots if kind != TASKS) or "one task"


def _name(fleet: FleetState, session: str) -> str:
    known = fleet.sessions.get(session)
    return f"worker {known.worker!r}" if known else "a worker that left"
