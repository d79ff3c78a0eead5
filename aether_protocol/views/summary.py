"""A run's row: what lists show of it, made from its state, and as JSON.

Law: pure and cheap; the cost does not depend on the size of the run.
"""

from __future__ import annotations

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import MEMORY, RunSummary
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.timing import SECOND, rfc3339


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
        document_version=header.document_version,
        trace_id=trace_id_of(header),
    )


def trace_id_of(header: RunHeader) -> str | None:
    """Give the id of the trace that a run is in; None where it is in none."""
    given = TraceContext.read(header.trace_context)
    return None if given is None else given.trace_id


def row_json(row: RunSummary) -> dict[str, Json]:
    """A run in a list; the names are those of the run report."""
    took = None if row.ended_at is None else (row.ended_at - row.created_at) / SECOND
    return {
        "runId": row.run_id,
        "workflow": {"name": row.workflow, "namespace": row.namespace, "version": row.version},
        "documentVersion": row.document_version,
        "labels": dict(row.labels),
        "phase": row.phase,
        "message": row.message,
        "progress": f"{row.leaves_ended}/{row.leaves_known}",
        "createdAt": rfc3339(row.created_at),
        "startedAt": None if row.started_at is None else rfc3339(row.started_at),
        "finishedAt": None if row.ended_at is None else rfc3339(row.ended_at),
        "durationSeconds": took,
        "closed": row.closed,
        "steps": row.seq,
        "digest": row.digest,
        "retryOf": row.retry_of,
        "tier": row.tier,
        "broken": row.broken,
        "asleep": row.wake_at is not None,
        "wakeAt": wake_instant(row.wake_at),
        "traceId": row.trace_id,
        "driven": row.driven,
    }


def wake_instant(wake_at: int | None) -> str | None:
    """When a passivated run is woken; None where only a request wakes it, and of a run that is not passivated."""
    return None if wake_at in (None, NEVER) else rfc3339(wake_at)
