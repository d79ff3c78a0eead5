"""Types that are known before a run, against the types that are declared where the values go (SPEC-13, DATA-3, DATA-8).

Law: never a false alarm. What is reported here fails in every run that gets there, whatever the values: a type counts as known
only where a check of the run holds the value to it, and a value that may be absent is reported only if nothing else fills its
place.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.checks.values import has_source
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.known_types import Given, KnownTypes, TypeContext, declared_kinds, item_path
from aether_protocol.compiler.name_rules import Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.symbols import Site, Symbol
from aether_protocol.documents.models import Dag, Loop, Parameter, RetrySpec, Task
from aether_protocol.expressions import ExpressionError, Template
from aether_protocol.expressions.kinds import (
    ARRAY,
    BOOLEAN,
    NULL,
    STRING,
    Kinds,
    fits,
)
from aether_protocol.plan.model import Kind

_CONDITION: Final = BOOLEAN | STRING
_ITEMS: Final = ARRAY | STRING | NULL


class _Suspect(Struct):
    """A fault that holds only if task `position` of `dag` depends on `needs`."""

    dag: Symbol
    position: int
    needs: list[int]
    origin: Origin
    path: Path
    fault: Finding


class TypeChecks:
    """Walks definitions and calls; `finish` judges what depends on the dependencies between tasks."""

    def __init__(self, findings: Findings, texts: Texts, known: TypeContext) -> None:
        self.findings = findings
        self.texts = texts
        self.known = known
        self.types = KnownTypes(texts, known)
        self._suspects: list[_Suspect] = []

    # --- definitions and calls ---

    def symbol(self, symbol: Symbol) -> None:
        """What a definition computes, and the calls that it makes."""
        model, origin, path, units = symbol.model, symbol.unit.origin, symbol.path, (symbol.unit,)
        if isinstance(model, Dag):
            for site in symbol.sites:
                self._call(symbol, site)
            for index, entry in enumerate(model.outputs.parameters if model.outputs is not None else ()):
                scope = Scope(p.DAG_OUTPUTS, units, (symbol,), symbol)
                self._left_out(entry, self.types.given(entry, scope), origin, (*path, "outputs", "parameters", index))
        elif isinstance(model, Loop):
            self._loop(symbol, model)
        else:
            self._retry(model.retry, Scope(p.OUTCOME, units, (symbol,)), origin, path)

    def _call(self, dag: Symbol, site: Site) -> None:
        task, target = site.model, site.target
        assert isinstance(task, Task)
        units = (dag.unit,) if target is None or target.unit is dag.unit else (dag.unit, target.unit)
        scope = Scope(p.CALL, units, (dag,), dag, site.position)
        if task.when is not None:
            self._condition(task.when, scope, site.unit.origin, (*site.path, "when"))
        if target is None:
            return
        self._arguments(site, target, scope)
        if target.inline:
            scope = Scope(p.INLINE_OUTCOME, units, (target, dag), dag, site.position)
            self._retry(task.retry, scope, site.unit.origin, site.path)
        elif target.kind is Kind.TASK and task.retry is not None:
            self._retry(task.retry, Scope(p.OUTCOME, (target.unit,), (target,)), site.unit.origin, site.path)

    def _loop(self, symbol: Symbol, loop: Loop) -> None:
        origin, path, site = symbol.unit.origin, symbol.path, symbol.sites[0]
        scope = Scope(p.ITEMS, (symbol.unit,), (symbol,), loop=symbol)
        for field_, text in (("items", loop.items), ("itemsFrom", loop.items_from)):
            if isinstance(text, str):
                self._item_list(text, scope, origin, (*path, field_))
        if loop.repeat_condition is not None:
            scope = Scope(p.REPEAT, (symbol.unit,), (symbol,), loop=symbol)
            self._condition(loop.repeat_condition, scope, origin, (*path, "repeatCondition"))
        if site.target is not None and loop.items != []:
            units = (symbol.unit,) if site.target.unit is symbol.unit else (symbol.unit, site.target.unit)
            self._arguments(site, site.target, Scope(p.BODY_CALL, units, (symbol,), loop=symbol))
        for index, entry in enumerate(loop.outputs.parameters if loop.outputs is not None else ()):
            given = Given(self.types.loop_output(symbol, loop, entry), f"what loop {symbol.name!r} aggregates")
            self._left_out(entry, given, origin, (*path, "outputs", "parameters", index))

    def entry(self, target: Symbol) -> None:
        """The inputs of the entrypoint that workflow parameters fill (DATA-14)."""
        parameters = self.known.parameters or {}
        for index, (name, entry) in enumerate(target.inputs.items()):
            given = parameters.get(name)
            if given is not None and not fits(declared_kinds(given), entry.resolved_type):
                message = (
                    f"input {name!r} must be {entry.resolved_type}, and workflow parameter {name!r} is {given.resolved_type}"
                )
                path = (*target.path, "inputs", "parameters", index)
                self.findings.add(target.unit.origin, path, Finding("AE218", message, "declare both of the same type"))

    # --- places that take a value ---

    def _arguments(self, site: Site, target: Symbol, scope: Scope) -> None:
        arguments = site.model.arguments if site.model is not None else None
        for index, entry in enumerate(arguments.parameters if arguments is not None else ()):
            declared = target.inputs.get(entry.name)
            if declared is None or declared.type == "any":
                continue
            path = (*site.path, "arguments", "parameters", index)
            self._argument(entry, declared, scope, site.unit.origin, path)

    def _argument(self, entry: Parameter, declared: Parameter, scope: Scope, origin: Origin, path: Path) -> None:
        given = self.types.given(entry, scope)
        if given is None:
            return
        if given.fleeting and (has_source(declared) or (entry.value is not None and entry.value_from is not None)):
            return  # where it is absent the next source counts
        type_ = declared.resolved_type
        message = self._misfit(given, type_) or self._item_misfit(entry, type_, scope)
        if message is None:
            return
        fault = Finding("AE218", f"input {entry.name!r} must be {type_}, and {message}", _advice(given.kinds, type_))
        where = (*path, "value") if entry.value is not None else (*path, "valueFrom")
        if given.needs and scope.dag is not None:
            self._suspects.append(_Suspect(scope.dag, scope.position, given.needs, origin, where, fault))
        else:
            self.findings.add(origin, where, fault)

    def _misfit(self, given: Given, type_: str) -> str | None:
        if given.kinds is None or fits(given.kinds, type_):
            return None
        return f"{given.shown} is {_listed(given.kinds)}"

    def _item_misfit(self, entry: Parameter, type_: str, scope: Scope) -> str | None:
        """The first literal item of a loop that never fits, where the argument is that item or a field of it."""
        name = self.types.sole(entry)
        if name is None or scope.loop is None or scope.place is not p.BODY_CALL:
            return None
        path = item_path(name)
        kinds = self.types.kinds_of_items(scope.loop) if path is not None else None
        if path is None or kinds is None:
            return None
        bad = [
            (index, kind)
            for kind, index in kinds.get(path[0] if path else None, {}).items()
            if not fits(frozenset({kind}), type_)
        ]
        if not bad:
            return None
        index, kind = min(bad)
        return f"{name.text} of items[{index}] is {_listed(frozenset({kind}))}"

    def _left_out(self, entry: Parameter, given: Given | None, origin: Origin, path: Path) -> None:
        """An output of a container that never fits is left out of every run (DATA-10, LOOP-6)."""
        default = entry.default is not None and given is not None and given.fleeting
        if given is None or given.kinds is None or default or fits(given.kinds, entry.resolved_type):
            return
        message = f"output {entry.name!r} must be {entry.resolved_type}, and {given.shown} is {_listed(given.kinds)}"
        hint = _advice(given.kinds, entry.resolved_type) or "it is left out of every run"
        self.findings.add(origin, path, Finding("AE916", message, hint))

    def _condition(self, text: str, scope: Scope, origin: Origin, path: Path) -> None:
        """DATA-8: a condition gives a boolean, or text that may be true or false."""
        expression = self.texts.expression(text)
        if isinstance(expression, ExpressionError):
            return
        kinds = self.types.computed(expression, scope, [])
        if kinds is not None and kinds.isdisjoint(_CONDITION):
            message = f"a condition gives true or false, and {text[:80]!r} is {_listed(kinds)}"
            self.findings.add(origin, path, Finding("AE219", message, "compare it with something, as in `> 0`"))

    def _retry(self, retry: RetrySpec | None, scope: Scope, origin: Origin, path: Path) -> None:
        if retry is not None and retry.expression is not None:
            self._condition(retry.expression, scope, origin, (*path, "retry", "expression"))

    def _item_list(self, text: str, scope: Scope, origin: Origin, path: Path) -> None:
        """LOOP-2: what `items` and `itemsFrom` give is an array, or text that may hold one."""
        template = self.texts.template(text)
        kinds: Kinds = None
        if isinstance(template, Template) and template.sole is not None:
            kinds = self.types.name(template.sole, scope, []).kinds
        elif path[-1] == "itemsFrom":
            expression = self.texts.expression(text)
            kinds = None if isinstance(expression, ExpressionError) else self.types.computed(expression, scope, [])
        if kinds is not None and kinds.isdisjoint(_ITEMS):
            message = f"a loop runs over an array, and {text[:80]!r} is {_listed(kinds)}"
            self.findings.add(origin, path, Finding("AE218", message, "use `range(n)` to run a number of times"))

    # --- the end ---

    def finish(self) -> None:
        """Judge what holds only where one task depends on another."""
        by_dag: dict[int, list[_Suspect]] = {}
        for suspect in self._suspects:
            by_dag.setdefault(id(suspect.dag), []).append(suspect)
        for suspects in by_dag.values():
            ancestry = self.known.ancestry(suspects[0].dag)
            if ancestry is None:
                continue
            no = ancestry.not_above((one.position, other) for one in suspects for other in one.needs)
            for one in suspects:
                if not any((one.position, other) in no for other in one.needs):
                    self.findings.add(one.origin, one.path, one.fault)


def _listed(kinds: frozenset[str]) -> str:
    """`an array`, `a string or null`."""
    words = sorted(kinds - {"number"} if {"integer", "number"} <= kinds else kinds, key=lambda kind: (kind == "null", kind))
    return " or ".join("null" if word == "null" else f"a{'n' if word[0] in 'aio' else ''} {word}" for word in words)


def _advice(kinds: Kinds, type_: str) -> str | None:
    if kinds is None:
        return None
    if kinds == ARRAY:
        return "declare it as array, or take one element of it, as in `NAME[0]`"
    if type_ == "string":
        return "convert it in a valueFrom.expression: `str(NAME)`"
    if type_ in ("integer", "number") and kinds <= STRING | NULL:
        return "convert it in a valueFrom.expression: `int(NAME)`"
    return "declare both of the same type"
