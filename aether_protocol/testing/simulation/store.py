"""Stores of a simulation, for several engines at once; and the door through which a process that fails reaches one.

Law: what a world does with its own store never fails. `GatedStore` hands every call to the process that it belongs to; it
knows no particular store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from aether_protocol.adapters.stores.memory.facets import MemoryLogs, MemoryMailbox
from aether_protocol.adapters.stores.memory.store import MemoryStore, TextRuns
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore
from aether_protocol.ports.store import (
    Store,
)


class SimStore(Store, Protocol):
    """A store as the world has it."""

    def opened(self) -> Store:
        """The store for another process."""
        ...

    def is_closed(self, run_id: str) -> bool:
        """Whether there is such a run, and it is closed."""
        ...

    def open_runs(self) -> list[str]:
        """The runs that are not closed."""
        ...

    def end_lease(self, owner: str) -> None:
        """Take an owner for gone: end its lease, and its locks, as a store does that sees it die."""
        ...

    def text(self) -> str:
        """Everything that is kept, to search in."""
        ...

    def dispose(self) -> None:
        """The world is over."""
        ...


class SimMemoryStore(MemoryStore):
    """The memory store that keeps text."""

    def __init__(self, tier: str, now: Callable[[], int]) -> None:
        super().__init__(tier=tier, now=now)

    def opened(self) -> Store:
        return self

    def is_closed(self, run_id: str) -> bool:
        run = self._memory_runs.by_id.get(run_id)
        return run is not None and run.closed

    def open_runs(self) -> list[str]:
        return [run_id for run_id, run in self._memory_runs.by_id.items() if not run.closed]

    def end_lease(self, owner: str) -> None:
        book = self._memory_runs._book
        if owner in book.leases:
            book.leases[owner] = 0, book.leases[owner][1]
        book.locks = {name: (held[0], 0, held[2]) if held[0] == owner else held for name, held in book.locks.items()}

    def dispose(self) -> None:
        """Memory goes by itself."""

    def text(self) -> str:
        runs, logs, mailbox = self._memory_runs, self.logs, self.mailbox
        assert isinstance(runs, TextRuns)
        assert isinstance(logs, MemoryLogs)
        assert isinstance(mailbox, MemoryMailbox)
        return "\n".join([*runs.text(), *logs.text(), *mailbox.text()])


class SimSqliteStore(SqliteStore):
    """SQLite in memory; each process has the adapter with what it remembers for itself."""

    def __init__(self, tier: str, now: Callable[[], int], *, database: Database | None = None) -> None:
        super().__init__(database or Database(":memory:", "normal", now=now), tier)

    def opened(self) -> Store:
        return SimSqliteStore(self.tier, self.database.now, database=self.database)

    async def close(self) -> None:
        """What is kept stays: others may use it."""

    def is_closed(self, run_id: str) -> bool:
        found = self.database.execute("SELECT closed FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return found is not None and found[0] == 1

    def open_runs(self) -> list[str]:
        return [run_id for (run_id,) in self.database.execute("SELECT run_id FROM runs WHERE closed = 0")]

    def end_lease(self, owner: str) -> None:
        for table in ("owners", "locks"):
            self.database.execute(f"UPDATE {table} SET until = 0 WHERE owner = ?", (owner,))

    def dispose(self) -> None:
        self.database.close()

    def text(self) -> str:
        return "\n".join(self.database.connection.iterdump())


DATABASE: ContextVar[Callable[[str, Callable[[], int]], SimStore]] = ContextVar("DATABASE", default=SimSqliteStore)
"""What makes the store of a world whose scenario has a database: SQLite, or what a test of another adapter has set."""
