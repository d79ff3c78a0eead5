"""Documents that are kept by their names, as JSON: what is sent to apply them, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field, to_builtins

from aether_protocol.diagnostics import Diagnostic
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import DocumentMark, StoredDocument
from aether_protocol.ports.store.library import DocumentKey
from aether_protocol.service.documents.as_json import applied_json, change_json, document_json, mark_json
from aether_protocol.service.documents.changes import KINDS, Action, AppliedDocuments, DocumentChange, LeftOutDocument
from aether_protocol.service.documents.remove import RemovedDocuments
from aether_protocol.service.documents.texts import DocumentText
from aether_protocol.service.documents.users import DocumentUser
from aether_protocol.service.wire.problems import DiagnosticBody
from aether_protocol.service.wire.requests import Document, LibraryBody, TextBody
from aether_protocol.service.wire.values import Instant, read_instant, read_optional

Kind = Annotated[str, Meta(description="Workflow, WorkflowTemplate or CronWorkflow.", examples=["Workflow"])]
Digest = Annotated[str, Meta(description="The sha256 of the text, in hex.")]


class ApplyBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Apply documents: all of them or, if anything is wrong with one, none.

    `kinds`: only these; `replace`: a CronWorkflow with another workflowSpec makes a new schedule of that name; `dryRun`: only
    say what would become of each.
    """

    documents: list[TextBody]
    library: list[LibraryBody] = field(default_factory=list)
    kinds: list[Literal["Workflow", "WorkflowTemplate", "CronWorkflow"]] | None = None
    replace: bool = False
    dry_run: bool = False


class ValidateBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Check a document, or the texts of files. `file`: how findings call the document; `strict`: what has no effect is an
    error, too. A library whose texts are all among the documents is the folder that they are from."""

    document: Document | UnsetType = UNSET
    file: str | None = None
    documents: list[TextBody] | UnsetType = UNSET
    library: list[LibraryBody] = field(default_factory=list)
    strict: bool = False


class ValidityBody(Struct):
    """What is wrong with documents. `valid`: no finding is an error."""

    valid: bool
    diagnostics: list[DiagnosticBody]


class RemoveBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Remove documents with all of their versions: all or none. `force`: also what documents and schedules refer to."""

    names: Annotated[list[str], Meta(description="NAME or NAMESPACE/NAME of each.")]
    kind: Kind | None = None
    force: bool = False


class MarkBody(Struct):
    """What a document of a followed folder has become: applied, faulty (the version before counts) or gone (it is kept)."""

    file: str
    state: str
    detail: str
    at: Instant
    kind: str = ""
    namespace: str = ""
    name: str = ""


class DocumentBody(Struct, rename="camel"):
    """A version of a stored document; `text` where it is asked for."""

    kind: Kind
    name: str
    namespace: str
    version: int
    digest: Digest
    applied_at: Instant
    folder: MarkBody | None = None
    text: str | None = None


class DocumentPage(Struct):
    """Documents in their newest versions, by kind, namespace and name. `next` is the `page` that follows; null on the last."""

    documents: list[DocumentBody]
    next: str | None = None


class MarksBody(Struct):
    """What became of the documents of a folder that the server follows."""

    files: list[MarkBody]


class DocumentChangeBody(Struct, rename="camel"):
    """What becomes of one document; `version` of a schedule: how many had that name."""

    kind: Kind
    name: str
    namespace: str
    action: Action
    version: int
    digest: Digest
    applied_at: Instant | None
    file: str
    line: int
    next_fire_at: Instant | None
    resumed: bool
    before: str | None
    text: str
    difference: Annotated[list[str] | None, Meta(description="Of a dry run: the lines of a unified diff.")] = None


class LeftOutDocumentBody(Struct):
    """A document that is not of the kinds that were asked for."""

    kind: str
    name: str
    file: str
    line: int


class AppliedBody(Struct, rename="camel"):
    """What applying came to, in the order of the files."""

    dry_run: bool
    documents: list[DocumentChangeBody]
    left_out: list[LeftOutDocumentBody]
    warnings: list[DiagnosticBody]


class UserBody(Struct, rename="camel"):
    """What refers to a document that was removed all the same; both as NAMESPACE/NAME."""

    kind: Kind
    name: str
    refers_to: str


class RemovedBody(Struct):
    """What was removed, each in its newest version."""

    removed: list[DocumentBody]
    users: list[UserBody]


class DifferenceBody(Struct):
    """How two versions differ: the lines of a unified diff."""

    before: str
    after: str
    difference: list[str]


# --- requests ---


def read_texts(bodies: Sequence[TextBody]) -> list[DocumentText]:
    """Give the texts that were sent."""
    return [DocumentText(one.name, one.text) for one in bodies]


def read_checked(body: ValidateBody) -> dict[str, Json] | str | list[DocumentText]:
    """Give the documents that are to be checked. Raises UsageError."""
    if (body.document is UNSET) == (body.documents is UNSET):
        raise UsageError("give a document, or the texts of several", hint="document or documents, one of them")
    if body.documents is not UNSET:
        return read_texts(body.documents)
    assert body.document is not UNSET
    if isinstance(body.document, str) and body.file is not None:
        return [DocumentText(body.file, body.document)]
    return body.document


def write_page(document: StoredDocument) -> str:
    """Write the cursor behind a document."""
    return f"{document.kind}/{document.namespace}/{document.name}"


def read_page(text: str | None) -> DocumentKey | None:
    """Read a cursor. Raises UsageError."""
    if text is None:
        return None
    kind, _, rest = text.partition("/")
    namespace, _, name = rest.partition("/")
    if kind not in KINDS or not namespace or not name:
        raise UsageError(f"{text!r} is not a page", hint="give `next` of the page before")
    return kind, namespace, name


# --- answers ---


def text_json(document: StoredDocument) -> dict[str, Json]:
    """Write a version with its text."""
    return {**document_json(document), "text": document.text}


def whole_mark_json(mark: DocumentMark) -> dict[str, Json]:
    """Write a mark with the document that it is about."""
    return {**mark_json(mark), "kind": mark.kind, "namespace": mark.namespace, "name": mark.name}


def whole_applied_json(applied: AppliedDocuments) -> dict[str, Json]:
    """Write what applying came to, with the texts."""
    documents = [
        {**change_json(one, with_difference=applied.dry_run), "before": one.before, "text": one.text} for one in applied.changes
    ]
    return {**applied_json(applied), "documents": documents}


def removed_json(done: RemovedDocuments) -> dict[str, Json]:
    """Write what was removed."""
    users: list[Json] = [{"kind": one.kind, "name": one.name, "refersTo": one.refers_to} for one in done.users]
    return {"removed": [text_json(one) for one in done.documents], "users": users}


def read_document(body: DocumentBody) -> StoredDocument:
    """Give the version that a body with a text was made of."""
    return StoredDocument(
        kind=body.kind,
        namespace=body.namespace,
        name=body.name,
        text=body.text or "",
        digest=body.digest,
        version=body.version,
        at=read_instant(body.applied_at),
    )


def read_mark(body: MarkBody) -> DocumentMark:
    """Give the mark that a body was made of."""
    return DocumentMark(
        file=body.file,
        kind=body.kind,
        namespace=body.namespace,
        name=body.name,
        state=body.state,
        detail=body.detail,
        at=read_instant(body.at),
    )


def validity_json(found: Sequence[Diagnostic]) -> dict[str, Json]:
    """Write what is wrong with documents."""
    return {"valid": all(one.severity != "error" for one in found), "diagnostics": [dict(one.to_json()) for one in found]}


def read_diagnostics(bodies: Sequence[DiagnosticBody]) -> list[Diagnostic]:
    """Give the findings that bodies were made of."""
    return [convert(to_builtins(one), Diagnostic) for one in bodies]


def read_applied(body: AppliedBody) -> AppliedDocuments:
    """Give what applying came to."""
    return AppliedDocuments(
        changes=[_read_change(one) for one in body.documents],
        warnings=read_diagnostics(body.warnings),
        left_out=[LeftOutDocument(one.kind, one.name, one.file, one.line) for one in body.left_out],
        dry_run=body.dry_run,
    )


def read_removed(body: RemovedBody) -> RemovedDocuments:
    """Give what was removed."""
    users = [DocumentUser(one.kind, one.name, one.refers_to) for one in body.users]
    return RemovedDocuments([read_document(one) for one in body.removed], users)


def _read_change(body: DocumentChangeBody) -> DocumentChange:
    return DocumentChange(
        kind=body.kind,
        namespace=body.namespace,
        name=body.name,
        action=body.action,
        version=body.version,
        digest=body.digest,
        file=body.file,
        line=body.line,
        before=body.before,
        text=body.text,
        applied_at=read_optional(body.applied_at),
        next_at=read_optional(body.next_fire_at),
        resumed=body.resumed,
    )
