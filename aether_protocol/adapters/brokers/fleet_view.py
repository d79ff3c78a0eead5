"""What operators see of a fleet: its workers, what each carries out, and why attempts wait. Only read, and made on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.reasons import why_waiting
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
    """A worker with a session. `seen_seconds_ago`: since its last message."""

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


class WaitingAttempt(Struct, rename="camel", frozen=True, gc=False):
    """An attempt that no worker has. `code` says why to programs, `reason` to people."""

    run_id: str
    path: str
    attempt: int
    code: str
    reason: str


def workers_of(broker: WorkerBroker, now: int) -> list[WorkerView]:
    """Return the workers with a session, by name. `now` is that of the broker's clock."""
    fleet = broker.fleet.state
    found = [_view(one, [fleet.deliveries[number] for number in one.deliveries], now) for one in fleet.sessions.values()]
    return sorted(found, key=lambda one: (one.name, one.session))


def sessions_named(broker: WorkerBroker, name: str) -> list[str]:
    """Return the sessions of the workers of that name."""
    return [one.name for one in broker.fleet.state.sessions.values() if one.worker == name]


def waiting_of(broker: WorkerBroker, run_id: str) -> list[WaitingAttempt]:
    """Return the attempts of a run that wait for a worker, by path."""
    fleet = broker.fleet.state
    found = [
        WaitingAttempt(run_id, work.ref.path, work.ref.attempt, reason.code, reason.text)
        for work in fleet.waiting.newest.values()
        if work.ref.run_id == run_id and (reason := why_waiting(fleet, work.ref)) is not None
    ]
    return sorted(found, key=lambda one: one.path)


def reasons_of(broker: WorkerBroker, most: int = 1_000) -> Mapping[str, int]:
    """Count the attempts that wait by the reason in words, of very many the first."""
    fleet = broker.fleet.state
    counts: Counter[str] = Counter()
    for _, work in zip(range(most), fleet.waiting.newest.values(), strict=False):
        reason = why_waiting(fleet, work.ref)
        if reason is not None:
            counts[reason.text] += 1
    return dict(counts.most_common())


def _view(session: WorkerSession, deliveries: list[WorkerDelivery], now: int) -> WorkerView:
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
    )
