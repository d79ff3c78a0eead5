"""Why does an attempt wait? An answer for people, from what the fleet knows now.

Law: the workers of several servers may be those that an attempt could go to. So what is counted at one server (`count_fitting`)
and what is said of it (`reason_of`) are apart: the counts of several are added before they are said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState
from aether_protocol.fleet.work import TASKS, Need, Slots, Work
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


class WorkDemand(Struct, frozen=True, gc=False):
    """What an attempt that waits demands of the workers. `misfit`: why its config does not fit the variants that are unfit."""

    need: Need
    namespace: str
    misfit: str = ""


class FittingWorkers(Struct, frozen=True, gc=False):
    """The workers of a server beside a demand. `left`: how many there are after each step of it; of those after the last one
    `states` has how many are active, draining and quarantined, and `free` how many are active and have room. `running`: the
    attempts of a namespace that is at its limit, 0 where it is not; `waiting`: all attempts that wait at the server."""

    left: tuple[int, ...]
    states: dict[str, int]
    free: int
    running: int
    waiting: int


def demand_of(work: Work) -> WorkDemand:
    """Return what an attempt demands of the workers."""
    return WorkDemand(work.need, work.namespace, work.misfit)


def why_waiting(fleet: FleetState, ref: AttemptRef) -> Reason | None:
    """Say what an attempt waits for, as far as this server knows; None: it does not wait here."""
    work = fleet.waiting.newest.get(ref.task_run_id)
    if work is None or work.ref != ref:
        return None
    demand = demand_of(work)
    return why_not_offered(fleet, work) or reason_of(demand, [count_fitting(fleet, demand)])


def why_not_offered(fleet: FleetState, work: Work) -> Reason | None:
    """Say why an attempt that waits here is offered to no worker now; None: it is."""
    ref = work.ref
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
    return None


def why_unclear() -> Reason:
    """Say why an attempt waits that an earlier server may have given to a worker."""
    return Reason("earlier-attempt", "it may be at a worker that has not come back yet; if not, it is offered again")


def count_fitting(fleet: FleetState, demand: WorkDemand) -> FittingWorkers:
    """Narrow the workers of a server down by one step of a demand after the other. Servers that relay are none of them."""
    found = [one for one in fleet.sessions.values() if not one.via]
    left = []
    for step in _steps(fleet, demand):
        found = [one for one in found if step(one)]
        left.append(len(found))
    active = [one for one in found if one.state == "active"]
    is_full = demand.namespace in fleet.waiting.full
    return FittingWorkers(
        tuple(left),
        dict(Counter(one.state for one in found)),
        sum(one.has_room(demand.need.slots) for one in active),
        fleet.waiting.running(demand.namespace) if is_full else 0,
        len(fleet.waiting),
    )


def _steps(fleet: FleetState, demand: WorkDemand) -> Sequence[Callable[[WorkerSession], bool]]:
    need = demand.need
    try:
        fitting = fleet.waiting.sessions_for(need)
    except ValueError:  # a selector that this version cannot read
        fitting = {}
    return (
        lambda one: True,
        lambda one: one.group is None or demand.namespace in one.group,
        lambda one: one.pool == need.pool,
        lambda one: need.executor in one.executors,
        lambda one: one.variants.get(need.executor) not in need.unfit,
        lambda one: one.could_take(need.slots),
        lambda one: one.name in fitting,
    )


def reason_of(demand: WorkDemand, counts: Sequence[FittingWorkers]) -> Reason:
    """Say why an attempt waits by the workers of all servers that it could go to, that of its own first: there the limit of its
    namespace is kept."""
    left = [sum(several) for several in zip(*(one.left for one in counts), strict=True)]
    before = left[0]
    for (code, text), count in zip(_missing(demand), left, strict=True):
        if not count:
            return Reason(code, text if code in _OF_ALL else f"{text} (of {before} that would do otherwise)")
        before = count
    states: Counter[str] = Counter()
    for one in counts:
        states.update(one.states)
    active = states["active"]
    if not active:
        told = " and ".join(f"{number} are {state}" for state, number in states.items() if number)
        return Reason("not-active", f"of the workers that fit {told}")
    if running := counts[0].running:
        return Reason("namespace-limit", f"namespace {demand.namespace!r} is at its limit of running attempts ({running})")
    if not any(one.free for one in counts):
        busy = "the one worker that fits is busy" if active == 1 else f"all {active} workers that fit are busy"
        return Reason("no-slots", f"{busy}; {sum(one.waiting for one in counts)} wait")
    return Reason("not-asked", "a worker has room for it, and has not asked for work yet")


def _missing(demand: WorkDemand) -> Sequence[tuple[ReasonCode, str]]:
    """What is said where no worker is left after each step."""
    need = demand.need
    return (
        ("no-workers", "no worker is connected"),
        ("no-namespace", f"no worker serves namespace {demand.namespace!r}"),
        ("no-pool", f"no worker is in pool {need.pool!r}" if need.pool else "all workers are in pools, and it asks for none"),
        ("no-executor", f"no worker offers executor {need.executor!r}"),
        ("no-version", f"no worker has executor {need.executor!r} in a version that its config fits: {demand.misfit}"),
        ("too-large", f"no worker is large enough for {_slots(need.slots)}"),
        ("no-labels", f"no worker has the labels {need.selector!r}"),
    )


def _slots(slots: Slots) -> str:
    return ", ".join(f"{kind}={amount}" for kind, amount in slots if kind != TASKS) or "one task"


def _name(fleet: FleetState, session: str) -> str:
    known = fleet.sessions.get(session)
    return f"worker {known.worker!r}" if known else "a worker that left"
