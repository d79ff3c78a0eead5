"""From whatever a caller calls a document to a plan.

Law: what is wrong with a document is told in one DocumentError with all diagnostics; what is wrong with the call (no such
file, no workflow in it) is a UsageError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from aether_protocol.assembly.discovery import executor_types, fetcher_types
from aether_protocol.assembly.schedules import check_document
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.library import Library
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes, load_value
from aether_protocol.documents.source import DEFAULT, Limits
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.compile import CompileOptions, compile_document
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.plan.model import Plan

Document = Mapping[str, Json] | Sequence[Mapping[str, Json]] | str | Path | Plan

Template = str | Path | Mapping[str, Json]
Libraries = Iterable[Template] | Template

RUNNABLE: Final = ("Workflow", "CronWorkflow")
SUFFIXES: Final = (".yaml", ".yml", ".json")


def load_plan(
    document: Document,
    *,
    name: str | None = None,
    library: Libraries = (),
    types: ExecutorTypes | None = None,
    namespaces: Iterable[str] = (),
    limits: Limits = DEFAULT,
) -> Plan:
    """The plan of a document: a dict, a path, YAML or JSON text; a Plan is given back as it is.

    `name`: which of several workflows. `library`: files, folders or dicts with WorkflowTemplates (TMPL-2). `types`: the
    executor types to check against, by default the installed ones. `namespaces`: those of variable sources. `limits`: what a
    document may have at most (DOC-6).
    """
    if isinstance(document, Plan):
        return document
    file = load_document(document, limits)
    found = list(file.diagnostics)
    chosen = _choose(file, name, found)
    plan = None
    if chosen is not None:
        near, faults = _library(file, as_several(library), limits)
        options = CompileOptions(
            executor_types=executor_types() if types is None else types,
            fetchers=fetcher_types(),
            namespaces=frozenset(namespaces),
            strict=True,
        )
        compiled = compile_document(chosen, near, options)
        plan = compiled.plan
        found += [*faults, *compiled.diagnostics, *check_document(chosen)]
    errors = [one for one in found if one.severity == "error"]
    if errors or plan is None:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        first = f": {errors[0].message}{more}" if errors else ""
        raise DocumentError(f"{file.file!r} is not valid{first}", diagnostics=sorted(set(found)))
    return plan


def as_several(library: Libraries) -> tuple[Template, ...]:
    """What callers call a library: several files, folders or documents, or one. A path is not the list of its letters."""
    if isinstance(library, str | Path):
        return (library,)
    return (library,) if isinstance(library, Mapping) else tuple(library)


def load_document(
    document: Mapping[str, Json] | Sequence[Mapping[str, Json]] | str | Path, limits: Limits = DEFAULT
) -> LoadedFile:
    """Read a document. A string is a path where it looks like one (a known suffix, or a file of that name), else text."""
    if isinstance(document, str):
        if not _is_path(document):
            return load_bytes(document.encode("utf-8", errors="surrogatepass"), "<text>", limits)
        document = Path(document)
    if isinstance(document, Path):
        return load_bytes(_read(document, limits), str(document), limits)
    return load_value(document, limits=limits)


def _is_path(text: str) -> bool:
    if "\n" in text or "\0" in text or text.lstrip().startswith(("{", "[")):
        return False
    try:
        return text.endswith(SUFFIXES) or Path(text).is_file()
    except OSError:  # too long for a path
        return False


def _read(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(limits.bytes + 1)  # enough to see that it is too large
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {(error.strerror or str(error)).lower()}") from None


def _choose(file: LoadedFile, name: str | None, found: Sequence[Diagnostic]) -> LoadedDocument | None:
    """The workflow that is meant (DOC-1); None where faults keep it from being read."""
    runnable = [one for one in file.documents if one.kind in RUNNABLE]
    if name is not None:
        runnable = [one for one in runnable if one.name == name]
    if len(runnable) == 1 and runnable[0].model is not None:
        return runnable[0]
    if any(one.severity == "error" for one in found):
        return None
    if not runnable:
        raise UsageError(f"{file.file!r} holds no workflow" + (f" named {name!r}" if name is not None else ""))
    names = ", ".join(repr(one.name) for one in runnable)
    raise UsageError(f"{file.file!r} holds several workflows", hint=f"choose one of {names}")


def _library(
    file: LoadedFile, library: Iterable[str | Path | Mapping[str, Json]], limits: Limits
) -> tuple[Library, list[Diagnostic]]:
    """The templates that the file sees: its own, then the given ones; and what is wrong with those."""
    farther = Library()
    found: list[Diagnostic] = []
    for source in library:
        for other in _library_files(source, limits):
            templates = [one for one in other.documents if one.kind == "WorkflowTemplate"]
            if templates:
                found += other.diagnostics
            found += [clash for one in templates if (clash := farther.add(one)) is not None]
    near = Library(farther)
    for one in file.documents:
        near.add(one)
    return near, found


def _library_files(source: str | Path | Mapping[str, Json], limits: Limits) -> Iterator[LoadedFile]:
    if isinstance(source, Mapping):
        yield load_value(source, "<library>", limits)
        return
    path = Path(source)
    if path.is_dir():
        for child in sorted(path.rglob("*")):
            if child.suffix in SUFFIXES and child.is_file():
                yield load_bytes(_read(child, limits), str(child), limits)
    else:
        yield load_bytes(_read(path, limits), str(path), limits)
