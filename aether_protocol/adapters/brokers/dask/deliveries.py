"""What a broker has at a Dask scheduler: dispatched attempts, waiting ones, and the datasets that they are published in.

Law: of a task run one attempt is here at a time (`execution.slots`). A dataset is needed for as long as one of its tasks is,
and a task until its result is stored, its attempt is lost, or it has stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from aether_protocol.adapters.brokers.dask.tasks import dataset_name, key_of
from aether_protocol.execution.attempt import Attempt
from aether_protocol.execution.slots import Slots
from aether_protocol.ports.wire import AttemptRef, TaskAssignment

__all__ = ["DaskDeliveries", "DaskDelivery"]


class DaskDelivery:
    """An attempt on its way through a cluster.

    `name` is the key of its task, `future` its future; `worker` the address of the Dask worker where it began, `pinned` those
    that it may go to alone; `ended` what it returned, where that is not stored yet; `known` how many bytes of each log have
    come. The others are as in `execution.attempt`.
    """

    def __init__(self, ref: AttemptRef, assignment: TaskAssignment | None = None, token: str = "") -> None:
        self.ref = ref
        self.key = ref.task_run_id
        self.assignment: Any = assignment  # None: an engine before this one had it
        self.token = token or secrets.token_hex(16)
        self.name = key_of(ref, self.token)
        self.dataset = ""
        self.future: Any = None
        self.worker = ""
        self.pinned: tuple[str, ...] = ()
        self.ended: Mapping[str, Any] | None = None
        self.known: dict[str, int] = {}
        self.stopped = False
        self.has_slot = False
        self.slot_released = False
        self.successor: TaskAssignment | None = None

    follow: Any = Attempt.follow


class DaskDeliveries:
    """Args:
    engine: the name of this broker, which its datasets have.
    limit: tasks at the scheduler at a time.
    """

    def __init__(self, engine: str, limit: int) -> None:
        self._engine = engine
        self._numbers = count(1)
        self._slots: Any = Slots(limit)
        self._by_token: dict[str, DaskDelivery] = {}
        self._datasets: dict[str, set[str]] = {}  # by name: the tokens in it that are needed
        self._looked_at: set[str] = set()  # datasets, those of this broker among them
        self._dropped: list[DaskDelivery] = []

    def __iter__(self) -> Iterator[DaskDelivery]:
        """Those that are at the scheduler."""
        return iter(list(self._by_token.values()))

    def room(self) -> int:
        """How many more can begin without one that waits."""
        free: int = self._slots.room()
        return free

    def holds(self, ref: AttemptRef) -> bool:
        """Whether this attempt is here, and was not stopped."""
        return bool(self._slots.holds(ref))

    def find(self, task_run_id: str) -> DaskDelivery | None:
        """The attempt of this task run that is here."""
        found: DaskDelivery | None = self._slots.find(task_run_id)
        return found

    def of_token(self, token: str) -> DaskDelivery | None:
        return self._by_token.get(token)

    def has(self, delivery: DaskDelivery) -> bool:
        """Whether this one is at the scheduler."""
        return self._by_token.get(delivery.token) is delivery

    # --- coming ---

    def enter(self, delivery: DaskDelivery) -> DaskDelivery:
        """The attempt of its task run that is here from now on: this one, unless another one has not ended."""
        here: DaskDelivery = self._slots.enter(delivery)
        return here

    def begins(self, delivery: DaskDelivery) -> bool:
        """Whether one that has entered begins now, for which it gets a slot; else it waits."""
        if self._slots.free:
            self.occupy(delivery)
            return True
        self._slots.enqueue(delivery)
        return False

    def occupy(self, delivery: DaskDelivery) -> None:
        self._slots.take()
        delivery.has_slot = True

    def waiting(self) -> list[DaskDelivery]:
        """Those that wait and can begin now; each gets a slot."""
        found: list[DaskDelivery] = []
        while (one := self._slots.next()) is not None:
            self.occupy(one)
            found.append(one)
        return found

    def name_datasets(self, deliveries: Iterable[DaskDelivery]) -> None:
        """Give each of these the dataset that it is published in: one for each run."""
        named: dict[str, str] = {}
        for delivery in deliveries:
            run = delivery.ref.run_id
            if run not in named:
                named[run] = dataset_name(self._engine, run, next(self._numbers))
            delivery.dataset = named[run]
        self._looked_at |= set(named.values())

    def sent(self, delivery: DaskDelivery, future: Any) -> None:
        """A delivery is at the scheduler, in its dataset."""
        delivery.future = future
        self._by_token[delivery.token] = delivery
        self._datasets.setdefault(delivery.dataset, set()).add(delivery.token)

    # --- going ---

    def withdraw(self, ref: AttemptRef) -> DaskDelivery | None:
        """Forget an attempt that follows another one. Returns the one that is here under this name, which is to be stopped."""
        found: DaskDelivery | None = self._slots.withdraw(ref)
        return found

    def release_slot(self, delivery: DaskDelivery) -> None:
        if delivery.has_slot:
            self._slots.give_back(delivery)

    def drop(self, delivery: DaskDelivery) -> TaskAssignment | None:
        """Forget an attempt, which is not needed at the scheduler any more. Returns what follows it."""
        if self._by_token.pop(delivery.token, None) is not None:
            self._dropped.append(delivery)
        delivery.future = None
        self.release_slot(delivery)
        successor: TaskAssignment | None = self._slots.leave(delivery)
        return successor

    def release(self, delivery: DaskDelivery) -> None:
        """Forget an attempt that stays at the scheduler, for another engine."""
        if self._by_token.pop(delivery.token, None) is not None:
            self._datasets[delivery.dataset].discard(delivery.token)
            self._looked_at.discard(delivery.dataset)  # its run may come back
            if not self._datasets[delivery.dataset]:
                del self._datasets[delivery.dataset]
        delivery.future = None
        self.release_slot(delivery)
        self._slots.leave(delivery)

    def clear(self) -> None:
        """Let nothing that waits begin."""
        self._slots.clear()

    @property
    def has_dropped(self) -> bool:
        return bool(self._dropped)

    def dropped(self) -> tuple[Sequence[str], Sequence[str]]:
        """The tokens of those that were dropped since this was last asked, and the datasets that are not needed now."""
        several, self._dropped = self._dropped, []
        datasets = []
        for delivery in several:
            tokens = self._datasets.get(delivery.dataset, set())
            tokens.discard(delivery.token)
            if not tokens and self._datasets.pop(delivery.dataset, None) is not None:
                datasets.append(delivery.dataset)
        return [one.token for one in several], datasets

    # --- datasets of others ---

    def look_at(self, dataset: str) -> bool:
        """Whether this dataset was not looked at before; it is from now on."""
        if dataset in self._looked_at:
            return False
        self._looked_at.add(dataset)
        return True

    def is_needed(self, dataset: str) -> bool:
        return bool(self._datasets.get(dataset))
