"""The store as commands see it: opened, looked into, and whether a driver of a run is there.

Law: a command that only reads makes no store and changes none: one that is not there yet is reported, not created, and a
read-only one can be read. Every store that is opened here is closed here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aether_protocol.assembly.store_urls import is_server_url, without_password
from aether_protocol.cli.configured import configuration, names_store
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import MEMORY, Store

if TYPE_CHECKING:
    from aether_protocol.assembly.workspace import DocumentWorkspace
    from aether_protocol.documents.library import StoredLibrary
    from aether_protocol.documents.source import DocumentLimits
    from aether_protocol.service.client import Client, RunReader
    from aether_protocol.service.remote import RemoteClient
    from aether_protocol.service.store_copy import CopiedStore

    Compiler = Callable[[], DocumentWorkspace]

LOOK_S = 1.0  # between two looks for a driver
LOOKS = 2

_Result = TypeVar("_Result")


def ask(url: str, body: Callable[[Client], Awaitable[_Result]], *, writes: bool = False, waits: bool = True) -> _Result:
    """What `body` makes of a client of the store at `url`, which must be there. `waits` False: it only reads, so that it may
    begin anew."""
    if is_server_url(url):
        return ask_server(url, body)
    made: list[_Result] = []  # not the coroutine's result: `asyncio.run` writes a `repr` of that, however large it is

    async def go() -> None:
        async with existing(url, writes=writes) as store:
            made.append(await body(client_on(store)))

    if waits or not _ends_without_waiting(go()):
        import asyncio

        made.clear()
        asyncio.run(go())
    return made[0]


def ask_new(
    url: str, body: Callable[[Client], Awaitable[_Result]], compiler: Compiler | None = None, *, writes: bool = True
) -> _Result:
    """What `body` makes of a client of the store at `url`, which is made if it is not there yet.

    What a new store would refuse is refused before one is made: an empty one in memory is asked first.

    Args:
        url: of the store.
        body: asks the client.
        compiler: makes the workspace in which the client compiles documents.
        writes: False: no store is made or changed, and in place of one that is not there an empty one answers.
    """
    if is_server_url(url):
        return ask_server(url, body)
    import asyncio

    made: list[_Result] = []  # see `ask`

    async def go(opened: str) -> None:
        store = open_at(opened, reads_only=not writes and opened == url)
        try:
            shown = without_password(url)
            place = f"the store {shown}" if opened == url else f"the store {shown} (there is none yet)"
            made.append(await body(client_on(store, compiler, place)))
        finally:
            await store.close()

    if not is_there(url):
        asyncio.run(go(MEMORY))
    if writes or not made:
        asyncio.run(go(url))
    return made[-1]


def ask_server(
    url: str,
    body: Callable[[RemoteClient], Awaitable[_Result]],
    token: str | None = None,
    notify: Callable[[str], None] = messages.note,
) -> _Result:
    """What `body` makes of a client of a server.

    Args:
        url: of the server.
        body: asks the client.
        token: that of AETHER_TOKEN by default.
        notify: reports that the server is away, and back.
    """
    import asyncio

    from aether_protocol.service.remote import RemoteClient

    made: list[_Result] = []  # see `ask`

    async def go() -> None:
        async with RemoteClient(url, token=token or os.environ.get("AETHER_TOKEN") or None, notify=notify) as client:
            made.append(await body(client))

    asyncio.run(go())
    return made[0]


def client_on(store: Store, compiler: Compiler | None = None, place: str = "the store") -> Client:
    """A client of a store that is open; see `ClientContext`."""
    from aether_protocol.service.local import LocalClient
    from aether_protocol.service.local.context import ClientContext, DocumentContext

    root = workspaces_of(store)
    return LocalClient(ClientContext(store, DocumentContext(), root, compiler=compiler, place=place), closes=False)


def _ends_without_waiting(coroutine: Coroutine[object, None, None]) -> bool:
    """Run a coroutine without an event loop, whose import takes 30 ms; False where it wants to wait for something."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    except RuntimeError:  # it asked for the loop that runs
        return False
    coroutine.close()
    return False


@asynccontextmanager
async def existing(url: str, *, writes: bool) -> AsyncIterator[Store]:
    """A store that is there already. Raises UsageError where there is none."""
    check_there(url)
    store = open_at(url, reads_only=not writes)
    try:
        yield store
    finally:
        await store.close()


def copy_between(source: str, target: str) -> CopiedStore:
    """Copy the store at a URL, which must be there, into the one at another."""
    import asyncio

    from aether_protocol.service.store_copy import check_source, copy_store

    if source == target:
        raise UsageError(f"{without_password(source)} is to be copied into itself", hint="give two stores")
    for url in (source, target):
        if is_server_url(url) or url == MEMORY:
            raise UsageError(f"{url} is not a store that lasts", hint="like sqlite:PATH or postgres://USER@HOST/DATABASE")

    async def go() -> CopiedStore:
        async with existing(source, writes=False) as there:
            await check_source(there)
            made = open_at(target)
            try:
                return await copy_store(there, made)
            finally:
                await made.close()

    return asyncio.run(go())


def open_at(url: str, durability: str | None = None, *, reads_only: bool = False) -> Store:
    """The store at `url`; made where it is not there yet, unless it is only to be read."""
    from aether_protocol.assembly import open_store

    return open_store(url, durability=durability, reads_only=reads_only)


def is_there(url: str) -> bool:
    """Whether there is something at `url` already; what cannot be known from outside counts as there."""
    path = sqlite_path(url)
    return path is None or path.exists()


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite store, None for any other."""
    from aether_protocol.assembly.store_urls import read_store_url

    read = read_store_url(url)
    return Path(read.path) if read.kind == "sqlite" and read.path else None


def workspaces_of(store: Store) -> Path | None:
    """Where the workspaces of a store's runs lie, if they lie anywhere: see `options.workspace_option`."""
    from aether_protocol.assembly.stores import workspaces_root

    return workspaces_root(store, configuration().value("workspaces.path"))


def refuse_memory(url: str) -> None:
    """Raise UsageError for a store that ends with the process."""
    if url == MEMORY:
        raise UsageError("the store 'memory' ends with its process: nothing can be kept there", hint="leave --store out")


def check_there(url: str) -> None:
    """Refuse a store that is not there, in the same words for every command. Raises UsageError."""
    if is_server_url(url):
        raise UsageError(f"this command works on a store, and {url} is a server", hint="--store sqlite:PATH names a store")
    if url == MEMORY:
        hint = "--store sqlite:PATH (or AETHER_STORE) names one that lasts"
        raise UsageError("the store 'memory' ends with its process: there is nothing to read", hint=hint)
    if is_there(url):
        return
    if names_store():
        hint = "'aether run' makes one, and a relative path of --store or AETHER_STORE counts from this folder"
        raise UsageError(f"there is no store at {url!r}", hint=hint)
    from aether_protocol.assembly.configuration.store_place import FILE, searched

    hint = "'aether run' makes one here; --store, AETHER_STORE or [store] url in aether.toml names another"
    raise UsageError(f"there is no store: no {FILE!r} in {searched()}", hint=hint)


def read_templates(url: str, limits: DocumentLimits, *, reads_only: bool) -> StoredLibrary:
    """The templates of the store at `url`. One that is not there has none, and is not made."""
    from aether_protocol.assembly.templates import make_shelf

    if url == MEMORY:
        return make_shelf((), "")
    if not is_there(url):
        return make_shelf((), f"the store {url} (there is none yet)")

    documents = ask(url, lambda client: client.documents.list("WorkflowTemplate"), writes=not reads_only)
    return make_shelf(documents, f"the store {without_password(url)}", limits)


@asynccontextmanager
async def told_when_left(
    runs: RunReader, run_id: str, report: Callable[[str], None] = messages.note
) -> AsyncIterator[None]:
    """While the caller waits for more of a run, report when no process drives it, or does no longer."""
    import asyncio

    watching = asyncio.ensure_future(until_left(runs, run_id, report))
    try:
        yield
    finally:
        watching.cancel()


async def until_left(runs: RunReader, run_id: str, report: Callable[[str], None] | None = None) -> bool:
    """Wait until no process drives a run; False where it is closed, or was deleted. With `report` that is reported, and
    waiting continues: another process may take it up."""
    import asyncio

    from aether_protocol.cli.instants import now_us

    looks = 1  # that found no driver: between two drivers there may be a moment without one, so that one is not enough
    with contextlib.suppress(UsageError):  # it was deleted
        while True:
            try:
                row = await runs.get(run_id)
                if row.closed:
                    return False
                asleep = row.wake_at is not None and row.wake_at > now_us()  # it is woken in time by what hosts runs
                looks = looks + 1 if not asleep and await runs.driver(run_id) is None else 0
            except PortError:  # the server is away: the caller finds that out, too
                looks = 1
            if looks == LOOKS:
                if report is None:
                    return True
                report(f"no process drives this run at the moment; 'aether resume {run_id}' continues it")
            await asyncio.sleep(LOOK_S)
    return False
