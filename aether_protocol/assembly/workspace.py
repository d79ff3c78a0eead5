"""The documents that are worked on: read, with what their references are looked up in, and compiled.

Law: this is the one place where it is decided what a document sees: the WorkflowTemplates of its own file, then those of the
libraries, then those of a store (TMPL-2). Reading never fails for what is in a file: what is wrong with it comes back as
diagnostics.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.assembly.artifacts import fetcher_types
from aether_protocol.assembly.executors import executor_types, missing_modules
from aether_protocol.assembly.files import FileBytes, is_path, read_file, read_files
from aether_protocol.compiler.checks.unused import unused
from aether_protocol.compiler.compile import Compiled, CompileOptions, Use, compile_document
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.diagnostics.bounds import first_of
from aether_protocol.documents.library import StoredLibrary, TemplateLibrary, leads_out
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes, load_value
from aether_protocol.documents.source import DEFAULT, DocumentLimits
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ExecutorTypes, types_within
from aether_protocol.plan.model import Plan
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE

RUNNABLE: Final = ("Workflow", "CronWorkflow")
_LIBRARY: Final = "its templates run where a Workflow refers to them: give it with --library beside one"


@contextmanager
def collector_held() -> Iterator[None]:
    """Collect nothing inside; afterwards as before. It may be nested, and used as a decorator.

    Trees, models and plans are many objects and none of them is garbage. The collector would walk all of them again and again
    while the rest is made: a tenth to a third of the time, and more than in proportion to the size of a document.

    Two threads at once: the first to leave lets the collector run again, which costs the other time and nothing else.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            _promote()
            gc.enable()


_is_frozen = False  # what the program froze was seen once: to ask is a walk over all of it, 8 ms of a server, with each request


def _promote() -> None:
    """Count what was made as old, so that the next collection does not begin with a walk over all of it.

    A program that has frozen its start looks after that itself, and what it has frozen stays so.
    """
    global _is_frozen
    _is_frozen = _is_frozen or gc.get_freeze_count() > 0
    if not _is_frozen:
        gc.freeze()
        gc.unfreeze()


class GivenLibrary(Struct, frozen=True):
    """A library whose files were read already; `name` is what people call it."""

    name: str
    files: Sequence[FileBytes]


Template = str | Path | Mapping[str, Json] | GivenLibrary
Readable = Mapping[str, Json] | Sequence[Mapping[str, Json]] | str | Path


class DocumentWorkspace:
    """Files read so far, the libraries, and the templates of a store once these are on the shelf.

    `libraries`: files, folders or dicts with WorkflowTemplates. `types`: the executor types to check against, by default the
    installed ones. `namespaces`: those of variable sources. `sources` are the bytes of what was read, by the name in
    diagnostics.
    """

    def __init__(
        self,
        libraries: Iterable[Template] = (),
        *,
        types: ExecutorTypes | None = None,
        namespaces: Iterable[str] = (),
        limits: DocumentLimits = DEFAULT,
    ) -> None:
        self.limits = limits
        self.sources: dict[str, bytes] = {}
        self.warnings: tuple[Diagnostic, ...] = ()  # about the document that was planned last
        self.elsewhere = False  # whether others carry out what is compiled here (RT-131)
        self._types = types
        self._namespaces = frozenset(namespaces)
        self._libraries = tuple(libraries)
        self._files: dict[str, LoadedFile] = {}
        self._library_files: list[LoadedFile] | None = None  # read when they are first looked in
        self._folders: dict[LoadedFile, None] = {}
        self._together: dict[LoadedFile, None] = {}
        self._shelf: StoredLibrary | None = None
        self._shared: tuple[TemplateLibrary, list[Diagnostic]] | None = None
        self._views: dict[LoadedFile, TemplateLibrary] = {}  # what each file sees

    # --- reading ---

    @collector_held()
    def load(self, document: Readable) -> LoadedFile:
        """Read a document: a dict, a path, YAML or JSON text."""
        if isinstance(document, str):
            if not is_path(document):
                return load_bytes(document.encode("utf-8", errors="surrogatepass"), "<text>", self.limits)
            document = Path(document)
        if isinstance(document, Path):
            return self.take(read_file(str(document), self.limits))
        return load_value(document, limits=self.limits)

    @collector_held()
    def take(self, file: FileBytes) -> LoadedFile:
        """The documents of a file; the same file again, whatever it is called now, is the same."""
        key = os.path.realpath(file.name)
        if key not in self._files:
            self.sources[file.name] = file.data
            self._files[key] = load_bytes(file.data, file.name, self.limits)
        return self._files[key]

    @collector_held()
    def take_given(self, file: FileBytes) -> LoadedFile:
        """The documents of a file that may come from another machine: its name is a name, and nothing is looked for there."""
        key = f"<{file.name}>"
        if key not in self._files:
            self.sources[file.name] = file.data
            self._files[key] = load_bytes(file.data, file.name, self.limits)
        return self._files[key]

    def beside(self) -> DocumentWorkspace:
        """Make another workspace with the same settings, in which nothing was read yet and no library is looked in."""
        made = DocumentWorkspace(types=self._types, namespaces=self._namespaces, limits=self.limits)
        made.elsewhere = self.elsewhere
        return made

    def add_folder(self, files: Iterable[LoadedFile]) -> None:
        """Let the files of a folder be libraries, for each other too."""
        self._folders |= dict.fromkeys(files)
        self._look_again()

    def add_libraries(self, libraries: Iterable[Template]) -> None:
        """Look in these, too, after the libraries that are there."""
        self._libraries = (*self._libraries, *libraries)
        self._library_files = None
        self._look_again()

    def put_together(self, files: Iterable[LoadedFile]) -> None:
        """Let these files see each other before any library: they are about to be one."""
        self._together |= dict.fromkeys(files)
        self._look_again()

    def put_on_shelf(self, shelf: StoredLibrary) -> None:
        """Look in these templates, too, where files and libraries lack one."""
        self._shelf = shelf
        self._look_again()

    # --- looking up ---

    def lacks(self, files: Iterable[LoadedFile]) -> bool:
        """Whether a reference leads to what neither the files nor the libraries have: then a store is worth a look."""
        return any(leads_out(document, self._seen_from(file)) for file in files for document in file.documents)

    def _look_again(self) -> None:
        self._shared = None
        self._views = {}

    def _seen_from(self, file: LoadedFile) -> TemplateLibrary:
        if file not in self._views:
            library = self._views[file] = TemplateLibrary(self._middle()[0], file.file)
            for document in file.documents:
                library.add(document)
        return self._views[file]

    def _middle(self) -> tuple[TemplateLibrary, list[Diagnostic]]:
        """The templates of what lies between the file itself and the store, and what is wrong with these: faulty files,
        names that are taken."""
        if self._shared is None:
            if self._library_files is None:
                self._library_files = [file for one in self._libraries for file in self._read_library(one)]
            files = self._folders | dict.fromkeys(self._library_files)
            names = [_called(one) for one in self._libraries]
            names = ["its folder"] * bool(self._folders) + names
            library = TemplateLibrary(self._shelf, ", then in ".join(dict.fromkeys(names[:4])))
            found = list(_fill(library, files))
            if self._together:
                library = TemplateLibrary(library, "the files given with it" if len(self._together) > 1 else "")
                found += _fill(library, self._together)
            self._shared = library, found
        return self._shared

    def _read_library(self, library: Template) -> Iterator[LoadedFile]:
        if isinstance(library, Mapping):
            yield load_value(library, "<library>", self.limits)
        elif isinstance(library, GivenLibrary):
            yield from map(self.take_given, library.files)
        else:
            yield from map(self.take, read_files(str(library), self.limits))

    # --- checking ---

    def compile(self, document: LoadedDocument, file: LoadedFile, *, strict: bool, pedantic: bool = False) -> Compiled:
        """Check one document of a file, with all that it sees. Its faults of reading are the file's."""
        namespace = document.model.metadata.namespace if document.model is not None else DEFAULT_NAMESPACE
        options = CompileOptions(
            executor_types=executor_types() if self._types is None else types_within(self._types, namespace),
            fetchers=fetcher_types(),
            namespaces=self._namespaces,
            strict=strict,
            pedantic=pedantic,
            missing_modules=missing_modules,
            elsewhere=self.elsewhere,
        )
        return compile_document(document, self._seen_from(file), options)

    @collector_held()
    def check(
        self, files: Iterable[Iterable[LoadedFile]], *, strict: bool = False, pedantic: bool = False
    ) -> list[Diagnostic]:
        """Everything that is wrong with these files. They come as they were given, each folder as one: what nothing uses is
        reported of folders (and single files) that hold a workflow and have no error. `strict`: as for a run on this machine;
        `pedantic`: what has no effect is an error, too."""
        groups = [list(group) for group in files]
        found: list[Diagnostic] = []
        uses: set[Use] = set()
        for file in dict.fromkeys(file for group in groups for file in group):
            found += file.diagnostics
            for document in file.documents:
                compiled = self.compile(document, file, strict=strict, pedantic=pedantic)
                found += compiled.diagnostics
                if document.kind in RUNNABLE:
                    uses |= compiled.uses
        found += self.faults_of_libraries()
        faulty = {one.file for one in found if one.severity == "error"}
        for group in groups:
            if not any(file.file in faulty for file in group):
                found += unused([document for file in group for document in file.documents], uses)
        return first_of(found)

    @collector_held()
    def plan(self, file: LoadedFile, name: str | None = None, *, strict: bool = True, how: str = "name") -> Plan:
        """The plan of the one runnable document, or the one named (DOC-1); `how` a name is given, for advice.

        Raises DocumentError with all faults, UsageError where it is not clear which document is meant.
        """
        found = list(file.diagnostics)
        document = choose(file, name, how)
        plan = None
        if document is not None:
            compiled = self.compile(document, file, strict=strict)
            plan = compiled.plan
            found += [*compiled.diagnostics, *self.faults_of_libraries()]
        errors = [one for one in found if one.severity == "error"]
        if errors or plan is None:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            first = f": {errors[0].message}{more}" if errors else ""
            raise DocumentError(f"{file.file!r} is not valid{first}", diagnostics=first_of(found), sources=self.sources)
        self.warnings = tuple(first_of(found))
        return replace(plan, folder=folder_of(file.file))

    def faults_of_libraries(self) -> list[Diagnostic]:
        """What is wrong with the libraries and with what was taken from the shelf."""
        found = list(self._middle()[1])
        if self._shelf is not None:
            for key, file in self._shelf.opened.items():
                self.sources[file.file] = self._shelf.text(key).encode("utf-8", "backslashreplace")
                found += file.diagnostics
        return found


def _called(library: Template) -> str:
    if isinstance(library, Mapping):
        return "the given library"
    return library.name if isinstance(library, GivenLibrary) else str(library)


def _fill(library: TemplateLibrary, files: Iterable[LoadedFile]) -> Iterator[Diagnostic]:
    """Put the templates of files into a library; gives what is wrong with files that have some."""
    for file in files:
        templates = [document for document in file.documents if document.kind == "WorkflowTemplate"]
        yield from file.diagnostics if templates else ()
        yield from (clash for document in templates if (clash := library.add(document)) is not None)


def folder_of(file: str) -> str | None:
    """The folder of the document that was read from `file` (ART-4); None for one that came from no file."""
    return os.path.dirname(os.path.abspath(file)) if os.path.isfile(file) else None


def choose(file: LoadedFile, name: str | None, how: str) -> LoadedDocument | None:
    """The workflow that is meant (DOC-1); None where faults keep it from being read. Raises UsageError."""
    runnable = [one for one in file.documents if one.kind in RUNNABLE]
    names = ", ".join(repr(one.name) for one in runnable)
    if name is None and len(runnable) > 1:
        raise UsageError(f"{file.file!r} holds several workflows", hint=f"choose one with {how}: {names}")
    meant = [one for one in runnable if name in (None, one.name)]
    if meant:
        return meant[0]
    if any(one.severity == "error" for one in file.diagnostics):
        return None
    if runnable:
        raise UsageError(f"{file.file!r} holds no workflow named {name!r}", hint=f"it holds {names}")
    raise UsageError(f"{file.file!r} holds no workflow", hint=_LIBRARY)
