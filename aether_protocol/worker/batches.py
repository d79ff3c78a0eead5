"""Attempts of inline executors, many in one child: what takes microseconds is not worth a process and a message of its own.

Law: a child carries its batch out one after the other. Where it dies, none of the batch is blamed: all that gave no result is
returned, and from then on each of those task runs is carried out by a child of its own, whose death is that attempt's.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aether_protocol.worker.pool import PoolObserver

MOST_IN_BATCH: Final = 64  # of a child at a time: others have their turn, and a kill costs no more
MOST_ALONE: Final = 10_000  # task runs that are remembered as such


class BatchChild(Protocol):
    """A child process, as batches need it."""

    def send(self, message: dict[str, Any]) -> None: ...

    def kill(self) -> None: ...


Hear = Callable[[dict[str, Any]], None]
Spawn = Callable[[], Awaitable[BatchChild]]
Listen = Callable[[Any, Hear], Awaitable[None]]  # until the child is gone


class _Child:
    def __init__(self) -> None:
        self.process: BatchChild | None = None  # None: it is being started
        self.tokens: dict[str, dict[str, Any]] = {}


class InlineBatches:
    """Carries out attempts of inline executors.

    Args:
        executors: the names of those that are inline.
        spawn: starts a child.
        listen: hears what a child says.
    """

    def __init__(self, executors: frozenset[str], spawn: Spawn, listen: Listen) -> None:
        self.observer: PoolObserver
        self._executors = executors
        self._spawn, self._listen = spawn, listen
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._children: list[_Child] = []
        self._where: dict[str, _Child | None] = {}  # by token; None: it waits
        self._alone: dict[str, None] = {}  # task runs
        self._due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def takes(self, assignment: dict[str, Any]) -> bool:
        """Whether an attempt can be one of a batch: nothing has to be fetched for it."""
        if assignment.get("executorType") not in self._executors or assignment.get("taskRunId") in self._alone:
            return False
        artifacts = assignment.get("artifacts") or {}
        return not (assignment.get("secrets") or artifacts.get("inputs") or artifacts.get("outputs"))

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        self._waiting.append((token, assignment))
        self._where[token] = None
        if not self._due:  # all that come in one answer go together
            self._due = True
            asyncio.get_running_loop().call_soon(self._share_out)

    def has(self, token: str) -> bool:
        return token in self._where

    def stop(self, token: str, within_s: float) -> None:
        """One that waits here does not begin; one that a child has ends by itself, or its child is killed."""
        child = self._where.get(token)
        if child is None:
            self._waiting = deque(one for one in self._waiting if one[0] != token)
            del self._where[token]
            self.observer.returned(token, "it was stopped")
        else:
            asyncio.get_running_loop().call_later(within_s, self.kill, token)

    def kill(self, token: str) -> None:
        child = self._where.get(token)
        if child is not None and child.process is not None:
            child.process.kill()

    def close(self) -> None:
        self._closing = True
        for child in self._children:
            if child.process is not None:
                child.process.kill()

    def _share_out(self) -> None:
        self._due = False
        while self._waiting and not self._closing:
            child = next((one for one in self._children if not one.tokens), None)
            if child is None:
                if len(self._children) >= (os.cpu_count() or 1):
                    return
                child = _Child()
                self._children.append(child)
                self._task(self._live(child))
            batch = [self._waiting.popleft() for _ in range(min(MOST_IN_BATCH, len(self._waiting)))]
            child.tokens = dict(batch)
            for token, _ in batch:
                self._where[token] = child
            self._send(child)

    @staticmethod
    def _send(child: _Child) -> None:
        if child.process is not None and child.tokens:
            child.process.send({"do": "several", "items": list(child.tokens.items())})

    async def _live(self, child: _Child) -> None:
        reason = "its process ended"
        try:
            child.process = await self._spawn()
            self._send(child)
            await self._listen(child.process, lambda message: self._hear(child, message))
        except OSError as error:
            reason = f"no process could be started: {error.strerror}"
        finally:
            self._children.remove(child)
            self._lost(child, reason)

    def _hear(self, child: _Child, message: dict[str, Any]) -> None:
        if message["say"] != "several":
            return
        for one in message["all"]:
            token = one["token"]
            if token not in child.tokens:
                continue
            if one["say"] == "logged":
                self.observer.logged(token, one["stream"], one["offset"], one["text"])
            elif one["say"] == "finished":
                del child.tokens[token], self._where[token]
                self.observer.finished(token, one["result"])
        if not child.tokens:
            self._share_out()

    def _lost(self, child: _Child, reason: str) -> None:
        """Return what a child that is gone has not done."""
        for token, assignment in child.tokens.items():
            del self._where[token]
            self._alone[str(assignment.get("taskRunId"))] = None
            if not self._closing:
                self.observer.returned(token, f"{reason}, which had others to do")
        while len(self._alone) > MOST_ALONE:
            del self._alone[next(iter(self._alone))]
        child.tokens = {}
        self._share_out()

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
