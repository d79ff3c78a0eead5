"""Types that are known before a run, against the types that are declared where the values go (SPEC-13, DATA-3, DATA-8).

Law: never a false alarm. What is told here fails in every run that gets there, whatever the values: a type counts as known only
where a check of the run holds the value to it, and a value that may be absent is told only if nothing else fills its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aether_protocol.documents.models import Dag, Loop, Parameter, Retry, Task, ValueFrom
from aether_protocol.expressions import Expression, ExpressionError, Name, Template
from aether_protocol.expressions.kinds import (
    ARRAY,
    BOOLEAN,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    Kinds,
    fits,
    kind_of,
    kinds_of,
)
from aether_protocol.expressions.values import ABSENT, Json
from aether_protocol.plan import places as p
from aether_protocol.plan.checks_values import has_source
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.plan.findings import Fault, Findings, Origin, Path
from aether_protocol.plan.graph import Ancestry
from aether_protocol.plan.model import Kind
from aether_protocol.plan.names import Scope
from aether_protocol.plan.sources import literal_of
from aether_protocol.plan.symbols import Site, Symbol, Unit
from aether_protocol.plan.texts import Texts

_CONDITION: Final = BOOLEAN | STRING
_ITEMS: Final = ARRAY | STRING | NULL
_OF_WORKFLOW: Final[Mapping[str, Kinds]] = {
    **dict.fromkeys(("name", "id", "namespace", "createdAt"), STRING),
    "scheduledTime": STRING | NULL,
    "parameters": OBJECT,
}
_OUTCOME: Final[Mapping[str, Kinds]] = {"phase": STRING | NULL, "code": INTEGER | NULL, "msg": STRING}


@dataclass(slots=True)
class Given:
    """What is known of a value: its types, whether it may be absent, and which tasks of its dag must have Succeeded for it."""

    kinds: Kinds
    shown: str
    fleeting: bool = True
    needs: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Suspect:
    """A fault that holds only if task `position` of `dag` depends on `needs`."""

    dag: Symbol
    position: int
    needs: list[int]
    origin: Origin
    path: Path
    fault: Fault


@dataclass(frozen=True, slots=True)
class Known:
    """What else there is to know. `parameters` are the run's, None where a library cannot know them."""

    parameters: Mapping[str, Parameter] | None
    types: ExecutorTypes | None
    ancestry: Callable[[Symbol], Ancestry | None]


class TypeChecks:
    """Walks definitions and calls; `finish` judges what depends on the dependencies between tasks."""

    def __init__(self, findings: Findings, texts: Texts, known: Known) -> None:
        self.findings = findings
        self.texts = texts
        self.known = known
        self._outputs: dict[tuple[int, str], Kinds] = {}
        self._items: dict[int, dict[str | None, dict[str, int]] | None] = {}
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
                self._left_out(entry, self._given(entry, scope), origin, (*path, "outputs", "parameters", index))
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
        elif target.kind is Kind.TASK:
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
            given = Given(self._loop_output(symbol, loop, entry), f"what loop {symbol.name!r} aggregates")
            self._left_out(entry, given, origin, (*path, "outputs", "parameters", index))

    def entry(self, target: Symbol) -> None:
        """The inputs of the entrypoint that workflow parameters fill (DATA-14)."""
        parameters = self.known.parameters or {}
        for index, (name, entry) in enumerate(target.inputs.items()):
            given = parameters.get(name)
            if given is not None and not fits(_declared(given), entry.resolved_type):
                message = (
                    f"input {name!r} must be {entry.resolved_type}, and workflow parameter {name!r} is {given.resolved_type}"
                )
                path = (*target.path, "inputs", "parameters", index)
                self.findings.add(target.unit.origin, path, Fault("AE218", message, "declare both of the same type"))

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
        given = self._given(entry, scope)
        if given is None:
            return
        if given.fleeting and (has_source(declared) or (entry.value is not None and entry.value_from is not None)):
            return  # where it is absent the next source counts
        type_ = declared.resolved_type
        message = self._misfit(given, type_, scope) or self._item_misfit(entry, type_, scope)
        if message is None:
            return
        fault = Fault("AE218", f"input {entry.name!r} must be {type_}, and {message}", _advice(given.kinds, type_))
        where = (*path, "value") if entry.value is not None else (*path, "valueFrom")
        if given.needs and scope.dag is not None:
            self._suspects.append(_Suspect(scope.dag, scope.position, given.needs, origin, where, fault))
        else:
            self.findings.add(origin, where, fault)

    def _misfit(self, given: Given, type_: str, scope: Scope) -> str | None:
        if given.kinds is None or fits(given.kinds, type_):
            return None
        return f"{given.shown} is {_listed(given.kinds)}"

    def _item_misfit(self, entry: Parameter, type_: str, scope: Scope) -> str | None:
        """The first literal item of a loop that never fits, where the argument is that item or a field of it."""
        name = self._sole(entry)
        if name is None or scope.loop is None or scope.place is not p.BODY_CALL:
            return None
        path = _item_path(name)
        kinds = self._kinds_of_items(scope.loop) if path is not None else None
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
        self.findings.add(origin, path, Fault("AE916", message, hint))

    def _condition(self, text: str, scope: Scope, origin: Origin, path: Path) -> None:
        """DATA-8: a condition gives a boolean, or text that may be true or false."""
        expression = self.texts.expression(text)
        if isinstance(expression, ExpressionError):
            return
        kinds = self._computed(expression, scope, [])
        if kinds is not None and kinds.isdisjoint(_CONDITION):
            message = f"a condition gives true or false, and {text[:80]!r} is {_listed(kinds)}"
            self.findings.add(origin, path, Fault("AE219", message, "compare it with something, as in `> 0`"))

    def _retry(self, retry: Retry | None, scope: Scope, origin: Origin, path: Path) -> None:
        if retry is not None and retry.expression is not None:
            self._condition(retry.expression, scope, origin, (*path, "retry", "expression"))

    def _item_list(self, text: str, scope: Scope, origin: Origin, path: Path) -> None:
        """LOOP-2: what `items` and `itemsFrom` give is an array, or text that may hold one."""
        template = self.texts.template(text)
        kinds: Kinds = None
        if isinstance(template, Template) and template.sole is not None:
            kinds = self._name(template.sole, scope, []).kinds
        elif path[-1] == "itemsFrom":
            expression = self.texts.expression(text)
            kinds = None if isinstance(expression, ExpressionError) else self._computed(expression, scope, [])
        if kinds is not None and kinds.isdisjoint(_ITEMS):
            message = f"a loop runs over an array, and {text[:80]!r} is {_listed(kinds)}"
            self.findings.add(origin, path, Fault("AE218", message, "use `range(n)` to run a number of times"))

    # --- what is known of a value ---

    def _given(self, entry: Parameter, scope: Scope) -> Given | None:
        """What the first source of `entry` gives; None for literals, which are checked as values, and where there is none."""
        if entry.value is not None:
            if literal_of(entry.value, self.texts) is not ABSENT:
                return None
            template = self.texts.template(entry.value)
            if isinstance(template, ExpressionError):
                return None
            if template.sole is not None:
                return self._name(template.sole, scope)
            return Given(kind_of(entry.value), "text with a placeholder" if isinstance(entry.value, str) else "it", False)
        return self._from(entry.value_from, scope) if entry.value_from is not None else None

    def _from(self, given: ValueFrom, scope: Scope) -> Given | None:
        if given.secret_key_ref is not None:
            return Given(STRING, "a secret", False)
        if given.expression is not None:
            expression = self.texts.expression(given.expression)
            if isinstance(expression, ExpressionError):
                return None
            needs: list[int] = []
            kinds = self._computed(expression, scope, needs)
            return Given(kinds, f"{given.expression[:80]!r}", False, needs)
        name = self.texts.name(given.parameter or given.path or "")
        return None if isinstance(name, ExpressionError) else self._name(name, scope)

    def _sole(self, entry: Parameter) -> Name | None:
        """The one name that the first source of `entry` is."""
        if entry.value is not None:
            template = self.texts.template(entry.value) if isinstance(entry.value, str) else None
            return template.sole if isinstance(template, Template) else None
        text = entry.value_from.parameter or entry.value_from.path if entry.value_from is not None else None
        name = self.texts.name(text) if text is not None else None
        return name if isinstance(name, Name) else None

    def _computed(self, expression: Expression, scope: Scope, needs: list[int]) -> Kinds:
        return kinds_of(expression, lambda name: self._name(name, scope, needs).kinds)

    def _name(self, name: Name, scope: Scope, needs: list[int] | None = None) -> Given:
        """What is known of a name at `scope`."""
        given = Given(None, name.text, True, [] if needs is None else needs)
        segments, root = name.segments, name.root
        if root == "workflow":
            given.kinds = self._workflow(segments, scope.units)
        elif root == "inputs":
            given.kinds = _input(segments, scope.inputs)
        elif root == "tasks":
            given.kinds = self._task(segments, scope, given.needs)
        elif root in ("iterator", "loop_iter"):
            given.kinds = self._iterator(name, scope)
            given.fleeting = segments[1:2] != ("previous",)
        elif root in ("phase", "code", "msg") and len(segments) == 1:
            given.kinds = _OUTCOME[root]
        elif root in ("dag", "loop") and len(segments) == 2:
            given.kinds = INTEGER
        return given

    def _workflow(self, segments: tuple[str | int, ...], units: Iterable[Unit]) -> Kinds:
        rest = segments[2:] if segments[1:2] == ("arguments",) else segments[1:]
        if len(rest) == 1:
            return _OF_WORKFLOW.get(str(rest[0]))
        if len(rest) != 2 or rest[0] != "parameters" or self.known.parameters is None:
            return None
        declared = self.known.parameters.get(str(rest[1]))
        if declared is None:
            declared = next((unit.parameters[str(rest[1])] for unit in units if rest[1] in unit.parameters), None)
        return _declared(declared)

    def _task(self, segments: tuple[str | int, ...], scope: Scope, needs: list[int]) -> Kinds:
        dag = scope.dag
        position = dag.tasks.get(str(segments[1])) if dag is not None and len(segments) > 2 else None
        if dag is None or position is None or (scope.place.more and str(segments[1]) == dag.sites[max(scope.position, 0)].name):
            return None
        site = dag.sites[position]
        if len(segments) == 3:
            return _OUTCOME.get(str(segments[2]))
        if len(segments) != 5 or segments[2:4] != ("outputs", "parameters") or site.target is None:
            return None
        target, output = site.target, str(segments[4])
        held = target.kind is Kind.LOOP or (target.kind is Kind.DAG and _typed(target, output))
        if held:  # whatever became of it, what it gives was checked
            return self._output(target, output)
        if _tolerated(site, dag) or (target.kind is Kind.DAG and _conditional(site, target)):
            return None
        if scope.position >= 0:
            needs.append(position)
        elif not isinstance(dag.model, Dag) or dag.model.phase_conditions is not None:
            return None
        return self._output(target, output)

    def _iterator(self, name: Name, scope: Scope) -> Kinds:
        segments = name.segments
        if segments[1:] == ("index",):
            return INTEGER
        path = _item_path(name)
        if path is None or scope.loop is None or scope.place is not p.BODY_CALL:
            return None
        kinds = self._kinds_of_items(scope.loop)
        found = kinds.get(path[0] if path else None) if kinds is not None else None
        return frozenset(found) if found else None

    # --- what a definition gives ---

    def _output(self, symbol: Symbol, output: str) -> Kinds:
        """The types of output `output` of a definition that Succeeded."""
        key = (id(symbol), output)
        if key not in self._outputs:
            self._outputs[key] = None  # while it is looked for: what runs itself knows nothing
            self._outputs[key] = self._find_output(symbol, output)
        return self._outputs[key]

    def _find_output(self, symbol: Symbol, output: str) -> Kinds:
        declared, model = symbol.given_outputs.get(output), symbol.model
        if declared is not None and declared.type != "any":
            return _declared(declared)
        if isinstance(model, Loop):
            if declared is not None:
                return self._loop_output(symbol, model, declared)
            return None if symbol.given_outputs else self._aggregated(symbol, model, output)
        if isinstance(model, Dag):
            return self._dag_output(symbol, declared) if declared is not None else None
        known = (
            self.known.types.get(model.executor.type) if self.known.types is not None and model.executor is not None else None
        )
        if known is None or known.open_outputs or (declared is not None and has_source(declared)):
            return None
        return next((_type(one.type) for one in known.outputs if one.name == output), None)

    def _dag_output(self, symbol: Symbol, declared: Parameter) -> Kinds:
        given = self._given(declared, Scope(p.DAG_OUTPUTS, (symbol.unit,), (symbol,), symbol))
        return given.kinds if given is not None and declared.default is None else None

    def _loop_output(self, symbol: Symbol, loop: Loop, declared: Parameter) -> Kinds:
        """What a declared output of a loop is read from (LOOP-6)."""
        given = declared.value_from
        if given is None:
            return self._aggregated(symbol, loop, declared.name)
        if given.expression is not None:
            expression = self.texts.expression(given.expression)
            scope = Scope(p.LOOP_OUTPUTS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)
            return None if isinstance(expression, ExpressionError) else self._computed(expression, scope, [])
        name = self.texts.name(given.parameter or given.path or "")
        if isinstance(name, ExpressionError) or len(name.segments) != 1:
            return None
        return self._aggregated(symbol, loop, name.root)

    def _aggregated(self, symbol: Symbol, loop: Loop, output: str) -> Kinds:
        if loop.aggregate is not None and loop.aggregate.strategy == "list":
            return ARRAY
        body = symbol.sites[0].target
        return self._output(body, output) if body is not None and not _conditional(None, body) else None

    def _kinds_of_items(self, loop: Symbol) -> dict[str | None, dict[str, int]] | None:
        """By field (None: the item itself) each type that literal items have, and the first such item; None where not known."""
        key = id(loop)
        if key not in self._items:
            model = loop.model
            items = model.items if isinstance(model, Loop) and isinstance(model.items, list) else None
            self._items[key] = None if items is None else self._look_at_items(items)
        return self._items[key]

    def _look_at_items(self, items: list[Json]) -> dict[str | None, dict[str, int]]:
        found: dict[str | None, dict[str, int]] = {None: {}}
        doubtful: set[str | None] = set()
        for index, item in enumerate(items):
            parts: list[tuple[str | None, Json]] = [(None, item)]
            if isinstance(item, dict):
                parts += item.items()
            for field_, value in parts:
                if isinstance(value, str) and literal_of(value, self.texts) is ABSENT:
                    doubtful.add(field_)
                    continue
                (kind,) = kind_of(value) or ("null",)
                found.setdefault(field_, {}).setdefault(kind, index)
        for field_ in doubtful:
            found.pop(field_, None)
        return found

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


def _input(segments: tuple[str | int, ...], inputs: Iterable[Symbol]) -> Kinds:
    if segments[1:] == ("parameters",):
        return OBJECT
    if len(segments) != 3 or segments[1] != "parameters":
        return None
    for symbol in inputs:
        if segments[2] in symbol.inputs:
            return _declared(symbol.inputs[str(segments[2])])
        if segments[2] in symbol.extras:
            return None
    return None


def _declared(entry: Parameter | None) -> Kinds:
    """The types of a value that was checked against a declaration."""
    return _type(entry.resolved_type) if entry is not None else None


def _type(type_: str) -> Kinds:
    if type_ == "any":
        return None
    return frozenset({"integer", "number"}) if type_ == "number" else frozenset({type_})


def _typed(symbol: Symbol, output: str) -> bool:
    declared = symbol.given_outputs.get(output)
    return declared is not None and declared.type != "any"


def _tolerated(site: Site, dag: Symbol) -> bool:
    """Whether something may go on behind this task although it did not succeed (SCHED-1)."""
    own = site.model.continue_on if isinstance(site.model, Task) else None
    given = own if own is not None else dag.model.continue_on if isinstance(dag.model, Dag) else None
    return given is not None and (given.failed or given.error or given.timeout)


def _conditional(site: Site | None, symbol: Symbol) -> bool:
    """Whether a container may succeed although what is in it did not."""
    own = site.model.phase_conditions if site is not None and isinstance(site.model, Task) else None
    return symbol.kind is not Kind.TASK and (own is not None or symbol.model.phase_conditions is not None)


def _item_path(name: Name) -> tuple[str, ...] | None:
    """`()` for a name that is the item of a loop, the field where it is one of its fields, None where it is neither."""
    segments = name.segments
    rest = segments[2:] if segments[1:2] == ("item",) else segments[1:] if segments[0] == "loop_iter" else None
    if (
        rest is None
        or len(rest) > 1
        or (rest and (not isinstance(rest[0], str) or (rest[0] == "index" and len(segments) == 2)))
    ):
        return None
    return tuple(map(str, rest))


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
