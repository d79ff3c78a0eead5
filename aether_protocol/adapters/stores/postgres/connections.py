"""Connections to a PostgreSQL server: how many there are, what their errors mean, and for how long a server is waited for.

Law: a server that cannot be reached at the first try is an error at once, with what to do; one that was there before is waited
for (`patience`), so that its restart loses nothing. A connection on which something went wrong is closed, not put back, and
before anything is tried again the process of the server that served it has ended: what it was doing is done, or is not done at
all. What is tried again learns that the try before may have been carried out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg

from aether_protocol.adapters.stores.postgres.link import CONNECT_S, QUICK_S, Backend, Link, Target, connect
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError

OLDEST: Final = 14  # the oldest version of PostgreSQL
_MOST: Final = 8  # connections for statements
_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5)  # between two tries; the last for all that follow
_REPEATS: Final = 20  # of a transaction that met another one

# asyncpg has an internal error where the server's farewell comes to a connection that is about to be used.
_AWAY: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# Shut down, starts, full, a standby; a session that was ended for it stood still, a statement that was cancelled.
_AWAY_STATES: Final = frozenset({"57P01", "57P02", "57P03", "53300", "25006", "25P03", "57P05", "57014"})
# A transaction met another one: rows that both changed, a key that both inserted, a plan that was deleted meanwhile.
_MET_STATES: Final = frozenset({"40001", "40P01", "23505", "23503"})

# (what happened, advice) by SQLSTATE, its class where there is none of its own; the place comes before the first.
_FAULTS: Final[dict[str, tuple[str, str | None]]] = {
    "28": ("does not let this user in", "is the password right (PGPASSWORD, ~/.pgpass), and does pg_hba.conf allow the user?"),
    "3D000": ("has no database of this name", "make it: createdb NAME"),
    "53100": ("cannot grow: the disk of the server is full", "free some space: what was recorded is kept"),
    "53": ("is short of something", "see the log of the server"),
    "XX": ("reports damage", "see the log of the server; `aether db check` reports more"),
}

# The same for what may be over soon, where it was waited for in vain.
_REFUSALS: Final = {
    "53300": ("takes no more connections", "raise max_connections, or let fewer processes use it"),
    "25006": ("takes no writes", "is it a standby, or default_transaction_read_only set? give the URL of the primary"),
    "57014": ("cancels what is asked of it", "see the log of the server"),
}

T = TypeVar("T")
Attempt = Callable[["Link", bool], Awaitable[T]]
Prepare = Callable[["Link"], Awaitable[None]]


class _Trial:
    """The tries of one call: how far they are. `left` is the process of the server that served a try which failed."""

    def __init__(self, patience_s: float, bound_s: float | None) -> None:
        self.met = 0
        self.doubtful = False
        self.left: Backend | None = None
        quick = bound_s is not None and bound_s <= QUICK_S
        self.bound_s = min(QUICK_S, max(1.0, patience_s / 3)) if quick else bound_s
        self._patience_s = patience_s
        self._tries = 0
        # Of what is quick all tries together have the patience; of what may take long it counts from the first failure.
        self._end = time.monotonic() + patience_s if quick else None

    def pause(self, *, slow: bool) -> float | None:
        """How long to wait after a try that failed, None where patience is over. `slow`: it took too long."""
        now = time.monotonic()
        self._end = now + self._patience_s if self._end is None else self._end
        left_s = self._end - now
        if left_s <= 0:
            return None
        if slow and self.bound_s is not None:
            self.bound_s = min(2 * self.bound_s, max(1.0, left_s))
        self.doubtful = True
        self._tries += 1
        return _PAUSES_S[min(self._tries, len(_PAUSES_S)) - 1]


class Connections:
    """The connections of a store, made when they are needed, on the loop that needs them.

    Args:
        target: Where to.
        prepare: Is given the first connection: sets the database up, or refuses it.
        patience_s: How long a server that was there before is waited for.
    """

    def __init__(self, target: Target, prepare: Prepare, patience_s: float) -> None:
        self.target = target
        self.patience_s = patience_s
        self._prepare = prepare
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[Link] = []
        self._room = asyncio.Semaphore(_MOST)
        self._first = asyncio.Lock()
        self._was_there = False

    async def insist(self, attempt: Attempt[T], bound_s: float | None = QUICK_S) -> T:
        """Let `attempt` have a connection; again, where the server went away or another transaction was met.

        Args:
            attempt: Is given True where a try before may have been carried out.
            bound_s: For each statement of the first try; None: without a bound. Of a try after one that took too long twice as
                much, as far as patience reaches.

        Raises:
            PortError: The server does not come back.
            BusyError: Others are always first.
        """
        asyncio.get_running_loop()  # a caller without one is to find out as always
        trial = _Trial(self.patience_s, bound_s)
        while True:
            try:
                return await self._try(attempt, trial)
            except AetherError:
                raise
            except Exception as error:
                state = getattr(error, "sqlstate", None) or ""
                if state in _MET_STATES and trial.met < _REPEATS:
                    trial.met += 1
                    await asyncio.sleep(0.001 * trial.met)
                    continue
                if not is_away(error):
                    raise self.fault(error) from error
                pause = trial.pause(slow=isinstance(error, TimeoutError))
                if not self._was_there or pause is None:
                    raise self._away(error) from error
                await asyncio.sleep(pause)

    async def _try(self, attempt: Attempt[T], trial: _Trial) -> T:
        link = await self._take()
        try:
            link.bound_s = trial.bound_s
            if trial.left is not None:
                await link.end(trial.left)
                trial.left = None
            return await attempt(link, trial.doubtful)
        except Exception as error:
            if is_away(error):
                trial.left = trial.left or link.backend
                link.abandon()
            raise
        finally:
            self._give(link)

    async def _take(self) -> Link:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to their loop, and the one before is over
            self._loop, self._idle = loop, []
            self._room, self._first = asyncio.Semaphore(_MOST), asyncio.Lock()
        if self._room.locked():
            await self._wait_for_room()
        else:
            await self._room.acquire()
        try:
            while self._idle:
                link = self._idle.pop()
                if link.lives:
                    return link
            if self._was_there:
                return await self.open()
            async with self._first:
                link = await self.open()
                if not self._was_there:
                    await self._make_fit(link)
            return link
        except BaseException:
            self._room.release()
            raise

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(max(self.patience_s, QUICK_S)):
                await self._room.acquire()
        except TimeoutError:
            raise TimeoutError(f"none of its {_MOST} connections became free") from None

    async def _make_fit(self, link: Link) -> None:
        try:
            await self._prepare(link)
        except BaseException:
            link.drop()
            raise
        self._was_there = True

    def _give(self, link: Link) -> None:
        self._room.release()
        if link.lives and not link.connection.is_in_transaction():
            self._idle.append(link)
        else:
            link.drop()

    async def open(self, *, synchronous: bool | None = None) -> Link:
        """Open a connection that belongs to the caller."""
        limit_s = min(CONNECT_S, max(1.0, self.patience_s)) if self._was_there else CONNECT_S
        return await connect(self.target, self.target.synchronous if synchronous is None else synchronous, limit_s)

    def close(self) -> None:
        """Close what is open. Needs no loop."""
        for link in self._idle:
            if self._loop is not None and not self._loop.is_closed():
                link.drop()
        self._idle = []

    # --- errors ---

    def fault(self, error: Exception) -> AetherError:
        """Translate an error of asyncpg."""
        if isinstance(error, asyncpg.DataError | UnicodeEncodeError | OverflowError):
            message = "a number is too large, or a text holds half a character: no store can hold that"
            return UsageError(f"{message} ({error})", hint="give a smaller number, write texts in UTF-8")
        state = getattr(error, "sqlstate", None) or ""
        if state in _MET_STATES:
            return BusyError(f"others change the same in {self.target.shown!r} all the time", hint="try again")
        if state == "42501":
            advice = f"use the user that set the store up, or let this one have all of the schema {self.target.schema!r}"
            return PortError(f"{self.target.shown!r} refuses this user: {error}", hint=advice)
        said = f"cannot be used: {error}"
        message, hint = _FAULTS.get(state) or _FAULTS.get(state[:2]) or (said, None)
        return PortError(f"{self.target.shown!r} {message}", hint=hint)

    def _away(self, error: Exception) -> PortError:
        state = getattr(error, "sqlstate", None) or ""
        if state in _REFUSALS:
            refusal, hint = _REFUSALS[state]
            return PortError(f"{self.target.shown!r} {refusal}", hint=hint)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError | PermissionError) and not self._was_there:
            asked = "is the socket of the server there (host), and are the files that the URL names (sslrootcert, sslkey)?"
            return PortError(f"{self.target.shown!r} cannot be reached: {reason}", hint=asked)
        what = "does not answer any more" if self._was_there else "cannot be reached"
        return PortError(f"{self.target.shown!r} {what}: {reason}", hint="is the server running, and the address right?")


def is_away(error: BaseException) -> bool:
    """Whether an error means that the server is not there (any more), and not that it refuses something."""
    state = getattr(error, "sqlstate", None) or ""
    return state in _AWAY_STATES or (isinstance(error, _AWAY) and not isinstance(error, asyncpg.DataError))
