"""Sends the messages of Celery, in a thread: its client waits for Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from aether_protocol.adapters.brokers.celery.address import TASK, CeleryAddress, celery_app

if TYPE_CHECKING:
    from celery import Celery

RETRY_S: Final = 0.5
_BATCH: Final = 200
STEPS: Final = ((750, 0), (500, 3), (250, 6), (0, 9))  # priority from which on, and what that is at Celery: 0 goes first
_SEPARATOR: Final = "\x06\x16"  # of kombu, between a queue and a step


class Message(Struct, gc=False):
    """A message: of which delivery, and into which queue."""

    task_run: str
    token: str
    queue: str
    step: int

    @property
    def list_name(self) -> str:
        """The list in Redis in which it waits."""
        return f"{self.queue}{_SEPARATOR}{self.step}" if self.step else self.queue

    @property
    def route(self) -> str:
        """Queue and step, as they lie in the table."""
        return f"{self.step}:{self.queue}"


def message_of(task_run: str, token: str, route: str) -> Message:
    """The message of a delivery that lies in the table."""
    step, _, queue = route.partition(":")
    return Message(task_run, token, queue, int(step))


def step_of(priority: int) -> int:
    """The step of a priority. Celery has four of them with Redis."""
    return next(step for least, step in STEPS if priority >= least)


class Publisher:
    """Sends messages in their order, again and again until Redis takes them.

    Args:
        address: the fleet.
        published: called with those that are in their queues.
    """

    def __init__(self, address: CeleryAddress, published: Callable[[Sequence[Message]], None]) -> None:
        self._address = address
        self._published = published
        self._app: Celery | None = None
        self._waiting: deque[Message] = deque()
        self._filled = asyncio.Event()

    def add(self, message: Message) -> None:
        """Send a message before long."""
        self._waiting.append(message)
        self._filled.set()

    async def run(self) -> None:
        """Send, until this is cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                sent = await asyncio.to_thread(self._send, batch)
                self._published(batch[:sent])
                if sent < len(batch):
                    self._waiting.extendleft(reversed(batch[sent:]))
                    await asyncio.sleep(RETRY_S)

    def _send(self, batch: Sequence[Message]) -> int:
        """Send a batch; gives how many of it are sent."""
        from kombu.exceptions import KombuError
        from redis.exceptions import RedisError

        sent = 0
        with contextlib.suppress(KombuError, RedisError, OSError):
            if self._app is None:
                self._app = celery_app(self._address)
            with self._app.producer_pool.acquire(block=True) as producer:
                for one in batch:
                    names = (one.task_run, one.token)
                    self._app.send_task(
                        TASK, names, task_id=one.token, queue=one.queue, priority=one.step, producer=producer, retry=False
                    )
                    sent += 1
        return sent

    def close(self) -> None:
        """Close the connections."""
        if self._app is not None:
            self._app.close()
