"""The store as commands see it: opened, one run found by what the user calls it, its state at any step.

Law: whoever only looks makes no store and changes none: one that is not there yet is told, not created, and one that is
read-only can be looked at. Every store that is opened here is closed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.errors import UsageError
from aether_protocol.ports.schedules import CronStore
from aether_protocol.ports.store import MEMORY, RunQuery, RunSummary, Store
from aether_protocol.service.process_identity import is_alive, is_dead

if TYPE_CHECKING:
    from aether_protocol.documents.library import StoredLibrary
    from aether_protocol.documents.source import Limits

LATEST = "latest"
LOOK_S = 1.0  # between two looks for a driver
LOOKS = 2

_Result = TypeVar("_Result")


def look(url: str, body: Callable[[CronStore], Awaitable[_Result]], *, writes: bool = False) -> _Result:
    """What `body` makes of the store at `url`, which must be there."""
    made: list[_Result] = []  # not the coroutine's result: `asyncio.run` writes a `repr` of that, however large it is

    async def go() -> None:
        async with existing(url, writes=writes) as store:
            made.append(await body(store))

    asyncio.run(go())
    return made[0]


@asynccontextmanager
async def existing(url: str, *, writes: bool) -> AsyncIterator[CronStore]:
    """A store that is there already. Raises UsageError where there is none."""
    check_there(url)
    store = open_at(url, reads_only=not writes)
    try:
        yield store
    finally:
        await store.close()


def open_at(url: str, durability: str | None = None, *, reads_only: bool = False) -> CronStore:
    """The store at `url`; made where it is not there yet, unless it is only to be read."""
    from aether_protocol.assembly import open_store

    return open_store(url, durability=durability, reads_only=reads_only)


def is_there(url: str) -> bool:
    """Whether there is something at `url` already; what cannot be told from outside counts as there."""
    path = sqlite_path(url)
    return path is None or path.exists()


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite store, None for any other."""
    scheme, _, rest = url.partition(":")
    return Path(rest.partition("?")[0]) if scheme == "sqlite" and rest else None


def workspaces_of(store: Store) -> Path | None:
    """Where the workspaces of a store's runs lie, if they lie anywhere: see `options.workspace_option`."""
    from aether_protocol.assembly.stores import workspaces_root

    return workspaces_root(store, os.environ.get("AETHER_WORKSPACES") or None)


def forget_workspaces(store: Store, run_ids: Iterable[str]) -> None:
    """Remove what was kept of the workspaces of runs that are deleted."""
    from aether_protocol.execution.workspace import forget

    root = workspaces_of(store)
    if root is not None:
        for run_id in run_ids:
            forget(root, run_id)


async def drop_shared(store: Store) -> None:
    """Remove the shared folders of runs that Succeeded: of a process that was killed just after it had recorded the end."""
    from aether_protocol.execution.folders import remove
    from aether_protocol.execution.workspace import SHARED

    root = workspaces_of(store)
    for folder in root.glob(f"*/{SHARED}") if root is not None else ():
        row = await store.row(folder.parent.name)
        if row is not None and row.closed and row.phase == "Succeeded":
            remove(folder)
            with contextlib.suppress(OSError):  # what was kept of its attempts stays
                folder.parent.rmdir()


def check_there(url: str) -> None:
    if url == MEMORY:
        hint = "--store sqlite:PATH (or AETHER_STORE) names one that lasts"
        raise UsageError("the store 'memory' ends with its process: there is nothing to look at", hint=hint)
    if not is_there(url):
        raise UsageError(
            f"there is no store at {url!r}",
            hint="'aether run' makes one; --store or AETHER_STORE names another, and a relative path counts from this folder",
        )


def read_templates(url: str, limits: Limits, *, reads_only: bool) -> StoredLibrary:
    """The templates of the store at `url`. One that is not there has none, and is not made."""
    from aether_protocol.assembly import open_store
    from aether_protocol.assembly.templates import make_shelf, read_shelf

    if url == MEMORY:
        return make_shelf((), "")
    if not is_there(url):
        return make_shelf((), f"the store {url} (there is none yet)")

    async def go() -> StoredLibrary:
        store = open_store(url, reads_only=reads_only)
        try:
            return await read_shelf(store, f"the store {url}", limits)
        finally:
            await store.close()

    return asyncio.run(go())


async def find_run(store: Store, text: str) -> RunSummary:
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


async def driven_by(store: Store, row: RunSummary) -> str | None:
    """Who drives an unfinished run at this moment, None for nobody."""
    if row.closed:
        return None
    held = await store.owner(row.run_id)
    if held is None or is_dead(held[0]):
        return None
    if not is_alive(held[0]):  # of another machine: its lease tells
        held = await store.owner(row.run_id, now_us())
    return held[0] if held is not None else None


@asynccontextmanager
async def told_when_left(store: Store, row: RunSummary) -> AsyncIterator[None]:
    """While somebody waits for more of a run, say so (on standard error) when nobody drives it, or does no longer."""
    watching = asyncio.ensure_future(_tell_when_left(store, row.run_id))
    try:
        yield
    finally:
        watching.cancel()


async def _tell_when_left(store: Store, run_id: str) -> None:
    looks = 1  # that found nobody: between two drivers there may be a moment without one, so that one is not enough
    while (row := await store.row(run_id)) is not None and not row.closed:
        looks = looks + 1 if await driven_by(store, row) is None else 0
        if looks == LOOKS:
            click.echo(f"nobody drives this run at the moment; 'aether resume {run_id}' goes on with it", err=True)
        await asyncio.sleep(LOOK_S)
