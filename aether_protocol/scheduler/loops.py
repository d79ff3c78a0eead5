"""Loops (LOOP-1..7): their items, the next turn of a repeat loop, and what their iterations add up to.

Law: an iteration is a child like any other; only here is its index more than a position. Aggregation walks the iterations
once, when the loop ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from aether_protocol.expressions import Expression, ExpressionError, get_path
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.limits import check_growth
from aether_protocol.expressions.values import ABSENT, Json
from aether_protocol.plan.model import LoopDef, OutputBinding, Reference
from aether_protocol.scheduler import name_resolution
from aether_protocol.scheduler.binding import BindError, resolve_outputs, type_name_of
from aether_protocol.scheduler.evolve import RANK_PHASES, RANKS
from aether_protocol.scheduler.facts import IterationGranted
from aether_protocol.scheduler.nodes import LoopNode, Node
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.step_builder import ENGINE_ERROR, StepBuilder, Verdict
from aether_protocol.scheduler.transitions import ERROR, SUCCEEDED

Report = Callable[[str], None]


def items_of(step: StepBuilder, loop: LoopNode) -> Sequence[Json] | None:
    """The items (LOOP-2, LOOP-3), or None for a repeat loop. Raises BindError."""
    target = loop.target
    if target.repeat is not None:
        return None
    resolver = name_resolution.of_items(step.state, loop)
    field = "items" if target.items is not None else "itemsFrom"
    try:
        value = _resolve_items(target, resolver)
    except ExpressionError as error:
        raise BindError(f"{field}: {error.reason}") from error
    if isinstance(value, str) and value.lstrip(" \t\r\n").startswith("["):
        try:
            value = _json_array(value)
        except ValueError as fault:
            raise BindError(f"{field} must give an array, not text with {fault}") from None
    if value is None:
        value = []
    if not isinstance(value, list):
        raise BindError(f"{field} must give an array, not {type_name_of(value)}")
    if target.max_iterations is not None and len(value) > target.max_iterations:
        raise BindError(f"{len(value)} items exceed maxIterations {target.max_iterations}")
    return value


def _resolve_items(target: LoopDef, resolver: name_resolution.Resolver) -> Json:
    if target.items is not None:
        value = target.items.resolve(resolver)
        if value is ABSENT:
            raise ExpressionError(f"{target.items.raw} has no value")
        return value
    source = target.items_from
    if isinstance(source, Expression):
        return source.evaluate(resolver)
    assert source is not None
    value = source.resolve(resolver)
    return None if value is ABSENT else value


def _json_array(text: str) -> Json:
    """The array that a text holds as JSON (LOOP-2). Raises ValueError that says what in it is not JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as fault:
        raise ValueError(f"no JSON in it: {fault.msg.lower()} at character {fault.pos + 1}") from None
    except ValueError:
        raise ValueError("a number that is too large") from None
    except RecursionError:
        raise ValueError("an array that is nested too deeply") from None
    return json_copy(value)


def advance(step: StepBuilder, loop: LoopNode, body: Node) -> Verdict | None:
    """After iteration `body` of a repeat loop (LOOP-5): None when the next one was granted, else how the loop ends."""
    target = loop.target
    assert target.repeat is not None
    try:
        again = target.repeat.condition(name_resolution.of_repeat(step.state, loop, body))
    except ExpressionError as error:
        return ERROR, ENGINE_ERROR, f"repeatCondition {target.repeat.text!r}: {error.reason}"
    if again and (target.max_iterations is None or loop.granted < target.max_iterations):
        step.emit(IterationGranted(loop.id, loop.granted))
        return None
    phase = RANK_PHASES[RANKS[body.phase]]
    if again:
        return phase, None, f"stopped at maxIterations {target.max_iterations}"
    return phase, None, "" if phase is SUCCEEDED else why(body)


def why(body: Node) -> str:
    """The message of a loop that iteration `body` decided (LOOP-6)."""
    return f"iteration {body.index}: {body.message or body.phase}"


def derive(loop: LoopNode) -> Verdict:
    """Phase and message of a loop over items whose iterations have ended (SCHED-5 without continueOn)."""
    if not loop.total:
        return SUCCEEDED, None, NO_ITERATIONS
    return RANK_PHASES[loop.rank], None, why(loop.culprit) if loop.culprit is not None else ""


NO_ITERATIONS: Final = "loop had no iterations"


def outputs_of(step: StepBuilder, loop: LoopNode, report: Report) -> dict[str, Json]:
    """The loop's outputs (LOOP-4, LOOP-6); one that cannot be had is left out and reported."""
    held = _bounded(_aggregate(step, loop), report)
    declared = loop.target.outputs
    if not declared:
        return held
    outputs: dict[str, Json] = {}
    resolver = name_resolution.of_aggregate(step.state, loop, held)

    def read(output: OutputBinding) -> object:
        if not output.sources:
            return held.get(output.name, ABSENT)
        source = output.sources[0]
        if isinstance(source, Reference):  # a bare name, or a path into it
            first, *rest = source.name.segments
            return get_path(held[str(first)], tuple(rest)) if first in held else ABSENT
        resolver.outputs = {**held, **outputs}  # an expression sees what is declared above it
        return read_sources(output.sources, resolver)[0]

    resolve_outputs(declared, read, report, outputs)
    return outputs


def _bounded(held: dict[str, Json], report: Report) -> dict[str, Json]:
    """Without what is beyond the bounds of a value: lists of lists of what went before can double with each iteration."""
    for name in tuple(held):
        try:
            check_growth(held[name])
        except ExpressionError as error:
            report(f"output {name!r}: {error.reason}")
            del held[name]
    return held


def _aggregate(step: StepBuilder, loop: LoopNode) -> dict[str, Json]:
    target = loop.target
    nodes = step.state.nodes
    if target.strategy != "list":
        picked = loop.children[-1 if target.strategy == "last" else 0] if loop.children else -1
        body = nodes[picked] if picked >= 0 else None
        if body is None or body.phase is not SUCCEEDED:
            return {}
        names = target.parameters
        return {k: v for k, v in body.outputs.items() if names is None or k in names}
    ends = [nodes[child] for child in loop.children]
    if target.parameters is not None:
        wanted = list(target.parameters)
    elif ends:
        wanted = list(dict.fromkeys(name for n in ends if n.phase is SUCCEEDED for name in n.outputs))
        wanted += [name for name in target.body_outputs if name not in wanted]
    else:
        wanted = list(dict.fromkeys((*target.body_outputs, *(o.name for o in target.outputs if not o.sources))))
    return {name: [n.outputs.get(name) if n.phase is SUCCEEDED else None for n in ends] for name in wanted}
