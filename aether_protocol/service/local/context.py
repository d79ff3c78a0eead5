"""What the parts of a local client share: the store, the clock, the library, and the engine where there is one.

Law: data and look-ups only; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import NotFoundError
from aether_protocol.service.runs.find import find_run

if TYPE_CHECKING:
    from aether_protocol.assembly.workspace import DocumentWorkspace, Template
    from aether_protocol.documents.load import LoadedFile
    from aether_protocol.engine.api import RunEngine
    from aether_protocol.engine.driven import DrivenRuns
    from aether_protocol.expressions.values import Json
    from aether_protocol.plan.model import Plan
    from aether_protocol.ports.artifacts import ArtifactRepository
    from aether_protocol.ports.clock import Clock
    from aether_protocol.ports.secrets import SecretProvider
    from aether_protocol.ports.store import RunSummary, Store
    from aether_protocol.ports.variables import VariableSource
    from aether_protocol.scheduler.state import RunState
    from aether_protocol.service.access.scope import NamespaceScope
    from aether_protocol.service.client import Source
    from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, StoredWorkflow

SMALL: Final = 300  # task runs of which a report is made within a few milliseconds

_View = TypeVar("_View")


class DocumentContext(Struct, frozen=True):
    """What documents and their runs have besides what the store has.

    Args:
        templates: where documents look up what they lack, before the store.
        variables: what their runs see besides `system`.
        secrets: where the texts of secrets are looked up, before the environment: they are masked in what people write.
    """

    templates: Sequence[Template] = ()
    variables: Sequence[VariableSource] = ()
    secrets: Sequence[SecretProvider] = ()

    def workspace(self) -> DocumentWorkspace:
        """Make a workspace in which a document is compiled."""
        from aether_protocol.assembly.workspace import DocumentWorkspace

        return DocumentWorkspace(self.templates, namespaces=[source.namespace for source in self.variables])

    def sources(self) -> list[VariableSource]:
        """All sources of variables."""
        from aether_protocol.assembly.variables import SystemVariables

        return [SystemVariables(), *self.variables]


class ClientContext(Struct, frozen=True):
    """`engine` drives runs of `store` in this process; None where this process drives none. `root`: of workspaces.

    `compiler` makes the workspace in which documents are compiled; by default that of the library. `place` is what people call
    the store. `scope`: the namespaces to which a caller is bound; the store is one in which no others are. `elsewhere`: what is
    submitted and applied comes from other machines (RT-131). `runs_deleted` is called after runs were deleted: what they alone
    named is for the caller of it to free. `adopts_asked`: a run that no engine drives is driven by this one from when it is
    answered or cancelled here.
    """

    store: Store
    library: DocumentContext
    root: Path | None = None
    engine: RunEngine | None = None
    given_clock: Clock | None = None
    compiler: Callable[[], DocumentWorkspace] | None = None
    place: str = "the store"
    scope: NamespaceScope | None = None
    elsewhere: bool = False
    runs_deleted: Callable[[], None] | None = None
    adopts_asked: bool = False

    @property
    def clock(self) -> Clock:
        """The clock that was given, else the machine's."""
        from aether_protocol.engine.clock import SystemClock

        return self.given_clock or SystemClock()

    async def row(self, run: str) -> RunSummary:
        """Give the row of the run that is meant. Raises UsageError where the engine is not open, or of another event loop."""
        if self.engine is not None:
            self.engine.guard.require_open()
        return await find_run(self.store, run)

    def within(self, scope: NamespaceScope) -> ClientContext:
        """Give the same, for which other namespaces are not there."""
        from msgspec.structs import replace

        from aether_protocol.service.access.scoped_store import ScopedStore

        return replace(self, store=ScopedStore(self.store, scope), scope=scope)

    @property
    def caller(self) -> str | None:
        """The name of the caller to whom this is bound."""
        return None if self.scope is None else self.scope.caller

    def require(self, namespace: str) -> None:
        """Raise ForbiddenError where no run may be begun in `namespace`."""
        if self.scope is not None:
            self.scope.require(namespace)

    def driven(self, run_id: str) -> DrivenRuns | None:
        """The runs of the engine in this process, where that has this run."""
        engine = self.engine
        return engine.driven if engine is not None and engine.driven.find(run_id) is not None else None

    def moved(self, run_id: str) -> bool:
        """Whether a server's run is driven by another server now: the store knows what becomes of it."""
        return self.elsewhere and self.store.durable and self.driven(run_id) is None

    async def state(self, run_id: str, at: int | None = None) -> RunState:
        """Give the state of a run: read it, never write it.

        Args:
            run_id: which run.
            at: as it was after this step (0: before the first); None: as it is now.

        Raises:
            UsageError: there is no such step, or it was not kept.
        """
        if self.engine is not None:
            return await self.engine.driven.load(run_id, at)
        from aether_protocol.engine.recovery import load_state

        return await load_state(self.store, run_id, at)

    async def view(self, row: RunSummary, make: Callable[[RunState], _View], at: int | None = None) -> _View:
        """Make something of the state of a run, beside the event loop where the run is large.

        An engine may drive runs in this loop meanwhile. A small run is read in the loop, from the memory of the engine that
        drives it or from the store; a large one in a thread, which reads the store by itself (ports point 7), or a copy of the
        state where the store is this process's memory: to write the copy takes a third of the time of a report.

        Args:
            row: which run.
            make: gets the state, which it only reads; may be called in another thread.
            at: see `state`.
        """
        here = self.driven(row.run_id) if at is None else None
        run = here.get(row.run_id) if here is not None else None
        if run is not None and run.error is None and len(run.state.nodes) <= SMALL:
            return make(run.state)
        if run is None and row.leaves_known <= SMALL:
            return make(await self.state(row.run_id, at))
        from asyncio import to_thread

        from aether_protocol.service.local.apart import make_apart, make_of_copy, read_apart

        if run is not None and run.over and run.error is None:  # it does not change any more
            return await to_thread(make_apart, run.state, make)
        if self.store.file is None and run is not None and run.error is None:
            from aether_protocol.scheduler.snapshot import snapshot

            return await to_thread(make_of_copy, run.plan, snapshot(run.state), make)
        if self.store.file is None:
            return await to_thread(make_apart, await self.state(row.run_id, at), make)
        return await to_thread(read_apart, self.store.file, row.run_id, make, at)

    async def mask(self, state: RunState, text: str) -> str:
        """Mask what a person wrote about a run; `***` in its place where the secrets that the run has used cannot be had."""
        if not text:
            return text
        if self.engine is not None:
            return await self.engine.driven.mask(state, text)
        from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
        from aether_protocol.engine.recovery import secret_references
        from aether_protocol.execution.secrets import SecretBook

        book = SecretBook([*self.library.secrets, EnvironmentSecrets()])
        references = sorted(secret_references(state))
        return await book.mask(state.header.run_id, state.plan.namespace, references, text)

    def repository(self) -> ArtifactRepository:
        """Give the repository of the artifacts that runs of the store name."""
        from aether_protocol.assembly.artifacts import artifacts_of
        from aether_protocol.assembly.public import Engine as DocumentEngine

        return self.engine.artifacts if isinstance(self.engine, DocumentEngine) else artifacts_of(self.store)

    def variables(self) -> Sequence[VariableSource]:
        """Give the sources of variables of new runs: those of the engine, where there is one."""
        return self.library.sources() if self.engine is None else self.engine.variables

    def workspace(self) -> DocumentWorkspace:
        """Make a workspace in which documents are compiled."""
        made = self.library.workspace() if self.compiler is None else self.compiler()
        made.elsewhere = self.elsewhere
        return made

    async def plan(
        self, document: Source, name: str | None = None, library: Sequence[LibraryTexts] = ()
    ) -> Plan:
        """Give the plan of a document, or of one of several in it.

        Raises DocumentError, UsageError, and NotFoundError for a stored workflow that is not there.
        """
        from aether_protocol.plan.model import Plan
        from aether_protocol.service.documents.texts import DocumentText, RecordedPlan, StoredWorkflow

        if isinstance(document, Plan):
            return document
        if isinstance(document, RecordedPlan):
            return await self.recorded_plan(document.digest)
        if isinstance(document, StoredWorkflow):
            return await self._stored_plan(document)
        from aether_protocol.service.documents.compiling import compile_apart, is_large

        given = [document] if isinstance(document, DocumentText) else document
        large = is_large(given, library)
        workspace, files = await compile_apart(large, self.take, given, library)
        await self.reach(workspace, files, large=large)
        plan = await compile_apart(large, workspace.plan, files[0], name)
        return replace(plan, folder=document.folder) if isinstance(document, DocumentText) else plan

    async def recorded_plan(self, digest: str) -> Plan:
        """Give the plan of the runs whose rows have a digest, as the newest of them has it. Raises NotFoundError."""
        from aether_protocol.ports.store import RunQuery

        for row in await self.store.runs.rows(RunQuery(digest=digest, limit=1)):
            run = await self.store.runs.load(row.run_id)
            return replace(run.plan, folder=run.header.folder, document_version=row.document_version)
        raise NotFoundError(f"no run has the plan {digest!r}", hint="'digest' of a run names its plan, as a whole")

    async def _stored_plan(self, document: StoredWorkflow) -> Plan:
        from aether_protocol.assembly.templates import as_file
        from aether_protocol.service.documents.changes import WORKFLOW
        from aether_protocol.service.documents.compiling import compile_apart, is_large
        from aether_protocol.service.documents.find import find_document, read_document_name

        workspace = self.workspace()
        found = await find_document(self.store, WORKFLOW, read_document_name(document.name, None), document.digest)
        large = is_large(found.text)
        file = await compile_apart(large, workspace.take_given, as_file(found))
        await self.reach(workspace, [file], large=large)
        return replace(await compile_apart(large, workspace.plan, file), document_version=found.version)

    def take(
        self, documents: Mapping[str, Json] | str | Sequence[DocumentText], library: Sequence[LibraryTexts]
    ) -> tuple[DocumentWorkspace, list[LoadedFile]]:
        """Read documents in a workspace of their own, with the libraries that come with them."""
        from aether_protocol.service.documents.texts import given_library, take_documents

        workspace = self.workspace()
        workspace.add_libraries(map(given_library, library))
        return workspace, take_documents(workspace, documents)

    async def reach(self, workspace: DocumentWorkspace, files: Sequence[LoadedFile], *, large: bool = False) -> None:
        """Look templates up in the store, where a reference is found nowhere else. `large`: the files are."""
        from aether_protocol.service.documents.compiling import compile_apart

        if await compile_apart(large, workspace.lacks, files):
            from aether_protocol.assembly.templates import read_shelf

            workspace.put_on_shelf(await read_shelf(self.store, self.place, workspace.limits))
