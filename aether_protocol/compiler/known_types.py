"""What is known of the types of values before a run (SPEC-13, DATA-3).

Law: never too few. A type counts as known only where a check of the run holds the value to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.checks.values import has_source
from aether_protocol.compiler.graph import Ancestry
from aether_protocol.compiler.name_rules import Scope
from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.compiler.sources import literal_of
from aether_protocol.compiler.symbols import Site, Symbol, Unit
from aether_protocol.documents.models import Dag, Loop, Parameter, Task, ValueFrom
from aether_protocol.expressions import Expression, ExpressionError, Name, Template
from aether_protocol.expressions.kinds import ARRAY, INTEGER, NULL, NUMBER, OBJECT, STRING, Kinds, kind_of, kinds_of
from aether_protocol.expressions.values import ABSENT, Json
from aether_protocol.plan.executors import ExecutorTypes
from aether_protocol.plan.model import Kind

_OF_WORKFLOW: Final[Mapping[str, Kinds]] = {
    **dict.fromkeys(("name", "id", "namespace", "createdAt"), STRING),
    "scheduledTime": STRING | NULL,
    "parameters": OBJECT,
}
_OUTCOME: Final[Mapping[str, Kinds]] = {"phase": STRING | NULL, "code": INTEGER | NULL, "msg": STRING}


class Given(Struct):
    """What is known of a value: its types, whether it may be absent, and which tasks of its dag must have Succeeded for it."""

    kinds: Kinds
    shown: str
    fleeting: bool = True
    needs: list[int] = field(default_factory=list)


class TypeContext(Struct, frozen=True):
    """What else there is to know. `parameters` are the run's, None where a library cannot know them."""

    parameters: Mapping[str, Parameter] | None
    types: ExecutorTypes | None
    ancestry: Callable[[Symbol], Ancestry | None]


class KnownTypes:
    """The types of names, of sources and of what definitions give, each definition looked at once."""

    def __init__(self, texts: Texts, known: TypeContext) -> None:
        self.texts = texts
        self.known = known
        self._outputs: dict[tuple[int, str], Kinds] = {}
        self._items: dict[int, dict[str | None, dict[str, int]] | None] = {}

    # --- of a value ---

    def given(self, entry: Parameter, scope: Scope) -> Given | None:
        """What the first source of `entry` gives; None for literals, which are checked as values, and where there is none."""
        if entry.value is not None:
            if literal_of(entry.value, self.texts) is not ABSENT:
                return None
            template = self.texts.template(entry.value)
            if isinstance(template, ExpressionError):
                return None
            if template.sole is not None:
                return self.name(template.sole, scope)
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
            kinds = self.computed(expression, scope, needs)
            return Given(kinds, f"{given.expression[:80]!r}", False, needs)
        name = self.texts.name(given.parameter or given.path or "")
        return None if isinstance(name, ExpressionError) else self.name(name, scope)

    def sole(self, entry: Parameter) -> Name | None:
        """The one name that the first source of `entry` is."""
        if entry.value is not None:
            template = self.texts.template(entry.value) if isinstance(entry.value, str) else None
            return template.sole if isinstance(template, Template) else None
        text = entry.value_from.parameter or entry.value_from.path if entry.value_from is not None else None
        name = self.texts.name(text) if text is not None else None
        return name if isinstance(name, Name) else None

    def computed(self, expression: Expression, scope: Scope, needs: list[int]) -> Kinds:
        return kinds_of(expression, lambda name: self.name(name, scope, needs).kinds)

    def name(self, name: Name, scope: Scope, needs: list[int] | None = None) -> Given:
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
        return declared_kinds(declared)

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
        path = item_path(name)
        if path is None or scope.loop is None or scope.place is not p.BODY_CALL:
            return None
        kinds = self.kinds_of_items(scope.loop)
        found = kinds.get(path[0] if path else None) if kinds is not None else None
        return frozenset(found) if found else None

    # --- of what a definition gives ---

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
            return declared_kinds(declared)
        if isinstance(model, Loop):
            if declared is not None:
                return self.loop_output(symbol, model, declared)
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
        given = self.given(declared, Scope(p.DAG_OUTPUTS, (symbol.unit,), (symbol,), symbol))
        return given.kinds if given is not None and declared.default is None else None

    def loop_output(self, symbol: Symbol, loop: Loop, declared: Parameter) -> Kinds:
        """What a declared output of a loop is read from (LOOP-6)."""
        given = declared.value_from
        if given is None:
            return self._aggregated(symbol, loop, declared.name)
        if given.expression is not None:
            expression = self.texts.expression(given.expression)
            scope = Scope(p.LOOP_OUTPUTS, (symbol.unit,), (symbol,), ending=symbol, loop=symbol)
            return None if isinstance(expression, ExpressionError) else self.computed(expression, scope, [])
        name = self.texts.name(given.parameter or given.path or "")
        if isinstance(name, ExpressionError) or len(name.segments) != 1:
            return None
        return self._aggregated(symbol, loop, name.root)

    def _aggregated(self, symbol: Symbol, loop: Loop, output: str) -> Kinds:
        if loop.aggregate is not None and loop.aggregate.strategy == "list":
            return ARRAY
        body = symbol.sites[0].target
        return self._output(body, output) if body is not None and not _conditional(None, body) else None

    def kinds_of_items(self, loop: Symbol) -> dict[str | None, dict[str, int]] | None:
        """By field (None: the item itself) each type that literal items have, and the first such item; None where not known."""
        key = id(loop)
        if key not in self._items:
            model = loop.model
            items = model.items if isinstance(model, Loop) and isinstance(model.items, list) else None
            self._items[key] = None if items is None else self._look_at_items(items)
        return self._items[key]

    def _look_at_items(self, items: list[Json]) -> dict[str | None, dict[str, int]]:
        found: dict[str | None, dict[str, int]] = {None: {}}
        uncertain: set[str | None] = set()
        for index, item in enumerate(items):
            parts: list[tuple[str | None, Json]] = [(None, item)]
            if isinstance(item, dict):
                parts += item.items()
            for field_, value in parts:
                if isinstance(value, str) and literal_of(value, self.texts) is ABSENT:
                    uncertain.add(field_)
                    continue
                (kind,) = kind_of(value) or ("null",)
                found.setdefault(field_, {}).setdefault(kind, index)
        for field_ in uncertain:
            found.pop(field_, None)
        return found


def _input(segments: tuple[str | int, ...], inputs: Iterable[Symbol]) -> Kinds:
    if segments[1:] == ("parameters",):
        return OBJECT
    if len(segments) != 3 or segments[1] != "parameters":
        return None
    for symbol in inputs:
        if segments[2] in symbol.inputs:
            return declared_kinds(symbol.inputs[str(segments[2])])
        if segments[2] in symbol.extras:
            return None
    return None


def declared_kinds(entry: Parameter | None) -> Kinds:
    """The types of a value that was checked against a declaration."""
    return _type(entry.resolved_type) if entry is not None else None


def _type(type_: str) -> Kinds:
    if type_ == "any":
        return None
    return NUMBER if type_ == "number" else frozenset({type_})


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


def item_path(name: Name) -> tuple[str, ...] | None:
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
