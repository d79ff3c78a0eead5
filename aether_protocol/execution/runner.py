"""Runners: long-lived asyncio tasks that carry out one attempt after the other, and the pool that keeps them.

Law: a runner outlives its attempts, so an attempt costs no task of its own; stopping an attempt cancels its runner, which
takes the cancellation as meant for that attempt only. After FAIR attempts in a row it lets others go first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final, Protocol

from aether_protocol.execution.attempt import Attempt, execute, refuse
from aether_protocol.execution.context import Host
from aether_protocol.ports.wire import TaskResult

FAIR: Final = 32
KEEP: Final = 64  # runners without work that are kept
LEAVE_S: Final = 1.0  # how long a pool that closes still waits once it has cancelled them twice

_log = logging.getLogger("aether_protocol")


class Foreman(Host, Protocol):
    """What runners need of the broker or worker that they belong to."""

    def ended(self, attempt: Attempt, result: TaskResult | None) -> None: ...
    def lose(self, attempt: Attempt, error: BaseException) -> None: ...


class RunnerPool:
    """The runners of one process; those without work are kept for the next attempt."""

    def __init__(self, foreman: Foreman) -> None:
        self._foreman = foreman
        self._idle: list[Runner] = []
        self._all: dict[asyncio.Task[None], Runner] = {}
        self._closing = False

    def give(self, attempt: Attempt) -> None:
        """Let a runner carry out an attempt."""
        if self._idle:
            self._idle.pop().give(attempt)
        else:
            runner = Runner(self._foreman, self, attempt)
            self._all[runner.task] = runner
            runner.task.add_done_callback(self._ended)

    def park(self, runner: Runner) -> bool:
        """Keep this runner for later; False: it may end."""
        if self._closing or len(self._idle) >= KEEP:
            return False
        self._idle.append(runner)
        return True

    async def close(self, stop_s: float) -> None:
        """Wait so long for the runners, and leave those behind that do not stop: code that ignores a cancellation must not
        keep a program from ending."""
        self._closing = True
        for runner in self._idle:
            runner.task.cancel()
        if not self._all:
            return
        _, left = await asyncio.wait(self._all, timeout=stop_s)
        for task in left:
            task.cancel()  # again; and one that waits for a thread ends without it
        if left:
            _, left = await asyncio.wait(left, timeout=LEAVE_S)
        for task in left:
            self._all[task].abandon()
        if left:
            _log.warning("%d executors ignored the request to stop, and are left behind", len(left))

    def _ended(self, task: asyncio.Task[None]) -> None:
        attempt = self._all.pop(task).attempt
        if self._closing:
            task.cancelled() or task.exception()  # asked for, so that asyncio does not complain
        elif task.cancelled():
            self._foreman.ended(attempt, refuse(attempt.assignment, "the executor cancelled itself"))
        elif (error := task.exception()) is not None:
            _log.error("a runner broke", exc_info=error)
            self._foreman.activity.end()
            self._foreman.lose(attempt, error)


class Runner:
    """Begins with `attempt`; gets further ones by `give` while it is parked."""

    __slots__ = ("_foreman", "_pool", "_wake", "attempt", "task")

    def __init__(self, foreman: Foreman, pool: RunnerPool, attempt: Attempt) -> None:
        self._foreman = foreman
        self._pool = pool
        self.attempt = attempt
        self._wake: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] = asyncio.create_task(self._work(), name="aether-runner")
        attempt.task = self.task

    def give(self, attempt: Attempt) -> None:
        attempt.task = self.task
        self.attempt = attempt
        if self._wake is not None:
            self._wake.set_result(None)

    def abandon(self) -> None:
        """End code that ignores its cancellation: its coroutine is closed where it waits, so that `asyncio.run` need not."""
        coroutine = self.task.get_coro()
        with contextlib.suppress(Exception):  # it may ignore this too
            if coroutine is not None:
                coroutine.close()
        self.task.cancel()  # wakes the task, which finds its coroutine closed

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        foreman = self._foreman
        in_a_row = 0
        while True:
            attempt = self.attempt
            result = None if attempt.stopped else await self._carry_out(attempt)
            wake = self._wake = loop.create_future()
            kept = self._pool.park(self)  # before `ended`, which may have the next attempt for this very runner
            try:
                foreman.ended(attempt, result)
            except Exception as error:
                foreman.lose(attempt, error)
            if not kept:
                return
            if not wake.done():
                in_a_row = 0
                with contextlib.suppress(asyncio.CancelledError):
                    await wake
                if not wake.done() or wake.cancelled():
                    return
            else:
                in_a_row += 1
                if in_a_row >= FAIR:
                    in_a_row = 0
                    await asyncio.sleep(0)

    async def _carry_out(self, attempt: Attempt) -> TaskResult | None:
        """The result of `attempt`, or None where it was stopped. Raises CancelledError where it was not, and is cancelled."""
        executor = attempt.executor
        assert executor is not None, "a runner gets attempts that have one"
        attempt.begun = True
        try:
            if executor.mode != "thread":
                self._foreman.sink.started(attempt.ref)
            return await execute(attempt, executor, self._foreman)
        except asyncio.CancelledError:
            if not attempt.stopped:  # by its executor, or with the event loop: either way this runner ends
                raise
            return None
        finally:
            while self.task.cancelling():
                self.task.uncancel()
