"""The header that a run would have, without a run.

Law: nothing is recorded; arguments are refused as a submission refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.assembly.variables import SystemVariables
from aether_protocol.engine.submission import make_header, read_variables
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.events import RunHeader


def dry_run_header(plan: Plan, arguments: Mapping[str, Json], now: int) -> RunHeader:
    """Make the header of a run of `plan` at instant `now`. Raises UsageError with everything that is wrong (DATA-14)."""
    at = now if plan.of_schedule else None
    return make_header(plan, arguments, RunHeader("dry-run", now, at, {}, read_variables([SystemVariables()]), 0))
