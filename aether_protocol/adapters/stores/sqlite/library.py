"""The library in SQLite.

Law: a document's versions are kept until it is removed. What is applied together, schedules included, is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.adapters.stores.sqlite.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sqlite.schedules import SqliteSchedules
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.library import DocumentKey, DocumentMark, NewDocument, StoredDocument
from aether_protocol.ports.store.schedules import ScheduleWrite

_DOCUMENT: Final = COVERED["documents"]
_NEWEST: Final = (
    "version = (SELECT max(version) FROM documents d WHERE (d.kind, d.namespace, d.name) = (o.kind, o.namespace, o.name))"
)
_MARK: Final = COVERED["document_marks"]
_UNMARK: Final = "DELETE FROM document_marks WHERE (file, kind, namespace, name) = (?, ?, ?, ?)"


class SqliteLibrary:
    """`ports.store.LibraryStore`."""

    def __init__(self, database: Database, schedules: SqliteSchedules) -> None:
        self._db = database
        self._schedules = schedules

    async def put(
        self, documents: Sequence[NewDocument], at: int, schedules: Sequence[ScheduleWrite] = ()
    ) -> list[tuple[StoredDocument, bool]]:
        async with self._db.write() as execute:
            for one in schedules:
                self._schedules.write(execute, one.schedule, one.plan)
            return [_put(execute, document, at) for document in documents]

    async def get(
        self, kind: str, namespace: str, name: str, digest: str | None = None, version: int | None = None
    ) -> StoredDocument | None:
        with self._db.read() as execute:
            return _newest(execute, (kind, namespace, name), digest, version)

    async def versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        where = "WHERE kind = ? AND namespace = ? AND name = ? ORDER BY version DESC"
        with self._db.read() as execute:
            found = execute(f"SELECT {_DOCUMENT}, sum FROM documents {where}", (kind, namespace, name))
            return [_make(item) for item in found]

    async def newest(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> list[StoredDocument]:
        with self._db.read() as execute:
            found = execute(
                f"SELECT {_DOCUMENT}, sum FROM documents o WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR namespace = ?2) "
                f"AND (?3 IS NULL OR (kind, namespace, name) > (?3, ?4, ?5)) AND {_NEWEST} "
                "ORDER BY kind, namespace, name LIMIT ?6",
                (kind, namespace, *(after or (None, None, None)), -1 if limit is None else limit),
            )
            return [_make(item) for item in found]

    async def remove(self, keys: Sequence[DocumentKey]) -> bool:
        where = "FROM documents WHERE kind = ? AND namespace = ? AND name = ?"
        async with self._db.write() as execute:
            if not all(execute(f"SELECT 1 {where}", key).fetchone() for key in keys):
                return False
            for key in keys:
                execute(f"DELETE {where}", key)
        return True

    async def mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark] = ()) -> None:
        async with self._db.write() as execute:
            for one in (*remove, *marks):
                execute(_UNMARK, (clean(one.file), one.kind, one.namespace, one.name))
            for one in marks:
                values = (clean(one.file), one.kind, one.namespace, one.name, one.state, clean(one.detail), one.at)
                text = f"INSERT INTO document_marks ({_MARK}, sum) VALUES ({', '.join('?' * 8)})"
                execute(text, (*values, sum_of("document_marks", values)))

    async def marks(self) -> list[DocumentMark]:
        with self._db.read() as execute:
            found = execute(f"SELECT {_MARK}, sum FROM document_marks ORDER BY file, kind, namespace, name").fetchall()
        for *values, sum_ in found:
            require("document_marks", values, sum_, f"what became of {values[0]!r}")
        return [DocumentMark(*values) for *values, _ in found]


def _put(execute: Execute, new: NewDocument, at: int) -> tuple[StoredDocument, bool]:
    """Keep a version, if it is one."""
    text = clean(new.text)
    digest = sha256(text.encode()).hexdigest()
    newest = _newest(execute, (new.kind, new.namespace, new.name))
    if newest is not None and newest.digest == digest:
        return newest, False
    version = newest.version + 1 if newest is not None else 1
    values = (new.kind, new.namespace, new.name, text, digest, version, at)
    execute(f"INSERT INTO documents ({_DOCUMENT}, sum) VALUES ({', '.join('?' * 8)})", (*values, sum_of("documents", values)))
    return StoredDocument(*values), True


def _newest(
    execute: Execute, key: DocumentKey, digest: str | None = None, version: int | None = None
) -> StoredDocument | None:
    """The newest version of the document at kind, namespace and name, or of those that are asked for."""
    found = execute(
        f"SELECT {_DOCUMENT}, sum FROM documents WHERE kind = ?1 AND namespace = ?2 AND name = ?3 "
        "AND (?4 IS NULL OR digest = ?4) AND (?5 IS NULL OR version = ?5) ORDER BY version DESC LIMIT 1",
        (*key, digest, version),
    ).fetchone()
    return _make(found) if found is not None else None


def _make(found: tuple[Any, ...]) -> StoredDocument:
    """A document from the columns of _DOCUMENT and its digest. Raises PortError where it is damaged."""
    *values, sum_ = found
    require("documents", values, sum_, f"document {values[2]!r}")
    made = StoredDocument(*values)
    if sha256(made.text.encode()).hexdigest() != made.digest:
        raise damaged(f"document {made.name!r}")
    return made
