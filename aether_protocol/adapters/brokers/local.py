"""The local broker: carries out attempts in this process, inline, on the event loop, or in threads.

Law: everything but the body of a `thread` executor runs on the event loop's thread. An attempt is reported at most once, never
after it was stopped, and whatever an executor does (raises, returns nonsense, cancels itself) becomes a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from aether_protocol.errors import why
from aether_protocol.execution.activity import Activity
from aether_protocol.execution.attempt import Attempt, refuse, run_inline
from aether_protocol.execution.runner import RunnerPool
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.execution.slots import Slots
from aether_protocol.execution.threads import Threads
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.notifier import Notifier
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult

MAX_THREADS: Final = 64
STOP_S: Final = 5.0  # how long an attempt that is to stop keeps its slot, and the broker from closing; or as it says itself

_PRIORITY: Final = attrgetter("priority")
_NONE_REFUSED: Final[Mapping[AttemptRef, str]] = {}


class LocalBroker:
    """See `ports.broker.Broker`.

    Args:
        executors: By type, or a list of them. Of a mapping each is looked up when it is needed.
        clock: On which executors sleep.
        concurrency: Attempts that run at once; 0 or None for as many as come.
        stager: Lays artifacts down and picks them up; without one, tasks with artifacts end in Error.
        workspaces: Gives attempts their folders.
        secrets: Asked in order for the texts that assignments refer to.
        notifiers: What executors may notify people by, by name.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor] | Iterable[Executor],
        clock: Clock,
        *,
        concurrency: int | None = None,
        stager: Stager | None = None,
        workspaces: Workspaces | None = None,
        secrets: Sequence[SecretProvider] = (),
        notifiers: Mapping[str, Notifier] | None = None,
    ) -> None:
        self._executors: Mapping[str, Executor] = (
            executors if isinstance(executors, Mapping) else {executor.type.name: executor for executor in executors}
        )
        self._found: dict[str, Executor] = {}  # those that were needed so far
        self.clock = clock
        self.stager = stager
        self.workspaces = workspaces or Workspaces()
        self.secrets = SecretBook(secrets)
        self.notifiers = notifiers or {}
        self.activity = Activity()
        self.threads = Threads(concurrency or MAX_THREADS)
        self._slots = Slots(concurrency or 0)
        self._runners = RunnerPool(self)
        self._closing = False
        self.sink: ResultSink

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink = sink
        self.workspaces.start()

    def room(self) -> int | None:
        return self._slots.room() if self._slots.limit else None

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        for assignment in sorted(batch, key=_PRIORITY, reverse=True) if len(batch) > 1 else batch:
            self._take(assignment)
        return _NONE_REFUSED

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {ref: "held" if self._slots.holds(ref) else "lost" for ref in refs}  # executors end with the process

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            found = self._slots.withdraw(ref)
            if found is not None:
                self._stop(found)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        await self.stop(refs)  # no other engine can reach them

    async def close(self) -> None:
        self._closing = True
        self._slots.clear()
        stop_s = STOP_S
        for attempt in self._slots:
            stop_s = max(stop_s, attempt.stop_s)
            self._stop(attempt)
        await self._runners.close(stop_s)
        self.workspaces.close()

    # --- testing.settling.Settling ---

    @property
    def busy(self) -> int:
        return self.activity.busy

    async def quiet(self) -> None:
        await self.activity.quiet()

    # --- beginning ---

    def _take(self, assignment: TaskAssignment) -> None:
        target, slots = assignment.target, self._slots
        executor = self._found.get(target.executor_type) or self._find(target.executor_type)
        if executor is not None and executor.mode == "inline" and slots.free_for(assignment):
            plain = not (assignment.artifacts or target.artifacts or assignment.secrets)
            if plain or not self._must_wait(assignment):
                self.sink.finished(run_inline(executor, assignment, self))
                return
        attempt = Attempt(assignment)
        attempt.executor = executor
        before = slots.enter(attempt)
        if before is not attempt:
            if before.follow(assignment) and not before.stopped:
                self._stop(before)  # the order to stop it was lost with the engine that should have given it
        elif slots.free:
            self._begin(attempt)
        else:
            slots.enqueue(attempt)

    def _begin(self, attempt: Attempt) -> None:
        """Give it a slot, or its result where that is quick."""
        executor, assignment = attempt.executor, attempt.assignment
        if executor is not None and (executor.mode != "inline" or self._must_wait(assignment)):
            self._slots.take()
            self.activity.begin()
            self._runners.give(attempt)
            return
        successor = self._slots.leave(attempt)
        self.sink.finished(run_inline(executor, assignment, self) if executor is not None else self._refuse(assignment))
        self._follow(successor)

    def _must_wait(self, assignment: TaskAssignment) -> bool:
        """Whether something has to be fetched or kept for an attempt, which takes time even where its executor is quick."""
        if assignment.artifacts or assignment.target.artifacts:
            return True
        return bool(assignment.secrets) and self.secrets.must_wait(assignment)

    def _find(self, name: str) -> Executor | None:
        executor = self._executors.get(name)
        if executor is not None:
            self._found[name] = executor
        return executor

    def _refuse(self, assignment: TaskAssignment) -> TaskResult:
        known = ", ".join(sorted(self._executors)) or "none"
        return refuse(assignment, f"unknown executor type {assignment.executor_type!r} (registered: {known})")

    # --- ends ---

    def _stop(self, attempt: Attempt) -> None:
        if attempt.stopped:
            return
        attempt.stopped = True
        if attempt.task is None:  # it waits in the queue, where it is passed over
            self._follow(self._slots.leave(attempt))
            self.sink.ready()
        else:
            if attempt.begun and not attempt.threaded:
                attempt.task.cancel()
            asyncio.get_running_loop().call_later(max(STOP_S, attempt.stop_s), self._give_up, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        """Wait no longer for one that was to stop and did not."""
        if self._slots.find(attempt.key) is attempt and not self._closing:
            self._gone(attempt)
            self._pump()
            self.sink.ready()

    def ended(self, attempt: Attempt, result: TaskResult | None) -> None:
        """Take what a runner has for an attempt: its result, None where it was stopped."""
        self._gone(attempt)
        self.activity.end()
        if result is not None and not attempt.stopped:
            self.sink.finished(result)
        if self._slots.limit and not self._closing:
            self._pump()
            self.sink.ready()

    def lose(self, attempt: Attempt, error: BaseException) -> None:
        """Report an attempt whose runner broke: an internal error, and that attempt may be its cause."""
        self._gone(attempt)
        self.sink.lost(attempt.ref, f"its runner broke: {why(error)}", True)

    def _gone(self, attempt: Attempt) -> None:
        self._slots.give_back(attempt)
        self._follow(self._slots.leave(attempt))

    def _follow(self, successor: TaskAssignment | None) -> None:
        if successor is not None and not self._closing:
            self._take(successor)

    def _pump(self) -> None:
        """Fill free slots from the queue."""
        while (attempt := self._slots.next()) is not None:
            self._begin(attempt)
