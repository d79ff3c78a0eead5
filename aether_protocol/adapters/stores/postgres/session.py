"""The session of a store: one connection of its own that listens for hints, and holds a lock for as long as its owner lives.

Law: nothing depends on it. A hint that is lost is found by the next look, POLL_S later; an owner whose session is lost while it
lives has some moments to connect again before it is held dead, and what others take over is fenced as always.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from aether_protocol.adapters.stores.postgres.connections import Connections
from aether_protocol.adapters.stores.postgres.link import Link

POLL_S: Final = 1.0  # between two looks of a reader that is hinted
UNHINTED_POLL_S: Final = 0.05  # of one that is not
HINT_S: Final = 0.05  # after a change: one hint for all that follow by then
_LOOK_S: Final = 5.0  # between two looks whether the connection is still there
_PAUSES_S: Final = (0.02, 0.1, 0.3, 1.0)  # between two tries to connect; the last for all that follow

_ENTER: Final = (
    "INSERT INTO sessions (owner, key) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET key = excluded.key, gone_at = NULL"
)


class StoreSession:
    """Made by the first that needs it, and made again when it was lost.

    Args:
        connections: Where to.
        channel: The name of the hints.
        key: Gives the number of the lock of an owner.
    """

    def __init__(self, connections: Connections, channel: str, key: Callable[[str], int]) -> None:
        self._connections = connections
        self._channel = channel
        self._key = key
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link: Link | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._owners: set[str] = set()
        self._locked: set[str] = set()  # of these, on this connection
        self._woken = asyncio.Event()
        self._connected = asyncio.Event()
        self._speaking = asyncio.Lock()  # a connection carries out one statement at a time
        self._sending: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._mail: list[Callable[[], None]] = []

    # --- hints ---

    async def hinted(self, seconds: float) -> None:
        """Wait until something may have changed, for so long at most."""
        self._start()
        self._woken.clear()
        patience = POLL_S if self._link is not None else UNHINTED_POLL_S
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), min(seconds, patience))

    def changed(self) -> None:
        """Something was committed that others may wait for: they are hinted in a moment, together."""
        self._woken.set()  # those of this process at once
        if self._link is not None and self._sending is None and self._loop is not None:
            self._sending = self._loop.call_later(HINT_S, self._send)

    def _send(self) -> None:
        self._sending = None
        link = self._link
        if link is None:
            return
        task = asyncio.ensure_future(self._notify(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self, link: Link) -> None:
        with contextlib.suppress(Exception):  # it is a hint
            async with self._speaking:
                await link.said(f'NOTIFY "{self._channel}"')

    # --- the mailbox ---

    @property
    def mail_channel(self) -> str:
        """The name of the hints that something was asked of a run, or answered."""
        return f"{self._channel} mail"

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` with each of these hints, and once the connection was made anew; until what is returned is called."""
        self._start()
        self._mail.append(heard)
        return lambda: self._mail.remove(heard)

    def _hear_mail(self, *_: Any) -> None:
        for heard in list(self._mail):
            heard()

    # --- the lock of an owner ---

    async def hold(self, owner: str) -> None:
        """Hold the lock of an owner from now on, as far as the server is there."""
        new = owner not in self._owners
        self._owners.add(owner)
        self._start()
        if new and self._link is not None:
            await self._lock(self._link, owner)
        elif new:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._connected.wait(), 1.0)

    async def drop(self, owner: str) -> None:
        """Release the lock of an owner: it holds nothing any more."""
        if owner not in self._owners:
            return
        self._owners.discard(owner)
        self._locked.discard(owner)
        if self._link is not None:
            with contextlib.suppress(Exception):  # others end its lease then
                async with self._speaking:
                    await self._link.run("DELETE FROM sessions WHERE owner = ?", (owner,))
                    await self._link.run("SELECT pg_advisory_unlock(?)", (self._key(owner),))

    async def _lock(self, link: Link, owner: str) -> None:
        with contextlib.suppress(Exception):  # lost again: it is made anew
            key = self._key(owner)
            async with self._speaking:
                if (await link.run("SELECT pg_try_advisory_lock(?)", (key,))).rows == [(True,)]:
                    self._locked.add(owner)
                    await link.run(_ENTER, (owner, key))

    # --- the connection ---

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._link, self._keeping = loop, None, None
            self._woken, self._connected, self._speaking = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        if self._keeping is None:
            self._keeping = loop.create_task(self._keep())

    async def _keep(self) -> None:
        """Keep a connection, for as long as the store is open."""
        tries, left = 0, None
        while True:
            try:
                link = await self._connections.open(synchronous=False)
            except Exception:
                await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1
                continue
            lost = asyncio.Event()
            self._locked.clear()
            link.connection.add_termination_listener(lambda _, lost=lost: lost.set())
            try:
                if left is not None:  # it may hold our locks, and releasing them later would make us look dead
                    await link.end(left)
                    left = None
                await link.listen(self._channel, self._hear)
                await link.listen(self.mail_channel, self._hear_mail)
                for owner in sorted(self._owners):
                    await self._lock(link, owner)
                self._link, tries = link, 0
                self._connected.set()
                self._woken.set()  # what was missed meanwhile is looked for
                self._hear_mail()
                await self._look_after(link, lost)
            except asyncio.CancelledError:
                link.drop()
                raise
            except Exception:  # it was lost, also while it was set up
                link.abandon()
            left = left or link.backend
            self._link = None
            self._connected.clear()
            await asyncio.sleep(_PAUSES_S[0])

    async def _look_after(self, link: Link, lost: asyncio.Event) -> None:
        """Return once the connection is lost; nothing is asked on it for long, so it is asked whether it is there. Raises
        what it answers else."""
        while link.lives:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(lost.wait(), _LOOK_S)
            if link.lives:
                async with self._speaking:
                    await link.run("SELECT 1")
                for owner in sorted(self._owners - self._locked):
                    await self._lock(link, owner)

    def _hear(self, *_: Any) -> None:
        self._woken.set()

    async def close(self) -> None:
        """Let the connection go, and with it the locks."""
        if self._keeping is None or self._loop is not asyncio.get_running_loop():
            return
        for owner in list(self._owners):
            await self.drop(owner)
        if self._sending is not None:
            self._sending.cancel()
            if self._link is not None:
                await self._notify(self._link)
        link = self._link
        for task in [*self._tasks, self._keeping]:
            task.cancel()
        await asyncio.gather(*self._tasks, self._keeping, return_exceptions=True)
        self._keeping = self._link = self._sending = None
        if link is not None:
            link.drop()
