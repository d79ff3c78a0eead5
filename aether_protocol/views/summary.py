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
        run_id=header.run_id,
        workflow=plan.name,
        namespace=plan.namespace,
        version=plan.version,
        labels=plan.labels,
        phase=str(state.phase),
        message=state.message,
        created_at=header.created_at,
        started_at=root.started_at if root is not None else None,
        ended_at=root.ended_at if root is not None else None,
        closed=state.closed,
        seq=state.seq,
        leaves_ended=state.leaves_ended,
        leaves_known=state.leaves_known,
        digest=plan.digest,
        retry_of=header.retry_of,
        tier=tier,
    )
