"""Which runs this server drives: its row among the servers of the store, its share of the runs, and what others left behind.

Four times a second it looks which servers there are and how many runs each has. Where there are others, it claims free runs up
to its share of all and a tenth more, and releases what is above that (`engine.shares`); alone it takes all. A server that died
is in no row any more, so that its runs are free: they are claimed at once. A run that the store counts as this server's and
that is not driven here (the answer to its claim was lost, or what was to release it failed) is claimed once more.

A server that does not adopt drives what begins at it, and what no engine drives once it is asked to steer it. The store does
not know it as a server, so that no share is left to it; what it asks of runs that others drive goes through the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.shares import to_claim, to_release
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import ServerRow, Store
from aether_protocol.ports.store.servers import FREE
from aether_protocol.service.dead_owners import release_dead_owners, remove_shared_folders

LOOK_S: Final = 0.25  # between two looks: a session that ended is seen by the first, and counts as dead half a second later
LEAVE_S: Final = 0.1  # between two looks of a server that stops
ALONE_S: Final = 2.0  # between two looks for runs that no engine drives, where there is no other server
STRAY_US: Final = 1_000_000  # so long the store counts more runs of this server than it drives, before it claims them again
_RENEWALS: Final = 3  # of the row in a lease
_SECOND: Final = 1_000_000

_log = logging.getLogger("aether_protocol")


class RunOwnership:
    """Claims and releases the runs of a server.

    Args:
        store: that of the server.
        engine: drives the runs.
        row: what the server says of itself.
        root: of workspaces, where shared folders of runs that ended are removed.
        tend: called with each look, before runs are claimed.
        recovered: called with each run that was.
        clock: the time between looks; it must never jump. That of this machine unless given.
        adopts: whether it takes runs that no engine drives.
    """

    def __init__(
        self,
        store: Store,
        engine: RunEngine,
        row: ServerRow,
        *,
        root: Path | None,
        tend: Callable[[], Awaitable[None]],
        recovered: Callable[[str], None],
        clock: Clock | None = None,
        adopts: bool = True,
    ) -> None:
        self.row = row
        self._adopts = adopts
        self.servers: Sequence[ServerRow] = ()  # that live, as of the last look; this one among them
        self._store = store
        self._engine = engine
        self._root = root
        self._tend = tend
        self._recovered = recovered
        self._clock = clock or SystemClock()
        self._renewed_at: int | None = None
        self._claimed_at: int | None = None
        self._strays_since: int | None = None

    def lives(self, owner: str) -> bool:
        """Whether a server of this name was there at the last look."""
        return any(one.owner == owner for one in self.servers)

    async def begin(self) -> None:
        """Let others know that this server is there. Raises PortError."""
        if self._adopts:
            await self._renew()
        self.servers = await self._store.servers.list()

    @property
    def peers(self) -> Sequence[ServerRow]:
        """The servers that share the runs: they know each other, and may ask each other."""
        return self.servers if self._adopts else ()

    async def serve(self, stopping: asyncio.Event) -> None:
        """Look, again and again, until `stopping` is set."""
        first = True
        while not stopping.is_set():
            try:
                if self._store.durable:
                    await release_dead_owners(self._store)
                    if first:
                        await remove_shared_folders(self._store, self._root)
                await self.look()
                first = False
            except (PortError, BusyError) as error:
                _log.warning("the store does not answer: %s", error.message)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_S)

    async def look(self) -> None:
        """Claim and release what is to be claimed and released now. Raises PortError, BusyError."""
        limit = await self._limit()
        await self._tend()
        if limit != 0:
            for run_id in await self._engine.recover(limit=limit):
                self._recovered(run_id)

    async def leave(self) -> None:
        """Release what no attempt of is being carried out, again and again, until this is cancelled: the others claim it while
        the tasks of this server end. Where there are none it stays, for the next one."""
        if not self._adopts:
            return
        self.row = replace(self.row, stopping=True)
        with contextlib.suppress(PortError, BusyError):
            await self._put()
        while len(self.peers) > 1:
            self._engine.driven.leave()
            await asyncio.sleep(LEAVE_S)

    async def _limit(self) -> int | None:
        """How many free runs may be claimed now; None: all. What is above the share is released."""
        if not self._adopts:
            self.servers = await self._store.servers.list()
            return 0
        await self._renew()
        before = {one.owner for one in self.servers if not one.stopping}
        self.servers = await self._store.servers.list()
        owners = {one.owner for one in self.servers if not one.stopping} | {self.row.owner}
        now = self._clock.now()
        if len(owners) == 1:
            if self._claimed_at is not None and owners == before and now < self._claimed_at + ALONE_S * _SECOND:
                return 0
            self._claimed_at = now
            return None
        counts = await self._store.servers.runs()
        held, free = counts.get(self.row.owner, 0), counts.get(FREE, 0)
        of_all = free + sum(counts.get(owner, 0) for owner in owners)
        self._engine.driven.release(to_release(held, of_all, len(owners)))
        first, self._claimed_at = self._claimed_at is None, now
        most = to_claim(held, of_all, len(owners))
        if free <= most and self._has_strays(held, now):
            return free + held  # free ones come first in a claim
        return most if free or first else 0

    def _has_strays(self, held: int, now: int) -> bool:
        """Whether the store has counted runs as this server's for a while that are not driven here."""
        if held <= self._engine.driven.count:
            self._strays_since = None
            return False
        if self._strays_since is None:
            self._strays_since = now
        if now < self._strays_since + STRAY_US:
            return False
        self._strays_since = None
        return True

    @property
    def _lease(self) -> int | None:
        return self._engine.driven.lease_us if self._store.durable else None

    async def _renew(self) -> None:
        """Keep the row, and with it the lease."""
        lease, now = self._lease, self._clock.now()
        if self._renewed_at is None or (lease is not None and now - self._renewed_at >= lease / _RENEWALS):
            await self._put()

    async def _put(self) -> None:
        await self._store.servers.put(self.row, self._lease)
        self._renewed_at = self._clock.now()
