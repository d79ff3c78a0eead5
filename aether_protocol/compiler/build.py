"""Builds the plan from checked documents: only what the entrypoint and the hooks reach.

Law: nothing is judged here; every fault was reported before. A definition is built once and shared by all its calls, so the
cost follows the size of the documents and not that of the run. Nesting is bounded (SPEC-12), so it may recurse over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from aether_protocol.compiler import sources
from aether_protocol.compiler.checks.executors import ExecutorChecks
from aether_protocol.compiler.dag_edges import DagEdges
from aether_protocol.compiler.effective_spec import EffectiveSpec
from aether_protocol.compiler.name_rules import Names
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.symbols import At, Site, Symbol, Unit
from aether_protocol.documents import models as d
from aether_protocol.expressions import Expression, ExpressionError, Template
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import as_text
from aether_protocol.plan import model as m
from aether_protocol.plan.placement import merge_extensions

_NO_HOOKS: Final[Mapping[m.HookEvent, m.Call]] = MappingProxyType({})


class PlanBuilder:
    """Turns symbols into definitions and sites into calls."""

    def __init__(
        self, texts: Texts, settings: EffectiveSpec, wirings: Mapping[int, DagEdges], executors: ExecutorChecks, names: Names
    ) -> None:
        self.texts = texts
        self.settings = settings
        self.wirings = wirings
        self.executors = executors
        self.names = names
        self.retry = self._retry(settings.retry)
        self._definitions: dict[int, m.Definition] = {}
        self._declared: dict[int, m.InputBinding] = {}
        self._bare: dict[int, tuple[m.InputBinding, ...]] = {}
        self._libraries: dict[int, m.LibraryDef] = {}
        self._durations: dict[str, int] = {}

    # --- definitions ---

    def definition(self, symbol: Symbol) -> m.Definition:
        """The definition of a symbol, built once."""
        found = self._definitions.get(id(symbol))
        if found is None:
            model = symbol.model
            if isinstance(model, d.Dag):
                found = self._dag(symbol, model)
            elif isinstance(model, d.Loop):
                found = self._loop(symbol, model)
            else:
                found = self._task(symbol, model)
            self._definitions[id(symbol)] = found
        return found

    def _task(self, symbol: Symbol, task: d.Task) -> m.TaskDef:
        executor = task.executor
        assert executor is not None
        outputs: tuple[m.OutputBinding, ...] = ()
        if task.outputs is not None:
            file = self.executors.files(executor.type)
            outputs = tuple(sources.output(entry, self.texts, file=file) for entry in task.outputs.parameters)
        config = self.texts.template(executor.config)
        assert isinstance(config, Template)
        return m.TaskDef(
            name=symbol.name,
            executor_type=executor.type,
            config=config,
            inline=symbol.inline,
            outputs=outputs,
            artifacts=self._written_artifacts(symbol, executor),
            resources=_resources(task.resources),
            library=self._library(symbol.unit),
        )

    def _written_artifacts(self, symbol: Symbol, executor: d.ExecutorSpec) -> tuple[m.ArtifactOutput, ...]:
        """Those of a task; one that its executor writes itself has a place for that if it has no path."""
        written = {name for _, name in self.executors.written(executor.type, executor.config)}
        open_ = any("{{" in name for name in written)
        return tuple(
            replace(one, path=f".aether-{one.name}") if one.path is None and (open_ or one.name in written) else one
            for one in self._artifacts(symbol)
        )

    def _artifacts(self, symbol: Symbol) -> tuple[m.ArtifactOutput, ...]:
        return tuple(sources.artifact_output(entry, self.texts) for entry in symbol.given_artifacts.values())

    def _dag(self, symbol: Symbol, dag: d.Dag) -> m.DagDef:
        wiring = self.wirings[id(symbol)]
        kept = wiring.kept
        chosen = [i for i in range(len(symbol.sites)) if kept is None or kept[i]]
        place = {old: new for new, old in enumerate(chosen)}
        dependencies = [tuple(place[one] for one in wiring.dependencies[old] if one in place) for old in chosen]
        dependents = [tuple(place[one] for one in wiring.dependents[old] if one in place) for old in chosen]
        tasks = tuple(self._dag_call(symbol.sites[old], new, dependencies[new]) for new, old in enumerate(chosen))
        outputs: tuple[m.OutputBinding, ...] = ()
        if dag.outputs is not None:
            outputs = tuple(sources.output(entry, self.texts, file=False) for entry in dag.outputs.parameters)
        return m.DagDef(
            name=symbol.name,
            tasks=tasks,
            index={call.name: call.position for call in tasks},
            indegree=tuple(len(above) for above in dependencies),
            dependents=tuple(dependents),
            roots=tuple(position for position, above in enumerate(dependencies) if not above),
            outputs=outputs,
            artifacts=self._artifacts(symbol),
            continue_on=_continue_on(dag.continue_on),
            leaves=sum(call.kind is m.Kind.TASK for call in tasks),
            library=self._library(symbol.unit),
            outside=frozenset(site.name for old, site in enumerate(symbol.sites) if old not in place),
        )

    def _loop(self, symbol: Symbol, loop: d.Loop) -> m.LoopDef:
        site = symbol.sites[0]
        assert site.target is not None
        body = self.call(site)
        aggregate = loop.aggregate
        items = self.texts.template(loop.items) if loop.items is not None else None
        gives = self.names.gives(site.target)
        declared = site.target.given_outputs
        body_outputs = tuple(declared) if declared else tuple(sorted(gives or ()))
        outputs: tuple[m.OutputBinding, ...] = ()
        if loop.outputs is not None:
            outputs = tuple(sources.loop_output(entry, self.texts) for entry in loop.outputs.parameters)
        return m.LoopDef(
            name=symbol.name,
            body=body,
            items=items if isinstance(items, Template) else None,
            items_from=self._items_from(loop.items_from),
            repeat=self._expression(loop.repeat_condition),
            concurrency=1 if loop.repeat_condition is not None else loop.concurrency,
            max_iterations=loop.max_iterations,
            strategy=aggregate.strategy if aggregate is not None else "last",
            parameters=tuple(aggregate.parameters) if aggregate is not None and aggregate.parameters is not None else None,
            body_outputs=body_outputs,
            outputs=outputs,
            library=self._library(symbol.unit),
        )

    def _items_from(self, text: str | None) -> Template | Expression | None:
        if text is None:
            return None
        template = self.texts.template(text)
        if isinstance(template, Template) and template.sole is not None:
            return template
        return self._expression(text)

    def _library(self, unit: Unit) -> m.LibraryDef | None:
        if not unit.library:
            return None
        found = self._libraries.get(id(unit))
        if found is None:
            model = unit.origin.document.model
            assert model is not None
            parameters = {name: sources.bind(entry, (), self.texts) for name, entry in unit.parameters.items()}
            found = m.LibraryDef(model.metadata.name, model.metadata.namespace, MappingProxyType(parameters))
            self._libraries[id(unit)] = found
        return found

    # --- calls ---

    def _dag_call(self, site: Site, position: int, dependencies: tuple[int, ...]) -> m.Call:
        task, target = site.model, site.target
        assert isinstance(task, d.Task)
        assert target is not None
        conditions = task.phase_conditions if task.phase_conditions is not None else target.model.phase_conditions
        return m.Call(
            name=task.name,
            position=position,
            kind=target.kind,
            target=self.definition(target),
            inputs=self._inputs(site, target),
            artifacts=self._input_artifacts(site, target),
            dependencies=dependencies,
            when=self._expression(task.when),
            continue_on=_continue_on(task.continue_on),
            timeout_us=self.duration(task.timeout if task.timeout is not None else target.model.timeout),
            retry=self._leaf_retry(task.retry, target),
            phase_conditions=self._conditions(conditions),
            hooks=self.hooks(site.hooks),
            extensions=merge_extensions(target.model.extensions, task.extensions if not target.inline else None),
        )

    def call(self, site: Site) -> m.Call:
        """The call of a loop's body, of the entrypoint or of a hook: all but arguments is the definition's."""
        target = site.target
        assert target is not None
        retry = None
        if target.kind is m.Kind.TASK and isinstance(target.model, d.Task):
            # a hook is not a leaf of the run: the default retry of the workflow does not apply
            retry = self._retry(target.model.retry) if site.at is At.HOOK else self._leaf_retry(None, target)
        return m.Call(
            name=site.name,
            position=0,
            kind=target.kind,
            target=self.definition(target),
            inputs=self._inputs(site, target),
            artifacts=self._input_artifacts(site, target),
            timeout_us=self.duration(target.model.timeout),
            retry=retry,
            phase_conditions=self._conditions(target.model.phase_conditions),
            extensions=target.model.extensions,
        )

    def hooks(self, sites: list[Site]) -> Mapping[m.HookEvent, m.Call]:
        """Hook calls by event."""
        if not sites:
            return _NO_HOOKS
        return MappingProxyType({site.event: self.call(site) for site in sites if site.event is not None})

    def _inputs(self, site: Site, target: Symbol) -> tuple[m.InputBinding, ...]:
        given = site.model.arguments if site.model is not None else None
        entries = given.parameters if given is not None else []
        if site.at is At.ROOT:
            return tuple(sources.bind(e, self._from_workflow(e.name), self.texts) for e in target.inputs.values())
        items = site.at is At.LOOP and isinstance(site.model, d.Loop) and site.model.repeat_condition is None
        if not entries and not items:
            found = self._bare.get(id(target))
            if found is None:
                found = tuple(map(self._plain, target.inputs.values()))
                if not target.inline:
                    self._bare[id(target)] = found
            return found
        named = {entry.name: entry for entry in entries}
        bound = []
        for name, declared in target.inputs.items():
            plain = self._plain(declared)
            argument = named.get(name)
            if argument is not None:
                before = sources.argument_sources(argument, plain.type, self.texts)
            else:
                before = sources.item_source(name) if items else ()
            bound.append(m.InputBinding(name, plain.type, True, before + plain.sources, plain.enum) if before else plain)
        bound += [
            m.InputBinding(entry.name, "any", False, given_sources)
            for entry in entries
            if entry.name not in target.inputs and (given_sources := sources.argument_sources(entry, "any", self.texts))
        ]
        return tuple(bound)

    def _plain(self, declared: d.Parameter) -> m.InputBinding:
        """A declared input with its own sources alone, built once."""
        found = self._declared.get(id(declared))
        if found is None:
            found = self._declared[id(declared)] = sources.bind(declared, (), self.texts)
        return found

    def _from_workflow(self, name: str) -> tuple[m.Source, ...]:
        """DATA-14: the workflow parameter of that name."""
        if name not in self.settings.parameters:
            return ()
        return sources.from_source(d.ValueFrom(parameter=f"workflow.parameters.{name}"), self.texts)

    def _input_artifacts(self, site: Site, target: Symbol) -> tuple[m.ArtifactBinding, ...]:
        arguments = site.model.arguments if site.model is not None else None
        given = {entry.name: entry for entry in arguments.artifacts} if arguments is not None else {}
        if site.at is At.ROOT:
            given = self.settings.artifacts
        if not target.artifacts and not given:
            return ()
        bound = [sources.artifact_binding(entry, given.get(name), self.texts) for name, entry in target.artifacts.items()]
        if site.at is not At.ROOT:
            bound += [
                sources.artifact_binding(entry, None, self.texts)
                for name, entry in given.items()
                if name not in target.artifacts
            ]
        return tuple(bound)

    # --- policies ---

    def duration(self, text: str | None) -> int | None:
        """Microseconds."""
        if text is None:
            return None
        found = self._durations.get(text)
        if found is None:
            found = self._durations[text] = parse_duration(text)
        return found

    def _leaf_retry(self, own: d.RetrySpec | None, target: Symbol) -> m.Retry | None:
        if target.kind is not m.Kind.TASK or not isinstance(target.model, d.Task):
            return None
        if own is None:
            own = target.model.retry
        return self._retry(own) if own is not None else self.retry

    def _retry(self, given: d.RetrySpec | None) -> m.Retry | None:
        if given is None:
            return None
        backoff = given.backoff if given.backoff is not None else d.Backoff()
        return m.Retry(
            given.limit,
            self._expression(given.expression),
            parse_duration(backoff.duration, zero=True),
            backoff.factor,
            parse_duration(backoff.max_duration),
            backoff.jitter,
        )

    def _expression(self, text: str | None) -> Expression | None:
        if text is None:
            return None
        found = self.texts.expression(text)
        assert not isinstance(found, ExpressionError)
        return found

    def _conditions(self, given: d.PhaseConditionsSpec | None) -> m.PhaseConditions | None:
        if given is None:
            return None
        return m.PhaseConditions(*(self._expression(text) for text in (given.succeeded, given.failed, given.error)))


def _continue_on(given: d.ContinueOnSpec | None) -> m.ContinueOn | None:
    return m.ContinueOn(given.failed, given.error, given.timeout) if given is not None else None


def _resources(given: d.ResourcesSpec | None) -> m.Resources | None:
    if given is None:
        return None
    return m.Resources(*(_amount(amount) for amount in (given.cpu, given.memory, given.gpu)))


def _amount(given: str | float | None) -> str | None:
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    return as_text(given) if given is not None else None
