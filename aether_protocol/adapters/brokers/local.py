"""The local broker: runs executors in this process, inline, on the event loop, or in threads.

Law: everything but the body of a `thread` executor runs on the event loop's thread. An attempt is told to the sink at most
once, never after it was stopped, and whatever an executor does (raises, returns nonsense, cancels itself) becomes a result.
Attempts wait in one queue, higher priority first, then in the order of arrival (SCHED-11); a slot is an attempt under way.
A task run never runs beside itself: an attempt that comes twice runs once; another one stops it, and begins when it has ended.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from aether_protocol.errors import why
from aether_protocol.execution.attempt import Attempt, refuse, run_inline
from aether_protocol.execution.runner import Runner
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.execution.threads import Threads
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult

MAX_THREADS: Final = 64
KEEP_RUNNERS: Final = 64  # runners without work that are kept
STOP_S: Final = 5.0  # how long an attempt that was told to stop keeps its slot, and the broker from closing; or as it says
LEAVE_S: Final = 1.0  # how long the broker still waits once it has told them twice

_PRIORITY: Final = attrgetter("priority")
_NONE_REFUSED: Final[Mapping[AttemptRef, str]] = {}

_log = logging.getLogger("aether_protocol")


class LocalBroker:
    """See `ports.broker.Broker`. `executors` by type, or a list of them; of a mapping each is looked up when it is needed.

    `concurrency`: attempts under way at once, 0 or None for as many as come.

    `stager` lays artifacts down and picks them up; without one, tasks with artifacts end in Error. `workspaces` gives attempts
    their folders; `secrets` are asked in order for the texts that assignments refer to.
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
    ) -> None:
        self._executors: Mapping[str, Executor] = (
            executors if isinstance(executors, Mapping) else {executor.type.name: executor for executor in executors}
        )
        self._found: dict[str, Executor] = {}  # those that were needed so far
        self.clock = clock
        self.stager = stager
        self.workspaces = workspaces or Workspaces()
        self.secrets = SecretBook(secrets)
        self.busy = 0
        self._limit = concurrency or 0
        self._running = 0
        self._arrived = 0
        self._queue: list[tuple[int, int, Attempt]] = []
        self._attempts: dict[str, Attempt] = {}  # by task run
        self._idle: list[Runner] = []
        self._runners: set[asyncio.Task[None]] = set()
        self._quiet: list[asyncio.Future[None]] = []
        self._threads = Threads(self._limit or MAX_THREADS)
        self._closing = False
        self.sink: ResultSink

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink = sink
        self.workspaces.start()

    def room(self) -> int | None:
        return max(self._limit - self._running - len(self._queue), 0) if self._limit else None

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        for assignment in sorted(batch, key=_PRIORITY, reverse=True) if len(batch) > 1 else batch:
            self._take(assignment)
        return _NONE_REFUSED

    def _take(self, assignment: TaskAssignment) -> None:
        if not self._limit or (self._running < self._limit and not self._queue):
            self._begin(assignment)
        else:
            self._enqueue(assignment)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {ref: "held" if self._holds(ref) else "lost" for ref in refs}  # executors end with the process

    def _holds(self, ref: AttemptRef) -> bool:
        found = self._attempts.get(ref.task_run_id)
        if found is None or found.ref != ref or found.stopped:
            return found is not None and found.successor is not None and found.successor.ref == ref
        return True

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            self._stop(ref)

    def _stop(self, ref: AttemptRef) -> None:
        found = self._attempts.get(ref.task_run_id)
        if found is None:
            return
        if found.successor is not None and found.successor.ref == ref:
            found.successor = None
        if found.ref != ref:
            return
        if not found.stopped:
            found.stopped = True
            if found.task is None:  # it waits in the queue, where it is passed over
                del self._attempts[found.key]
                if found.successor is not None:
                    self._take(found.successor)
                self.sink.ready()
            else:
                if found.begun and not found.threaded:
                    found.task.cancel()
                asyncio.get_running_loop().call_later(max(STOP_S, found.stop_s), self._give_up, found)

    async def quiet(self) -> None:
        while self.busy:
            future = asyncio.get_running_loop().create_future()
            self._quiet.append(future)
            await future

    async def close(self) -> None:
        self._closing = True
        self._queue.clear()
        stop_s = STOP_S
        for attempt in list(self._attempts.values()):
            stop_s = max(stop_s, attempt.stop_s)
            self._stop(attempt.ref)
        for runner in self._idle:
            runner.task.cancel()
        await self._end_runners(stop_s)
        self.workspaces.close()

    async def _end_runners(self, stop_s: float) -> None:
        """Wait for them, and leave those behind that do not stop: code that stops for nothing must not keep us for ever."""
        if self._runners:
            _, left = await asyncio.wait(self._runners, timeout=stop_s)
            for task in left:
                task.cancel()  # again; and whoever waits for a thread now goes without it
            if left:
                _, left = await asyncio.wait(left, timeout=LEAVE_S)
            for task in left:
                asyncio.tasks._unregister_task(task)  # or `asyncio.run` would wait for it
            if left:
                _log.warning("%d executors ignored that they were told to stop, and are left behind", len(left))

    # --- slots ---

    def _new(self, assignment: TaskAssignment) -> Attempt | None:
        """What the broker knows of this attempt from now on; None where one of its task run is here and has not ended."""
        attempt = Attempt(assignment)
        before = self._attempts.setdefault(attempt.key, attempt)
        if before is attempt:
            return attempt
        if before.stopped or before.ref != attempt.ref:
            before.successor = assignment
            if not before.stopped:  # the order to stop it went with the engine that should have given it
                self._stop(before.ref)
        return None

    def _enqueue(self, assignment: TaskAssignment) -> None:
        attempt = self._new(assignment)
        if attempt is not None:
            self._arrived += 1
            heapq.heappush(self._queue, (-assignment.priority, self._arrived, attempt))

    def _begin(self, assignment: TaskAssignment, attempt: Attempt | None = None) -> None:
        """Run it here if that is quick, else hand it to a runner."""
        name = assignment.target.executor_type
        executor = self._found.get(name) or self._find(name)
        if executor is None or (executor.mode == "inline" and not self._must_wait(assignment)):
            if attempt is not None:
                del self._attempts[attempt.key]
            result = refuse(assignment, self._unknown(name)) if executor is None else run_inline(executor, assignment, self)
            self.sink.finished(result)
            return
        attempt = attempt or self._new(assignment)
        if attempt is None:
            return
        attempt.executor = executor
        self._running += 1
        self.mark_busy()
        if self._idle:
            self._idle.pop().give(attempt)
        else:
            task = Runner(self, attempt).task
            self._runners.add(task)
            task.add_done_callback(self._runner_ended)

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

    def _pump(self) -> None:
        """Fill free slots from the queue."""
        while self._queue and self._running < self._limit:
            attempt = heapq.heappop(self._queue)[2]
            if not attempt.stopped:
                self._begin(attempt.assignment, attempt)

    def _give_up(self, attempt: Attempt) -> None:
        """It was told to stop and did not: nobody waits for it any longer."""
        if self._attempts.get(attempt.key) is attempt and not self._closing:
            attempt.slot_released = True
            self._running -= 1
            self._forget(attempt)
            self._pump()
            self.sink.ready()

    def _forget(self, attempt: Attempt) -> None:
        if self._attempts.get(attempt.key) is attempt:
            del self._attempts[attempt.key]
            if attempt.successor is not None and not self._closing:
                self._take(attempt.successor)

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        self._runners.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._closing:
            _log.error("a runner broke", exc_info=error)
            for attempt in [one for one in self._attempts.values() if one.task is task]:
                self.lose(attempt, error)

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._executors)) or "none"
        return f"unknown executor type {name!r} (registered: {known})"

    # --- for runners and contexts ---

    def ended(self, attempt: Attempt, result: TaskResult | None) -> None:
        """A runner is through with its attempt."""
        if not attempt.slot_released:
            self._running -= 1
        self._forget(attempt)
        if result is not None and not attempt.stopped:
            self.sink.finished(result)
        self.rest()
        if self._limit and not self._closing:
            if self._queue:
                self._pump()
            self.sink.ready()

    def lose(self, attempt: Attempt, error: BaseException) -> None:
        """What carried an attempt out broke: internal error, and that attempt may be its cause."""
        if not attempt.slot_released:
            self._running -= 1
            attempt.slot_released = True
        self._forget(attempt)
        self.sink.lost(attempt.ref, f"its runner broke: {why(error)}", True)

    def park(self, runner: Runner) -> bool:
        """Keep this runner for later; False: it may go."""
        if self._closing or len(self._idle) >= KEEP_RUNNERS:
            return False
        self._idle.append(runner)
        return True

    def mark_busy(self) -> None:
        """One more is busy."""
        self.busy += 1

    def rest(self) -> None:
        """One less is busy: it ended, or it waits on the clock."""
        self.busy -= 1
        if not self.busy and self._quiet:
            for future in self._quiet:
                if not future.done():
                    future.set_result(None)
            self._quiet.clear()

    def threads(self) -> Threads:
        return self._threads
