"""Slots: which attempts are in this process, waiting or running, and which one begins next.

Law: of a task run one attempt is here at a time. The same one delivered twice is here once; a newer one follows when the one
before has ended; an older one, delivered late, is passed over. What waits goes by priority, then in the order of arrival
(SCHED-11).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from aether_protocol.execution.attempt import Attempt
from aether_protocol.ports.wire import AttemptRef, TaskAssignment


class Slots:
    """`limit`: attempts that run at once, 0 for as many as come; `running` is how many do."""

    __slots__ = ("_arrived", "_here", "_queue", "limit", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self._arrived = 0
        self._queue: list[tuple[int, int, Attempt]] = []
        self._here: dict[str, Attempt] = {}  # by task run

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._here.values()))

    def room(self) -> int | None:
        """How many more can begin or wait without one that waits; None without a limit."""
        return max(self.limit - self.running - len(self._queue), 0) if self.limit else None

    @property
    def free(self) -> bool:
        """Whether one that arrives now begins at once."""
        return not self.limit or (self.running < self.limit and not self._queue)

    def find(self, task_run_id: str) -> Attempt | None:
        """The attempt of this task run that is here."""
        return self._here.get(task_run_id)

    def holds(self, ref: AttemptRef) -> bool:
        """Whether this attempt is here or follows one that is, and was not stopped."""
        found = self._here.get(ref.task_run_id)
        if found is None:
            return False
        return (found.ref == ref and not found.stopped) or (found.successor is not None and found.successor.ref == ref)

    def free_for(self, assignment: TaskAssignment) -> bool:
        """Whether this one could begin at once: there is a slot, and no attempt of its task run is here."""
        if self.limit and (self.running >= self.limit or self._queue):
            return False
        here = self._here
        return not here or assignment.ref.task_run_id not in here

    def enter(self, attempt: Attempt) -> Attempt:
        """The attempt of its task run that is here from now on: this one, unless another one has not ended."""
        return self._here.setdefault(attempt.key, attempt)

    def leave(self, attempt: Attempt) -> TaskAssignment | None:
        """Forget an attempt; what follows it now."""
        if self._here.get(attempt.key) is not attempt:
            return None
        del self._here[attempt.key]
        return attempt.successor

    def withdraw(self, ref: AttemptRef) -> Attempt | None:
        """Forget an attempt that follows another one. Returns the one that is here under this name, which is to be stopped."""
        found = self._here.get(ref.task_run_id)
        if found is None:
            return None
        if found.successor is not None and found.successor.ref == ref:
            found.successor = None
        return found if found.ref == ref else None

    def enqueue(self, attempt: Attempt) -> None:
        self._arrived += 1
        heapq.heappush(self._queue, (-attempt.assignment.priority, self._arrived, attempt))

    def next(self) -> Attempt | None:
        """The next one that waits, where there is a slot for it."""
        while self._queue and self.running < self.limit:
            attempt = heapq.heappop(self._queue)[2]
            if not attempt.stopped:
                return attempt
        return None

    def take(self) -> None:
        """Occupy a slot."""
        self.running += 1

    def give_back(self, attempt: Attempt) -> None:
        """Release the slot of an attempt, once."""
        if not attempt.slot_released:
            attempt.slot_released = True
            self.running -= 1

    def clear(self) -> None:
        """Let nothing that waits begin."""
        self._queue.clear()
