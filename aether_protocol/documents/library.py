"""The WorkflowTemplates that references are looked up in (TMPL-2).

Law: a name in a namespace is found in one place at most: what is nearer (the same file) hides what is farther
(directories, a store), and two of one name at the same distance are a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes, taken
from aether_protocol.documents.models import CronWorkflow, WorkflowTemplate
from aether_protocol.documents.source import DEFAULT, DocumentLimits


class TemplateLibrary:
    """A set of WorkflowTemplates; what it does not have is looked up in `farther`. `place` is what people call it."""

    def __init__(self, farther: TemplateLibrary | None = None, place: str = "") -> None:
        self._farther = farther
        self._place = place
        self._documents: dict[tuple[str, str], LoadedDocument] = {}
        self._spaces: dict[str, list[str]] | None = None  # namespaces by name, from the first question on

    def add(self, document: LoadedDocument) -> Diagnostic | None:
        """Take a document in. Only WorkflowTemplates count; a name that is taken here is reported, the first one stays."""
        if not isinstance(document.model, WorkflowTemplate) or document.name is None:
            return None
        self._spaces = None
        first = self._documents.setdefault((document.model.metadata.namespace, document.name), document)
        if first is document:
            return None
        return document.report("AE135", ("metadata", "name"), *taken(document, first))

    def find(self, name: str, namespace: str) -> LoadedDocument | None:
        """The WorkflowTemplate of that name, or None."""
        found = self._own(name, namespace)
        return found if found is not None or self._farther is None else self._farther.find(name, namespace)

    def _own(self, name: str, namespace: str) -> LoadedDocument | None:
        return self._documents.get((namespace, name))

    def names(self, namespace: str) -> list[str]:
        """All names in a namespace, for suggestions."""
        return list(dict.fromkeys(name for space, name in self._keys() if space == namespace))

    def namespaces(self, name: str) -> list[str]:
        """All namespaces that have a WorkflowTemplate of that name, for suggestions."""
        if self._spaces is None:
            self._spaces = {}
            for space, known in sorted(set(self._keys())):
                self._spaces.setdefault(known, []).append(space)
        return self._spaces.get(name, [])

    def places(self) -> list[str]:
        """What people call the places that are looked in, from near to far."""
        own = [self._place] if self._place else []
        return own if self._farther is None else [*own, *self._farther.places()]

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from self._documents
        if self._farther is not None:
            yield from self._farther._keys()


class KeptText(Struct, frozen=True):
    """The text of one document, and how diagnostics call it."""

    file: str
    text: str


class StoredLibrary(TemplateLibrary):
    """WorkflowTemplates that are kept as texts, by (namespace, name), such as those of a store: each is read when it is
    first asked for. `opened` are those that were read."""

    def __init__(self, texts: Mapping[tuple[str, str], KeptText], place: str, limits: DocumentLimits = DEFAULT) -> None:
        super().__init__(place=place)
        self._texts = texts
        self._limits = limits
        self.opened: dict[tuple[str, str], LoadedFile] = {}

    def _own(self, name: str, namespace: str) -> LoadedDocument | None:
        key = (namespace, name)
        if key not in self._texts:
            return None
        if key not in self.opened:
            kept = self._texts[key]
            data = kept.text.encode("utf-8", "backslashreplace")
            self.opened[key] = load_bytes(data, kept.file, self._limits)
        file = self.opened[key]
        return next((one for one in file.documents if file.diagnostics or isinstance(one.model, WorkflowTemplate)), None)

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from self._texts

    def text(self, key: tuple[str, str]) -> str:
        """The text of what is kept under `key`."""
        return self._texts[key].text


def references(document: LoadedDocument) -> Iterator[tuple[str, str | None]]:
    """(name, namespace) of each WorkflowTemplate that a document refers to; None: the namespace of the workflow."""
    model = document.model
    if model is None:
        return
    spec = model.spec.workflow_spec if isinstance(model, CronWorkflow) else model.spec
    if spec.workflow_template_ref is not None:
        yield spec.workflow_template_ref.name, spec.workflow_template_ref.namespace
    for template in spec.templates or ():
        for task in template.dag.tasks if template.dag is not None else ():
            if task.template_ref is not None:
                yield task.template_ref.name, task.template_ref.namespace


def leads_out(document: LoadedDocument, library: TemplateLibrary) -> bool:
    """Whether `document`, or something that it refers to, refers to what `library` does not have."""
    if document.model is None:
        return False
    home = document.model.metadata.namespace
    seen = {document}
    todo = [document]
    while todo:
        for name, namespace in references(todo.pop()):
            found = library.find(name, namespace or home)
            if found is None:
                return True
            if found not in seen:
                seen.add(found)
                todo.append(found)
    return False
