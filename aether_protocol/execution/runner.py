"""Runners: long-lived asyncio tasks that carry out one attempt after the other.

Law: a runner outlives its attempts, so an attempt costs no task of its own; stopping an attempt cancels its runner, which
takes the cancellation as meant for that attempt only. After FAIR attempts in a row it lets others go first.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

from aether_protocol.execution.attempt import Attempt, execute, refuse
from aether_protocol.execution.context import Host
from aether_protocol.ports.wire import TaskResult

FAIR: Final = 32


class Foreman(Host, Protocol):
    """What a runner needs of its broker."""

    def ended(self, attempt: Attempt, result: TaskResult | None) -> None: ...
    def lose(self, attempt: Attempt, error: BaseException) -> None: ...
    def park(self, runner: Runner) -> bool: ...


class Runner:
    """Begins with `attempt`; gets further ones by `give` while it is parked."""

    __slots__ = ("_attempt", "_foreman", "_wake", "task")

    def __init__(self, foreman: Foreman, attempt: Attempt) -> None:
        self._foreman = foreman
        self._attempt = attempt
        self._wake: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] = asyncio.create_task(self._work(), name="aether-runner")
        attempt.task = self.task

    def give(self, attempt: Attempt) -> None:
        attempt.task = self.task
        self._attempt = attempt
        if self._wake is not None:
            self._wake.set_result(None)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        foreman = self._foreman
        in_a_row = 0
        while True:
            attempt = self._attempt
            result = await self._carry_out(attempt)
            wake = self._wake = loop.create_future()
            kept = foreman.park(self)  # before `ended`, which may have the next attempt for this very runner
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
        """The result of `attempt`, or None where it was stopped."""
        if attempt.stopped or attempt.executor is None:
            return None
        assignment = attempt.assignment
        attempt.begun = True
        try:
            if attempt.executor.mode != "thread":
                self._foreman.sink.started(assignment.ref)
            return await execute(attempt, attempt.executor, self._foreman)
        except asyncio.CancelledError:
            return None if attempt.stopped else refuse(assignment, "the executor cancelled itself")
        finally:
            while self.task.cancelling():
                self.task.uncancel()
