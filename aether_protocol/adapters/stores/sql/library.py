"""The library in SQL.

Law: a document's versions are kept until it is removed. What is applied together, schedules included, is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from aether_protocol.adapters.stores.sql.records import COVERED, UNLIMITED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.schedules import SqlSchedules
from aether_protocol.adapters.stores.sql.work import Row, SqlDatabase, Work, fetch, fetch_one
from aether_protocol.errors import ChangedError
from aether_protocol.expressions.json_copy import clean
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

_DOCUMENT: Final = COVERED["documents"]
_NEWEST: Final = (
    "version = (SELECT max(version) FROM documents d WHERE (d.kind, d.namespace, d.name) = (o.kind, o.namespace, o.name))"
)
_MARK: Final = COVERED["document_marks"]
_UNMARK: Final = "DELETE FROM document_marks WHERE (file, kind, namespace, name) = (?, ?, ?, ?)"


class SqlLibrary:
    """`ports.store.LibraryStore`."""

    def __init__(self, database: SqlDatabase, schedules: SqlSchedules) -> None:
        self._db = database
        self._schedules = schedules

    async def put(
        self,
        documents: Sequence[NewDocument],
        at: int,
        schedules: Sequence[ScheduleWrite] = (),
        *,
        revision: str | None = None,
    ) -> list[tuple[StoredDocument, bool]]:
        return await self._db.transact(lambda: self._put(documents, at, schedules, revision), "documents")

    async def revision(self) -> str:
        return await self._db.query(_revision)

    def _put(
        self, documents: Sequence[NewDocument], at: int, schedules: Sequence[ScheduleWrite], revision: str | None
    ) -> Work[list[tuple[StoredDocument, bool]]]:
        yield from _require_revision(revision)
        for one in schedules:
            yield from self._schedules.write(one.schedule, one.plan)
        made: list[tuple[StoredDocument, bool]] = []
        for document in documents:
            made += [(yield from _put(document, at))]
        return made

    async def get(
        self, kind: str, namespace: str, name: str, digest: str | None = None, version: int | None = None
    ) -> StoredDocument | None:
        return await self._db.query(lambda: _newest((kind, namespace, name), digest, version))

    async def versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        text = f"SELECT {_DOCUMENT}, sum FROM documents WHERE kind = ? AND namespace = ? AND name = ? ORDER BY version DESC"
        return [_make(item) for item in await self._db.query(lambda: fetch(text, (kind, namespace, name)))]

    async def newest(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> list[StoredDocument]:
        text = (
            f"SELECT {_DOCUMENT}, sum FROM documents o WHERE (kind = ?1 OR ?1 IS NULL) AND (namespace = ?2 OR ?2 IS NULL) "
            f"AND ((kind, namespace, name) > (?3, ?4, ?5) OR ?3 IS NULL) AND {_NEWEST} ORDER BY kind, namespace, name LIMIT ?6"
        )
        values = (kind, namespace, *(after or (None, None, None)), UNLIMITED if limit is None else limit)
        return [_make(item) for item in await self._db.query(lambda: fetch(text, values))]

    async def remove(self, keys: Sequence[DocumentKey], *, revision: str | None = None) -> bool:
        return await self._db.transact(lambda: self._remove(keys, revision), "documents")

    def _remove(self, keys: Sequence[DocumentKey], revision: str | None) -> Work[bool]:
        yield from _require_revision(revision)
        where = "FROM documents WHERE kind = ? AND namespace = ? AND name = ?"
        for key in keys:
            if (yield from fetch_one(f"SELECT 1 {where} LIMIT 1", key)) is None:
                return False
        for key in keys:
            yield f"DELETE {where}", key
        return True

    async def mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark] = ()) -> None:
        await self._db.transact(lambda: self._mark(marks, remove), "documents")

    def _mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark]) -> Work[None]:
        for one in (*remove, *marks):
            yield _UNMARK, (clean(one.file), one.kind, one.namespace, one.name)
        text = f"INSERT INTO document_marks ({_MARK}, sum) VALUES ({', '.join('?' * 8)})"
        for one in marks:
            values = (clean(one.file), one.kind, one.namespace, one.name, one.state, clean(one.detail), one.at)
            yield text, (*values, sum_of("document_marks", values))

    async def marks(self) -> list[DocumentMark]:
        text = f"SELECT {_MARK}, sum FROM document_marks ORDER BY file, kind, namespace, name"
        found = await self._db.query(lambda: fetch(text))
        for *values, sum_ in found:
            require("document_marks", values, sum_, f"what became of {values[0]!r}")
        return [DocumentMark(*values) for *values, _ in found]


def _revision() -> Work[str]:
    documents = yield from fetch(f"SELECT kind, namespace, name, version, digest FROM documents o WHERE {_NEWEST}")
    schedules = yield from fetch("SELECT namespace, name, generation FROM schedules")
    return revision_of((*map(tuple, documents), *map(tuple, schedules)))


def _require_revision(revision: str | None) -> Work[None]:
    if revision is not None and (yield from _revision()) != revision:
        raise ChangedError(CHANGED, hint=CHANGED_HINT)


def _put(new: NewDocument, at: int) -> Work[tuple[StoredDocument, bool]]:
    """Keep a version, if it is one."""
    text = clean(new.text)
    digest = sha256(text.encode()).hexdigest()
    newest = yield from _newest((new.kind, new.namespace, new.name))
    if newest is not None and newest.digest == digest:
        return newest, False
    version = newest.version + 1 if newest is not None else 1
    values = (new.kind, new.namespace, new.name, text, digest, version, at)
    into = f"INSERT INTO documents ({_DOCUMENT}, sum) VALUES ({', '.join('?' * 8)})"
    yield into, (*values, sum_of("documents", values))
    return StoredDocument(*values), True


def _newest(key: DocumentKey, digest: str | None = None, version: int | None = None) -> Work[StoredDocument | None]:
    """The newest version of the document at kind, namespace and name, or of those that are asked for."""
    found = yield from fetch_one(
        f"SELECT {_DOCUMENT}, sum FROM documents WHERE kind = ?1 AND namespace = ?2 AND name = ?3 "
        "AND (digest = ?4 OR ?4 IS NULL) AND (version = ?5 OR ?5 IS NULL) ORDER BY version DESC LIMIT 1",
        (*key, digest, version),
    )
    return _make(found) if found is not None else None


def _make(found: Row) -> StoredDocument:
    """A document from the columns of _DOCUMENT and its digest. Raises PortError where it is damaged."""
    *values, sum_ = found
    require("documents", values, sum_, f"document {values[2]!r}")
    made = StoredDocument(*values)
    if sha256(made.text.encode()).hexdigest() != made.digest:
        raise damaged(f"document {made.name!r}")
    return made
