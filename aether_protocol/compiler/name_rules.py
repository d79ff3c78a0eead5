"""Whether a name means something at its place (DATA-4, SPEC-10, SPEC-13, SPEC-14), as far as can be known.

Law: one method a root, as the scheduler's lookup has one: what is refused here would fail there. A name whose meaning
depends on who calls is `DEFERRED` to the calls; one that needs a dependency between two tasks is a `Depends`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from aether_protocol.compiler import name_scopes as p
from aether_protocol.compiler.findings import DID_YOU_MEAN, Finding
from aether_protocol.compiler.name_scopes import FIELDS, TextPlace
from aether_protocol.compiler.proposals import equivalents, replaced
from aether_protocol.compiler.symbols import At, Symbol, Unit
from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.documents.models import Loop, Parameter
from aether_protocol.expressions import NAMESPACES, Name
from aether_protocol.plan.model import Kind

TypeContext = Collection[str] | Callable[[], Collection[str]]  # the latter where it is dear to put together


class Deferred:
    """The verdict on a name that only a call can judge."""


class Depends(Struct, frozen=True):
    """The verdict on a name that is fine if the task at hand depends on task `other` of its dag."""

    other: int
    outputs: bool


DEFERRED: Final = Deferred()
MOST_RIVALS: Final = 8  # callers that a proposal is held against; with more of them nothing is proposed
_FEW: Final = 8  # so many known names are listed in a hint
Verdict = Finding | Deferred | Depends | None


class Scope(Struct):
    """A place, filled in: whose inputs, whose tasks. `units` are those whose `arguments` fill in (TMPL-1)."""

    place: TextPlace
    units: tuple[Unit, ...]
    inputs: tuple[Symbol, ...] = ()
    dag: Symbol | None = None
    position: int = -1  # of the task in `dag`; -1 where the tasks have ended, or stand in a template
    own: str | None = None  # SELF, where it is known
    ending: Symbol | None = None  # whose outputs are seen
    loop: Symbol | None = None  # whose iterator or body is seen
    called: bool = False  # the caller is known: nothing is deferred any more
    rivals: tuple[Scope, ...] = ()  # this place as each of its callers makes it


class Names:
    """The rules of names. `parameters` are the run's; None where a library cannot know them."""

    def __init__(
        self, parameters: Mapping[str, Parameter], injected: frozenset[str], *, strict: bool, open_parameters: bool
    ) -> None:
        self.parameters = parameters
        self.below: Mapping[str, Parameter] = {}  # declared, and not to be seen by those above
        self.injected = injected
        self.strict = strict
        self.open_parameters = open_parameters
        self.excluded: dict[int, list[bool]] = {}  # id of a dag -> tasks that its entrypoints keep (SCHED-2)
        self._gives: dict[int, frozenset[str] | None] = {}
        self._proposing = False
        self.suggestions = Suggestions()  # the budget of the whole document; set by the checks
        self.depends: Callable[[Symbol, int, int], bool] = lambda dag, task, other: False  # directly; set by the checks

    def check(self, name: Name, scope: Scope) -> Verdict:
        """The verdict on `name` at `scope`; None where it is fine."""
        root = name.segments[0]
        method = _ROOTS.get(root)  # type: ignore[arg-type]
        if method is not None:
            return method(self, name, scope)
        if root in self.injected:
            return None if len(name.segments) > 1 else _no_value(name, f"{name.text}.NAME")
        other = "a text needs quotes" if len(name.segments) == 1 else "variable sources of the engine may add namespaces"
        hint = self._near(name, 0, scope, [*NAMESPACES, *self.injected], other)
        severity = None if self.strict else "warning"
        return Finding("AE309", f"{name.text!r} has the unknown namespace {root!r}", hint, severity)  # type: ignore[arg-type]

    def accepts(self, name: Name, scope: Scope) -> bool:
        """Whether `name` may be proposed at `scope`: it is fine as it is, for every caller."""
        if len(scope.rivals) > MOST_RIVALS:
            return False
        return all(self._accepted(self._ask(name, one), one) for one in scope.rivals or (scope,))

    # --- one method a root ---

    def _workflow(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        if len(segments) > 1 and segments[1] == "arguments":
            segments = (segments[0], *segments[2:])
        if len(segments) > 2 and segments[1] == "parameters":
            return self._parameter(segments[2], name, scope)
        if len(segments) == 2 and segments[1] in FIELDS["workflow"] and segments[1] != "arguments":
            return None
        return self._no_field(name, 1, scope, FIELDS["workflow"])

    def _parameter(self, parameter: str | int, name: Name, scope: Scope) -> Verdict:
        if parameter in self.parameters or any(parameter in unit.parameters for unit in scope.units):
            return None
        if any(unit.origin.uncertain((*unit.origin.base, "arguments", "parameters")) for unit in scope.units):
            return None
        known: TypeContext = partial(_declared, self.parameters, scope.units)
        if parameter in self.below:
            known, other = (), "it is declared below; a parameter sees those declared above it"
        else:
            other = "declare it in spec.arguments.parameters"
        hint = self._near(name, name.segments.index("parameters") + 1, scope, known, other)
        message = f"there is no workflow parameter {parameter!r} ({name.text!r})"
        return Finding("AE304", message, hint, "warning" if self.open_parameters else None)

    def _system(self, name: Name, scope: Scope) -> Verdict:
        if len(name.segments) == 2 and name.segments[1] in FIELDS["system"]:
            return None
        return self._no_field(name, 1, scope, FIELDS["system"])

    def _inputs(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        whole = segments[1:] == ("parameters",)
        if not scope.place.inputs:
            return self._elsewhere(name, scope, "there are no inputs at this place")
        if len(segments) == 1:
            return _no_value(name, "inputs.parameters.NAME")
        if not whole and (len(segments) < 3 or segments[1] not in ("parameters", "artifacts")):
            return self._no_field(name, 1, scope, ("parameters", "artifacts.NAME"))
        if scope.place.inputs == "unknown" or not scope.inputs:
            return None
        if whole:
            return None
        wanted = segments[2]
        for symbol in scope.inputs:
            if segments[1] == "artifacts":
                if wanted in symbol.artifacts:
                    return None
            elif wanted in symbol.inputs or wanted in symbol.extras:
                return None
            if symbol.unit.origin.uncertain((*symbol.path, "inputs", segments[1])):
                return None

        def known() -> list[str]:
            return [key for s in scope.inputs for key in (s.artifacts if segments[1] == "artifacts" else s.inputs)]

        noun, owner = "input" if segments[1] == "parameters" else "input artifact", scope.inputs[0]
        message = f"there is no {noun} {wanted!r} in {_what(owner)} ({name.text!r})"
        return Finding("AE305", message, self._near(name, 2, scope, known, f"declare it in the inputs of {owner.name!r}"))

    def _tasks(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        more = scope.place.more
        if len(segments) < 2:
            if scope.place.tasks or p.SELF in more or p.BODY in more:
                return _no_value(name, "tasks.NAME.outputs.parameters.NAME")
            return self._elsewhere(name, scope, "there are no tasks at this place")
        if scope.place.tasks == "unknown":
            return None
        task = segments[1]
        if p.SELF in more:
            if scope.own == task:
                return self._task_field(name, scope, scope.ending)
            if scope.dag is None and not scope.called:
                return DEFERRED
        if p.BODY in more and scope.loop is not None:
            if scope.loop.sites[0].name == task:
                return self._task_field(name, scope, scope.loop.sites[0].target)
            if scope.loop.unit.origin.suppressed((*scope.loop.path, "body")):
                return None
        if scope.place.tasks == "caller" and not scope.called:
            return DEFERRED
        if scope.dag is None:
            if p.SELF in more and scope.own is not None:
                return self._elsewhere(name, scope, f"of tasks it sees {scope.own!r} alone")
            return self._elsewhere(name, scope, "there are no tasks at this place")
        return self._task_of(scope.dag, name, scope)

    def _task_of(self, dag: Symbol, name: Name, scope: Scope) -> Verdict:
        task = name.segments[1]
        other = dag.tasks.get(task)  # type: ignore[arg-type]
        if other is None:
            if dag.unit.origin.uncertain((*dag.path, "tasks")):
                return None
            message = f"there is no task {task!r} in dag {dag.name!r} ({name.text!r})"
            return Finding("AE306", message, self._near(name, 1, scope, dag.tasks))
        kept = self.excluded.get(id(dag))
        if kept is not None and not kept[other] and (scope.position < 0 or kept[scope.position]):
            message = f"task {task!r} is outside of the entrypoints of dag {dag.name!r} ({name.text!r})"
            return Finding("AE306", message, "it is not part of the run, so that its value is always absent", "warning")
        fault = self._task_field(name, scope, dag.sites[other].target)
        if fault is not None or scope.position < 0:
            return fault
        return Depends(other, len(name.segments) > 2 and name.segments[2] == "outputs")

    def _task_field(self, name: Name, scope: Scope, target: Symbol | None) -> Finding | None:
        segments = name.segments
        if len(segments) == 3 and segments[2] in ("phase", "code", "msg"):
            return None
        if len(segments) < 3 or segments[2] != "outputs":
            return self._no_field(name, 2, scope, FIELDS["task"])
        if len(segments) < 5 or segments[3] not in ("parameters", "artifacts"):
            return self._no_field(name, 3, scope, ("parameters.NAME", "artifacts.NAME"))
        if target is None:
            return None
        if segments[3] == "parameters":
            return self._output(name, 4, scope, target)
        if segments[4] in target.given_artifacts and target.kind is not Kind.LOOP:
            return None
        if target.unit.origin.uncertain((*target.path, "outputs", "artifacts")):
            return None
        hint = self._near(name, 4, scope, target.given_artifacts, "declare it in the outputs")
        hint = "loops pass no artifacts on" if target.kind is Kind.LOOP else hint
        return Finding("AE307", f"{_what(target)} has no output artifact {segments[4]!r} ({name.text!r})", hint)

    def _output(self, name: Name, at: int, scope: Scope, target: Symbol) -> Finding | None:
        gives, output = self.gives(target), name.segments[at]
        if gives is None or output in gives or target.unit.origin.uncertain((*target.path, "outputs", "parameters")):
            return None
        message = f"{_what(target)} has no output {output!r} ({name.text!r})"
        return Finding("AE307", message, self._near(name, at, scope, gives, f"declare it in the outputs of {target.name!r}"))

    def _iterator(self, name: Name, scope: Scope) -> Verdict:
        segments, more = name.segments, scope.place.more
        alias = segments[0] == "loop_iter"
        if p.INDEX in more:
            if segments[1:] == ("index",):
                return None
            return self._elsewhere(name, scope, f"it sees {segments[0]}.index alone")
        if p.ITERATOR not in more or scope.loop is None:
            return self._elsewhere(name, scope, "the iterator is seen in the arguments of its loop alone")
        repeats = isinstance(scope.loop.model, Loop) and scope.loop.model.repeat_condition is not None
        if len(segments) < 2:
            return _no_value(name, f"{name.text}.{'index' if repeats or alias else 'item'}")
        field = segments[1]
        if field == "index" and len(segments) == 2:
            return None
        if field == "previous" and not alias:
            if not repeats:
                return self._elsewhere(name, scope, "only a loop with repeatCondition has a previous iteration")
            if len(segments) > 4 and segments[2:4] == ("outputs", "parameters"):
                body = scope.loop.sites[0].target
                return self._output(name, 4, scope, body) if body is not None else None
            return self._no_field(name, 2, scope, ("outputs.parameters.NAME",))
        if repeats:
            return self._elsewhere(name, scope, "a loop with repeatCondition has no items")
        return None if alias or field == "item" else self._no_field(name, 1, scope, ("item", "index"))

    def _outputs(self, name: Name, scope: Scope) -> Verdict:
        if p.OUTPUTS not in scope.place.more:
            return self._elsewhere(name, scope, "outputs are seen by conditions of what gives them")
        segments = name.segments
        if len(segments) < 3 or segments[1] != "parameters":
            return self._no_field(name, 1, scope, ("parameters.NAME",))
        if scope.ending is None:
            return None
        if scope.place is p.LOOP_OUTPUTS:
            gives = self.aggregated(scope.ending)
            if gives is None or segments[2] in gives or segments[2] in scope.ending.given_outputs:
                return None
            known = [*gives, *scope.ending.given_outputs]
            message = f"loop {scope.ending.name!r} aggregates no output {segments[2]!r} ({name.text!r})"
            return Finding("AE307", message, self._near(name, 2, scope, known))
        return self._output(name, 2, scope, scope.ending)

    def _outcome(self, name: Name, scope: Scope) -> Verdict:
        more = scope.place.more
        if len(name.segments) == 1 and (p.CODE if name.segments[0] == "code" else p.PHASE) in more:
            return None
        if len(name.segments) > 1:
            return Finding("AE303", f"{name.segments[0]!r} has no fields ({name.text!r})")
        return self._elsewhere(name, scope, "it is seen by conditions of what has ended")

    def _counter(self, name: Name, scope: Scope) -> Verdict:
        root = name.segments[0]
        if root not in scope.place.more:
            return self._elsewhere(name, scope, f"it is seen by the conditions of a {root}")
        if len(name.segments) == 2 and name.segments[1] in FIELDS["counters"]:
            return None
        return self._no_field(name, 1, scope, FIELDS["counters"])

    def _hook(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        if p.HOOK not in scope.place.more or (scope.called and scope.place is not p.HOOK_CALL):
            return self._elsewhere(name, scope, "hook.* is seen in the run of a hook alone")
        known = FIELDS["hook"] if len(segments) < 3 else FIELDS.get(f"hook.{segments[1]}", ())
        if len(segments) > 3 and segments[1] == "workflow" and segments[2] in ("parameters", "outputs"):
            fault = self._parameter(segments[3], name, scope) if segments[2] == "parameters" else None
            if fault is not None:
                return fault
        elif not (len(segments) == 2 and segments[1] in ("event", "scope")) and not (
            len(segments) == 3 and segments[2] in known and segments[2] not in ("parameters", "outputs")
        ):
            if len(segments) < 2:
                return _no_value(name, "hook.workflow.phase")
            return self._no_field(name, min(len(segments) - 1, 2), scope, known)
        return DEFERRED if not scope.called and scope.place is not p.HOOK_CALL else None

    # --- what is proposed instead: never what this place would refuse as well (DATA-4) ---

    def _near(self, name: Name, at: int, scope: Scope, known: TypeContext, instead: str | None = None) -> str | None:
        """A hint for segment `at` of `name`: the nearest known one, else what is known if that is little, else `instead`."""
        if self._proposing or len(scope.rivals) > MOST_RIVALS:
            return None
        if self.suggestions.left <= 0:
            return instead
        known = known() if callable(known) else known
        for found in self.suggestions.closest(str(name.segments[at]), known, 3):
            better = replaced(name, at, found)
            if self.accepts(better, scope):
                return f"{DID_YOU_MEAN}{found!r}?"
            verdict = self._ask(better, scope)
            if isinstance(verdict, Depends) and verdict.other != scope.position and len(scope.rivals) < 2:
                return f"{DID_YOU_MEAN}{found!r}? it has to be among the dependencies"
        if instead is None and 0 < len(known) <= _FEW:
            fine = [repr(one) for one in known if self.accepts(replaced(name, at, one), scope)]
            return f"there {'is' if len(fine) == 1 else 'are'} {', '.join(fine)}" if fine else None
        return instead

    def _no_field(self, name: Name, at: int, scope: Scope, known: Iterable[str]) -> Finding:
        above, known = ".".join(map(str, name.segments[:at])), list(known)
        if len(name.segments) <= at or name.segments[at] in {field.partition(".")[0] for field in known}:
            return Finding("AE303", f"{name.text!r} does not name a value", f"{above} has {', '.join(known)}")
        heads = list(dict.fromkeys(field.partition(".")[0] for field in known))
        hint = self._near(name, at, scope, heads, f"it has {', '.join(known)}")
        return Finding("AE303", f"{above!r} has no {name.segments[at]!r} ({name.text!r})", hint)

    def _elsewhere(self, name: Name, scope: Scope, why: str) -> Finding:
        """A name that other places see; the hint names what is the same here, else says `why`."""
        hint = why
        if not self._proposing and len(scope.rivals) <= MOST_RIVALS:
            body = scope.loop.sites[0].name if scope.loop is not None else None
            ending = scope.ending.name if scope.ending is not None else None
            fine = (one for one in equivalents(name, body, scope.own, ending) if self.accepts(one, scope))
            hint = next((f"here it is {one}" for one in fine), why)
        return Finding("AE303", f"{name.text!r} means nothing in {scope.place.title}", hint)

    def _ask(self, name: Name, scope: Scope) -> Verdict:
        """The verdict on what may be proposed; its own hint is not asked for."""
        self._proposing = True
        try:
            return self.check(name, scope)
        finally:
            self._proposing = False

    def _accepted(self, verdict: Verdict, scope: Scope) -> bool:
        """Whether that verdict says that a name is fine here."""
        if isinstance(verdict, Depends):
            return scope.dag is not None and self.depends(scope.dag, scope.position, verdict.other)
        if verdict is DEFERRED and p.HOOK in scope.place.more and scope.inputs:
            callers = scope.inputs[0].callers
            return bool(callers) and all(site.at is At.HOOK for site in callers)
        return verdict is None

    # --- what a definition gives ---

    def gives(self, symbol: Symbol) -> frozenset[str] | None:
        """The output parameters that `symbol` may have, or None where that cannot be known."""
        key = id(symbol)
        if key not in self._gives:
            self._gives[key] = None  # while it is looked for: loops that run each other know nothing
            self._gives[key] = self._find_gives(symbol)
        return self._gives[key]

    def _find_gives(self, symbol: Symbol) -> frozenset[str] | None:
        if symbol.given_outputs or symbol.kind is Kind.DAG:
            return frozenset(symbol.given_outputs)
        return self.aggregated(symbol) if symbol.kind is Kind.LOOP else None

    def aggregated(self, loop: Symbol) -> frozenset[str] | None:
        """The parameters that the aggregate of `loop` has (LOOP-6), or None where that cannot be known."""
        model = loop.model
        assert isinstance(model, Loop)
        body = loop.sites[0].target
        gives = self.gives(body) if body is not None else None
        if model.aggregate is None or model.aggregate.parameters is None:
            return gives
        chosen = frozenset(model.aggregate.parameters)
        return chosen if gives is None else chosen & gives


def _declared(parameters: Mapping[str, Parameter], units: Iterable[Unit]) -> list[str]:
    return [*parameters, *(key for unit in units for key in unit.parameters)]


def _what(symbol: Symbol) -> str:
    return f"{'task' if symbol.inline else 'template'} {symbol.name!r}"


def _no_value(name: Name, example: str) -> Finding:
    return Finding("AE303", f"{name.text!r} is a namespace, not a value", f"name a value of it, as in {example}")


_ROOTS: Final[dict[str, Callable[[Names, Name, Scope], Verdict]]] = {
    "workflow": Names._workflow,
    "system": Names._system,
    "inputs": Names._inputs,
    "tasks": Names._tasks,
    "iterator": Names._iterator,
    "loop_iter": Names._iterator,
    "outputs": Names._outputs,
    "phase": Names._outcome,
    "code": Names._outcome,
    "msg": Names._outcome,
    "dag": Names._counter,
    "loop": Names._counter,
    "hook": Names._hook,
}
