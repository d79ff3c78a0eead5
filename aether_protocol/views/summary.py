"""A run's row: what lists show of it, made from its state.

Law: pure and cheap; the cost does not depend on the size of the run.
"""

from __future__ import annotations

from aether_protocol.ports.store import MEMORY, RunSummary
from aether_protocol.scheduler.state import RunState


def make_row(state: RunState, tier: str = MEMORY) -> RunSummary:
    """The row of the run as it is now."""
    plan, header, root = state.plan, state.header, state.root
    return RunSummary(
        header.run_id,
        plan.name,
        plan.namespace,
        plan.version,
        plan.labels,
        str(state.phase),
        state.message,
        header.created_at,
        root.started_at if root is not None else None,
        root.ended_at if root is not None else None,
        state.closed,
        state.seq,
        state.leaves_ended,
        state.leaves_known,
        plan.digest,
        header.retry_of,
        tier,
    )
