"""Timers of all runs: one heap, of which the clock knows the earliest only.

Law: a run's `timers` say what is set; the heap may hold more. What was cleared or set anew is dropped when it comes up, or
when such entries are more than half of the heap. Timers of one kind due at one instant come out in document order of
their run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.scheduler.outstanding import firing_order

_SLACK: Final = 256  # entries too many that are not worth a clean-up

OnDue = Callable[[ActiveRun, int, TimerKind, int], None]


class Timers:
    """`on_due(run, node, kind, due)` is called for each timer whose instant has come. `follow` looks at the clock first, and
    calls `set_back` where that is due."""

    def __init__(self, clock: Clock, on_due: OnDue, follow: Callable[[], int]) -> None:
        self._clock = clock
        self._follow = follow
        self._on_due = on_due
        self._heap: list[tuple[int, int, int, ActiveRun]] = []
        self._made = 0
        self._live = 0
        self._alarm: TimerHandle | None = None
        self._alarm_due = 0
        self._maybe_idle = False  # the timer that the clock knows may have been cleared

    def set(self, run: ActiveRun, node: int, kind: TimerKind, due: int) -> None:
        """Replaces an earlier timer (run, node, kind)."""
        key = node * 2 + kind
        if run.timers.get(key) is None:
            self._live += 1
        run.timers[key] = due
        self._made += 1
        heapq.heappush(self._heap, (due, self._made, key, run))
        if self._alarm is None or due < self._alarm_due:
            self._arm()
        if len(self._heap) > 2 * self._live + _SLACK:
            self._clean()

    def clear(self, run: ActiveRun, node: int, kind: TimerKind) -> None:
        due = run.timers.pop(node * 2 + kind, None)
        if due is not None:
            self._live -= 1
            if due == self._alarm_due:
                self._maybe_idle = True

    def drop(self, run: ActiveRun) -> None:
        """Clear all timers of a run."""
        if run.timers:
            self._live -= len(run.timers)
            run.timers.clear()
            self._maybe_idle = True

    def set_back(self, by_us: int) -> None:
        """The clock was set back: all timers with it."""
        self._heap = [(due - by_us, made, key, run) for due, made, key, run in self._heap]
        for run in {entry[3] for entry in self._heap}:
            run.timers = {key: due - by_us for key, due in run.timers.items()}
        self._arm()

    def tidy(self) -> None:
        """Between turns: the clock shall not wait for a timer that no run needs any more."""
        if self._maybe_idle:
            self._arm()

    def close(self) -> None:
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _arm(self) -> None:
        """Tell the clock of the earliest timer that still counts."""
        self._maybe_idle = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        heap = self._heap
        while heap and heap[0][3].timers.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        if heap:
            self._alarm_due = heap[0][0]
            self._alarm = self._clock.call_at(self._alarm_due, self._ring)

    def _ring(self) -> None:
        """What is overdue, else what is due this very instant: the ends of backoffs first, and deadlines only when
        nothing else can happen any more at their instant (the clock calls again)."""
        self._alarm = None
        now = self._follow()
        due_now: list[tuple[int, ActiveRun, int]] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, key, run = heapq.heappop(heap)
            if run.timers.get(key) == due:
                due_now.append((due, run, key))
        late = [entry for entry in due_now if entry[0] < now]
        chosen = late or [entry for entry in due_now if entry[2] & 1 == TimerKind.BACKOFF] or due_now
        chosen.sort(key=_instant_then_document)
        for due, run, key in chosen:
            if run.timers.get(key) == due:  # else set twice for one instant
                del run.timers[key]
                self._live -= 1
                self._on_due(run, key >> 1, TimerKind(key & 1), due)
        if len(chosen) < len(due_now):
            for due, run, key in due_now:
                if run.timers.get(key) == due:
                    self._made += 1
                    heapq.heappush(heap, (due, self._made, key, run))
        self._arm()

    def _clean(self) -> None:
        self._heap = [entry for entry in self._heap if entry[3].timers.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)


def _instant_then_document(entry: tuple[int, ActiveRun, int]) -> tuple[int, int, tuple[int, ...]]:
    due, run, key = entry
    instant, place = firing_order(run.state, due, key >> 1)
    return instant, run.number, place
