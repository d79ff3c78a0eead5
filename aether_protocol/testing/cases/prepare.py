"""From a case to a plan: its document and library are loaded and compiled as a submission would do it.

Law: what is wrong with a document is a diagnostic of the document, never a fault of the case; what the case asks of a
document that cannot be had (no workflow in it, a name that it does not have) is a fault of the case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path as FilePath
from typing import Final

from msgspec import Struct

from aether_protocol.assembly.artifacts import fetcher_types
from aether_protocol.assembly.executors import executor_types
from aether_protocol.compiler.checks.unused import unused
from aether_protocol.compiler.compile import Compiled, CompileOptions, Use, compile_document
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import LoadedDocument, LoadedFile, load_bytes, load_trees
from aether_protocol.documents.source import DEFAULT, DocumentLimits, Source
from aether_protocol.documents.tree import DocumentTree
from aether_protocol.documents.values import read_value
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.plan.model import Plan
from aether_protocol.testing.cases.model import Case, CaseFault, DocumentSource
from aether_protocol.testing.cases.plan_names import unknown_names, unscripted, used_types

_WORKFLOWS: Final = ("Workflow", "CronWorkflow")
VALIDATION: Final = frozenset({"valid", "diagnostics"})


class Prepared(Struct):
    """What became of a case's document. `plan` is None where it was refused or only looked at; `types` has what the plan
    uses; `faults` are those of the case."""

    diagnostics: tuple[Diagnostic, ...]
    plan: Plan | None
    types: Mapping[str, ExecutorType]
    faults: tuple[CaseFault, ...] = ()
    document: LoadedDocument | None = None
    compiler: Compiler | None = None

    @property
    def errors(self) -> list[Diagnostic]:
        return [one for one in self.diagnostics if one.severity == "error"]


def runs(case: Case) -> bool:
    """Whether the case runs its document, or only looks at it."""
    return case.expect.get("valid") is not False and (bool(case.drive) or not set(case.expect) <= VALIDATION)


def prepare(case: Case) -> Prepared:
    """Load and compile. A case that only looks at a valid document does so as `aether validate`, all others as a run."""
    limits = DocumentLimits(**case.limits)
    assert case.document is not None
    loaded = _load(case, case.document, limits)
    found: list[Diagnostic] = []
    farther = TemplateLibrary(place="the library of the case")
    library = TemplateLibrary(farther, "the same document")
    shelf = [_load(case, part, limits) for part in case.library]
    for part, level in ((loaded, library), *((part, farther) for part in shelf)):
        found += part.diagnostics
        found += [clash for document in part.documents if (clash := level.add(document)) is not None]
    strict = runs(case) or case.expect.get("valid") is False
    compiler = Compiler(case, library, strict)
    plans: list[tuple[Plan, LoadedDocument]] = []
    uses: set[Use] = set()
    for document in loaded.documents:
        compiled = compiler.compile(document)
        found += compiled.diagnostics
        uses |= compiled.uses if document.kind in _WORKFLOWS else frozenset()
        if compiled.plan is not None and document.kind in _WORKFLOWS:
            plans.append((compiled.plan, document))
    if all(one.severity != "error" for one in found):
        found += unused(loaded.documents, uses)
    diagnostics = tuple(dict.fromkeys(found))
    plan, chosen = plans[0] if len(plans) == 1 else (None, None)
    prepared = Prepared(diagnostics, plan, {}, (), chosen, compiler)
    if plan is None:
        if runs(case) and not prepared.errors:
            prepared.faults = (_not_one(case, len(plans)),)
        return prepared
    if not prepared.errors:
        known = compiler.types
        prepared.types = {name: known[name] if name in known else _open(name) for name in used_types(plan)}
        prepared.faults = tuple(unknown_names(case, plan, known))
    if case.cron is not None and chosen is not None and chosen.kind != "CronWorkflow" and not prepared.faults:
        prepared.faults = (case.fault(("cron",), f"the document is a {chosen.kind}, which has no schedule to watch"),)
    return prepared


def _not_one(case: Case, count: int) -> CaseFault:
    assert case.document is not None
    what = "no workflow" if count == 0 else f"{count} workflows"
    return case.fault(case.document.path, f"the document holds {what}, but a case runs one")


def _load(case: Case, part: DocumentSource, limits: DocumentLimits) -> LoadedFile:
    if part.inline is not None:
        source, tree = part.inline
        return load_trees(source, [tree] if _within(source, tree, limits) else [])
    if part.file is not None:
        return load_bytes((FilePath(case.file).parent / part.file).read_bytes(), part.file, limits)
    return load_bytes(part.data or b"", str(part.path[0]), limits)


def _within(source: Source, tree: DocumentTree, limits: DocumentLimits) -> bool:
    """Whether an inline document, which was read under the limits of case files, keeps those of its case (DOC-6)."""
    if limits == DEFAULT:
        return True
    measured, _ = read_value(tree.root, source.file, limits)
    for fault in measured.faults:
        source.note(fault.code, tree.at, fault.path, fault.message, fault.hint)
    return not measured.faults


def _open(name: str) -> ExecutorType:
    """An executor type that is not installed and that scripts stand in for."""
    return ExecutorType(name, "Scripted.", open_config=True, open_outputs=True)


class Compiler:
    """Compiles the documents of a case. Executor types that are not registered are fine where scripts stand in for them."""

    def __init__(self, case: Case, library: TemplateLibrary, strict: bool) -> None:
        self._case = case
        self._library = library
        self._strict = strict
        scripted = {script.match.type for script in case.scripts if script.match.type is not None}
        self.types: ExecutorTypes = _Types(executor_types(), scripted)

    def compile(self, document: LoadedDocument) -> Compiled:
        first = self._compile(document, self.types)
        if not self._case.scripts or all(one.severity != "error" for one in first.diagnostics):
            return first
        again = self._compile(document, _Types(self.types, None))
        return first if again.plan is None or unscripted(again.plan, self.types, self._case.scripts) else again

    def _compile(self, document: LoadedDocument, types: ExecutorTypes) -> Compiled:
        options = CompileOptions(
            executor_types=types,
            fetchers=fetcher_types(),
            namespaces=frozenset(self._case.variables),
            strict=self._strict,
        )
        return compile_document(document, self._library, options)


class _Types(Mapping[str, ExecutorType]):
    """Executor types as they are known, and an open one for each name in `scripted` (None: for every other name)."""

    def __init__(self, known: ExecutorTypes, scripted: AbstractSet[str] | None) -> None:
        self._known = known
        self._scripted = scripted

    def __getitem__(self, name: str) -> ExecutorType:
        if name in self._known:
            return self._known[name]
        if self._scripted is None or name in self._scripted:
            return _open(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._known
        yield from (name for name in self._scripted or () if name not in self._known)

    def __len__(self) -> int:
        return sum(1 for _ in self)
