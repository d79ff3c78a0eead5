"""The library of a store: WorkflowTemplates that many documents share (TMPL-2).

Law: what is in the store was valid when it was put there, with all that it refers to; of several documents all are stored or
none. A text is kept as its author wrote it, under the name and namespace that it gives itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.library import KeptText, StoredLibrary, references
from aether_protocol.documents.load import LoadedDocument, LoadedFile
from aether_protocol.documents.models import WorkflowTemplate
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.documents.source_texts import document_texts
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.ports.store import NewDocument, Store, StoredDocument

KIND: Final = "WorkflowTemplate"


class Applied(Struct, frozen=True):
    """What became of one document: `action` is created, updated or unchanged."""

    document: StoredDocument
    action: str


def called(document: StoredDocument) -> str:
    """How diagnostics call a stored document: `store:default/words@3`."""
    return f"store:{document.namespace}/{document.name}@{document.version}"


def make_shelf(
    documents: Iterable[StoredDocument], place: str = "the store", limits: DocumentLimits = DEFAULT
) -> StoredLibrary:
    """Stored templates, to be looked up in. `place` is what people call the store."""
    texts = {(one.namespace, one.name): KeptText(called(one), one.text) for one in documents}
    return StoredLibrary(texts, place, limits)


async def read_shelf(store: Store, place: str = "the store", limits: DocumentLimits = DEFAULT) -> StoredLibrary:
    """All templates of a store as they are at this moment, each in its newest version."""
    return make_shelf(await store.library.newest(KIND), place, limits)


def check_templates(
    workspace: DocumentWorkspace, files: Sequence[LoadedFile]
) -> tuple[list[LoadedDocument], list[Diagnostic]]:
    """The WorkflowTemplates of these files, and the warnings about them. Raises DocumentError with all diagnostics where one
    document of the files is invalid, UsageError where there is no template in them."""
    found = workspace.check([[file] for file in files])
    errors = [one for one in found if one.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        message = f"nothing was stored: {errors[0].message}{more}"
        raise DocumentError(message, diagnostics=found, sources=workspace.sources)
    templates = [one for file in files for one in file.documents if one.kind == KIND]
    if not templates:
        names = ", ".join(repr(file.file) for file in files[:3])
        hint = "templates are documents of kind: WorkflowTemplate; a Workflow is run from its file"
        raise UsageError(f"there is no WorkflowTemplate in {names}{', ...' if len(files) > 3 else ''}", hint=hint)
    return templates, [one for one in found if one.code != "AE914"]  # what others use is not known here


async def put_templates(store: Store, templates: Iterable[LoadedDocument], at: int) -> list[Applied]:
    """Store valid templates, all in one go; `at` is now, in microseconds since the epoch."""
    several = list(templates)
    texts = document_texts(several)
    new = [NewDocument(KIND, _namespace(one), one.name or "", text) for one, text in zip(several, texts, strict=True)]
    applied = []
    for stored, changed in await store.library.put(new, at):
        action = "unchanged" if not changed else "created" if stored.version == 1 else "updated"
        applied.append(Applied(stored, action))
    return applied


def _namespace(document: LoadedDocument) -> str:
    assert isinstance(document.model, WorkflowTemplate)
    return document.model.metadata.namespace


def template_names(shelf: StoredLibrary, document: StoredDocument) -> list[str]:
    """The templates of a stored WorkflowTemplate."""
    found = shelf.find(document.name, document.namespace)
    if found is None or not isinstance(found.model, WorkflowTemplate):
        return []
    return [
        content.name
        for template in found.model.spec.templates
        for content in (template.dag, template.task, template.loop)
        if content is not None
    ]


def dependents(documents: Sequence[StoredDocument], removed: Iterable[StoredDocument]) -> Iterator[tuple[str, str]]:
    """(what refers, to what) among stored documents: those that refer to `removed` ones, as `namespace/name`."""
    gone = {(one.namespace, one.name) for one in removed}
    shelf = make_shelf(documents)
    for one in documents:
        if (one.namespace, one.name) in gone or (found := shelf.find(one.name, one.namespace)) is None:
            continue
        for name, namespace in dict.fromkeys(references(found)):
            if (namespace or one.namespace, name) in gone:
                yield f"{one.namespace}/{one.name}", f"{namespace or one.namespace}/{name}"
