"""The documents that a command works on: its paths, its `--library` folders and its `--store`.

Law: what a document sees is decided in assembly.workspace. A store is opened only where a reference is found nowhere else, and
never made for that. An invalid document is reported with the text that it was read from.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from aether_protocol.assembly.files import FileBytes, is_case_file
from aether_protocol.assembly.templates import as_file
from aether_protocol.assembly.workspace import DocumentWorkspace, folder_of
from aether_protocol.cli.configured import accepted_types, variable_sources
from aether_protocol.cli.paths import STDIN, read_source, read_sources
from aether_protocol.cli.terminal import messages
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedFile
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import StoredDocument
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.views.text import counted


class DocumentInputs:
    """What was read so far. `store` is a URL; the store is brought up to date as it is opened if the command `writes` to it
    later, else it is only read. To be used outside of an event loop."""

    def __init__(
        self, libraries: Sequence[str] = (), limits: DocumentLimits = DEFAULT, store: str | None = None, *, writes: bool = False
    ) -> None:
        self._limits = limits
        self._store = store
        self._writes = writes
        self._libraries = libraries
        self._texts: dict[str, DocumentText] = {}  # by the real path of the file
        self.workspace = self.make_workspace(libraries)
        self.sources = self.workspace.sources

    def make_workspace(self, libraries: Sequence[str] = ()) -> DocumentWorkspace:
        """Make a workspace in which documents are compiled as they are here."""
        namespaces = [source.namespace for source in variable_sources()]
        return DocumentWorkspace(libraries, types=accepted_types(), namespaces=namespaces, limits=self._limits)

    # --- reading ---

    def read(self, paths: Sequence[str]) -> list[list[LoadedFile]]:
        """All documents at these paths, by path. Those of a folder are libraries."""
        read = []
        for path in dict.fromkeys(paths):
            files = [self._take(source) for source in read_sources(path, self._limits)]
            if path != STDIN and os.path.isdir(path):
                self.workspace.add_folder(files)
            read.append(files)
        return read

    def read_one(self, path: str) -> LoadedFile:
        """The documents of one file, whatever is in it."""
        return self._take(read_source(path, self._limits))

    def texts(self, paths: Sequence[str]) -> tuple[list[DocumentText], list[LibraryTexts]]:
        """The texts of all documents at these paths, and those in which they look up what they lack: folders are libraries.

        Raises DocumentError where the bytes of a file are not text.
        """
        documents: dict[DocumentText, None] = {}
        libraries: list[LibraryTexts] = []
        for path in dict.fromkeys(paths):
            found = [self._text(_refuse_others(source)) for source in read_sources(path, self._limits)]
            documents |= dict.fromkeys(found)
            if path != STDIN and os.path.isdir(path):
                libraries.append(LibraryTexts(path, found))
        given = {path: [self._text(source) for source in read_sources(path, self._limits)] for path in self._libraries}
        return list(documents), [*libraries, *(LibraryTexts(path, found) for path, found in given.items())]

    def _text(self, source: FileBytes) -> DocumentText:
        """The text of a file; the same file again, whatever it is called now, is the same."""
        key = os.path.realpath(source.name)
        if key not in self._texts:
            self._texts[key] = self._decoded(source)
        return self._texts[key]

    def _decoded(self, source: FileBytes) -> DocumentText:
        self.sources[source.name] = source.data
        try:
            return DocumentText(source.name, source.data.decode("utf-8"), folder_of(source.name))
        except UnicodeDecodeError:
            faults = self.workspace.take(source).diagnostics
            raise DocumentError(f"{source.name!r} is not text", diagnostics=faults, sources=self.sources) from None

    def _take(self, source: FileBytes) -> LoadedFile:
        return self.workspace.take(_refuse_others(source))

    def read_mapping(self, path: str, texts: Collection[str] = ()) -> dict[str, Json]:
        """A YAML or JSON file that holds one mapping (`--params-file`); plain scalars of the names in `texts` keep their
        spelling (DOC-10)."""
        mapping, spellings = self.read_spelt(path)
        return mapping | {name: text for name, text in spellings.items() if name in texts}

    def read_spelt(self, path: str) -> tuple[dict[str, Json], dict[str, str]]:
        """`read_mapping` where the types of the names are not known here: and how numbers and booleans were written."""
        source = read_source(path, self._limits)
        self.sources[source.name] = source.data
        read, trees = parse(source.data, source.name, self._limits)
        if read.faults and source.data.strip():
            fault = read.faults[0]
            raise UsageError(f"cannot read {path!r}: line {fault.line}: {fault.message}", hint=fault.hint)
        if len(trees) != 1 or not isinstance(trees[0].root, dict):
            raise UsageError(f"{path!r} does not hold a mapping of names to values", hint="a line for each: NAME: VALUE")
        mapping: dict[str, Json] = trees[0].root
        written = {name: trees[0].spelling((name,)) for name in mapping}
        return mapping, {name: text for name, text in written.items() if text}

    # --- checking ---

    def check(self, files: Sequence[Sequence[LoadedFile]], *, strict: bool = False) -> list[Diagnostic]:
        """Everything that is wrong with these files, as `aether validate` reports it; with `--strict` where `strict`."""
        self.reach([file for several in files for file in several])
        return self.workspace.check(files, strict=strict, pedantic=strict)

    def plan(self, file: LoadedFile, name: str | None, *, strict: bool) -> Plan:
        """The plan of the one runnable document, or the one named (DOC-1).

        Raises DocumentError with all faults, UsageError where it is not clear which document is meant.
        """
        self.reach([file])
        with told_as(f"{file.file!r} is not valid"):
            return self.workspace.plan(file, name, strict=strict, how="--name")

    def plan_stored(self, document: StoredDocument) -> Plan:
        """The plan of a stored workflow, with the templates as they are now. Raises DocumentError with all faults."""
        file = self.workspace.take_given(as_file(document))
        return replace(self.plan(file, None, strict=True), document_version=document.version)

    def tell_warnings(self, path: str) -> None:
        """One line on standard error where the document at `path`, planned just now, has warnings; `validate` shows them."""
        count = len(self.workspace.warnings)
        if count:
            how = f"aether validate {messages.quoted(path)}" if path != STDIN else "aether validate"
            messages.note(f"note: {counted(count, 'warning')} about the document, shown by '{how}'")

    def reach(self, files: Sequence[LoadedFile]) -> None:
        """Look templates up in the store, where a reference is found nowhere else."""
        if self._store is not None and self.workspace.lacks(files):
            from aether_protocol.cli.stored import read_templates

            self.workspace.put_on_shelf(read_templates(self._store, self._limits, reads_only=not self._writes))


def _refuse_others(source: FileBytes) -> FileBytes:
    """Raise UsageError for a file that is another command's."""
    if is_case_file(source):
        raise UsageError(f"{source.name!r} holds cases, not workflows", hint=f"aether test {messages.quoted(source.name)}")
    if source.name.endswith(".toml"):
        raise UsageError(
            f"{source.name!r} holds settings, not workflows", hint=f"aether config validate {messages.quoted(source.name)}"
        )
    return source


@contextmanager
def told_as(message: str) -> Iterator[None]:
    """Say `message` in place of that of a DocumentError, whose findings are shown one by one."""
    try:
        yield
    except DocumentError as error:
        raise DocumentError(message, diagnostics=error.diagnostics, sources=error.sources) from None
