"""The gate between one engine and its store: every call goes through it, so a test decides where an engine is lost.

Law: a lost engine says nothing more to its store. What it had stored before happened; nothing else did.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, Protocol

from aether_protocol.errors import PortError
from aether_protocol.ports.store import (
    AuditStore,
    ChangeFeed,
    FleetStore,
    LeaseStore,
    LibraryStore,
    LogStore,
    MailboxStore,
    NamespaceStore,
    RunStore,
    ScheduleStore,
    ServerStore,
    Store,
    TokenStore,
    UpkeepStore,
)

LAST_CALLS: Final = frozenset(  # of an engine that is closed: they return, and change nothing once it is lost
    {"leases.release", "leases.unlock", "close", "logs.write", "mailbox.answered"}
)

Fatal = Callable[[str, tuple[Any, ...]], Literal["before", "after"] | None]


class Gate(Protocol):
    """What decides on each call of a store."""

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        """Let `call` through or not. `name` is that of the facet and the method, like `runs.append`."""
        ...


class _GatedFacet:
    """A facet whose methods go through `gate`."""

    def __init__(self, name: str, inner: Any, gate: Gate) -> None:
        self._name = name
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Awaitable[Any]:
            return self._gate.call(f"{self._name}.{name}", lambda: found(*arguments, **named), arguments)

        return call


class GatedStore:
    """A store as one process reaches it: every call of `inner` goes through `gate`. See `ports.store.Store`."""

    def __init__(self, inner: Store, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate
        self.durable = inner.durable
        self.tier = inner.tier
        self.file = inner.file
        self.appends_at_once = inner.appends_at_once
        self.runs: RunStore = self._gated("runs")
        self.leases: LeaseStore = self._gated("leases")
        self.mailbox: MailboxStore = self._gated("mailbox")
        self.logs: LogStore = self._gated("logs")
        self.library: LibraryStore = self._gated("library")
        self.changes: ChangeFeed = self._gated("changes")
        self.schedules: ScheduleStore | None = self._gated("schedules")
        self.fleet: FleetStore = self._gated("fleet")
        self.servers: ServerStore = self._gated("servers")
        self.upkeep: UpkeepStore = self._gated("upkeep")
        self.tokens: TokenStore = self._gated("tokens")
        self.namespaces: NamespaceStore = self._gated("namespaces")
        self.audit: AuditStore = self._gated("audit")

    def _gated(self, name: str) -> Any:
        return _GatedFacet(name, getattr(self._inner, name), self._gate)

    async def close(self) -> None:
        await self._gate.call("close", self._inner.close, ())


class LossGate:
    """Loses its engine at a call.

    Args:
        fatal: asked of each call (facet and method, arguments): whether the engine is lost `before` it is made or `after`.
        shared: the store outlives the engine, which does not close it.

    `shut`: the engine is lost. Set it to lose the engine between two calls.
    """

    def __init__(self, fatal: Fatal = lambda name, arguments: None, *, shared: bool = False) -> None:
        self.shut = False
        self._fatal = fatal
        self._shared = shared

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if name == "close":
            return None if self._shared else await call()
        if self.shut:
            return self._refuse(name)
        moment = self._fatal(name, arguments)
        if moment == "before":
            self.shut = True
            return self._refuse(name)
        given = await call()
        self.shut = self.shut or moment == "after"
        return given

    def _refuse(self, name: str) -> None:
        if name not in LAST_CALLS:
            raise PortError("the engine was lost")


def after_writes(count: int | None) -> Fatal:
    """Lose the engine as soon as `count` writes of steps are stored, before anything of the last one goes out. None: never."""
    left = count

    def fatal(name: str, arguments: tuple[Any, ...]) -> Literal["after"] | None:
        nonlocal left
        if left is None or not _leaves_work(name, arguments):
            return None
        left -= 1
        return "after" if left == 0 else None

    return fatal


def _leaves_work(name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this is a write after which something is still to be done."""
    return name == "schedules.decide" or (name == "runs.append" and not any(part.closed for part in arguments[0]))
