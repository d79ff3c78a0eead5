"""Documents that a server keeps by their names (`client.DocumentControl`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aether_protocol.errors import DocumentError
from aether_protocol.service.documents.changes import KINDS, AppliedDocuments
from aether_protocol.service.documents.find import read_document_name, refuse_kind
from aether_protocol.service.documents.parameters import WorkflowParameters
from aether_protocol.service.documents.remove import RemovedDocuments
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.wire.documents import (
    AppliedBody,
    DocumentBody,
    DocumentPage,
    MarksBody,
    RemovedBody,
    ValidityBody,
    read_applied,
    read_diagnostics,
    read_document,
    read_mark,
    read_removed,
)
from aether_protocol.service.wire.requests import write_libraries
from aether_protocol.service.wire.runs import MOST_LISTED

if TYPE_CHECKING:
    from aether_protocol.diagnostics import Diagnostic
    from aether_protocol.ports.store import DocumentMark, StoredDocument
    from aether_protocol.ports.store.library import DocumentKey
    from aether_protocol.service.client import Documents


class RemoteDocuments:
    """See `client.DocumentControl`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def apply(
        self,
        documents: Documents,
        *,
        kinds: Collection[str] = KINDS,
        library: Sequence[LibraryTexts] = (),
        replaces: bool = False,
        dry_run: bool = False,
    ) -> AppliedDocuments:
        texts = as_texts(documents)
        body: dict[str, Any] = {**applied_body(texts, library), "kinds": list(kinds), "replace": replaces, "dryRun": dry_run}
        with shown_in(texts):
            return read_applied((await self._calls.send("POST", path_of("documents"), body, AppliedBody))[1])

    async def get(
        self, name: str, *, kind: str | None = None, version: int | None = None, digest: str | None = None
    ) -> StoredDocument:
        read = read_document_name(name, None)
        asked = [("kind", kind), ("version", read.version if version is None else version), ("digest", digest)]
        path = path_of("documents", read.namespace, read.name)
        return read_document(await self._calls.get(path, DocumentBody, asked))

    async def list(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredDocument]:
        refuse_kind(kind)
        page = None if after is None else "/".join(after)
        found: list[StoredDocument] = []
        while limit is None or len(found) < limit:
            size = MOST_LISTED if limit is None else min(limit - len(found), MOST_LISTED)
            asked = [("kind", kind), ("namespace", namespace), ("texts", True), ("limit", size), ("page", page)]
            answer = await self._calls.get(path_of("documents"), DocumentPage, asked)
            found += map(read_document, answer.documents)
            page = answer.next
            if page is None:
                break
        return found

    async def versions(self, name: str, *, kind: str | None = None) -> Sequence[StoredDocument]:
        read = read_document_name(name, None)
        path = path_of("documents", read.namespace, read.name, "versions")
        return [read_document(one) for one in (await self._calls.get(path, DocumentPage, [("kind", kind)])).documents]

    async def parameters(self, name: str, *, version: int | None = None) -> WorkflowParameters:
        read = read_document_name(name, None)
        path = path_of("documents", read.namespace, read.name, "parameters")
        return await self._calls.get(path, WorkflowParameters, [("version", read.version if version is None else version)])

    async def remove(
        self, names: str | Sequence[str], *, kind: str | None = None, force: bool = False
    ) -> RemovedDocuments:
        several = [str(read_document_name(name, None)) for name in ([names] if isinstance(names, str) else names)]
        body = {"names": several, "kind": kind, "force": force}
        return read_removed((await self._calls.send("POST", path_of("documents", "remove"), body, RemovedBody))[1])

    async def check(
        self, documents: Documents, *, library: Sequence[LibraryTexts] = (), strict: bool = False
    ) -> Sequence[Diagnostic]:
        given: Any = {"document": documents}
        if not isinstance(documents, str | Mapping):
            given = {"documents": [{"name": one.name, "text": one.text} for one in documents]}
        body = {**given, "library": write_libraries(library), "strict": strict}
        return read_diagnostics((await self._calls.send("POST", path_of("validate"), body, ValidityBody))[1].diagnostics)

    async def marks(self) -> Sequence[DocumentMark]:
        answer = await self._calls.get(path_of("documents", "folder"), MarksBody)
        return [read_mark(one) for one in answer.files]


def as_texts(documents: Documents) -> list[DocumentText]:
    """Give what is applied as texts."""
    if isinstance(documents, Mapping):
        return [DocumentText("<document>", json.dumps(documents, ensure_ascii=False))]
    return [DocumentText("<text>", documents)] if isinstance(documents, str) else list(documents)


def applied_body(texts: Sequence[DocumentText], library: Sequence[LibraryTexts]) -> dict[str, Any]:
    """Write what is applied, and where its references are looked up."""
    given = [{"name": one.name, "text": one.text} for one in texts]
    return {"documents": given, "library": write_libraries(library)}


@contextmanager
def shown_in(texts: Sequence[DocumentText]) -> Iterator[None]:
    """Give a DocumentError the texts that were sent, so that its findings are shown in their lines."""
    try:
        yield
    except DocumentError as error:
        error.sources |= {one.name: one.text.encode("utf-8", "surrogatepass") for one in texts}
        raise
