"""The store as commands see it: opened, one run found by what the user calls it, its state at any step.

Law: whoever only looks makes no store: one that is not there yet is told, not created, and one that may only be read is
enough. Every store that is opened here is closed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import MEMORY
from aether_protocol.cli.owners import is_dead
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunRow, Store

LATEST = "latest"

_Result = TypeVar("_Result")


def look(url: str, body: Callable[[Store], Awaitable[_Result]], *, writes: bool = False) -> _Result:
    """What `body` makes of the store at `url`, which must be there; `writes`: it changes something."""

    async def go() -> _Result:
        async with existing(url, writes) as store:
            return await body(store)

    return asyncio.run(go())


@asynccontextmanager
async def existing(url: str, writes: bool) -> AsyncIterator[Store]:
    """A store that is there already. Raises UsageError where there is none."""
    check_there(url)
    store = open_at(url, writes=writes)
    try:
        yield store
    finally:
        await store.close()


def open_at(url: str, durability: str | None = None, *, writes: bool = True) -> Store:
    """The store at `url`, made where it is not there yet. Where nothing is written it may be a read-only one."""
    from aether_protocol.assembly import open_store

    return open_store(url, durability=durability, writes=writes)


def is_there(url: str) -> bool:
    """Whether there is something at `url` already; what cannot be told from outside counts as there."""
    path = sqlite_path(url)
    return path is None or path.exists()


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite store, None for any other."""
    scheme, _, rest = url.partition(":")
    return Path(rest.partition("?")[0]) if scheme == "sqlite" and rest else None


def check_there(url: str) -> None:
    if url == MEMORY:
        raise UsageError("the store 'memory' ends with its process: there is nothing to look at", hint="leave --store out")
    if not is_there(url):
        raise UsageError(
            f"there is no store at {url!r}",
            hint="'aether run' makes one; --store or AETHER_STORE names another, and a relative path counts from this folder",
        )


async def find_run(store: Store, text: str) -> RunRow:
    """The run that `text` means: its id, the beginning of its id, or `latest`. Raises UsageError."""
    if text == LATEST:
        newest = await store.rows(RunQuery(limit=1))
        if not newest:
            raise UsageError("the store holds no run")
        return newest[0]
    row = await store.row(text)
    if row is not None:
        return row
    fitting = sorted(await store.rows(RunQuery(prefix=text, limit=6)), key=lambda row: row.run_id) if text else []
    if not fitting:
        raise UsageError(f"run {text!r} is unknown", hint=await _hint(store, text))
    first = fitting[0]
    if all(row.run_id.startswith(f"{first.run_id}.") for row in fitting[1:]):  # the others are its retries
        return first
    ids = ", ".join(row.run_id for row in fitting[:5])
    raise UsageError(f"{text!r} is the beginning of several runs", hint=f"{ids}{', ...' if len(fitting) > 5 else ''}")


async def _hint(store: Store, text: str) -> str:
    from difflib import get_close_matches

    newest = [row.run_id for row in await store.rows(RunQuery(limit=200))]
    near = get_close_matches(text, newest, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "'aether ls' lists the runs" if newest else "the store holds no run"


async def driven_by(store: Store, row: RunRow) -> str | None:
    """Who drives an unfinished run at this moment, None for nobody."""
    if row.closed:
        return None
    held = await store.owner(row.run_id)
    return held[0] if held is not None and held[1] > now_us() and not is_dead(held[0]) else None
