"""Warn of a document or parameters that are not those of the recorded run, which is continued all the same.

Law: a value that was masked when it was recorded is not shown, neither the recorded nor the given one.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.cli.terminal import messages
from aether_protocol.execution.masking import MASK
from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunSummary
from aether_protocol.views.text import as_value


def warn_of_changes(
    row: RunSummary, plan: Plan, recorded: Mapping[str, Json], arguments: Mapping[str, Json]
) -> None:
    """Compare what the caller gave with what the run was recorded with, and warn of each difference.

    Args:
        row: the recorded run.
        plan: the plan of the document as it is now.
        recorded: the parameters of the run.
        arguments: the parameters that were given now.
    """
    used = "the recorded one is used" if not row.closed else "the result is that of the recorded one"
    if plan.digest != row.digest:
        messages.warn(
            f"run {row.run_id} was made from another version of this document: {used}",
            f"recorded {row.digest}, the file is {plan.digest}; take another --run-id to run the file as it is now",
        )
    known = redacted(recorded)
    for name, value in redacted(arguments).items():
        if name not in known or known[name] != value:
            was = as_value(known[name], 80) if name in known else "nothing"
            given = "what was given" if MASK in was else as_value(value, 80)  # it may be the secret
            messages.warn(f"run {row.run_id} has {name} = {was}, not {given}: {used}")
