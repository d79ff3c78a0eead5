"""What a broker has at a Dask scheduler: dispatched attempts, waiting ones, and the datasets that they are published in.

Law: of a task run one attempt is here at a time (`execution.slots`). A dataset is needed for as long as one of its tasks is,
and a task until its result is stored, its attempt is lost, or it has stopped. What is in a dataset Dask carries out again where
the worker is lost that has its result; so its flag is needed for as long as the dataset.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
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
        self._looked_at: set[str] = set()  # datasets at the scheduler, those of this broker among them
        self._done: dict[str, set[str]] = {}  # by dataset: the keys of tasks in it that are not needed
        self._left: set[str] = set()  # datasets with something that is left for another engine
        self._over: list[str] = []  # datasets that are not needed, and lie at the scheduler
        self.forgotten: set[str] = set()  # the keys of tasks of deleted datasets, whose flags lie at the scheduler

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
            self.note_done(delivery.dataset, delivery.name)
            self._leave(delivery)
        delivery.future = None
        self.release_slot(delivery)
        successor: TaskAssignment | None = self._slots.leave(delivery)
        return successor

    def release(self, delivery: DaskDelivery) -> None:
        """Forget an attempt that stays at the scheduler, for another engine."""
        if self._by_token.pop(delivery.token, None) is not None:
            self._left.add(delivery.dataset)
            self._looked_at.discard(delivery.dataset)  # its run may come back
            self._leave(delivery)
        delivery.future = None
        self.release_slot(delivery)
        self._slots.leave(delivery)

    def _leave(self, delivery: DaskDelivery) -> None:
        """A delivery leaves its dataset. With the last one the dataset is over, unless one in it is for another engine."""
        dataset = delivery.dataset
        needed = self._datasets[dataset]
        needed.discard(delivery.token)
        if needed:
            return
        del self._datasets[dataset]
        if dataset in self._left:
            self._left.discard(dataset)
            self._done.pop(dataset, None)
        else:
            self._over.append(dataset)

    def clear(self) -> None:
        """Let nothing that waits begin."""
        self._slots.clear()

    def note_done(self, dataset: str, key: str) -> None:
        """Note that a task in a dataset is not needed."""
        self._done.setdefault(dataset, set()).add(key)

    @property
    def has_over(self) -> bool:
        """Whether there are datasets that are not needed at the scheduler any more."""
        return bool(self._over)

    def next_over(self) -> str:
        """One of them."""
        return self._over[0]

    def deleted(self, dataset: str) -> None:
        """A dataset that was not needed is deleted; the flags of its tasks are left."""
        if dataset in self._over:
            self._over.remove(dataset)
        self._looked_at.discard(dataset)
        self.forgotten |= self._done.pop(dataset, set())

    # --- datasets of others ---

    def look_at(self, dataset: str) -> bool:
        """Whether this dataset was not looked at before; it is from now on."""
        if dataset in self._looked_at:
            return False
        self._looked_at.add(dataset)
        self._left.discard(dataset)
        return True

    def pass_over(self, dataset: str) -> None:
        """Let a dataset that was looked at be deleted, unless something in it is needed."""
        if not self._datasets.get(dataset):
            self._over.append(dataset)
