"""What operators see of a fleet: its workers, what each carries out, and why attempts wait. Only read, and made on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.reasons import (
    FittingWorkers,
    Reason,
    WorkDemand,
    count_fitting,
    demand_of,
    why_not_offered,
    why_unclear,
    why_waiting,
)
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.work import WorkerDelivery


class RunningAttempt(Struct, rename="camel", frozen=True, gc=False):
    """What a worker carries out. `state`: assigned (its start is not confirmed), running, stopping, or reported (its result is
    here, or about to come)."""

    run_id: str
    path: str
    attempt: int
    state: str
    namespace: str


class WorkerView(Struct, rename="camel", frozen=True):
    """A worker with a session. `seen_seconds_ago`: since its last message; `server`: where it has the session."""

    name: str
    session: str
    pool: str
    labels: Mapping[str, str]
    executors: list[str]
    namespaces: list[str] | None
    slots: Mapping[str, int]
    used: Mapping[str, int]
    state: str
    seen_seconds_ago: float
    running: list[RunningAttempt]
    server: str = ""


class SeenWorker(Struct, rename="camel", frozen=True):
    """A worker, for another server. `instance`: the process that it is; `via`: whether it is a server, for what its workers
    have."""

    worker: WorkerView
    instance: str
    via: bool


class WaitingAttempt(Struct, rename="camel", frozen=True, gc=False):
    """An attempt that no worker has. `code` says why to programs, `reason` to people."""

    run_id: str
    path: str
    attempt: int
    code: str
    reason: str


class SeenAttempt(Struct, rename="camel", frozen=True, gc=False):
    """An attempt that waits at a server. `reason`: where the server knows it by itself; `demand`: else what is to be asked of
    the workers of all servers, of which `here` are those of this one."""

    path: str
    attempt: int
    reason: Reason | None = None
    demand: WorkDemand | None = None
    here: FittingWorkers | None = None


class SeenWaiting(Struct, rename="camel", frozen=True, gc=False):
    """As `SeenAttempt`, for so many that wait for the same."""

    count: int
    reason: Reason | None = None
    demand: WorkDemand | None = None
    here: FittingWorkers | None = None


def seen_workers(broker: WorkerBroker, now: int, server: str) -> list[SeenWorker]:
    """Return the workers with a session. `now` is that of the broker's clock, `server` the name of this one."""
    fleet = broker.fleet.state
    return [
        SeenWorker(
            _view(one, [fleet.deliveries[number] for number in one.deliveries], now, server), one.instance, bool(one.via)
        )
        for one in fleet.sessions.values()
    ]


def seen_attempts(broker: WorkerBroker, run_id: str) -> list[SeenAttempt]:
    """Return the attempts of a run that wait for a worker, by path."""
    fleet, now = broker.fleet.state, broker.clock.now()
    found = [SeenAttempt(one.path, one.attempt, why_unclear()) for one in broker.fleet.unclear(run_id, now)]
    for work in fleet.waiting.newest.values():
        if work.ref.run_id != run_id:
            continue
        reason, ref = why_not_offered(fleet, work), work.ref
        if reason is not None:
            found.append(SeenAttempt(ref.path, ref.attempt, reason))
        else:
            demand = demand_of(work)
            found.append(SeenAttempt(ref.path, ref.attempt, demand=demand, here=count_fitting(fleet, demand)))
    return sorted(found, key=lambda one: one.path)


def seen_waiting(broker: WorkerBroker, most: int = 1_000) -> list[SeenWaiting]:
    """Count what waits for the same, of very many attempts the first."""
    fleet = broker.fleet.state
    reasons: Counter[Reason] = Counter()
    demands: Counter[WorkDemand] = Counter()
    for _, work in zip(range(most), fleet.waiting.newest.values(), strict=False):
        reason = why_not_offered(fleet, work)
        if reason is not None:
            reasons[reason] += 1
        else:
            demands[demand_of(work)] += 1
    found = [SeenWaiting(count, reason) for reason, count in reasons.items()]
    return found + [SeenWaiting(count, None, one, count_fitting(fleet, one)) for one, count in demands.items()]


def fitting_of(broker: WorkerBroker, demands: Sequence[WorkDemand]) -> list[FittingWorkers]:
    """Hold the workers of this server against demands."""
    return [count_fitting(broker.fleet.state, one) for one in demands]


def sessions_named(broker: WorkerBroker, name: str) -> list[str]:
    """Return the sessions of the workers of that name."""
    return [one.name for one in broker.fleet.state.sessions.values() if one.worker == name and not one.via]


def waiting_of(broker: WorkerBroker, run_id: str) -> list[WaitingAttempt]:
    """Return the attempts of a run that wait for a worker, by path."""
    fleet = broker.fleet.state
    found = [
        WaitingAttempt(run_id, work.ref.path, work.ref.attempt, reason.code, reason.text)
        for work in fleet.waiting.newest.values()
        if work.ref.run_id == run_id and (reason := why_waiting(fleet, work.ref)) is not None
    ]
    return sorted(found, key=lambda one: one.path)


def _view(session: WorkerSession, deliveries: list[WorkerDelivery], now: int, server: str) -> WorkerView:
    running = [
        RunningAttempt(ref.run_id, ref.path, ref.attempt, one.state, one.work.namespace)
        for one in deliveries
        for ref in (one.work.ref,)
    ]
    return WorkerView(
        name=session.worker,
        session=session.name.rpartition(".")[2][:6],  # all of it would let its reader speak for the worker
        pool=session.pool,
        labels=session.labels,
        executors=sorted(session.executors),
        namespaces=None if session.group is None else sorted(session.group),
        slots=session.slots,
        used={kind: amount for kind, amount in session.used.items() if amount},
        state=session.state,
        seen_seconds_ago=max(0, now - session.seen_at) / 1_000_000,
        running=sorted(running, key=lambda one: (one.run_id, one.path)),
        server=server,
    )
