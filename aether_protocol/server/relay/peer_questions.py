"""What a server asks another one about its workers, and what that answers: for itself alone.

Law: an answer is made of what the asked server has in memory, without a look at the store or a question to a third one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.adapters.brokers.fleet_view import (
    SeenAttempt,
    SeenWaiting,
    SeenWorker,
    fitting_of,
    seen_attempts,
    seen_waiting,
    seen_workers,
    sessions_named,
)
from aether_protocol.adapters.brokers.pools import SeenPools, seen_pools
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.telemetry.prometheus import RunMetrics
from aether_protocol.fleet.reasons import FittingWorkers, WorkDemand
from aether_protocol.ports.wire import AttemptRef

LOOK: Final = "/v1/peers/look"


class WorkersAsked(Struct, frozen=True, tag="workers"):
    """Which workers have a session, and what waits for which reasons."""


class AttemptsAsked(Struct, frozen=True, tag="attempts"):
    """Which attempts of a run wait for a worker."""

    run: str


class FittingAsked(Struct, frozen=True, tag="fitting"):
    """Which workers fit these demands."""

    demands: list[WorkDemand]


class PoolsAsked(Struct, frozen=True, tag="pools"):
    """Which pools there are."""


class CountsAsked(Struct, frozen=True, tag="counts"):
    """What was counted."""


class DrainWanted(Struct, frozen=True, tag="drain"):
    """Give the workers of this name no more work."""

    worker: str
    grace_s: float


class HeldAsked(Struct, frozen=True, tag="held"):
    """Which of these attempts the server has, and which workers could have shown them."""

    refs: list[AttemptRef]


PeerQuestion = HeldAsked | WorkersAsked | AttemptsAsked | FittingAsked | PoolsAsked | CountsAsked | DrainWanted


class WorkersAnswer(Struct, frozen=True):
    """See `WorkersAsked`."""

    workers: list[SeenWorker]
    waiting: list[SeenWaiting]


class CountsAnswer(Struct, frozen=True):
    """See `CountsAsked`. `open`: runs that are driven; `ended`: how many have ended since the start, by phase."""

    workers: int
    open: int = 0
    ended: Mapping[str, int] = {}


class DrainAnswer(Struct, frozen=True):
    """See `DrainWanted`. `drained`: the processes; `known`: the names of all workers that are connected."""

    drained: list[str]
    known: list[str]


class HeldAnswer(Struct, frozen=True):
    """See `HeldAsked`. `held`: those that wait there, or are or were at a worker there; `processes`: of the workers."""

    held: list[AttemptRef]
    processes: list[str]


PeerAnswer = HeldAnswer | WorkersAnswer | list[SeenAttempt] | list[FittingWorkers] | SeenPools | CountsAnswer | DrainAnswer


class PeerAnswers:
    """Answers for this server.

    Args:
        broker: that of its workers.
        name: what people call the server.
        metrics: what is counted; None: nothing is.
    """

    def __init__(self, broker: WorkerBroker, name: str = "", metrics: RunMetrics | None = None) -> None:
        self._broker = broker
        self._name = name
        self._metrics = metrics

    def answer(self, question: PeerQuestion) -> PeerAnswer:
        """Answer a question of another server, or of an operator."""
        broker = self._broker
        match question:
            case WorkersAsked():
                return WorkersAnswer(seen_workers(broker, broker.clock.now(), self._name), seen_waiting(broker))
            case HeldAsked(refs=refs):
                return self._held(refs)
            case AttemptsAsked(run=run):
                return seen_attempts(broker, run)
            case FittingAsked(demands=demands):
                return fitting_of(broker, demands)
            case PoolsAsked():
                return seen_pools(broker)
            case CountsAsked():
                return self._counts()
            case DrainWanted(worker=worker, grace_s=grace_s):
                return self._drain(worker, grace_s)

    def _held(self, refs: Sequence[AttemptRef]) -> HeldAnswer:
        fleet = self._broker.fleet.state
        here = {one.work.ref for one in fleet.deliveries.values()} | fleet.results.keys()
        sessions = [one for one in fleet.sessions.values() if not one.via]
        held = [ref for ref in refs if ref in here or fleet.waits(ref) or ref.task_run_id in fleet.strays]
        return HeldAnswer(held, [f"{one.worker}#{one.instance}" for one in sessions])

    def _counts(self) -> CountsAnswer:
        workers = sum(not one.via for one in self._broker.fleet.state.sessions.values())
        if self._metrics is None:
            return CountsAnswer(workers)
        return CountsAnswer(workers, self._metrics.open_count(), self._metrics.ended_counts())

    def _drain(self, worker: str, grace_s: float) -> DrainAnswer:
        sessions = [one for one in self._broker.fleet.state.sessions.values() if not one.via]
        found = sessions_named(self._broker, worker)
        for one in found:
            self._broker.drain(one, grace_s)
        drained = sorted({one.instance or one.name for one in sessions if one.name in found})
        return DrainAnswer(drained, sorted({one.worker for one in sessions}))
