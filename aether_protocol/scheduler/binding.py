"""Sources become values: inputs (DATA-1..3), artifacts (ART-2), declared outputs (DATA-9, DATA-10), parameters (DATA-14).

Law: binding walks the sources in their order and takes the first that gives something; it knows no other rule. A value is
checked against type and enum when it is bound. Literals were checked when the plan was compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.expressions import ExpressionError, Name
from aether_protocol.expressions.values import ABSENT, Absent, Json, SecretValue, as_text, equal, fit, has_secret, type_name
from aether_protocol.plan.model import (
    ArtifactBinding,
    InputBinding,
    Literal,
    OutputBinding,
    Plan,
    Reference,
)
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.name_resolution import Resolver
from aether_protocol.scheduler.nodes import NO_VALUES
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.state import RunState

Value = Json | Absent


class BindError(Exception):
    """A value that cannot be had or does not fit; the text says which and why."""


class Bound(Struct):
    """Inputs and input artifacts of one task run, as `facts.InputsBound` records them."""

    inputs: Mapping[str, Json]
    refs: Sequence[tuple[str, int, str]]
    artifacts: Mapping[str, Json]
    secret: bool


def check_value(what: str, value: Json, type_: str, enum: Sequence[Json] | None) -> Json:
    """`value` as `type_`. Raises BindError that begins with `what` (DATA-3)."""
    fitted = fit(value, type_)
    if fitted is ABSENT:
        raise BindError(f"{what} must be {type_}, not {type_name_of(value)}")
    if enum is not None and not any(equal(fitted, member) for member in enum):
        raise BindError(f"{what} must be one of {as_text(list(enum))}, not {_shown(fitted)}")
    return fitted


def type_name_of(value: Json) -> str:
    return "a secret" if isinstance(value, SecretValue) else type_name(value)


def _shown(value: Json) -> str:
    return "a value with a secret" if has_secret(value) else as_text(value)[:200]


def bind_inputs(
    resolver: Resolver,
    bindings: Sequence[InputBinding],
    artifacts: Sequence[ArtifactBinding],
    before: Mapping[str, Json] = NO_VALUES,
) -> Bound:
    """Bind once, when the task is ready (DATA-1). `before`: what the run that this one retries has fetched for it, by artifact.
    Raises BindError naming the input."""
    inputs: dict[str, Json] = {}
    refs: list[tuple[str, int, str]] = []
    for binding in bindings:
        name = binding.name
        try:
            value, source = read_sources(binding.sources, resolver)
        except ExpressionError as error:
            raise BindError(f"input {name!r}: {error.reason}") from error
        if source is None:
            if binding.declared:
                raise BindError(f"input {name!r} has no value")
            continue
        if not isinstance(source, Literal):
            value = check_value(f"input {name!r}", value, binding.type, binding.enum)
            if isinstance(source, Reference):
                ref = _output_ref(source.name, resolver, value)
                if ref is not None:
                    refs.append((name, *ref))
                    value = None
        inputs[name] = value
    held = _bind_artifacts(resolver, artifacts, before) if artifacts else NO_VALUES
    return Bound(inputs, refs, held, resolver.secret)


def _output_ref(name: Name, resolver: Resolver, value: Json) -> tuple[int, str] | None:
    """The node and output that `name` is, as it stands: recorded by reference instead of by value."""
    segments = name.segments
    if resolver.dag is None or len(segments) != 5 or segments[0] != "tasks" or segments[3] != "parameters":
        return None
    index = resolver.dag.target.index.get(segments[1])  # type: ignore[arg-type]
    if index is None or resolver.dag.children[index] < 0:
        return None
    node = resolver.state.nodes[resolver.dag.children[index]]
    output = str(segments[4])
    return (node.id, output) if node.outputs.get(output) is value else None


def _bind_artifacts(
    resolver: Resolver, bindings: Sequence[ArtifactBinding], before: Mapping[str, Json]
) -> dict[str, Json]:
    """Input artifacts as {name: {name, path, archive, and digest and size, or source}}; absent is an Error (ART-2)."""
    held: dict[str, Json] = {}
    for binding in bindings:
        try:
            value = _artifact_origin(resolver, binding)
        except ExpressionError as error:
            raise BindError(f"input artifact {binding.name!r}: {error.reason}") from error
        if not isinstance(value, dict):
            if binding.optional:
                continue
            raise BindError(f"input artifact {binding.name!r} is absent")
        origin = {key: item for key, item in value.items() if key not in ("path", "archive", "name")}
        archive = binding.archive or value.get("archive")
        held[binding.name] = {"name": binding.name, "path": binding.path, "archive": archive, **origin}
        if "source" in origin:
            if binding.optional:
                held[binding.name]["optional"] = True  # whether it is there, only the source knows
            pinned = before.get(binding.name)
            if pinned is not None and pinned["source"] == origin["source"]:
                held[binding.name]["fetched"] = pinned["fetched"]
    return held


def _artifact_origin(resolver: Resolver, binding: ArtifactBinding) -> Value:
    if binding.from_ is not None:
        return resolver.artifact(binding.from_)
    if binding.source is None:
        return ABSENT
    return {"source": {"type": binding.source.type, "config": binding.source.config.resolve(resolver)}}


def fill_outputs(resolver: Resolver, declared: Sequence[OutputBinding], given: Mapping[str, Json]) -> dict[str, Json]:
    """Outputs of a Succeeded leaf: what the executor gave, and declared values for what it did not (DATA-9).

    Raises BindError naming the first output that cannot be resolved or does not fit.
    """
    outputs = dict(given)
    resolver.outputs = outputs
    for output in declared:
        if output.name not in outputs:
            try:
                value, source = read_sources(output.sources, resolver)
            except ExpressionError as error:
                raise BindError(f"output {output.name!r}: {error.reason}") from error
            if source is None:
                continue
            outputs[output.name] = value
        value = outputs[output.name]
        outputs[output.name] = check_value(f"output {output.name!r}", value, output.type, output.enum)
    return outputs


def resolve_outputs(
    declared: Sequence[OutputBinding],
    read: Callable[[OutputBinding], Value],
    report: Callable[[str], None],
    outputs: dict[str, Json],
) -> None:
    """Declared outputs of a container into `outputs`; one that cannot be had is left out and reported (DATA-10)."""
    for output in declared:
        what = f"output {output.name!r}"
        try:
            value = read(output)
            if value is ABSENT:
                report(f"{what} has no value")
            else:
                outputs[output.name] = check_value(what, value, output.type, output.enum)
        except ExpressionError as error:
            report(f"{what}: {error.reason}")
        except BindError as error:
            report(str(error))


# --- workflow parameters at submission (DATA-14): all problems are reported together, and nothing starts while there is one ---


def bind_parameters(plan: Plan, given: Mapping[str, Json], header: RunHeader) -> tuple[dict[str, Json], list[str]]:
    """The run's parameters by name, and every problem as text. `header` has all but its parameters.

    A declared source may read `workflow.*`, variables, and parameters declared above it.
    """
    problems = _unknown(plan, given)
    values: dict[str, Json] = {}
    state = RunState(plan)
    state.header = RunHeader(header.run_id, header.created_at, header.scheduled_time, values, header.variables, header.seed)
    state.secret = True  # who reads a parameter here may read a secret
    for binding in plan.parameters:
        name = binding.name
        what = f"parameter {name!r}"
        try:
            if given.get(name) is not None:
                values[name] = check_value(what, given[name], binding.type, binding.enum)
                continue
            value, source = read_sources(binding.sources, Resolver(state, (), None, ()))
            if source is None:
                problems.append(f"{what} has no value")
            elif isinstance(source, Literal):
                values[name] = value
            else:
                values[name] = check_value(what, value, binding.type, binding.enum)
        except ExpressionError as error:
            problems.append(f"{what}: {error.reason}")
        except BindError as error:
            problems.append(str(error))
    return values, problems


def _unknown(plan: Plan, given: Mapping[str, Json]) -> list[str]:
    declared = dict.fromkeys(binding.name for binding in plan.parameters)
    suggestions = Suggestions()
    problems = []
    for name in given:
        if name not in declared:
            near = suggestions.nearest(name, declared)
            problems.append(f"parameter {name!r} is not declared" + (f", did you mean {near!r}?" if near else ""))
    return problems
