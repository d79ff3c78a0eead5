"""Waiting attempts in the order in which they are due: priority, namespace, run, time of becoming ready.

Law: to add, to take and to withdraw cost the same however many wait. Turns of namespaces and runs are counted over all
classes of a priority: a stamp says when it was last served, and the oldest is next. Heaps keep old stamps and are corrected
when their head is looked at, which is sound since a stamp only grows.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Hashable, Iterator
from functools import partial

from aether_protocol.fleet.work import Work
from aether_protocol.ports.wire import AttemptRef

__all__ = ["ClassQueue", "Turns", "Urgency"]

Urgency = tuple[int, int, int, int]  # -priority, turn of the namespace, turn of the run, order; the least is first


class Turns:
    """Who was served when, at each priority. A key comes in behind all others, and is forgotten with its last attempt."""

    def __init__(self, weight: Callable[[str], int] = lambda key: 1) -> None:
        self._weight = weight
        self._clock = 0
        self._stamps: dict[Hashable, int] = {}
        self._left: dict[Hashable, int] = {}  # how many more times in a row
        self._waiting: dict[Hashable, int] = {}

    def stamp(self, key: Hashable) -> int:
        return self._stamps[key]

    def enter(self, key: Hashable, name: str) -> None:
        """Count one more waiting attempt of this key."""
        count = self._waiting.get(key, 0)
        self._waiting[key] = count + 1
        if not count:
            self._advance(key, name)

    def leave(self, key: Hashable) -> None:
        """Count one waiting attempt less."""
        self._waiting[key] -= 1
        if not self._waiting[key]:
            del self._waiting[key], self._stamps[key], self._left[key]

    def serve(self, key: Hashable, name: str) -> None:
        """Note a start: after as many as its weight it goes behind all others."""
        self._left[key] -= 1
        if self._left[key] <= 0:
            self._advance(key, name)

    def _advance(self, key: Hashable, name: str) -> None:
        self._clock += 1
        self._stamps[key] = self._clock
        self._left[key] = max(1, self._weight(name))


class Rotation:
    """Keys with something waiting, the one served longest ago first."""

    def __init__(self, stamp: Callable[[str], int]) -> None:
        self._stamp = stamp
        self._heap: list[tuple[int, str]] = []
        self._listed: set[str] = set()  # has an entry in the heap, whose stamp may be old
        self._present: set[str] = set()

    def add(self, key: str) -> None:
        self._present.add(key)
        if key not in self._listed:
            self._listed.add(key)
            heapq.heappush(self._heap, (self._stamp(key), key))

    def discard(self, key: str) -> None:
        self._present.discard(key)  # its entry goes when it comes to the head

    def head(self) -> str | None:
        heap = self._heap
        while heap:
            stamp, key = heap[0]
            if key not in self._present:
                self._listed.discard(heapq.heappop(heap)[1])
                continue
            current = self._stamp(key)
            if current == stamp:
                return key
            heapq.heapreplace(heap, (current, key))
        return None

    def __contains__(self, key: str) -> bool:
        return key in self._present

    def __bool__(self) -> bool:
        return bool(self._present)


class _NamespaceQueue:
    """What waits of one namespace at one priority: of each run in the order of becoming ready."""

    def __init__(self, stamp: Callable[[str], int]) -> None:
        self.rotation = Rotation(stamp)
        self.runs: dict[str, OrderedDict[AttemptRef, Work]] = {}


class _Level:
    """What waits at one priority."""

    def __init__(self, stamp: Callable[[str], int]) -> None:
        self.rotation = Rotation(stamp)
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
                    yield from run.values()

    def add(self, work: Work, *, first: bool = False) -> None:
        """Queue an attempt; `first`: before the others of its run, since it was there before."""
        level = self._levels.get(work.priority)
        if level is None:
            level = self._levels[work.priority] = _Level(partial(self._stamp, self._namespaces, work.priority))
            insort(self._priorities, -work.priority)
        self._namespaces.enter((work.priority, work.namespace), work.namespace)
        self._runs.enter((work.priority, work.run_id), work.run_id)
        queue = level.namespaces.get(work.namespace)
        if queue is None:
            queue = level.namespaces[work.namespace] = _NamespaceQueue(partial(self._stamp, self._runs, work.priority))
        run = queue.runs.get(work.run_id)
        if run is None:
            run = queue.runs[work.run_id] = OrderedDict()
        run[work.ref] = work
        if first:
            run.move_to_end(work.ref, last=False)
        queue.rotation.add(work.run_id)
        level.rotation.add(work.namespace)
        self._count += 1

    def remove(self, work: Work, *, started: bool = False) -> None:
        """Take an attempt out; `started`: its namespace and its run have had their turn."""
        level = self._levels[work.priority]
        queue = level.namespaces[work.namespace]
        run = queue.runs[work.run_id]
        del run[work.ref]
        self._count -= 1
        for turns, name in ((self._namespaces, work.namespace), (self._runs, work.run_id)):
            if started:
                turns.serve((work.priority, name), name)
            turns.leave((work.priority, name))
        if run:
            return
        del queue.runs[work.run_id]
        queue.rotation.discard(work.run_id)
        if queue.runs:
            return
        del level.namespaces[work.namespace]
        level.rotation.discard(work.namespace)
        if not level.namespaces:
            del self._levels[work.priority]
            self._priorities.remove(-work.priority)

    def peek(self, served: Collection[str] | None, full: Container[str]) -> tuple[Urgency, Work] | None:
        """Return the attempt that is next, and how urgent it is beside those of other classes.

        Args:
            served: the namespaces to choose from; None: all.
            full: namespaces at their limit, which are passed over until `reopen`.
        """
        for negated in self._priorities:
            level = self._levels[-negated]
            namespace = self._next_namespace(level, -negated, served, full)
            if namespace is None:
                continue
            queue = level.namespaces[namespace]
            run_id = queue.rotation.head()
            if run_id is None:  # pragma: no cover (a namespace is listed while a run of it waits)
                raise AssertionError(f"namespace {namespace!r} is listed and has nothing waiting")
            work = next(iter(queue.runs[run_id].values()))
            turn = self._namespaces.stamp((-negated, namespace)), self._runs.stamp((-negated, run_id))
            return (negated, *turn, work.order), work
        return None

    def _next_namespace(self, level: _Level, priority: int, served: Collection[str] | None, full: Container[str]) -> str | None:
        if served is not None:
            open_ones = [name for name in served if name in level.namespaces and name not in full]
            return min(open_ones, key=lambda name: self._namespaces.stamp((priority, name)), default=None)
        while (name := level.rotation.head()) is not None and name in full:
            level.rotation.discard(name)
        return name

    def reopen(self, namespace: str) -> None:
        """Offer what waits of a namespace that was at its limit."""
        for level in self._levels.values():
            if namespace in level.namespaces:
                level.rotation.add(namespace)

    @staticmethod
    def _stamp(turns: Turns, priority: int, name: str) -> int:
        return turns.stamp((priority, name))
