"""Workflow parameters at submission (DATA-14): what is given, then what is declared, checked before a run exists.

Law: all problems are told together, and nothing starts while there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.expressions import ExpressionError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Literal, Plan
from aether_protocol.scheduler.binding import BindError, check_value
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.name_resolution import Resolver
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.state import RunState


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
