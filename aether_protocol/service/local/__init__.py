"""The Client over a store, in this process.

Theory of operation. Reading goes to the store, or to the engine of this process for runs that it drives: what such an engine
holds in memory is newer than what is stored. Changing goes through the store's mailbox to the engine that drives the run. A run
is submitted as an unowned row that the next `recover` of any engine claims; where the client was made for an engine, that
engine begins it at once.
"""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aether_protocol.errors import UsageError
from aether_protocol.service.local.context import ClientContext, DocumentContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aether_protocol.engine.api import RunEngine
    from aether_protocol.ports.clock import Clock
    from aether_protocol.ports.store import Store
    from aether_protocol.service.access.scope import NamespaceScope
    from aether_protocol.service.local.control import LocalControl
    from aether_protocol.service.local.documents import LocalDocuments
    from aether_protocol.service.local.extracts import LocalExtracts
    from aether_protocol.service.local.inspector import LocalInspector, LocalPlans
    from aether_protocol.service.local.runs import LocalRuns
    from aether_protocol.service.local.schedules import LocalSchedules
    from aether_protocol.service.local.store import LocalStore
    from aether_protocol.service.remote import RemoteClient

__all__ = ["DocumentContext", "LocalClient", "client_of", "connect"]


class LocalClient:
    """See `service.client.Client`."""

    def __init__(self, context: ClientContext, *, closes: bool) -> None:
        self._context = context
        self._closes = closes

    @cached_property  # each part is imported when it is first asked: a list of runs shall not cost an engine's imports
    def runs(self) -> LocalRuns:
        """Read runs."""
        from aether_protocol.service.local.runs import LocalRuns

        return LocalRuns(self._context)

    @cached_property
    def inspect(self) -> LocalInspector:
        """Look closer at runs."""
        from aether_protocol.service.local.inspector import LocalInspector

        return LocalInspector(self._context)

    @cached_property
    def plans(self) -> LocalPlans:
        """Read the plans of runs."""
        from aether_protocol.service.local.inspector import LocalPlans

        return LocalPlans(self._context)

    @cached_property
    def extracts(self) -> LocalExtracts:
        """What is made of runs for other uses."""
        from aether_protocol.service.local.extracts import LocalExtracts

        return LocalExtracts(self._context)

    @cached_property
    def control(self) -> LocalControl:
        """Begin, answer, end and delete runs."""
        from aether_protocol.service.local.control import LocalControl

        return LocalControl(self._context)

    @cached_property
    def schedules(self) -> LocalSchedules:
        """Schedules of the store."""
        from aether_protocol.service.local.schedules import LocalSchedules

        return LocalSchedules(self._context)

    @cached_property
    def documents(self) -> LocalDocuments:
        """Documents that are kept by their names."""
        from aether_protocol.service.local.documents import LocalDocuments

        return LocalDocuments(self._context)

    @cached_property
    def store(self) -> LocalStore:
        """The store itself."""
        from aether_protocol.service.local.store import LocalStore

        return LocalStore(self._context)

    def within(self, scope: NamespaceScope) -> LocalClient:
        """Give the same client, for which other namespaces are not there. Closing it closes nothing."""
        return LocalClient(self._context.within(scope), closes=False)

    async def close(self) -> None:
        """Close the store, unless an engine has it."""
        if self._closes:
            await self._context.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def connect(
    store: str | Store | None = None,
    *,
    library: DocumentContext | None = None,
    workspaces: str | Path | None = None,
    clock: Clock | None = None,
    token: str | None = None,
) -> LocalClient | RemoteClient:
    """Make a client of a store, or of a server; it drives nothing.

    Args:
        store: a store, which the client closes, or its URL; by default that of AETHER_STORE, else `.aether/aether.db`.
            `http://HOST:PORT` and `https://...` are servers.
        library: where documents that are submitted and applied look up what they lack; by default the store alone.
        workspaces: the folder below which workspaces of the store's runs lie; beside the store by default.
        clock: by default the machine's.
        token: whose bearer asks a server; a store has none.

    Raises:
        UsageError: the URL is wrong, or what is given does not go with it.
        PortError: the store cannot be used.
    """
    from aether_protocol.assembly.store_urls import is_server_url

    if isinstance(store, str) and is_server_url(store):
        from aether_protocol.service.remote import RemoteClient

        if library is not None or workspaces is not None or clock is not None:
            raise UsageError("a server has its own library, workspaces and clock", hint="leave them out")
        return RemoteClient(store, token=token)
    if token is not None:
        raise UsageError("a token is for a server, and this is a store", hint="a server is http://HOST:PORT")
    from aether_protocol.assembly.stores import open_store, workspaces_root

    opened = open_store(store) if store is None or isinstance(store, str) else store
    root = workspaces_root(opened, workspaces)
    return LocalClient(ClientContext(opened, library or DocumentContext(), root, given_clock=clock), closes=True)


def client_of(
    engine: RunEngine,
    *,
    library: DocumentContext | None = None,
    workspaces: str | Path | None = None,
    elsewhere: bool = False,
    runs_deleted: Callable[[], None] | None = None,
    adopts_asked: bool = False,
) -> LocalClient:
    """Make a client of an engine in this process: what it submits, this engine drives. Closing it leaves the engine open.

    Args:
        engine: an engine that is open, or will be when the client is used.
        library: where documents look up what they lack; by default where the engine does.
        workspaces: the folder below which workspaces of the engine's runs lie; beside its store by default.
        elsewhere: it answers callers of other machines, whose files are not here (RT-131).
        runs_deleted: called after runs were deleted, to free the artifacts that no other run names.
        adopts_asked: a run that no engine drives is driven by this one from when it is answered or cancelled here.
    """
    from aether_protocol.assembly.public import Engine as DocumentEngine
    from aether_protocol.assembly.stores import workspaces_root

    store = engine.store
    context = ClientContext(
        store,
        library or DocumentContext(),
        workspaces_root(store, workspaces),
        engine,
        engine.clock,
        compiler=engine.workspace if library is None and isinstance(engine, DocumentEngine) else None,
        elsewhere=elsewhere,
        runs_deleted=runs_deleted,
        adopts_asked=adopts_asked,
    )
    return LocalClient(context, closes=False)
