"""Whether a name means something at its place (DATA-4, SPEC-10, SPEC-13, SPEC-14), as far as can be known.

Law: one method a root, as the scheduler's lookup has one: what is refused here would fail there. A name whose meaning
depends on who calls is `DEFERRED` to the calls; one that needs a dependency between two tasks is a `Depends`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from aether_protocol.documents.models import Loop, Parameter
from aether_protocol.expressions import NAMESPACES, Name
from aether_protocol.plan import places as p
from aether_protocol.plan.findings import Fault, near
from aether_protocol.plan.model import Kind
from aether_protocol.plan.places import FIELDS, Place
from aether_protocol.plan.symbols import Symbol, Unit


class Deferred:
    """The verdict on a name that only a call can judge."""


class Depends(NamedTuple):
    """The verdict on a name that is fine if the task at hand depends on task `other` of its dag."""

    other: int
    outputs: bool


DEFERRED: Final = Deferred()
Verdict = Fault | Deferred | Depends | None


@dataclass(slots=True)
class Scope:
    """A place, filled in: whose inputs, whose tasks. `units` are those whose `arguments` fill in (TMPL-1)."""

    place: Place
    units: tuple[Unit, ...]
    inputs: tuple[Symbol, ...] = ()
    dag: Symbol | None = None
    position: int = -1  # of the task in `dag`; -1 where the tasks have ended, or stand in a template
    own: str | None = None  # SELF, where it is known
    ending: Symbol | None = None  # whose outputs are seen
    loop: Symbol | None = None  # whose iterator or body is seen
    called: bool = False  # the caller is known: nothing is deferred any more


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

    def check(self, name: Name, scope: Scope) -> Verdict:
        """The verdict on `name` at `scope`; None where it is fine."""
        root = name.segments[0]
        method = _ROOTS.get(root)  # type: ignore[arg-type]
        if method is not None:
            return method(self, name, scope)
        if root in self.injected:
            return None if len(name.segments) > 1 else _no_value(name, f"{name.text}.NAME")
        other = "a text needs quotes" if len(name.segments) == 1 else "variable sources of the engine may add namespaces"
        hint = near(str(root), [*NAMESPACES, *self.injected], other)
        severity = None if self.strict else "warning"
        return Fault("AE309", f"{name.text!r} has the unknown namespace {root!r}", hint, severity)  # type: ignore[arg-type]

    # --- one method a root ---

    def _workflow(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        if len(segments) > 1 and segments[1] == "arguments":
            segments = (segments[0], *segments[2:])
        if len(segments) > 2 and segments[1] == "parameters":
            return self._parameter(segments[2], name, scope)
        if len(segments) == 2 and segments[1] in FIELDS["workflow"] and segments[1] != "arguments":
            return None
        return _no_field(name, 1, FIELDS["workflow"])

    def _parameter(self, parameter: str | int, name: Name, scope: Scope) -> Verdict:
        if parameter in self.parameters or any(parameter in unit.parameters for unit in scope.units):
            return None
        if any(unit.origin.doubtful((*unit.origin.base, "arguments", "parameters")) for unit in scope.units):
            return None
        known = [*self.parameters, *(key for unit in scope.units for key in unit.parameters)]
        if parameter in self.below:
            known, other = [], "it is declared below; a parameter sees those declared above it"
        else:
            other = "declare it in spec.arguments.parameters"
        hint = near(str(parameter), known, other)
        message = f"there is no workflow parameter {parameter!r} ({name.text!r})"
        return Fault("AE304", message, hint, "warning" if self.open_parameters else None)

    def _system(self, name: Name, scope: Scope) -> Verdict:
        if len(name.segments) == 2 and name.segments[1] in FIELDS["system"]:
            return None
        return _no_field(name, 1, FIELDS["system"])

    def _inputs(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        whole = segments[1:] == ("parameters",)
        if not whole and (len(segments) < 3 or segments[1] not in ("parameters", "artifacts")):
            return _no_field(name, 1, ("parameters", "artifacts")) if len(segments) > 1 else _bare(name)
        if scope.place.inputs == "unknown":
            return None
        if not scope.inputs:
            return _elsewhere(name, scope, "there are no inputs at this place")
        if whole:
            return None
        wanted = segments[2]
        for symbol in scope.inputs:
            if segments[1] == "artifacts":
                if wanted in symbol.artifacts:
                    return None
            elif wanted in symbol.inputs or wanted in symbol.extras:
                return None
            if symbol.unit.origin.doubtful((*symbol.path, "inputs", segments[1])):
                return None
        known = [key for s in scope.inputs for key in (s.artifacts if segments[1] == "artifacts" else s.inputs)]
        noun = "input" if segments[1] == "parameters" else "input artifact"
        owner = scope.inputs[0]
        message = f"there is no {noun} {wanted!r} in {_what(owner)} ({name.text!r})"
        return Fault("AE305", message, near(str(wanted), known, f"declare it in the inputs of {owner.name!r}"))

    def _tasks(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        if len(segments) < 2:
            return _bare(name)
        if scope.place.tasks == "unknown":
            return None
        task = segments[1]
        more = scope.place.more
        if p.SELF in more:
            if scope.own == task:
                return self._task_field(name, scope.ending)
            if scope.dag is None and not scope.called:
                return DEFERRED
        if p.BODY in more and scope.loop is not None:
            if scope.loop.sites[0].name == task:
                return self._task_field(name, scope.loop.sites[0].target)
            if scope.loop.unit.origin.quiet((*scope.loop.path, "body")):
                return None
        if scope.place.tasks == "caller" and not scope.called:
            return DEFERRED
        if scope.dag is None:
            if p.SELF in more and scope.own is not None:
                return _elsewhere(name, scope, f"of tasks it sees {scope.own!r} alone")
            return _elsewhere(name, scope, "there are no tasks at this place")
        return self._task_of(scope.dag, name, scope)

    def _task_of(self, dag: Symbol, name: Name, scope: Scope) -> Verdict:
        task = name.segments[1]
        other = dag.tasks.get(task)  # type: ignore[arg-type]
        if other is None:
            if dag.unit.origin.doubtful((*dag.path, "tasks")):
                return None
            message = f"there is no task {task!r} in dag {dag.name!r} ({name.text!r})"
            return Fault("AE306", message, near(str(task), dag.tasks))
        kept = self.excluded.get(id(dag))
        if kept is not None and not kept[other] and (scope.position < 0 or kept[scope.position]):
            message = f"task {task!r} is outside of the entrypoints of dag {dag.name!r} ({name.text!r})"
            return Fault("AE306", message, "it is no part of the run, so the value is always absent", "warning")
        fault = self._task_field(name, dag.sites[other].target)
        if fault is not None or scope.position < 0:
            return fault
        return Depends(other, len(name.segments) > 2 and name.segments[2] == "outputs")

    def _task_field(self, name: Name, target: Symbol | None) -> Fault | None:
        segments = name.segments
        if len(segments) == 3 and segments[2] in ("phase", "code", "msg"):
            return None
        if len(segments) < 3 or segments[2] != "outputs":
            return _no_field(name, 2, FIELDS["task"])
        if len(segments) < 5 or segments[3] not in ("parameters", "artifacts"):
            return _no_field(name, 3, ("parameters.NAME", "artifacts.NAME"))
        if target is None:
            return None
        if segments[3] == "parameters":
            return self._output(name, segments[4], target)
        if segments[4] in target.given_artifacts and target.kind is not Kind.LOOP:
            return None
        if target.unit.origin.doubtful((*target.path, "outputs", "artifacts")):
            return None
        hint = near(str(segments[4]), target.given_artifacts, "declare it in the outputs")
        hint = "loops pass no artifacts on" if target.kind is Kind.LOOP else hint
        return Fault("AE307", f"{_what(target)} has no output artifact {segments[4]!r} ({name.text!r})", hint)

    def _output(self, name: Name, output: str | int, target: Symbol) -> Fault | None:
        gives = self.gives(target)
        if gives is None or output in gives or target.unit.origin.doubtful((*target.path, "outputs", "parameters")):
            return None
        message = f"{_what(target)} has no output {output!r} ({name.text!r})"
        return Fault("AE307", message, near(str(output), gives, f"declare it in the outputs of {target.name!r}"))

    def _iterator(self, name: Name, scope: Scope) -> Verdict:
        segments, more = name.segments, scope.place.more
        alias = segments[0] == "loop_iter"
        if p.INDEX in more:
            if segments[1:] == ("index",):
                return None
            return _elsewhere(name, scope, f"it sees {segments[0]}.index alone")
        if p.ITERATOR not in more or scope.loop is None:
            return _elsewhere(name, scope, "the iterator is seen in the arguments of its loop alone")
        if len(segments) < 2:
            return _bare(name)
        repeats = isinstance(scope.loop.model, Loop) and scope.loop.model.repeat_condition is not None
        field = segments[1]
        if field == "index" and len(segments) == 2:
            return None
        if field == "previous" and not alias:
            if not repeats:
                return _elsewhere(name, scope, "only a loop with repeatCondition has a previous iteration")
            if len(segments) > 4 and segments[2:4] == ("outputs", "parameters"):
                body = scope.loop.sites[0].target
                return self._output(name, segments[4], body) if body is not None else None
            return _no_field(name, 2, ("outputs.parameters.NAME",))
        if repeats:
            return _elsewhere(name, scope, "a loop with repeatCondition has no items")
        return None if alias or field == "item" else _no_field(name, 1, FIELDS["iterator"])

    def _outputs(self, name: Name, scope: Scope) -> Verdict:
        if p.OUTPUTS not in scope.place.more:
            return _elsewhere(name, scope, "outputs are seen by conditions of what gives them")
        segments = name.segments
        if len(segments) < 3 or segments[1] != "parameters":
            return _no_field(name, 1, ("parameters.NAME",))
        if scope.ending is None:
            return None
        if scope.place is p.LOOP_OUTPUTS:
            gives = self.aggregated(scope.ending)
            if gives is None or segments[2] in gives or segments[2] in scope.ending.given_outputs:
                return None
            known = [*gives, *scope.ending.given_outputs]
            message = f"loop {scope.ending.name!r} aggregates no output {segments[2]!r} ({name.text!r})"
            return Fault("AE307", message, near(str(segments[2]), known))
        return self._output(name, segments[2], scope.ending)

    def _outcome(self, name: Name, scope: Scope) -> Verdict:
        more = scope.place.more
        if len(name.segments) == 1 and (p.CODE if name.segments[0] == "code" else p.PHASE) in more:
            return None
        if len(name.segments) > 1:
            return Fault("AE303", f"{name.segments[0]!r} has no fields ({name.text!r})")
        return _elsewhere(name, scope, "it is seen by conditions of what has ended")

    def _counter(self, name: Name, scope: Scope) -> Verdict:
        root = name.segments[0]
        if root not in scope.place.more:
            return _elsewhere(name, scope, f"it is seen by the conditions of a {root}")
        if len(name.segments) == 2 and name.segments[1] in FIELDS["counters"]:
            return None
        return _no_field(name, 1, FIELDS["counters"])

    def _hook(self, name: Name, scope: Scope) -> Verdict:
        segments = name.segments
        if p.HOOK not in scope.place.more or (scope.called and scope.place is not p.HOOK_CALL):
            return _elsewhere(name, scope, "hook.* is seen in the run of a hook alone")
        known = FIELDS["hook"] if len(segments) < 3 else FIELDS.get(f"hook.{segments[1]}", ())
        if len(segments) > 3 and segments[1] == "workflow" and segments[2] in ("parameters", "outputs"):
            fault = self._parameter(segments[3], name, scope) if segments[2] == "parameters" else None
            if fault is not None:
                return fault
        elif not (len(segments) == 2 and segments[1] in ("event", "scope")) and not (
            len(segments) == 3 and segments[2] in known and segments[2] not in ("parameters", "outputs")
        ):
            return _no_field(name, min(len(segments) - 1, 2), known) if len(segments) > 1 else _bare(name)
        return DEFERRED if not scope.called and scope.place is not p.HOOK_CALL else None

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


def _what(symbol: Symbol) -> str:
    return f"{'task' if symbol.inline else 'template'} {symbol.name!r}"


def _bare(name: Name) -> Fault:
    return Fault("AE303", f"{name.text!r} is a namespace, not a value", f"go on with {name.text}.NAME")


def _no_value(name: Name, example: str) -> Fault:
    return Fault("AE303", f"{name.text!r} is a namespace, not a value", f"name a value of it, as in {example}")


def _no_field(name: Name, at: int, known: Iterable[str]) -> Fault:
    above = ".".join(map(str, name.segments[:at]))
    known = list(known)
    if len(name.segments) <= at or name.segments[at] in {field.partition(".")[0] for field in known}:
        return Fault("AE303", f"{name.text!r} does not name a value", f"{above} has {', '.join(known)}")
    wrong = name.segments[at]
    return Fault("AE303", f"{above!r} has no {wrong!r} ({name.text!r})", near(str(wrong), known, f"it has {', '.join(known)}"))


def _elsewhere(name: Name, scope: Scope, why: str) -> Fault:
    return Fault("AE303", f"{name.text!r} means nothing in {scope.place.title}", why)


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
