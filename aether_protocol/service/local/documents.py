"""Documents of a store (`client.DocumentControl`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from aether_protocol.errors import ChangedError
from aether_protocol.service.documents.changes import KINDS, AppliedDocuments
from aether_protocol.service.documents.find import choose_version, find_versions, read_document_name, refuse_kind
from aether_protocol.service.local.context import ClientContext

if TYPE_CHECKING:
    from aether_protocol.diagnostics import Diagnostic
    from aether_protocol.ports.store import DocumentMark, StoredDocument
    from aether_protocol.ports.store.library import DocumentKey
    from aether_protocol.service.client import Documents
    from aether_protocol.service.documents.parameters import WorkflowParameters
    from aether_protocol.service.documents.remove import RemovedDocuments
    from aether_protocol.service.documents.texts import LibraryTexts
    from aether_protocol.service.documents.weigh import WeighedDocuments


class LocalDocuments:
    """See `client.DocumentControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def apply(
        self,
        documents: Documents,
        *,
        kinds: Collection[str] = KINDS,
        library: Sequence[LibraryTexts] = (),
        replaces: bool = False,
        dry_run: bool = False,
    ) -> AppliedDocuments:
        from aether_protocol.service.documents.remove import TRIES
        from aether_protocol.service.documents.weigh import write

        context = self._context
        for left in reversed(range(TRIES)):
            weighed = await self._weigh(documents, kinds=kinds, library=library, replaces=replaces)
            if dry_run:
                return weighed.applied
            try:
                return await write(context.store, weighed, context.clock.wall())
            except ChangedError:  # what it was weighed against is not there any more
                if not left:
                    raise
        raise AssertionError  # pragma: no cover (the last one returns or raises)

    async def _weigh(
        self, documents: Documents, *, kinds: Collection[str], library: Sequence[LibraryTexts], replaces: bool
    ) -> WeighedDocuments:
        from aether_protocol.engine.submission import read_variables
        from aether_protocol.service.documents.compiling import compile_apart, is_large
        from aether_protocol.service.documents.texts import folders_of
        from aether_protocol.service.documents.weigh import GivenDocuments, weigh

        context = self._context
        revision = await context.store.library.revision()
        large = is_large(documents, library)
        workspace, files = await compile_apart(large, context.take, documents, library)
        workspace.put_together(files)
        await context.reach(workspace, files, large=large)
        given = GivenDocuments(
            workspace=workspace,
            files=files,
            folders=folders_of(documents),
            variables=read_variables(context.variables()),
            revision=revision,
            kinds=kinds,
            replaces=replaces,
            large=large,
        )
        return await weigh(given, context.store, context.clock.now())

    async def get(
        self, name: str, *, kind: str | None = None, version: int | None = None, digest: str | None = None
    ) -> StoredDocument:
        read = read_document_name(name, None)
        versions = await find_versions(self._context.store, kind, read.namespace, read.name)
        return choose_version(versions, read.version if version is None else version, digest)

    async def list(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredDocument]:
        refuse_kind(kind)
        return await self._context.store.library.newest(kind, namespace, after=after, limit=limit)

    async def versions(self, name: str, *, kind: str | None = None) -> Sequence[StoredDocument]:
        read = read_document_name(name, None)
        return await find_versions(self._context.store, kind, read.namespace, read.name)

    async def parameters(self, name: str, *, version: int | None = None) -> WorkflowParameters:
        from aether_protocol.service.documents.parameters import parameters_of
        from aether_protocol.service.documents.texts import StoredWorkflow

        read = read_document_name(name, None)
        wanted = read if version is None else replace(read, version=version)
        return parameters_of(await self._context.plan(StoredWorkflow(str(wanted))))

    async def remove(
        self, names: str | Sequence[str], *, kind: str | None = None, force: bool = False
    ) -> RemovedDocuments:
        from aether_protocol.service.documents.remove import remove_documents

        several = [read_document_name(name, None) for name in ([names] if isinstance(names, str) else names)]
        return await remove_documents(self._context.store, kind, several, force=force)

    async def check(
        self, documents: Documents, *, library: Sequence[LibraryTexts] = (), strict: bool = False
    ) -> Sequence[Diagnostic]:
        from aether_protocol.service.documents.compiling import compile_apart, is_large
        from aether_protocol.service.documents.texts import take_grouped

        workspace = self._context.workspace()
        large = is_large(documents, library)
        groups = await compile_apart(large, take_grouped, workspace, documents, library)
        await self._context.reach(workspace, [file for group in groups for file in group], large=large)
        return await compile_apart(large, workspace.check, groups, strict=True, pedantic=strict)

    async def marks(self) -> Sequence[DocumentMark]:
        return await self._context.store.library.marks()
