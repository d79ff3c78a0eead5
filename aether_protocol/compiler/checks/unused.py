"""Shared templates that nothing uses: what only shows when documents are looked at together (TMPL-2).

Law: nothing is said of libraries alone. Only where a workflow stands among the documents can it be known what of their
WorkflowTemplates is used, and only by what was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from aether_protocol.compiler.compile import Use
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import WorkflowTemplate

_HINT = "call it, take it away, or check libraries that are meant for others by themselves"


def unused(documents: Iterable[LoadedDocument], uses: AbstractSet[Use]) -> Iterator[Diagnostic]:
    """What among valid `documents` is not in `uses`: templates, or a WorkflowTemplate as a whole."""
    given = list(documents)
    if all(isinstance(document.model, WorkflowTemplate) for document in given):
        return
    for document in given:
        model = document.model
        if not isinstance(model, WorkflowTemplate):
            continue
        left = [
            (("spec", "templates", index, branch, "name"), content.name)
            for index, template in enumerate(model.spec.templates)
            for branch, content in (("dag", template.dag), ("task", template.task), ("loop", template.loop))
            if content is not None and (document, content.name) not in uses
        ]
        if len(left) == len(model.spec.templates):
            yield document.report("AE914", ("metadata", "name"), f"nothing uses WorkflowTemplate {document.name!r}", _HINT)
            continue
        for path, name in left:
            yield document.report("AE914", path, f"nothing uses template {name!r} of WorkflowTemplate {document.name!r}", _HINT)
