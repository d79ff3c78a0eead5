"""What a retry of an ended run would keep, and what would run again (CTRL-4), before it is asked for.

Law: pure, and made of what the retry itself is made of: what is kept here is what the header of the new run carries. What was
not made in the run before (tasks of containers that did not open, further iterations) cannot be named.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.carry_over import reused
from aether_protocol.scheduler.nodes import Container
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.report import in_order, not_run


class RetriedTask(Struct, frozen=True, gc=False):
    """A task of the run before, and the phase in which that left it; None: it did not run."""

    path: str
    phase: str | None


class RetryPreview(Struct, rename={"run_id": "runId"}, frozen=True):
    """What a retry of run `run_id`, from the task at path `start` where that is given, does with each task: leaves, and those
    containers of which none was made. In document order, what did not run last."""

    run_id: str
    start: str | None
    kept: list[RetriedTask]
    again: list[RetriedTask]


def retry_preview(state: RunState, start: str | None) -> RetryPreview:
    """Tell what a retry does.

    Args:
        state: of a run that has ended.
        start: the path of the task from which all runs again.
    """
    found = RetryPreview(state.header.run_id, start, [], [])
    kept: Mapping[str, Mapping[str, Json]] = reused(state, start)
    for node, path, _ in in_order(state):
        if path in kept:
            found.kept.append(RetriedTask(path, str(node.phase)))
        elif not isinstance(node, Container) or not node.opened:
            found.again.append(RetriedTask(path, str(node.phase)))
    found.again.extend(RetriedTask(path, None) for path in not_run(state))
    return found
