"""The library in memory."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from aether_protocol.adapters.stores.memory.facets import MemorySchedules
from aether_protocol.errors import ChangedError
from aether_protocol.ports.store.library import (
    CHANGED,
    CHANGED_HINT,
    DocumentKey,
    DocumentMark,
    NewDocument,
    StoredDocument,
    revision_of,
)
from aether_protocol.ports.store.schedules import ScheduleWrite


class MemoryLibrary:
    """`ports.store.LibraryStore`: documents by kind, namespace and name; all versions, oldest first."""

    def __init__(self, schedules: MemorySchedules) -> None:
        self._documents: dict[tuple[str, str, str], list[StoredDocument]] = {}
        self._marks: dict[tuple[str, str, str, str], DocumentMark] = {}
        self._schedules = schedules

    async def put(
        self,
        documents: Sequence[NewDocument],
        at: int,
        schedules: Sequence[ScheduleWrite] = (),
        *,
        revision: str | None = None,
    ) -> list[tuple[StoredDocument, bool]]:
        await self._require(revision)
        for one in schedules:
            self._schedules.check(one.schedule, one.plan)
        for one in schedules:
            self._schedules.write(one.schedule, one.plan)
        return [self._put(document, at) for document in documents]

    def _put(self, new: NewDocument, at: int) -> tuple[StoredDocument, bool]:
        versions = self._documents.setdefault((new.kind, new.namespace, new.name), [])
        digest = sha256(new.text.encode("utf-8", "backslashreplace")).hexdigest()
        changed = not versions or versions[-1].digest != digest
        if changed:
            versions.append(
                StoredDocument(
                    kind=new.kind,
                    namespace=new.namespace,
                    name=new.name,
                    text=new.text,
                    digest=digest,
                    version=len(versions) + 1,
                    at=at,
                )
            )
        return versions[-1], changed

    async def get(
        self, kind: str, namespace: str, name: str, digest: str | None = None, version: int | None = None
    ) -> StoredDocument | None:
        versions = reversed(self._documents.get((kind, namespace, name), []))
        fitting = (item for item in versions if digest in (None, item.digest) and version in (None, item.version))
        return next(fitting, None)

    async def versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        return self._documents.get((kind, namespace, name), [])[::-1]

    async def newest(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> list[StoredDocument]:
        found = [versions[-1] for key, versions in sorted(self._documents.items()) if after is None or key > after]
        return [item for item in found if kind in (None, item.kind) and namespace in (None, item.namespace)][:limit]

    async def revision(self) -> str:
        newest = (versions[-1] for versions in self._documents.values())
        schedules = await self._schedules.find()
        return revision_of(
            (
                *((one.kind, one.namespace, one.name, one.version, one.digest) for one in newest),
                *((one.namespace, one.name, one.generation) for one in schedules),
            )
        )

    async def _require(self, revision: str | None) -> None:
        if revision is not None and await self.revision() != revision:
            raise ChangedError(CHANGED, hint=CHANGED_HINT)

    async def remove(self, keys: Sequence[DocumentKey], *, revision: str | None = None) -> bool:
        await self._require(revision)
        if not all(key in self._documents for key in keys):
            return False
        for key in keys:
            self._documents.pop(key, None)
        return True

    async def mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark] = ()) -> None:
        for one in remove:
            self._marks.pop((one.file, one.kind, one.namespace, one.name), None)
        self._marks |= {(one.file, one.kind, one.namespace, one.name): one for one in marks}

    async def marks(self) -> list[DocumentMark]:
        return [one for _, one in sorted(self._marks.items())]
