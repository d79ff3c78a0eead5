"""The places of texts: what stands where in definitions and calls, each with the scope that it sees (SPEC-13, DATA-4).

Law: all texts of all definitions are judged, also of a template that is never called, as far as they go.
"""

from __future__ import annotations

from collections.abc import Callable

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.checks.texts import TextChecks
from aether_protocol.compiler.name_rules import Scope
from aether_protocol.compiler.scopes import body_scope, container_scope, outcome_scope
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Dag, Loop, Parameter, Task
from aether_protocol.expressions import ExpressionError
from aether_protocol.plan.model import Kind


class NameChecks:
    """Walks symbol by symbol. `files`: whether `valueFrom.path` on an output of an executor type is a file (SPEC-6)."""

    def __init__(self, texts: TextChecks, files: Callable[[str], bool]) -> None:
        self.texts = texts
        self.files = files

    def symbol(self, symbol: Symbol) -> None:
        """Judge all texts of one definition, and of the calls that it makes."""
        model = symbol.model
        if isinstance(model, Dag):
            self._dag(symbol, model)
        elif isinstance(model, Loop):
            self._loop(symbol, model)
        else:
            scope = Scope(p.CONFIG, (symbol.unit,), (symbol,))
            own = Scope(p.OUTCOME, (symbol.unit,), (symbol,), ending=symbol)
            self._task(symbol, model, scope, own)

    def _task(self, symbol: Symbol, task: Task, config: Scope, own: Scope) -> None:
        origin, path = symbol.unit.origin, symbol.path
        if task.executor is not None and task.executor.config:
            self.texts.template(task.executor.config, origin, (*path, "executor", "config"), config)
        if task.outputs is not None:
            unknown = origin.suppressed((*path, "executor", "type"))
            file = unknown or (task.executor is not None and self.files(task.executor.type))
            self.texts.parameters(task.outputs.parameters, origin, (*path, "outputs", "parameters"), own, file=file)
        self.texts.conditions(task.phase_conditions, origin, path, own)
        self.texts.retry(task.retry, origin, path, own)

    def declared(self, symbol: Symbol, scope: Scope) -> None:
        """The declared sources of a definition's inputs, as one call sees them."""
        given = symbol.model.inputs
        if given is not None:
            origin, path = symbol.unit.origin, (*symbol.path, "inputs")
            self.texts.parameters(given.parameters, origin, (*path, "parameters"), scope)
            if given.artifacts:
                self.texts.artifacts(given.artifacts, origin, (*path, "artifacts"), scope)

    def _dag(self, symbol: Symbol, dag: Dag) -> None:
        origin, path, units = symbol.unit.origin, symbol.path, (symbol.unit,)
        for site in symbol.sites:
            self._call(symbol, site)
        if dag.outputs is not None:
            scope = Scope(p.DAG_OUTPUTS, units, (symbol,), symbol)
            self.texts.parameters(dag.outputs.parameters, origin, (*path, "outputs", "parameters"), scope)
            self.texts.artifacts(dag.outputs.artifacts, origin, (*path, "outputs", "artifacts"), scope)
        if dag.phase_conditions is not None:
            self.texts.conditions(dag.phase_conditions, origin, path, container_scope(symbol))

    def _call(self, dag: Symbol, site: Site) -> None:
        task, origin, path, target = site.model, site.unit.origin, site.path, site.target
        assert isinstance(task, Task)
        units = (dag.unit,) if target is None or target.unit is dag.unit else (dag.unit, target.unit)
        scope = Scope(p.CALL, units, (dag,), dag, site.position)
        if task.when is not None:
            self.texts.expression(task.when, origin, (*path, "when"), scope)
        if task.arguments is not None:
            self.texts.parameters(task.arguments.parameters, origin, (*path, "arguments", "parameters"), scope)
            if task.arguments.artifacts:
                self.texts.artifacts(task.arguments.artifacts, origin, (*path, "arguments", "artifacts"), scope)
        if target is None:
            return
        if not target.inline:
            if task.phase_conditions is not None or (task.retry is not None and target.kind is Kind.TASK):
                own = outcome_scope(target, site) if target.kind is Kind.TASK else container_scope(target)
                self.texts.conditions(task.phase_conditions, origin, path, own)
                self.texts.retry(task.retry if target.kind is Kind.TASK else None, origin, path, own)
            return
        self.declared(target, scope)
        both = (target, dag)
        config = Scope(p.INLINE_CONFIG, units, both, dag, site.position)
        own = Scope(p.INLINE_OUTCOME, units, both, dag, site.position, own=site.name, ending=target)
        self._task(target, task, config, own)

    def _loop(self, symbol: Symbol, loop: Loop) -> None:
        origin, path, units = symbol.unit.origin, symbol.path, (symbol.unit,)
        items = Scope(p.ITEMS, units, (symbol,), loop=symbol)
        if loop.items is not None:
            self.texts.template(loop.items, origin, (*path, "items"), items)
        if loop.items_from is not None:
            template = self.texts.texts.template(loop.items_from)
            if not isinstance(template, ExpressionError) and template.sole is not None:
                self.texts.template(loop.items_from, origin, (*path, "itemsFrom"), items)
            else:
                self.texts.expression(loop.items_from, origin, (*path, "itemsFrom"), items)
        if loop.repeat_condition is not None:
            scope = Scope(p.REPEAT, units, (symbol,), loop=symbol)
            self.texts.expression(loop.repeat_condition, origin, (*path, "repeatCondition"), scope)
        if loop.arguments is not None:
            scope = body_scope(symbol)
            self.texts.parameters(loop.arguments.parameters, origin, (*path, "arguments", "parameters"), scope)
            self.texts.artifacts(loop.arguments.artifacts, origin, (*path, "arguments", "artifacts"), scope)
        if loop.outputs is not None:
            self._loop_outputs(symbol, loop.outputs.parameters)
        if loop.phase_conditions is not None:
            self.texts.conditions(loop.phase_conditions, origin, path, container_scope(symbol))

    def _loop_outputs(self, symbol: Symbol, entries: list[Parameter]) -> None:
        """`parameter: P` is an aggregated parameter by its bare name (LOOP-6)."""
        scope = Scope(p.LOOP_OUTPUTS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)
        origin = symbol.unit.origin
        for index, entry in enumerate(entries):
            if entry.value_from is not None and entry.value_from.expression is not None:
                path = (*symbol.path, "outputs", "parameters", index, "valueFrom", "expression")
                self.texts.expression(entry.value_from.expression, origin, path, scope)
