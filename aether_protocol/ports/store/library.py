"""The library: documents by kind, namespace and name, each with its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


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


class LibraryStore(Protocol):
    """The library: documents by kind, namespace and name, each with its versions."""

    async def put(self, documents: Sequence[NewDocument], at: int) -> list[tuple[StoredDocument, bool]]:
        """Keep a version of each, all or none; a text that is the newest version already makes none. With each whether it made
        one. `at` is the instant that the versions carry."""
        ...

    async def get(self, kind: str, namespace: str, name: str, digest: str | None = None) -> StoredDocument | None:
        """Read one version of a document; None where there is none.

        Args:
            kind: Of the document.
            namespace: Its namespace.
            name: Its name.
            digest: Of the version; None: the newest one.
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

    async def newest(self, kind: str | None = None, namespace: str | None = None) -> list[StoredDocument]:
        """List the newest version of each document, by kind, namespace and name."""
        ...

    async def remove(self, kind: str, namespace: str, name: str) -> bool:
        """Delete all versions of a document; False if there was none.

        Args:
            kind: Of the document.
            namespace: Its namespace.
            name: Its name.
        """
        ...
