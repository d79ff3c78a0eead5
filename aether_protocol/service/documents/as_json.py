"""Stored documents and what became of applied ones, as JSON: of commands and of the server alike.

Law: names and instants are those of every other list (camel case, RFC 3339).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import DocumentMark, StoredDocument
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.documents.changes import AppliedDocuments, DocumentChange

Marks = Mapping[tuple[str, str, str], DocumentMark]  # by kind, namespace and name


def document_json(document: StoredDocument) -> dict[str, Json]:
    """Give a stored document without its text."""
    return {
        "kind": document.kind,
        "name": document.name,
        "namespace": document.namespace,
        "version": document.version,
        "digest": document.digest,
        "appliedAt": rfc3339(document.at),
    }


def marked_json(document: StoredDocument, marks: Marks) -> dict[str, Json]:
    """Give a stored document without its text, with what became of it in the folder that a server follows."""
    mark = marks.get((document.kind, document.namespace, document.name))
    return {**document_json(document), "folder": None if mark is None else mark_json(mark)}


def mark_json(mark: DocumentMark) -> dict[str, Json]:
    """Give a mark without the document that it is about."""
    return {"file": mark.file, "state": mark.state, "detail": mark.detail, "at": rfc3339(mark.at)}


def by_document(marks: Sequence[DocumentMark]) -> dict[tuple[str, str, str], DocumentMark]:
    """Give marks by the document that they are about; of two files with one document that which was marked last."""
    latest = sorted(marks, key=lambda mark: mark.at)
    return {(one.kind, one.namespace, one.name): one for one in latest if one.name}


def change_json(change: DocumentChange, *, with_difference: bool) -> dict[str, Json]:
    """Give what becomes of one document."""
    told: dict[str, Json] = {
        "kind": change.kind,
        "name": change.name,
        "namespace": change.namespace,
        "action": change.action,
        "version": change.version,
        "digest": change.digest,
        "appliedAt": None if change.applied_at is None else rfc3339(change.applied_at),
        "file": change.file,
        "line": change.line,
        "nextFireAt": None if change.next_at is None else rfc3339(change.next_at),
        "resumed": change.resumed,
    }
    return {**told, "difference": list(change.difference())} if with_difference else told


def applied_json(applied: AppliedDocuments) -> dict[str, Json]:
    """Give what applying came to; a dry run with how each document differs."""
    return {
        "dryRun": applied.dry_run,
        "documents": [change_json(one, with_difference=applied.dry_run) for one in applied.changes],
        "leftOut": [{"kind": one.kind, "name": one.name, "file": one.file, "line": one.line} for one in applied.left_out],
        "warnings": [dict(one.to_json()) for one in applied.warnings],
    }
