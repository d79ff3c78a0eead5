"""The header that a run would have, without a run.

Law: nothing is recorded; arguments are refused as a submission refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aether_protocol.assembly.variables import SystemVariables
from aether_protocol.engine.submission import make_header, read_variables
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.variables import VariableSource
from aether_protocol.scheduler.events import RunHeader


def dry_run_header(
    plan: Plan, arguments: Mapping[str, Json], now: int, sources: Sequence[VariableSource] = ()
) -> RunHeader:
    """Make the header of a run.

    Args:
        plan: What would run.
        arguments: Its arguments.
        now: The instant.
        sources: Of variables, beside those of the machine.

    Raises:
        UsageError: With everything that is wrong with the arguments (DATA-14).
    """
    at = now if plan.of_schedule else None
    variables = read_variables([SystemVariables(), *sources])
    return make_header(plan, arguments, RunHeader("dry-run", now, at, {}, variables, 0))
