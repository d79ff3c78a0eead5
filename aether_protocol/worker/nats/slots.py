"""What several supervisors of one worker share: its slots, and the pool of processes behind them.

Law: an attempt that was begun takes a slot until the pool has reported its end, whatever its supervisor thinks of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from aether_protocol.ports.worker import SecretName, SecretText
from aether_protocol.worker.artifacts import Move
from aether_protocol.worker.pool import AttemptPool, PoolObserver


class SharedSlots:
    """Slots for attempts. `freed`: called when there may be more free ones.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.running: dict[str, PoolObserver] = {}  # by token
        self.waiting: set[SlotGate] = set()  # that have their turn and got nothing yet
        self.freed: list[Callable[[], None]] = []
        self._kept = 0

    @property
    def free(self) -> int:
        """How many are neither taken nor kept for an answer."""
        return max(0, self.total - len(self.running) - self._kept)

    def keep(self, most: int) -> int:
        """Keep a part of the free ones: as much as each that waits could have."""
        share = -(-self.free // max(1, len(self.waiting)))
        kept = min(most, share)
        self._kept += kept
        return kept

    def give_back(self, kept: int) -> None:
        """What was kept is free again, or was taken meanwhile."""
        self._kept -= kept
        self.tell()

    def tell(self) -> None:
        """There may be more free ones."""
        for gate in list(self.waiting):
            gate.look.set()
        for call in self.freed:
            call()


class SlotGate:
    """See `worker.supervisor.PollGate`: a turn comes with a ticket, and again as long as the engine has something."""

    def __init__(self, slots: SharedSlots) -> None:
        self._slots = slots
        self.look = asyncio.Event()
        self._called = asyncio.Event()

    def call(self) -> None:
        """The engine has work."""
        self._called.set()

    @property
    def is_called(self) -> bool:
        """Whether it has its turn already."""
        return self._called.is_set()

    async def turn(self, free: int) -> int:
        """Wait for a ticket, then for a free slot."""
        await self._called.wait()
        self._slots.waiting.add(self)
        try:
            while not (kept := self._slots.keep(free)):
                self.look.clear()
                await self.look.wait()
        finally:
            self._slots.waiting.discard(self)
        self._called.clear()
        return kept

    def done(self, asked: int, given: int) -> None:
        """Stay with an engine that had something: more of it may come at once, and needs no ticket then."""
        if given:
            self._called.set()
        self._slots.give_back(asked)


class PoolShare:
    """See `worker.pool.AttemptPool`: the part of a pool that one supervisor sees."""

    def __init__(self, pool: AttemptPool, slots: SharedSlots) -> None:
        self._pool = pool
        self._slots = slots
        self._observer: PoolObserver

    def start(self, observer: PoolObserver) -> None:
        self._observer = observer

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        self._slots.running[token] = self._observer
        self._pool.begin(token, assignment)

    def stop(self, token: str) -> None:
        self._pool.stop(token)

    def kill(self, token: str) -> None:
        self._pool.kill(token)

    async def close(self) -> None:
        """End what this supervisor began."""
        for token in [token for token, one in self._slots.running.items() if one is self._observer]:
            self._pool.kill(token)


class SharedObserver:
    """See `worker.pool.PoolObserver`: hands what the pool reports to the supervisor that began it."""

    def __init__(self, slots: SharedSlots) -> None:
        self._slots = slots

    def started(self, token: str) -> None:
        if (one := self._slots.running.get(token)) is not None:
            one.started(token)

    def logged(self, token: str, stream: Literal["stdout", "stderr"], offset: int, text: str) -> None:
        if (one := self._slots.running.get(token)) is not None:
            one.logged(token, stream, offset, text)

    def progressed(self, token: str, details: Any) -> None:
        if (one := self._slots.running.get(token)) is not None:
            one.progressed(token, details)

    def finished(self, token: str, result: dict[str, Any]) -> None:
        if (one := self._ended(token)) is not None:
            one.finished(token, result)

    def died(self, token: str, reason: str) -> None:
        if (one := self._ended(token)) is not None:
            one.died(token, reason)

    def returned(self, token: str, reason: str, *, refused: bool = False) -> None:
        if (one := self._ended(token)) is not None:
            one.returned(token, reason, refused=refused)

    async def secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        return await self._slots.running[token].secrets(token, wanted)

    async def artifact(self, token: str, move: Move, digest: str) -> None:
        await self._slots.running[token].artifact(token, move, digest)

    def _ended(self, token: str) -> PoolObserver | None:
        one = self._slots.running.pop(token, None)
        if one is not None:
            self._slots.tell()
        return one
