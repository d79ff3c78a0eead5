"""The WorkflowTemplates that references are looked up in (TMPL-2).

Law: a name in a namespace is found in one place at most: what is nearer (the same file) hides what is farther
(directories, a store), and two of one name at the same distance are a fault.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import WorkflowTemplate


class Library:
    """A set of WorkflowTemplates; what it does not have is looked up in `farther`."""

    def __init__(self, farther: Library | None = None) -> None:
        self._farther = farther
        self._documents: dict[tuple[str, str], LoadedDocument] = {}

    def add(self, document: LoadedDocument) -> Diagnostic | None:
        """Take a document in. Only WorkflowTemplates count; a name that is taken here is reported, the first one stays."""
        if not isinstance(document.model, WorkflowTemplate) or document.name is None:
            return None
        key = (document.model.metadata.namespace, document.name)
        first = self._documents.setdefault(key, document)
        if first is document:
            return None
        message = f"WorkflowTemplate {document.name!r} is already there, in {first.file!r}"
        return document.report("AE135", ("metadata", "name"), message, "give each its own name or namespace")

    def find(self, name: str, namespace: str) -> LoadedDocument | None:
        """The WorkflowTemplate of that name, or None."""
        found = self._documents.get((namespace, name))
        return found if found is not None or self._farther is None else self._farther.find(name, namespace)

    def __iter__(self) -> Iterator[LoadedDocument]:
        yield from self._documents.values()
        if self._farther is not None:
            yield from (other for other in self._farther if other not in self._documents.values())

    def names(self, namespace: str) -> list[str]:
        """All names in a namespace, for suggestions."""
        own = [name for space, name in self._documents if space == namespace]
        return own if self._farther is None else [*own, *self._farther.names(namespace)]
