"""The library of a store: WorkflowTemplates that many documents share (TMPL-2).

Law: what is in the store was valid when it was put there, with all that it refers to; of several documents all are stored or
none. A text is kept as its author wrote it, under the name and namespace that it gives itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aether_protocol.assembly.files import FileBytes
from aether_protocol.documents.library import KeptText, StoredLibrary
from aether_protocol.documents.models import WorkflowTemplate
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.ports.store import Store, StoredDocument

KIND: Final = "WorkflowTemplate"


def called(document: StoredDocument) -> str:
    """How diagnostics call a stored document: `store:default/words@3`."""
    return f"store:{document.namespace}/{document.name}@{document.version}"


def as_file(document: StoredDocument) -> FileBytes:
    """A stored document as a file, which diagnostics call as the store's."""
    return FileBytes(called(document), document.text.encode("utf-8", "backslashreplace"))


def make_shelf(
    documents: Iterable[StoredDocument], place: str = "the store", limits: DocumentLimits = DEFAULT
) -> StoredLibrary:
    """Stored templates, to be looked up in. `place` is what people call the store."""
    texts = {(one.namespace, one.name): KeptText(called(one), one.text) for one in documents}
    return StoredLibrary(texts, place, limits)


async def read_shelf(store: Store, place: str = "the store", limits: DocumentLimits = DEFAULT) -> StoredLibrary:
    """All templates of a store as they are at this moment, each in its newest version."""
    return make_shelf(await store.library.newest(KIND), place, limits)


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
