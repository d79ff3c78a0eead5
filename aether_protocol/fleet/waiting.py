"""Everything that waits for a worker: in the queues of its class, delayed after a refusal, or behind an earlier attempt.

Law: an attempt stands in one place at most, and of a task run the newest attempt alone waits. What is chosen next is the most
urgent attempt of all classes that have a ready session with room for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Final

from aether_protocol.fleet.queue import ClassQueue, Turns
from aether_protocol.fleet.sessions import WorkClass, WorkerSession
from aether_protocol.fleet.work import Need, Work
from aether_protocol.plan.placement import Selector, parse_selector
from aether_protocol.ports.wire import AttemptRef

_ANY: Final = Selector()
_IDLE_CLASSES: Final = 1024  # classes without work are kept, for a chain of tasks would make its class anew each time


class Waiting:
    """The attempts without a worker, and the classes through which they find one."""

    def __init__(self) -> None:
        self.classes: dict[Need, WorkClass] = {}
        self.sessions: dict[str, WorkerSession] = {}
        self.queued: dict[AttemptRef, Work] = {}
        self.delayed: dict[AttemptRef, Work] = {}
        self.behind: dict[str, Work] = {}  # by task run: waits until the delivery of an earlier attempt has ended
        self.newest: dict[str, Work] = {}  # by task run: what waits of it, wherever
        self.full: set[str] = set()
        self._running: dict[str, int] = {}
        self._weights: Mapping[str, int] = {}
        self._limits: Mapping[str, int] = {}
        self._namespaces = Turns(lambda name: self._weights.get(name, 1))
        self._runs = Turns()
        self.busy: dict[Need, WorkClass] = {}  # with something queued
        self._due: list[tuple[int, int, AttemptRef]] = []  # (when, order, ref): end of a delay, or of the longest wait
        self._order = 0

    def __len__(self) -> int:
        return len(self.newest)

    # --- in and out -------------------------------------------------------------------------------------------------

    def enter(self, work: Work) -> None:
        """Give a new attempt its place in the order of becoming ready; where to is said by one of the next three."""
        self._order += 1
        work.order = self._order
        self.newest[work.task_run_id] = work
        if work.wait_until is not None:
            heapq.heappush(self._due, (work.wait_until, work.order, work.ref))

    def queue(self, work: Work, *, first: bool = False) -> None:
        """Let an attempt wait for a worker.

        Raises:
            ValueError: its selector or its preference cannot be parsed.
        """
        group = self._class_of(work.need)
        self.newest[work.task_run_id] = work
        self.queued[work.ref] = work
        if not group.queue:
            self.busy[work.need] = group
        group.queue.add(work, first=first)

    def delay(self, work: Work, until: int) -> None:
        """Let an attempt wait until then (microseconds) before it is queued again."""
        self.newest[work.task_run_id] = work
        self.delayed[work.ref] = work
        heapq.heappush(self._due, (until, work.order, work.ref))

    def end_delays(self) -> None:
        """Queue what waits for a time to be over, but for what was refused."""
        for work in [work for work in self.delayed.values() if not work.refusals]:
            self.remove(work)
            self.queue(work)

    def hold_behind(self, work: Work) -> None:
        """Let an attempt wait until the delivery of an earlier one of its task run has ended."""
        self.newest[work.task_run_id] = work
        self.behind[work.task_run_id] = work

    def remove(self, work: Work, *, started: bool = False) -> None:
        """Take an attempt from where it waits; `started`: since it was assigned."""
        self.newest.pop(work.task_run_id, None)
        if self.queued.pop(work.ref, None) is not None:
            group = self.classes[work.need]
            group.queue.remove(work, started=started)
            if not group.queue:
                del self.busy[work.need]
        else:
            self.behind.pop(work.task_run_id, None)
            self.delayed.pop(work.ref, None)

    def pop_due(self, now: int) -> Iterator[Work]:
        """Yield what has waited for as long as it may, or whose delay is over. The caller looks which of the two it is."""
        while self._due and self._due[0][0] <= now:
            ref = heapq.heappop(self._due)[2]
            work = self.newest.get(ref.task_run_id)
            if work is not None and work.ref == ref:
                yield work

    def next_due(self) -> int | None:
        """Return when `pop_due` next has something, at the earliest."""
        return self._due[0][0] if self._due else None

    # --- sessions ---------------------------------------------------------------------------------------------------

    def add_session(self, session: WorkerSession) -> None:
        self.sessions[session.name] = session
        for group in self.classes.values():
            self._join(group, session)

    def remove_session(self, session: WorkerSession) -> None:
        del self.sessions[session.name]
        for group in session.classes.values():
            group.mark_unready(session)
            del group.fitting[session.name]
        session.classes.clear()

    @staticmethod
    def mark_ready(session: WorkerSession) -> None:
        """A session has an open poll, or room again: all classes that fit it may choose it."""
        if session.credit > 0 and session.state == "active":
            for group in session.classes.values():
                group.mark_ready(session)

    @staticmethod
    def mark_unready(session: WorkerSession) -> None:
        for group in session.classes.values():
            group.mark_unready(session)

    # --- choosing ---------------------------------------------------------------------------------------------------

    def choose(self, favourites: Mapping[str, str]) -> tuple[Work, WorkerSession] | None:
        """Return the most urgent attempt that a ready session has room for, and the session; `favourites`: the session that
        last had an attempt of a run. The attempt stays queued."""
        while True:
            best = None
            for group in self.busy.values():
                for served in group.ready:
                    found = group.queue.peek(served, self.full)
                    if found is not None and (best is None or found[0] < best[0]):
                        best = (*found, group, served)
            if best is None:
                return None
            _, work, group, served = best
            session = group.choose(served, favourites.get(work.run_id) if work.sticky else None)
            if session is not None:
                return work, session

    def next_of(self, need: Need, namespaces: frozenset[str] | None) -> Work | None:
        """Return the most urgent attempt that asks for just this. It stays queued."""
        group = self.busy.get(need)
        found = None if group is None else group.queue.peek(namespaces, self.full)
        return None if found is None else found[1]

    # --- namespaces -------------------------------------------------------------------------------------------------

    def set_limits(self, weights: Mapping[str, int], limits: Mapping[str, int]) -> None:
        self._weights, self._limits = weights, limits
        for name in {*self._running, *self.full}:
            self._judge(name)

    def count_start(self, namespace: str) -> None:
        self._running[namespace] = self._running.get(namespace, 0) + 1
        if self._limits:
            self._judge(namespace)

    def count_end(self, namespace: str) -> None:
        self._running[namespace] -= 1
        if self._limits:
            self._judge(namespace)
        if not self._running[namespace]:
            del self._running[namespace]

    def running(self, namespace: str) -> int:
        return self._running.get(namespace, 0)

    def _judge(self, namespace: str) -> None:
        limit = self._limits.get(namespace)
        if limit is not None and self._running.get(namespace, 0) >= limit:
            self.full.add(namespace)
        elif namespace in self.full:
            self.full.discard(namespace)
            for group in self.busy.values():
                group.queue.reopen(namespace)

    # --- classes ----------------------------------------------------------------------------------------------------

    def sessions_for(self, need: Need) -> Mapping[str, WorkerSession]:
        """Return the sessions that fit, by name."""
        return self._class_of(need).fitting

    def _class_of(self, need: Need) -> WorkClass:
        group = self.classes.get(need)
        if group is None:
            selector = parse_selector(need.selector) if need.selector else _ANY
            prefer = parse_selector(need.prefer) if need.prefer else None
            self._drop_idle()
            group = self.classes[need] = WorkClass(need, selector, prefer, ClassQueue(self._namespaces, self._runs))
            for session in self.sessions.values():
                self._join(group, session)
        return group

    def _join(self, group: WorkClass, session: WorkerSession) -> None:
        if group.fits(session):
            group.fitting[session.name] = session
            session.classes[group.need] = group
            if session.credit > 0 and session.state == "active":
                group.mark_ready(session)

    def _drop_idle(self) -> None:
        if len(self.classes) - len(self.busy) < _IDLE_CLASSES:
            return
        for need in [need for need in self.classes if need not in self.busy]:
            for session in self.classes.pop(need).fitting.values():
                del session.classes[need]
