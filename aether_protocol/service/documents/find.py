"""Stored documents, found by what the caller calls them.

Law: nothing here changes a document. A name is looked up in one namespace; what is near is named where it is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.ports.store import Store, StoredDocument
from aether_protocol.service.documents.changes import SCHEDULE, TEMPLATE, WORKFLOW

KEPT = (WORKFLOW, TEMPLATE)  # by the library; the third kind is kept as a schedule


class DocumentName(Struct, frozen=True):
    """What a caller calls a document; `version` None: the newest."""

    namespace: str
    name: str
    version: int | None = None

    @property
    def whole(self) -> str:
        """The name of all versions."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return self.whole if self.version is None else f"{self.whole}@{self.version}"


def read_document_name(text: str, namespace: str | None) -> DocumentName:
    """Read `words`, `ops/words`, `words@2` or `store:ops/words@2`. Raises UsageError."""
    rest, at, number = text.removeprefix("store:").partition("@")
    space, slash, name = rest.rpartition("/")
    if not name or (slash and not space) or (at and not (number.isascii() and number.isdigit())):
        raise UsageError(f"{text!r} is not a name of a document", hint="it is NAME, NAMESPACE/NAME or NAME@VERSION")
    if space and namespace not in (None, space):
        raise UsageError(f"{text!r} is not in namespace {namespace!r}", hint="leave -n out, or the namespace in the name")
    return DocumentName(space or namespace or "default", name, int(number) if at else None)


def refuse_kind(kind: str | None) -> None:
    """Raise UsageError for a kind that the library does not keep."""
    if kind == SCHEDULE:
        raise UsageError("a CronWorkflow is kept as a schedule", hint="'aether cron' looks after schedules")
    if kind is not None and kind not in KEPT:
        raise UsageError(f"{kind!r} is not a kind of stored documents", hint=did_you_mean(kind, KEPT, ", ".join(KEPT)))


async def find_versions(store: Store, kind: str | None, namespace: str, name: str) -> list[StoredDocument]:
    """Give all versions of a document, newest first.

    Args:
        store: where it is kept.
        kind: Workflow or WorkflowTemplate; None: whichever of them has that name.
        namespace: of the document.
        name: of the document.

    Raises:
        NotFoundError: there is none.
        UsageError: there is one of each kind.
    """
    refuse_kind(kind)
    found = [
        versions
        for one in KEPT
        if kind in (None, one) and (versions := await store.library.versions(one, namespace, name))
    ]
    if len(found) > 1:
        raise UsageError(f"{name!r} is a Workflow and a WorkflowTemplate", hint="choose with --kind")
    if not found:
        raise unknown_document(kind, namespace, name, await store.library.newest(kind))
    return found[0]


async def find_document(
    store: Store, kind: str | None, name: DocumentName, digest: str | None = None
) -> StoredDocument:
    """Give one version of a document: the newest, or that of the name's number or of a digest that begins so.

    Raises:
        NotFoundError: there is none.
        UsageError: the name or the digest is of several.
    """
    return choose_version(await find_versions(store, kind, name.namespace, name.name), name.version, digest)


def choose_version(versions: Sequence[StoredDocument], version: int | None, digest: str | None) -> StoredDocument:
    """Choose the version with this number and a digest that begins so; the newest without either.

    Raises:
        NotFoundError: there is none.
        UsageError: several digests begin so.
    """
    fitting = [one for one in versions if version in (None, one.version) and one.digest.startswith((digest or "").lower())]
    if not fitting:
        wanted = " and ".join(
            [*([f"version {version}"] if version is not None else []), *([f"digest {digest!r}"] if digest is not None else [])]
        )
        known = ", ".join(f"{one.version} ({one.digest[:12]})" for one in versions[:5])
        hint = f"it has {known}{', ...' if len(versions) > 5 else ''}"
        raise NotFoundError(f"{versions[0].name!r} has no {wanted}", hint=hint)
    if digest is not None and len({one.digest for one in fitting}) > 1:
        raise UsageError(f"{digest!r} is the beginning of several digests", hint=", ".join(one.digest for one in fitting[:5]))
    return fitting[0]


def unknown_document(kind: str | None, namespace: str, name: str, known: Sequence[StoredDocument]) -> NotFoundError:
    """Make the error for a name that is not there, with the nearest one that is."""
    elsewhere = [one.namespace for one in known if one.name == name]
    hint: str | None = f"there is one in namespace {elsewhere[0]!r}: {elsewhere[0]}/{name}" if elsewhere else None
    if hint is None:
        here = [one.name for one in known if one.namespace == namespace]
        lists = "'aether template ls'" if kind == TEMPLATE else "'aether library ls'"
        none = "the store holds no templates" if kind == TEMPLATE else "'aether apply FILE' keeps documents in the store"
        hint = did_you_mean(name, here, f"{lists} lists them" if known else none)
    return NotFoundError(f"there is no {kind or 'document'} {name!r} in namespace {namespace!r}", hint=hint)
