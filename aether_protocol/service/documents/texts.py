"""Documents as they are given to a client: their texts, with what people call them.

Law: a text is all that is known of a file. A path is never opened here: the client may be on another machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.assembly.files import FileBytes
from aether_protocol.assembly.workspace import GivenLibrary
from aether_protocol.diagnostics.bounds import first_of
from aether_protocol.errors import DocumentError

if TYPE_CHECKING:
    from aether_protocol.assembly.workspace import DocumentWorkspace
    from aether_protocol.diagnostics import Diagnostic
    from aether_protocol.documents.load import LoadedFile
    from aether_protocol.expressions.values import Json


class DocumentText(Struct, frozen=True):
    """The text of a file. `name` is how diagnostics call it; `folder`, where it lies on the machine of the store (ART-4)."""

    name: str
    text: str
    folder: str | None = None


class StoredWorkflow(Struct, frozen=True):
    """A Workflow that is kept in the store, to be run. `name` is NAME or NAMESPACE/NAME, with @VERSION for another than the
    newest; `digest`: of the version, or how it begins."""

    name: str
    digest: str | None = None


class RecordedPlan(Struct, frozen=True):
    """The plan of runs that there are, by the digest that their rows have: to run the same once more."""

    digest: str


class LibraryTexts(Struct, frozen=True):
    """Texts in which references are looked up; `name` is what people call their file or folder."""

    name: str
    documents: Sequence[DocumentText]


def take_documents(
    workspace: DocumentWorkspace, documents: Mapping[str, Json] | str | Sequence[DocumentText]
) -> list[LoadedFile]:
    """Read documents, each file once."""
    if isinstance(documents, Mapping):
        return [workspace.load(documents)]
    several = [DocumentText("<text>", documents)] if isinstance(documents, str) else documents
    return list(dict.fromkeys(workspace.take_given(_bytes(one)) for one in several))


def take_grouped(
    workspace: DocumentWorkspace, documents: Mapping[str, Json] | str | Sequence[DocumentText], library: Sequence[LibraryTexts]
) -> list[list[LoadedFile]]:
    """Read documents with their libraries: the files in their order, those of a folder together.

    A library whose texts are all among the documents is the folder that they are from.
    """
    files = take_documents(workspace, documents)
    by_name = {file.file: file for file in files}
    folder_of: dict[LoadedFile, list[LoadedFile]] = {}
    for one in library:
        names = [text.name for text in one.documents]
        if names and by_name.keys() >= set(names):
            folder = [by_name[name] for name in dict.fromkeys(names)]
            workspace.add_folder(folder)
            folder_of |= dict.fromkeys(folder, folder)
        else:
            workspace.add_libraries([given_library(one)])
    groups: dict[LoadedFile, list[LoadedFile]] = {}  # by the first file of each
    for file in files:
        folder = folder_of.get(file, [file])
        groups.setdefault(folder[0], folder)
    return list(groups.values())


def folders_of(documents: Mapping[str, Json] | str | Sequence[DocumentText]) -> dict[str, str | None]:
    """Give the folder of each text that has one, by name."""
    return {} if isinstance(documents, Mapping | str) else {one.name: one.folder for one in documents}


def refuse(message: str, diagnostics: Sequence[Diagnostic], sources: Mapping[str, bytes]) -> None:
    """Raise DocumentError with everything, if any of it is an error."""
    errors = [one for one in diagnostics if one.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        text = f"{message}: {errors[0].message}{more}"
        raise DocumentError(text, diagnostics=first_of(diagnostics), sources=sources)


def given_library(library: LibraryTexts) -> GivenLibrary:
    """Make a library of texts."""
    return GivenLibrary(library.name, [_bytes(one) for one in library.documents])


def _bytes(document: DocumentText) -> FileBytes:
    return FileBytes(document.name, document.text.encode("utf-8", "surrogatepass"))
