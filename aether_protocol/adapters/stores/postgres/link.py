"""One connection to a PostgreSQL server: where it leads, how it is opened, and how long a statement on it may take.

Law: a server that stops answering is found out. Each statement has a bound (`bound_s`); where it is over the connection is
closed, not used again, since its answer may still come. The system finds a machine that is gone also while none is waited for
(TCP keepalive, at both ends, so that what a vanished client had locked is free again soon). What an operator has set for
sessions in general (timeouts, isolation, plans) does not apply here: it is set anew on each connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

import asyncpg
from msgspec import Struct

from aether_protocol.adapters.stores.postgres.texts import in_dollars, to_server, to_text
from aether_protocol.adapters.stores.sql.work import Result, Rows, Statement, Work
from aether_protocol.errors import PortError, UsageError

QUICK_S: Final = 5.0  # for one statement of the engine; twice as long with the next try
BULK_S: Final = 60.0  # for one that may bring or read very much
CONNECT_S: Final = 10.0
END_S: Final = 4.0  # for a process of the server to end when it is asked to
_SEPARATOR: Final = re.compile("[:/?#]")
_STATEMENTS: Final = 256  # that are kept prepared on a connection

# On both ends: when a peer that says nothing is asked whether it is there, how often, and how many times without an answer.
_KEEPALIVE: Final = {"idle": 10, "interval": 5, "count": 3}
_SETTINGS: Final = {
    "jit": "off",  # short statements, prepared once
    "statement_timeout": "0",  # the bounds are ours
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "15s",  # a process that stands still must not hold up all others
    "default_transaction_isolation": "read committed",
    "tcp_keepalives_idle": str(_KEEPALIVE["idle"]),
    "tcp_keepalives_interval": str(_KEEPALIVE["interval"]),
    "tcp_keepalives_count": str(_KEEPALIVE["count"]),
}
_NEWER_SETTINGS: Final = {17: {"transaction_timeout": "0"}}  # by the version of PostgreSQL that has them first
_BACKEND: Final = "pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END: Final = "SELECT pg_terminate_backend(pid, ?) FROM pg_stat_activity WHERE pid = ? AND backend_start = ?"

T = TypeVar("T")


class Backend(NamedTuple):
    """A process of the server: its number may be given again, with another start."""

    pid: int
    started: Any


class Target(Struct, frozen=True):
    """Where a store is: a server, a database, a schema in it. `synchronous`: a commit waits until it is on the disk."""

    dsn: str
    schema: str
    synchronous: bool
    reads_only: bool = False

    @property
    def shown(self) -> str:
        """The place for people, without a password, whatever the URL looks like."""
        scheme, _, rest = self.dsn.partition("://")
        who, has_user, place = rest.rpartition("@")
        user = f"{_SEPARATOR.split(who)[0]}@" if has_user else ""
        place = place.partition("?")[0].partition("#")[0]
        found = f"{scheme}://{user}{place}"
        return found if self.schema == "aether" else f"{found}?schema={self.schema}"


class Link:
    """A connection with the statements that it has prepared.

    `ordinal` counts the changes of the transaction that is open. `bound_s` is how long each statement may take, None: without
    a bound. `backend` is the process of the server that serves it.
    """

    def __init__(self, connection: Any, backend: Backend) -> None:
        self.connection = connection
        self.backend = backend
        self.ordinal = 0
        self.bound_s: float | None = QUICK_S
        self._prepared: dict[str, Any] = {}
        self._names = 0

    async def run(self, text: str, values: Sequence[Any] = ()) -> Result:
        """Run one statement, with `?` or `?N` for its values. Raises TimeoutError, and is closed, where it takes too long."""
        try:
            statement = self._prepared.get(text)
            if statement is None:
                if len(self._prepared) >= _STATEMENTS:  # lists have many forms
                    self._prepared.clear()
                self._names += 1
                # By a name: one without is parsed and planned each time (asyncpg gives none where it keeps no cache).
                name = f"aether_{self._names}"
                statement = await self.connection.prepare(in_dollars(text), name=name, timeout=self.bound_s)
                self._prepared[text] = statement
            if type(values) is Rows:
                if values:
                    await statement.executemany(values, timeout=self.bound_s)
                return Result([], 0)
            rows = await statement.fetch(*values, timeout=self.bound_s)
        except TimeoutError:
            raise self._too_late() from None
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
        """Say statements without values and without an answer. Raises TimeoutError as `run` does."""
        try:
            await self.connection.execute(text, timeout=self.bound_s)
        except TimeoutError:
            raise self._too_late() from None

    async def listen(self, channel: str, heard: Any) -> None:
        """Call `heard` with each hint of a channel. Raises TimeoutError as `run` does."""
        try:
            async with asyncio.timeout(self.bound_s):
                await self.connection.add_listener(channel, heard)
        except TimeoutError:
            raise self._too_late() from None

    async def end(self, backend: Backend) -> None:
        """See that a process of the server has ended, with whatever it was doing for a connection that is closed. Raises
        TimeoutError where it does not end."""
        milliseconds = int(END_S * 1000)
        if (await self.run(_END, (milliseconds, *backend))).rows not in ([], [(True,)]):
            raise TimeoutError("what it was doing does not end")

    def drop(self) -> None:
        """Close the connection without a farewell, with what it holds: it is not needed any more. Needs no loop that runs."""
        self.abandon()

    def abandon(self) -> None:
        """Close the connection as `drop` does, since something went wrong on it."""
        self.connection.terminate()

    @property
    def lives(self) -> bool:
        return not self.connection.is_closed()

    def _too_late(self) -> TimeoutError:
        self.abandon()
        return TimeoutError(f"no answer within {self.bound_s:g} s" if self.bound_s else "no answer")


ORDINAL: Final[Statement] = ("(ordinal)", ())
"""What work yields for the number of the next change of its transaction; no server is asked."""


async def connect(target: Target, synchronous: bool, limit_s: float = CONNECT_S) -> Link:
    """Open a connection.

    Raises:
        UsageError: The URL of the target cannot be read.
        PortError: The database cannot hold all texts.
    """
    try:
        connection = await asyncpg.connect(
            target.dsn, server_settings={"application_name": "aether"}, timeout=limit_s, statement_cache_size=0
        )
    except (ValueError, OverflowError, asyncpg.ClientConfigurationError) as error:
        told = _without_secrets(target, error)
        raise UsageError(f"{target.shown!r} is not the URL of a PostgreSQL database: {told}") from None
    except asyncpg.UndefinedObjectError as error:  # what the driver does not know is for the server to set
        hint = "options: artifacts, durability, patience, schema, tier; for the driver sslmode, sslrootcert, host, port, user"
        raise UsageError(f"{target.shown!r} has an option that is not known: {error}", hint=hint) from None
    try:
        async with asyncio.timeout(limit_s):
            backend = await settle(connection, target, synchronous)
            await connection.set_type_codec("text", schema="pg_catalog", encoder=to_server, decoder=to_text, format="text")
    except BaseException:
        connection.terminate()
        raise
    return Link(connection, backend)


async def settle(connection: Any, target: Target, synchronous: bool) -> Backend:
    """Set what each of our sessions has set, by statements: a pool passes no parameters of the start on. Gives the process that
    serves it. Raises PortError for a database that cannot hold all texts."""
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        hint = "make one with: createdb --encoding UTF8 --template template0 NAME"
        raise PortError(f"{target.shown!r} is a database with the encoding {encoding}: texts need UTF8", hint=hint)
    _keep_alive(connection)
    settings = {**_SETTINGS, "search_path": f'"{target.schema}"', "synchronous_commit": "on" if synchronous else "off"}
    for version, newer in _NEWER_SETTINGS.items():
        if connection.get_server_version().major >= version:
            settings.update(newer)
    said = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
    row = await connection.fetchrow(f"SELECT {_BACKEND.replace(' FROM', f', {said} FROM', 1)}")
    return Backend(row[0], row[1])


def _keep_alive(connection: Any) -> None:
    """Let the system ask whether the server is still there, where it can."""
    transport = getattr(connection, "_transport", None)
    ours = transport.get_extra_info("socket") if transport is not None else None
    if ours is None or ours.family == getattr(socket, "AF_UNIX", None):
        return
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = {"TCP_KEEPIDLE": "idle", "TCP_KEEPINTVL": "interval", "TCP_KEEPCNT": "count"}
    for name, what in names.items():
        if hasattr(socket, name):
            ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _KEEPALIVE[what])
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # what was sent and is not acknowledged
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * (_KEEPALIVE["idle"] + 15))


def _without_secrets(target: Target, error: Exception) -> str:
    """What an error says; nothing where the URL has a password, since a URL that is read wrongly has it in the wrong place."""
    who, has_user, _ = unquote(target.dsn).partition("://")[2].rpartition("@")
    if has_user and ":" in who:
        return "it cannot be read (what is special in a password is written as %40, %2F, %23, %3F, %3A)"
    return " ".join(str(error).split())


def _count(status: str) -> int:
    """How many rows a command changed, by what it says at its end: `UPDATE 3`, `INSERT 0 1`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
