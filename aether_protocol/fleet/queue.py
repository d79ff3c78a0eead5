"""Waiting attempts in the order in which they are due: priority, namespace, run, time of becoming ready.

Law: to add, to take and to withdraw cost the same however many wait. Turns of namespaces and runs are counted over all
classes of a priority: a stamp says when it was last served, and the oldest is next. Heaps keep old stamps and are corrected
when their head is looked at, which is sound since a stamp only grows.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterator

from msgspec import Struct

from aether_protocol.fleet.work import Work
from aether_protocol.ports.wire import AttemptRef

__all__ = ["ClassQueue", "Turns", "Urgency"]

Urgency = tuple[int, int, int, int]  # -priority, turn of the namespace, turn of the run, order; the least is first


class Turn(Struct, eq=False):
    """When a namespace or a run was last served at one priority (`stamp`), and how many more times it is in a row. It lasts
    for as long as something of it waits: `queues` counts where."""

    name: str
    stamp: int = 0
    left: int = 0
    queues: int = 0


class Turns:
    """Who was served when, at each priority. A newcomer is behind all others, and is forgotten with its last attempt."""

    def __init__(self, weight: Callable[[str], int] = lambda name: 1) -> None:
        self._weight = weight
        self._clock = 0
        self._turns: dict[tuple[int, str], Turn] = {}

    def enter(self, priority: int, name: str) -> Turn:
        """Return the turn of who has something waiting in one more queue."""
        turn = self._turns.get((priority, name))
        if turn is None:
            turn = self._turns[priority, name] = Turn(name)
            self._advance(turn)
        turn.queues += 1
        return turn

    def leave(self, priority: int, turn: Turn) -> None:
        """Note that nothing of it waits in one of its queues any more."""
        turn.queues -= 1
        if not turn.queues:
            del self._turns[priority, turn.name]

    def serve(self, turn: Turn) -> None:
        """Note a start: after as many as its weight it goes behind all others."""
        turn.left -= 1
        if turn.left <= 0:
            self._advance(turn)

    def _advance(self, turn: Turn) -> None:
        self._clock += 1
        turn.stamp = self._clock
        turn.left = max(1, self._weight(turn.name))


class Rotation:
    """Who has something waiting, the one served longest ago first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._listed: set[str] = set()  # has an entry in the heap, whose stamp may be old
        self._present: dict[str, Turn] = {}

    def add(self, turn: Turn) -> None:
        self._present[turn.name] = turn
        if turn.name not in self._listed:
            self._listed.add(turn.name)
            heapq.heappush(self._heap, (turn.stamp, turn.name))

    def discard(self, name: str) -> None:
        self._present.pop(name, None)  # its entry goes when it comes to the head

    def head(self) -> str | None:
        heap, present = self._heap, self._present
        while heap:
            stamp, name = heap[0]
            turn = present.get(name)
            if turn is None:
                self._listed.discard(heapq.heappop(heap)[1])
            elif turn.stamp == stamp:
                return name
            else:
                heapq.heapreplace(heap, (turn.stamp, name))
        return None


class _RunQueue:
    """What waits of one run at one priority, in the order of becoming ready."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.works: OrderedDict[AttemptRef, Work] = OrderedDict()


class _NamespaceQueue:
    """What waits of one namespace at one priority."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.rotation = Rotation()
        self.runs: dict[str, _RunQueue] = {}


class _Level:
    """What waits at one priority."""

    def __init__(self) -> None:
        self.rotation = Rotation()
        self.namespaces: dict[str, _NamespaceQueue] = {}


class ClassQueue:
    """The waiting attempts of one class. `namespaces` and `runs` are the turns that all classes share."""

    def __init__(self, namespaces: Turns, runs: Turns) -> None:
        self._namespaces = namespaces
        self._runs = runs
        self._levels: dict[int, _Level] = {}
        self._priorities: list[int] = []  # negated, so that the highest priority is first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Work]:
        for level in self._levels.values():
            for queue in level.namespaces.values():
                for run in queue.runs.values():
                    yield from run.works.values()

    def add(self, work: Work, *, first: bool = False) -> None:
        """Queue an attempt; `first`: before the others of its run, since it was there before."""
        priority, namespace, run_id = work.priority, work.namespace, work.ref.run_id
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
            insort(self._priorities, -priority)
        queue = level.namespaces.get(namespace)
        if queue is None:
            queue = level.namespaces[namespace] = _NamespaceQueue(self._namespaces.enter(priority, namespace))
            level.rotation.add(queue.turn)
        run = queue.runs.get(run_id)
        if run is None:
            run = queue.runs[run_id] = _RunQueue(self._runs.enter(priority, run_id))
            queue.rotation.add(run.turn)
        run.works[work.ref] = work
        if first:
            run.works.move_to_end(work.ref, last=False)
        self._count += 1

    def remove(self, work: Work, *, started: bool = False) -> None:
        """Take an attempt out; `started`: its namespace and its run have had their turn."""
        priority = work.priority
        level = self._levels[priority]
        queue = level.namespaces[work.namespace]
        run = queue.runs[work.ref.run_id]
        del run.works[work.ref]
        self._count -= 1
        if started:
            self._namespaces.serve(queue.turn)
            self._runs.serve(run.turn)
        if run.works:
            return
        del queue.runs[run.turn.name]
        queue.rotation.discard(run.turn.name)
        self._runs.leave(priority, run.turn)
        if queue.runs:
            return
        del level.namespaces[queue.turn.name]
        level.rotation.discard(queue.turn.name)
        self._namespaces.leave(priority, queue.turn)
        if not level.namespaces:
            del self._levels[priority]
            self._priorities.remove(-priority)

    def peek(self, served: Collection[str] | None, full: Container[str]) -> tuple[Urgency, Work] | None:
        """Return the attempt that is next, and how urgent it is beside those of other classes.

        Args:
            served: the namespaces to choose from; None: all.
            full: namespaces at their limit, which are passed over until `reopen`.
        """
        for negated in self._priorities:
            level = self._levels[-negated]
            namespace = self._next_namespace(level, served, full)
            if namespace is None:
                continue
            queue = level.namespaces[namespace]
            run_id = queue.rotation.head()
            if run_id is None:  # pragma: no cover (a namespace is listed while a run of it waits)
                raise AssertionError(f"namespace {namespace!r} is listed and has nothing waiting")
            run = queue.runs[run_id]
            work = next(iter(run.works.values()))
            return (negated, queue.turn.stamp, run.turn.stamp, work.order), work
        return None

    @staticmethod
    def _next_namespace(level: _Level, served: Collection[str] | None, full: Container[str]) -> str | None:
        if served is not None:
            open_ones = [name for name in served if name in level.namespaces and name not in full]
            return min(open_ones, key=lambda name: level.namespaces[name].turn.stamp, default=None)
        while (name := level.rotation.head()) is not None and name in full:
            level.rotation.discard(name)
        return name

    def namespaces(self) -> list[str]:
        """Return the namespaces of which something waits, by name."""
        return sorted({name for level in self._levels.values() for name in level.namespaces})

    def reopen(self, namespace: str) -> None:
        """Offer what waits of a namespace that was at its limit."""
        for level in self._levels.values():
            queue = level.namespaces.get(namespace)
            if queue is not None:
                level.rotation.add(queue.turn)
