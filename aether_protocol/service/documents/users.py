"""What among stored documents refers to WorkflowTemplates: what would not be valid without them.

Law: nothing here writes. A text that does not hold a template's name is not read, so the cost is that of the texts which do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from aether_protocol.assembly.templates import called
from aether_protocol.documents.library import references
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes
from aether_protocol.ports.store import Store, StoredDocument
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.service.documents.changes import SCHEDULE, TEMPLATE

Key = tuple[str, str]  # namespace and name of a WorkflowTemplate


class DocumentUser(Struct, frozen=True):
    """A stored document that refers to a template; both are named NAMESPACE/NAME."""

    kind: str
    name: str
    refers_to: str

    def __str__(self) -> str:
        return f"{'schedule ' if self.kind == SCHEDULE else ''}{self.name}"


class StoredText(Struct, frozen=True, eq=False):
    """A stored document that was read again, and its text."""

    file: LoadedFile
    document: LoadedDocument
    text: bytes


def read_stored(stored: StoredDocument) -> StoredText | None:
    """Read a stored document; None where it cannot be read any more."""
    return _read(stored.text, called(stored))


async def find_users(store: Store, removed: Sequence[StoredDocument]) -> list[DocumentUser]:
    """Find what refers to WorkflowTemplates among `removed` and is not itself among them: documents, then schedules."""
    keys = {(one.namespace, one.name) for one in removed if one.kind == TEMPLATE}
    found: dict[DocumentUser, None] = {}
    for stored in await store.library.newest() if keys else ():
        if stored not in removed and mentions(stored.text, keys):
            for used in _used(read_stored(stored), stored.namespace, keys):
                found[DocumentUser(stored.kind, f"{stored.namespace}/{stored.name}", used)] = None
    schedules = [] if store.schedules is None or not keys else await store.schedules.find()
    for one in schedules:
        if mentions(one.document, keys):
            for used in _used(_read(one.document, _called(one)), one.namespace, keys):
                found[DocumentUser(SCHEDULE, f"{one.namespace}/{one.name}", used)] = None
    return list(found)


def mentions(text: str, keys: Collection[Key]) -> bool:
    """Whether a text may refer to one of `keys`: a name stands in it as it is."""
    return any(name in text for _, name in keys)


def refers(read: StoredText | None, namespace: str, keys: Collection[Key]) -> bool:
    """Whether a document of `namespace` refers to one of `keys`."""
    return any(True for _ in _used(read, namespace, keys))


def _used(read: StoredText | None, home: str, keys: Collection[Key]) -> Iterator[str]:
    if read is None:
        return
    for name, namespace in dict.fromkeys(references(read.document)):
        if (namespace or home, name) in keys:
            yield f"{namespace or home}/{name}"


def _read(text: str, name: str) -> StoredText | None:
    data = text.encode("utf-8", "backslashreplace")
    file = load_bytes(data, name)
    document = next((one for one in file.documents if one.model is not None), None)
    return None if document is None else StoredText(file, document, data)


def _called(schedule: StoredSchedule) -> str:
    return f"store:{schedule.namespace}/{schedule.name}"
