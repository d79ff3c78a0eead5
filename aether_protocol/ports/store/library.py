"""The library: documents by kind, namespace and name, each with its versions; and what folders that are followed hold.

Law: documents and schedules that are applied together are written together: `put` is the one door for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from aether_protocol.ports.store.schedules import ScheduleWrite

APPLIED: Final = "applied"
FAULTY: Final = "faulty"
GONE: Final = "gone"
CHANGED: Final = "the stored documents were changed at the same moment"  # of a ChangedError
CHANGED_HINT: Final = "look at them, and try again"


class StoredDocument(Struct):
    """One version of a library document. `version` counts from 1 per name; `digest` is the sha256 of `text` in hex."""

    kind: str
    namespace: str
    name: str
    text: str
    digest: str
    version: int
    at: int


class NewDocument(Struct):
    """A document to be kept."""

    kind: str
    namespace: str
    name: str
    text: str


DocumentKey = tuple[str, str, str]  # kind, namespace and name


def revision_of(parts: Iterable[tuple[str | int, ...]]) -> str:
    """Return the revision of a library.

    Args:
        parts: of each document kind, namespace, name, version and digest of the newest version, and of each schedule namespace,
            name and generation, in any order.
    """
    return sha256("\n".join(sorted(map(repr, parts))).encode("utf-8", "backslashreplace")).hexdigest()


class DocumentMark(Struct, frozen=True, order=True):
    """What a document of a followed folder has become, by the file that it came from.

    `state` is one of the words above: `applied` as the file has it; `faulty`, and the version before counts (`detail` says why,
    with the place); `gone`, the file or the document in it is there no longer. `kind`, `namespace` and `name` are empty for a
    file that could never be read.
    """

    file: str
    kind: str
    namespace: str
    name: str
    state: str
    detail: str
    at: int


class LibraryStore(Protocol):
    """The library: documents by kind, namespace and name, each with its versions."""

    async def put(
        self,
        documents: Sequence[NewDocument],
        at: int,
        schedules: Sequence[ScheduleWrite] = (),
        *,
        revision: str | None = None,
    ) -> list[tuple[StoredDocument, bool]]:
        """Keep a version of each document, and write schedules, all or none.

        Args:
            documents: A text that is the newest version already makes none.
            at: The instant that the versions carry.
            schedules: See `ScheduleStore.put`.
            revision: What `revision` gave before it was decided what is put; None: it was decided by nothing that is here.

        Returns:
            Of each document its newest version, and whether that was made now.

        Raises:
            BusyError: Another was first with one of the schedules.
            ChangedError: The library has another revision by now.
        """
        ...

    async def revision(self) -> str:
        """Return a text that is another one after each change of what `newest` gives, and of which schedules there are."""
        ...

    async def get(
        self, kind: str, namespace: str, name: str, digest: str | None = None, version: int | None = None
    ) -> StoredDocument | None:
        """Read one version of a document; None where there is none.

        Args:
            kind: Of the document.
            namespace: Its namespace.
            name: Its name.
            digest: Of the version; None: the newest one.
            version: Its number; None: the newest one.
        """
        ...

    async def versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        """List all versions of a document, newest first; none of an unknown one.

        Args:
            kind: Of the document.
            namespace: Its namespace.
            name: Its name.
        """
        ...

    async def newest(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: DocumentKey | None = None,
        limit: int | None = None,
    ) -> list[StoredDocument]:
        """List the newest version of each document, by kind, namespace and name.

        Args:
            kind: Only documents of this kind.
            namespace: Only those of this namespace.
            after: Kind, namespace and name of the last document of the page before.
            limit: How many at most.
        """
        ...

    async def remove(self, keys: Sequence[DocumentKey], *, revision: str | None = None) -> bool:
        """Delete documents with all of their versions: all of them or, where one is not there, none; False then.

        Args:
            keys: Which.
            revision: As for `put`.

        Raises:
            ChangedError: The library has another revision by now.
        """
        ...

    async def mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark] = ()) -> None:
        """Note what documents of a followed folder have become: each takes the place of the mark before of the same file, kind,
        namespace and name. Those in `remove` are removed."""
        ...

    async def marks(self) -> list[DocumentMark]:
        """List all marks by file, kind, namespace and name."""
        ...
