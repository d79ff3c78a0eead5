"""What a run would do, without a run.

Law: nothing is recorded; arguments are refused as a submission refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.assembly.variables import SystemVariables
from aether_protocol.engine.submission import make_header, read_variables
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.variables import VariableSource
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.views.preview import PreviewEntry, preview


class DryRun(Struct, frozen=True):
    """A workflow, its parameters as a run would have them, and its tasks with the inputs that are known beforehand."""

    workflow: str
    parameters: Mapping[str, Json]
    entries: Sequence[PreviewEntry]

    def as_json(self) -> dict[str, Json]:
        """The workflow and its tasks, as `aether run --dry-run -o json` prints them."""
        return {"workflow": self.workflow, "tasks": [asdict(entry) for entry in self.entries]}


def dry_run(plan: Plan, arguments: Mapping[str, Json], now: int, sources: Sequence[VariableSource] = ()) -> DryRun:
    """Work out what a run would do.

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
    header = make_header(plan, arguments, RunHeader("dry-run", now, at, {}, variables, 0))
    return DryRun(plan.name, header.parameters, preview(plan, header))
