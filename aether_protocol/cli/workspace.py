"""The documents that a command works on: read, with the templates that they may refer to, and compiled.

Law: a document sees the templates of its own file first, then those of the folders given (TMPL-2). Reading never fails
for what is in a file: what is wrong with it comes back as diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aether_protocol.assembly.discovery import executor_types, fetcher_types
from aether_protocol.assembly.schedules import check_document
from aether_protocol.cli.faults import InvalidDocumentError
from aether_protocol.cli.paths import STDIN, Source, read_source, read_sources
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.library import Library
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import DEFAULT, Limits
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.compile import Compiled, CompileOptions, compile_document
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.plan.model import Plan

RUNNABLE = ("Workflow", "CronWorkflow")


def known_executors() -> ExecutorTypes:
    """The executor types that are installed."""
    return executor_types()


class Workspace:
    """Files read so far, by name, and the folders with templates."""

    def __init__(self, libraries: Sequence[str] = (), limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self.sources: dict[str, bytes] = {}
        self._folders = list(libraries)
        self._files: dict[str, LoadedFile] = {}
        self._shared: tuple[Library, tuple[Diagnostic, ...]] | None = None

    # --- reading ---

    def read(self, paths: Sequence[str]) -> list[LoadedFile]:
        """All documents at these paths. Folders among them count as libraries too."""
        self._folders += [path for path in paths if path != STDIN and Path(path).is_dir()]
        return list(self._load(read_sources(paths, self._limits)))

    def read_one(self, path: str) -> LoadedFile:
        """The documents of one file, whatever is in it."""
        return next(self._load([read_source(path, self._limits)]))

    def read_mapping(self, path: str) -> dict[str, Json]:
        """A YAML or JSON file that holds one mapping (`--params-file`)."""
        source = read_source(path, self._limits)
        self.sources[source.name] = source.data
        read, trees = parse(source.data, source.name, self._limits)
        if read.faults:
            fault = read.faults[0]
            raise UsageError(f"cannot read {path!r}: line {fault.line}: {fault.message}", hint=fault.hint)
        if len(trees) != 1 or not isinstance(trees[0].root, dict):
            raise UsageError(f"{path!r} does not hold a mapping of names to values")
        mapping: dict[str, Json] = trees[0].root
        return mapping

    def _load(self, sources: Iterable[Source]) -> Iterator[LoadedFile]:
        for source in sources:
            if source.name not in self._files:
                self.sources[source.name] = source.data
                self._files[source.name] = load_bytes(source.data, source.name, self._limits)
            yield self._files[source.name]

    # --- checking ---

    def check(self, files: Sequence[LoadedFile]) -> list[Diagnostic]:
        """Everything that is wrong with these files, as `aether validate` tells it."""
        found = list(self._library()[1])
        for file in files:
            found += file.diagnostics
            seen = self._seen_from(file)
            for document in file.documents:
                if document.model is not None:
                    found += compile_document(document, seen, self._options(strict=False)).diagnostics
                    found += check_document(document)
        return found

    def compile(self, file: LoadedFile, document: LoadedDocument) -> Compiled:
        """One document of a file for use: with its plan if it has no fault, and strict about executors."""
        return compile_document(document, self._seen_from(file), self._options(strict=True))

    def library_faults(self) -> list[Diagnostic]:
        """What is wrong with the libraries."""
        return list(self._library()[1])

    def plan(self, file: LoadedFile, name: str | None, *, strict: bool) -> Plan:
        """The plan of the one runnable document, or the one named (DOC-1).

        Raises InvalidDocumentError with all faults, UsageError where it is not clear which document is meant.
        """
        errors = [d for d in file.diagnostics if d.severity == "error"]
        runnable = [d for d in file.documents if d.kind in RUNNABLE]
        if not runnable and not errors:
            raise UsageError(f"{file.file!r} holds no Workflow", hint="a library of templates cannot run by itself")
        chosen = self._chosen(file, runnable, name) if runnable else None
        found = list(file.diagnostics)
        plan = None
        if chosen is not None and chosen.model is not None:
            compiled = compile_document(chosen, self._seen_from(file), self._options(strict=strict))
            found += [*compiled.diagnostics, *check_document(chosen)]
            plan = compiled.plan
        found += self._library()[1]
        errors = [d for d in found if d.severity == "error"]
        if errors or plan is None:
            diagnostics = sorted(set(found))
            raise InvalidDocumentError(f"{file.file!r} is not valid", diagnostics=diagnostics, sources=self.sources)
        return plan

    def _chosen(self, file: LoadedFile, runnable: Sequence[LoadedDocument], name: str | None) -> LoadedDocument:
        names = ", ".join(repr(d.name) for d in runnable)
        if name is None:
            if len(runnable) > 1:
                raise UsageError(f"{file.file!r} holds several workflows", hint=f"choose one with --name: {names}")
            return runnable[0]
        for document in runnable:
            if document.name == name:
                return document
        raise UsageError(f"{file.file!r} holds no workflow {name!r}", hint=f"it holds {names}")

    def _options(self, *, strict: bool) -> CompileOptions:
        return CompileOptions(executor_types=executor_types(), fetchers=fetcher_types(), strict=strict)

    def _seen_from(self, file: LoadedFile) -> Library:
        library = Library(self._library()[0])
        for document in file.documents:
            library.add(document)
        return library

    def _library(self) -> tuple[Library, tuple[Diagnostic, ...]]:
        """The templates of all folders, and what is wrong there: faulty library files, names that are taken."""
        if self._shared is None:
            library = Library()
            found: list[Diagnostic] = []
            for file in self._load(read_sources(self._folders, self._limits)):
                templates = [d for d in file.documents if d.kind == "WorkflowTemplate"]
                found += file.diagnostics if templates else ()
                found += [clash for d in templates if (clash := library.add(d)) is not None]
            self._shared = library, tuple(found)
        return self._shared
