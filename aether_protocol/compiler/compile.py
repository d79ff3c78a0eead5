"""The one door from documents to plans: all static checks at once, then the plan (SPEC-10..15, TMPL-1, DOC-1).

Law: every fault of a document is reported in one go, and a document with an error has no plan. Templates that nothing runs are
checked all the same. The cost is linear in the size of the documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.build import PlanBuilder
from aether_protocol.compiler.checks.callers import CallerChecks
from aether_protocol.compiler.checks.executors import ExecutorChecks
from aether_protocol.compiler.checks.local_files import PlaceChecks
from aether_protocol.compiler.checks.names import NameChecks
from aether_protocol.compiler.checks.no_effect import EffectChecks
from aether_protocol.compiler.checks.order import OrderChecks
from aether_protocol.compiler.checks.pitfalls import PitfallChecks
from aether_protocol.compiler.checks.placement import PlacementChecks
from aether_protocol.compiler.checks.secrets import Secrets
from aether_protocol.compiler.checks.texts import TextChecks
from aether_protocol.compiler.checks.types import TypeChecks
from aether_protocol.compiler.checks.values import ValueChecks, check_aggregate
from aether_protocol.compiler.dag_edges import DagEdges, check_nesting, edges_of
from aether_protocol.compiler.effective_spec import EffectiveSpec, From, effective_spec_of
from aether_protocol.compiler.findings import Finding, Findings, Near
from aether_protocol.compiler.graph import Ancestry
from aether_protocol.compiler.known_types import TypeContext
from aether_protocol.compiler.name_rules import Names, Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.sources import bind
from aether_protocol.compiler.spelling import Spellings
from aether_protocol.compiler.symbols import At, Site, Symbol, SymbolTable
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import CronWorkflow, Parameter, WorkflowTemplate
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.plan.model import Kind, Plan
from aether_protocol.plan.placement import merge_extensions


class CompileOptions(Struct, frozen=True):
    """What the surroundings know. `executor_types` and `fetchers` (artifact sources): None where they are not known.

    `namespaces` are those that variable sources inject. `strict`: the document is to be run, so that unknown executor
    types and unknown namespaces in expressions are errors. `pedantic`: so is a retry on the call of a dag or loop (SPEC-3).
    `missing_modules` gives what an executor type imports and is not installed here. `elsewhere`: the document is carried out by
    others, so that it can take nothing from the machine on which it lies (RT-131).
    """

    executor_types: ExecutorTypes | None = None
    fetchers: Mapping[str, tuple[ConfigField, ...]] | None = None
    namespaces: frozenset[str] = frozenset()
    strict: bool = False
    pedantic: bool = False
    missing_modules: Callable[[ExecutorType], Sequence[str]] | None = None
    elsewhere: bool = False


Use = tuple[LoadedDocument, str]


class Compiled(Struct, frozen=True):
    """The plan, or None where something is wrong or the document is a WorkflowTemplate, and all findings.

    `uses`: the templates of WorkflowTemplates that it calls, each as the document and the template's name.
    """

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    uses: frozenset[Use] = frozenset()


def compile_document(
    document: LoadedDocument, library: TemplateLibrary | None = None, options: CompileOptions | None = None
) -> Compiled:
    """Check `document`, with the WorkflowTemplates of `library` at hand, and build its plan. Never raises for a document."""
    if document.model is None:
        return Compiled(None, ())
    return _Compilation(document, library or TemplateLibrary(), options or CompileOptions()).run()


class _Compilation:
    """One run of the compiler: what is known, step by step."""

    def __init__(self, document: LoadedDocument, library: TemplateLibrary, options: CompileOptions) -> None:
        model = document.model
        assert model is not None
        self.document = document
        self.model = model
        self.options = options
        self.findings = Findings()
        self.texts = Texts(options.namespaces)
        self.spellings = Spellings(self.findings, options.executor_types)
        self.table = SymbolTable(self.findings, library, model.metadata.namespace)
        self.root: Site | None = None
        self.hooks: list[Site] = []
        self.wirings: dict[int, DagEdges] = {}

    def run(self) -> Compiled:
        scheduled = isinstance(self.model, CronWorkflow)
        if scheduled:
            from aether_protocol.compiler.checks import schedules  # here: other documents need no calendar

            schedules.check_schedule(self.document, self.findings)
        settings = effective_spec_of(self.document, self.table, self.spellings)
        if settings is None:
            return Compiled(None, self.findings.all())
        if scheduled:
            schedules.check_arguments(settings, self.findings)
        self._link(settings)
        self.spellings.settle(self.table.symbols, self.table.units.values())
        names = Names(
            settings.parameters,
            self.texts.injected,
            strict=self.options.strict,
            open_parameters=isinstance(self.model, WorkflowTemplate),
        )
        self._wire(settings, names)
        executors = ExecutorChecks(
            self.findings, self.options.executor_types, self.options.fetchers, strict=self.options.strict
        )
        executors.missing_modules = self.options.missing_modules
        self._check_names(settings, names, executors)
        self._check_values(settings, names)
        self._check_types(settings)
        self._check_definitions(settings, executors)
        plan = None
        if self._sound():
            plan = self._build(settings, PlanBuilder(self.texts, settings, self.wirings, executors, names))
        return Compiled(plan, self.findings.all(), self._uses(settings))

    def _sound(self) -> bool:
        """Whether there is something to run, and nothing in the way."""
        if self.findings.failed or not self.table.complete or isinstance(self.model, WorkflowTemplate):
            return False
        return self.root is not None and all(s.unit.origin.whole for s in self.table.symbols)

    # --- what there is ---

    def _link(self, settings: EffectiveSpec) -> None:
        table, unit = self.table, settings.unit
        for name in unit.templates:
            table.symbol(unit, name)
        if settings.entrypoint is not None:
            self._link_root(settings, settings.entrypoint, settings.entrypoint_at)
        elif settings.library is not None:
            message = f"neither the workflow nor WorkflowTemplate {settings.library.name!r} names an entrypoint"
            fault = Finding("AE202", message, "name the template to run in spec.entrypoint")
            self.findings.add(settings.own, (*settings.own.base, "workflowTemplateRef"), fault)
        if settings.hooks is not None:
            at = settings.hooks_at
            self.hooks = table.hooks(unit, at.origin, settings.hooks, at.path)
        table.link()

    def _link_root(self, settings: EffectiveSpec, name: str, at: From) -> None:
        unit = settings.unit
        target = self.table.symbol(unit, name)
        if target is None:
            self.table.complete = False
            if not unit.origin.uncertain((*unit.origin.base, "templates")):
                fault = Finding("AE201", f"entrypoint {name!r} names no template", Near(name, unit.templates))
                self.findings.add(at.origin, at.path, fault)
            return
        self.root = Site(unit, At.ROOT, at.path, owner=None, model=None, name=name, position=0)
        self.root.target = target
        target.callers.append(self.root)

    def _wire(self, settings: EffectiveSpec, names: Names) -> None:
        symbols = self.table.symbols
        for symbol in symbols:
            if symbol.kind is Kind.DAG:
                wiring = self.wirings[id(symbol)] = edges_of(symbol, self.findings)
                if wiring.kept is not None:
                    names.excluded[id(symbol)] = wiring.kept
        entry = self.root.target if self.root is not None else None
        check_nesting(symbols, entry, settings.max_nested_depth, self.findings)

    def _definitions(self) -> Iterator[Symbol]:
        """All templates, and the inline executors of each dag after it."""
        for symbol in self.table.symbols:
            yield symbol
            for site in symbol.sites:
                if site.target is not None and site.target.inline:
                    yield site.target

    # --- checks ---

    def _check_names(self, settings: EffectiveSpec, names: Names, executors: ExecutorChecks) -> None:
        secrets = Secrets(self.texts, settings.parameters, self._definitions())
        texts = TextChecks(self.findings, self.texts, names, OrderChecks(self.findings, self.wirings), secrets)
        self._check_parameters(settings, names, texts)
        checks = NameChecks(texts, executors.files)
        for symbol in self.table.symbols:
            checks.symbol(symbol)
        if settings.retry is not None:
            at = settings.retry_at
            texts.retry(settings.retry, at.origin, at.path[:-1], Scope(p.DEFAULT_RETRY, (settings.unit,)))
        CallerChecks(checks).finish(self.table.symbols)

    def _check_parameters(self, settings: EffectiveSpec, names: Names, texts: TextChecks) -> None:
        """Workflow parameters: each may read those declared above it."""
        above: dict[str, Parameter] = {}
        names.parameters, names.below = above, settings.parameters
        scope = Scope(p.WORKFLOW, ())
        for name, entry in settings.parameters.items():
            at = settings.parameters_at[name]
            texts.parameter(entry, at.origin, at.path, scope)
            above[name] = entry
        names.parameters, names.below = settings.parameters, {}
        for name, artifact in settings.artifacts.items():
            at = settings.artifacts_at[name]
            texts.artifact(artifact, at.origin, at.path, scope)
        for unit in self.table.units.values():
            base = (*unit.origin.base, "arguments", "parameters")
            texts.parameters(list(unit.parameters.values()), unit.origin, base, Scope(p.WORKFLOW, (unit,)))

    def _check_values(self, settings: EffectiveSpec, names: Names) -> None:
        values = ValueChecks(self.findings, self.texts)
        for name, entry in settings.parameters.items():
            at = settings.parameters_at[name]
            values.parameter(entry, at.origin, at.path)
        for symbol in self._definitions():
            values.symbol(symbol)
            for site in symbol.sites:
                values.site(site)
                for hook in site.hooks:
                    values.site(hook)
            if symbol.kind is Kind.LOOP:
                values.items(symbol.sites[0])
                check_aggregate(symbol, names, self.findings)
        for hook in self.hooks:
            values.site(hook)
        if self.root is not None and self.root.target is not None and not isinstance(self.model, WorkflowTemplate):
            values.entry(self.root.target, settings.parameters, settings.artifacts)

    def _check_types(self, settings: EffectiveSpec) -> None:
        runs = not isinstance(self.model, WorkflowTemplate)
        known = TypeContext(settings.parameters if runs else None, self.options.executor_types, self._ancestry)
        types = TypeChecks(self.findings, self.texts, known)
        for symbol in self.table.symbols:
            types.symbol(symbol)
        if runs and self.root is not None and self.root.target is not None:
            types.entry(self.root.target)
        types.finish()

    def _ancestry(self, dag: Symbol) -> Ancestry | None:
        wiring = self.wirings[id(dag)]
        return Ancestry(wiring.dependencies, wiring.order) if wiring.sound else None

    def _check_definitions(self, settings: EffectiveSpec, executors: ExecutorChecks) -> None:
        runs = not isinstance(self.model, WorkflowTemplate)
        pitfalls = PitfallChecks(self.findings, self.texts, executors.files, settings, runs=runs)
        effects = EffectChecks(self.findings, self.texts, executors.files, pedantic=self.options.pedantic)
        effects.workflow(settings, self.root.target if runs and self.root is not None else None)
        executors.artifacts(list(settings.artifacts.values()), settings.own, (*settings.own.base, "arguments", "artifacts"))
        placement = PlacementChecks(self.findings)
        placement.extensions(self.model.metadata.extensions, settings.own, ("metadata", "extensions"))
        placement.extensions(settings.extensions, settings.extensions_at.origin, settings.extensions_at.path)
        for symbol in self._definitions():
            executors.symbol(symbol)
            pitfalls.symbol(symbol)
            effects.symbol(symbol)
            placement.symbol(symbol)
            for site in symbol.sites:
                executors.site(site)
                pitfalls.site(site)
                effects.site(site)
                placement.site(site)
        if self.options.elsewhere:
            self._check_places(settings)
        if runs and settings.library is None and self.root is not None and self.table.complete and settings.own.whole:
            pitfalls.unused(self.table.symbols, self._reached())

    def _check_places(self, settings: EffectiveSpec) -> None:
        places = PlaceChecks(self.findings, self.options.executor_types)
        own = settings.own
        places.artifacts(list(settings.artifacts.values()), own, (*own.base, "arguments", "artifacts"))
        for symbol in self._definitions():
            places.symbol(symbol)
            for site in symbol.sites:
                places.site(site)

    def _reached(self) -> set[int]:
        """What the entrypoint and the workflow's hooks run, directly or not."""
        todo = [site.target for site in (self.root, *self.hooks) if site is not None and site.target is not None]
        reached = {id(symbol) for symbol in todo}
        while todo:
            for site in todo.pop().calls():
                if site.target is not None and id(site.target) not in reached:
                    reached.add(id(site.target))
                    todo.append(site.target)
        return reached

    def _uses(self, settings: EffectiveSpec) -> frozenset[Use]:
        """What it calls of WorkflowTemplates; of the one that it takes over, what the entrypoint and the hooks lead to."""
        called = [symbol for symbol in self.table.symbols if symbol.unit.library]
        if settings.library is not None:
            reached = self._reached()
            called += [symbol for symbol in self.table.symbols if not symbol.unit.library and id(symbol) in reached]
        return frozenset((symbol.unit.origin.document, symbol.name) for symbol in called)

    # --- the plan ---

    def _build(self, settings: EffectiveSpec, builder: PlanBuilder) -> Plan:
        assert self.root is not None
        metadata = self.model.metadata
        snapshot = self._snapshot(settings)
        return Plan(
            name=metadata.name,
            namespace=metadata.namespace,
            version=metadata.version,
            labels=metadata.labels,
            annotations=metadata.annotations,
            root=builder.call(self.root),
            parameters=tuple(bind(entry, (), self.texts) for entry in settings.parameters.values()),
            timeout_us=parse_duration(settings.timeout),
            priority=settings.priority,
            hooks=builder.hooks(self.hooks),
            digest=_digest(snapshot),
            snapshot=snapshot,
            namespaces=self.texts.injected,
            extensions=merge_extensions(metadata.extensions, settings.extensions),
        )

    def _snapshot(self, settings: EffectiveSpec) -> Json:
        """The documents that the run depends on: enough to compile it again, anywhere (TMPL-2)."""
        used = dict.fromkeys([settings.library] if settings.library is not None else [])
        used |= dict.fromkeys(unit.origin.document for unit in self.table.units.values())
        return {"workflow": self.spellings.tree(self.document), "library": [self.spellings.tree(one) for one in used]}


def _digest(snapshot: Json) -> str:
    text = json.dumps(snapshot, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
