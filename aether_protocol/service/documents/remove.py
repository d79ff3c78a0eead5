"""Remove stored documents with all of their versions.

Law: of several documents all are removed or, if one is not there or still in use, none; also where others change the library at
the same moment. Versions are not removed one by one.
Runs keep what they need, so nothing that has begun is harmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.errors import ChangedError, ConflictError, NotFoundError, UsageError
from aether_protocol.ports.store import Store, StoredDocument
from aether_protocol.service.documents.find import DocumentName, find_versions
from aether_protocol.service.documents.users import DocumentUser, find_users

TRIES: Final = 5  # where others change the library meanwhile


class RemovedDocuments(Struct, frozen=True):
    """What was removed, each in its newest version, and what refers to it all the same."""

    documents: Sequence[StoredDocument]
    users: Sequence[DocumentUser]


async def remove_documents(
    store: Store, kind: str | None, names: Sequence[DocumentName], *, force: bool = False
) -> RemovedDocuments:
    """Remove documents.

    Args:
        store: where they are kept.
        kind: Workflow or WorkflowTemplate; None: whichever of them has the name.
        names: each once or several times.
        force: also what stored documents and schedules refer to.

    Raises:
        NotFoundError: one is not there.
        UsageError: a name has a version, or is that of two documents.
        ConflictError: something refers to one of them.
        ChangedError: others change the library again and again.
    """
    for one in names:
        if one.version is not None:
            hint = f"'{one.whole}' means all"
            raise UsageError(f"{one.name}@{one.version}: versions are not removed one by one", hint=hint)
    for _ in range(TRIES - 1):
        try:
            return await _remove(store, kind, names, force=force)
        except ChangedError:
            continue
    return await _remove(store, kind, names, force=force)


async def _remove(store: Store, kind: str | None, names: Sequence[DocumentName], *, force: bool) -> RemovedDocuments:
    revision = await store.library.revision()
    found = [(await find_versions(store, kind, one.namespace, one.name))[0] for one in dict.fromkeys(names)]
    users = await find_users(store, found)
    if users and not force:
        told = "; ".join(f"{one} refers to {one.refers_to}" for one in users[:5])
        more = f"; and {len(users) - 5} more" if len(users) > 5 else ""
        raise ConflictError(f"{told}{more}", hint="remove them first, or together with it; --force removes it all the same")
    if not await store.library.remove([(one.kind, one.namespace, one.name) for one in found], revision=revision):
        raise NotFoundError("another process has removed one of them just now", hint="look again")
    return RemovedDocuments(found, users)
