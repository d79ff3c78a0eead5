"""Connections to a PostgreSQL server: how they are opened, what their errors mean, and for how long a server is waited for.

Law: a server that cannot be reached at the first try is an error at once, with what to do; one that was there before is waited
for (`patience`), so that its restart loses nothing. What is tried again learns whether the try before may have been
carried out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import asyncpg
from msgspec import Struct

from aether_protocol.adapters.stores.postgres.texts import in_dollars, to_server, to_text
from aether_protocol.adapters.stores.sql.work import Result, Rows, Statement, Work
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError

OLDEST: Final = 14  # the oldest version of PostgreSQL
_MOST: Final = 8  # connections for statements
_STATEMENTS: Final = 256  # that are kept prepared on a connection
_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5)  # between two tries; the last for all that follow
_REPEATS: Final = 20  # of a transaction that met another one
_CONNECT_S: Final = 10.0

# asyncpg has an internal error where the server's farewell comes to a connection that is about to be used.
_AWAY: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_AWAY_STATES: Final = frozenset({"57P01", "57P02", "57P03", "53300", "25006"})  # shut down, starts, full, a standby
# A transaction met another one: rows that both changed, a key that both inserted, a plan that was deleted meanwhile.
_MET_STATES: Final = frozenset({"40001", "40P01", "23505", "23503"})

# (what happened, advice) by SQLSTATE, its class where there is none of its own; the place comes before the first.
_FAULTS: Final[dict[str, tuple[str, str | None]]] = {
    "28": ("does not let this user in", "is the password right (PGPASSWORD, ~/.pgpass), and does pg_hba.conf allow the user?"),
    "3D000": ("has no database of this name", "make it: createdb NAME"),
    "42501": ("refuses this user", "grant it: GRANT CREATE ON DATABASE ... TO ..., or use the user that set the store up"),
    "53100": ("cannot grow: the disk of the server is full", "free some space: what was recorded is kept"),
    "53": ("is short of something", "see the log of the server"),
    "XX": ("reports damage", "see the log of the server; `aether db check` reports more"),
}

T = TypeVar("T")
Attempt = Callable[["Link", bool], Awaitable[T]]
Prepare = Callable[["Link"], Awaitable[None]]


class Target(Struct, frozen=True):
    """Where a store is: a server, a database, a schema in it. `synchronous`: a commit waits until it is on the disk."""

    dsn: str
    schema: str
    synchronous: bool
    reads_only: bool = False

    @property
    def shown(self) -> str:
        """The place for people, without a password."""
        parts = urlsplit(self.dsn)
        user = f"{parts.username}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        place = f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"
        return place if self.schema == "aether" else f"{place}?schema={self.schema}"


class Link:
    """A connection with the statements that it has prepared. `ordinal` counts the changes of the transaction that is open."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.ordinal = 0
        self._prepared: dict[str, Any] = {}
        self._names = 0

    async def run(self, text: str, values: Sequence[Any] = ()) -> Result:
        """Run one statement, with `?` or `?N` for its values."""
        statement = self._prepared.get(text)
        if statement is None:
            if len(self._prepared) >= _STATEMENTS:  # lists have many forms
                self._prepared.clear()
            self._names += 1
            # By a name: one without is parsed and planned each time (asyncpg gives none where it keeps no cache).
            name = f"aether_{self._names}"
            statement = self._prepared[text] = await self.connection.prepare(in_dollars(text), name=name)
        if type(values) is Rows:
            if values:
                await statement.executemany(values)
            return Result([], 0)
        rows = await statement.fetch(*values)
        return Result([tuple(row) for row in rows], _count(statement.get_statusmsg()))

    async def carry_out(self, work: Work[T]) -> T:
        """Carry work out, one statement after the other."""
        answer: Result | None = None
        try:
            while True:
                text, values = work.send(answer)  # type: ignore[arg-type]  # None begins it
                if text == ORDINAL[0]:
                    answer = Result([], self.ordinal)
                    self.ordinal += 1
                else:
                    answer = await self.run(text, values)
        except StopIteration as end:
            result: T = end.value
            return result

    async def said(self, text: str) -> None:
        """Say statements without values and without an answer."""
        await self.connection.execute(text)

    def drop(self) -> None:
        """Close the connection without a farewell, with what it holds. Needs no loop that runs."""
        self.connection.terminate()

    @property
    def lives(self) -> bool:
        return not self.connection.is_closed()


ORDINAL: Final[Statement] = ("(ordinal)", ())
"""What work yields for the number of the next change of its transaction; no server is asked."""


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

    async def insist(self, attempt: Attempt[T]) -> T:
        """Let `attempt` have a connection; again, where the server went away or another transaction was met.

        It is given True where a try before may have been carried out. Raises PortError where the server does not come back,
        BusyError where others are always first.
        """
        asyncio.get_running_loop()  # a caller without one is to find out as always
        tries, met, doubtful = 0, 0, False
        end: float | None = None
        while True:
            try:
                link = await self._take()
                try:
                    return await attempt(link, doubtful)
                finally:
                    await self._give(link)
            except AetherError:
                raise
            except Exception as error:
                state = getattr(error, "sqlstate", None) or ""
                if state in _MET_STATES and met < _REPEATS:
                    met += 1
                    await asyncio.sleep(0.001 * met)
                    continue
                if not is_away(error):
                    raise self.fault(error) from error
                now = time.monotonic()
                end = now + self.patience_s if end is None else end
                if not self._was_there or now >= end:
                    raise self._away(error) from error
                doubtful = True
                await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    async def _take(self) -> Link:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to their loop, and the one before is over
            self._loop, self._idle = loop, []
            self._room, self._first = asyncio.Semaphore(_MOST), asyncio.Lock()
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

    async def _make_fit(self, link: Link) -> None:
        try:
            await self._prepare(link)
        except BaseException:
            link.drop()
            raise
        self._was_there = True

    async def _give(self, link: Link) -> None:
        self._room.release()
        if link.lives and not link.connection.is_in_transaction():
            self._idle.append(link)
        else:
            link.drop()

    async def open(self, *, synchronous: bool | None = None) -> Link:
        """Open a connection that belongs to the caller."""
        settled = self.target.synchronous if synchronous is None else synchronous
        settings = {
            "application_name": "aether",
            "search_path": f'"{self.target.schema}"',
            "synchronous_commit": "on" if settled else "off",
            "jit": "off",  # short statements, prepared once
        }
        try:
            connection = await asyncpg.connect(
                self.target.dsn, server_settings=settings, timeout=_CONNECT_S, statement_cache_size=0
            )
        except (ValueError, asyncpg.ClientConfigurationError) as error:
            raise UsageError(f"{self.target.shown!r} is not the URL of a PostgreSQL database: {error}") from error
        try:
            await connection.set_type_codec("text", schema="pg_catalog", encoder=to_server, decoder=to_text, format="text")
        except BaseException:
            connection.terminate()
            raise
        return Link(connection)

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
        said = f"cannot be used: {error}"
        message, hint = _FAULTS.get(state) or _FAULTS.get(state[:2]) or (said, None)
        return PortError(f"{self.target.shown!r} {message}", hint=hint)

    def _away(self, error: Exception) -> PortError:
        if getattr(error, "sqlstate", None) == "53300":
            hint = "raise max_connections, or let fewer processes use it"
            return PortError(f"{self.target.shown!r} takes no more connections", hint=hint)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        what = "does not answer any more" if self._was_there else "cannot be reached"
        return PortError(f"{self.target.shown!r} {what}: {reason}", hint="is the server running, and the address right?")


def is_away(error: BaseException) -> bool:
    """Whether an error means that the server is not there (any more), and not that it refuses something."""
    state = getattr(error, "sqlstate", None) or ""
    return state in _AWAY_STATES or (isinstance(error, _AWAY) and not isinstance(error, asyncpg.DataError))


def _count(status: str) -> int:
    """How many rows a command changed, by what it says at its end: `UPDATE 3`, `INSERT 0 1`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
