"""From whatever a caller calls a document to a plan.

Law: what is wrong with a document is one DocumentError with all diagnostics; what is wrong with the call (no such
file, no workflow in it) is a UsageError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aether_protocol.assembly.workspace import DocumentWorkspace, GivenLibrary, Readable, Template
from aether_protocol.documents.load import LoadedFile
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.plan.model import Plan

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store

Document = Readable | Plan
Libraries = Iterable[Template] | Template


def load_plan(
    document: Document,
    *,
    name: str | None = None,
    library: Libraries = (),
    types: ExecutorTypes | None = None,
    namespaces: Iterable[str] = (),
    limits: DocumentLimits = DEFAULT,
    elsewhere: bool = False,
) -> Plan:
    """Compile a document to a plan.

    Args:
        document: a dict, a path, YAML or JSON text; a Plan is returned as it is.
        name: which of several workflows in it.
        library: files, folders or dicts with WorkflowTemplates (TMPL-2).
        types: the executor types to check against, by default the installed ones.
        namespaces: the namespaces of variable sources.
        limits: what a document may have at most (DOC-6).
        elsewhere: whether workers on other machines carry it out, which lack what lies beside it here (RT-131).

    Raises:
        DocumentError: the document is invalid; with all diagnostics.
        UsageError: there is no such file, or no workflow in it.
    """
    if isinstance(document, Plan):
        return document
    workspace = DocumentWorkspace(as_several(library), types=types, namespaces=namespaces, limits=limits)
    workspace.elsewhere = elsewhere
    return workspace.plan(workspace.load(document), name)


async def find_plan(
    document: Document,
    store: Store,
    *,
    name: str | None = None,
    library: Libraries = (),
    types: ExecutorTypes | None = None,
    namespaces: Iterable[str] = (),
    limits: DocumentLimits = DEFAULT,
    elsewhere: bool = False,
) -> Plan:
    """As `load_plan`; what neither the document nor `library` has is looked up in `store`, as it is at this moment."""
    if isinstance(document, Plan):
        return document
    workspace = DocumentWorkspace(as_several(library), types=types, namespaces=namespaces, limits=limits)
    workspace.elsewhere = elsewhere
    return workspace.plan(await load_with(workspace, document, store), name)


async def load_with(workspace: DocumentWorkspace, document: Readable, store: Store) -> LoadedFile:
    """Read a document; where it refers to what the workspace does not have, the templates of `store` are put on its shelf."""
    file = workspace.load(document)
    if workspace.lacks([file]):
        from aether_protocol.assembly.templates import read_shelf

        workspace.put_on_shelf(await read_shelf(store, limits=workspace.limits))
    return file


def as_several(library: Libraries) -> tuple[Template, ...]:
    """What callers call a library: several files, folders or documents, or one. A path is not the list of its letters."""
    if isinstance(library, str | Path):
        return (library,)
    return (library,) if isinstance(library, Mapping | GivenLibrary) else tuple(library)
