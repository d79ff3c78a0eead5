"""AdminService: lists of workflows, what is counted, and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from aether_protocol.errors import ForbiddenError, UsageError
from aether_protocol.ports.grpc import aether_pb2 as pb
from aether_protocol.server.grpc.callers import GrpcCall
from aether_protocol.server.grpc.clients import status_of
from aether_protocol.server.worker_calls import DRAIN_S, fleet_of
from aether_protocol.service.access.caller import EVERYWHERE
from aether_protocol.service.wire.runs import RunFilter, cursor
from aether_protocol.views.workflow_states import STATES, state_of

_PAGE: Final = 500


async def list_workflows(call: GrpcCall, request: Any) -> AsyncIterator[Any]:
    """List runs, newest first, page by page."""
    wanted = RunFilter(
        phases=tuple(phase for one in request.states for phase in _phases_of(one)),
        name=request.workflow_type or None,
        namespace=request.workflow_namespace or None,
    )
    left, page = request.limit or None, None
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        rows = await call.client.runs.list(wanted.query(size, page))
        if rows:
            yield pb.ListWorkflowsResponse(workflows=[status_of(row) for row in rows])
        if len(rows) < size:
            return
        page = cursor(rows[-1])
        left = None if left is None else left - len(rows)


def _phases_of(state: int) -> tuple[str, ...]:
    known = {number: name for name, number in pb.WorkflowState.items() if name in STATES}
    if state not in known:
        raise UsageError(f"states names {state}, which is not a state", hint=f"known: {', '.join(STATES)}")
    return STATES[known[state]]


async def get_metrics(call: GrpcCall, request: Any) -> Any:
    """Say what the servers of the store have counted since each began; `text` is of this one alone.

    Raises ForbiddenError for a caller of some namespaces alone.
    """
    if not call.caller.may("viewer", EVERYWHERE):
        hint = "aether token create --name NAME --kind service --role viewer --all-namespaces"
        raise ForbiddenError("metrics speak of all namespaces", hint=hint)
    metrics, fleet = call.parts.metrics, fleet_of(call.parts)
    found = await fleet.counts()
    counts = dict.fromkeys(STATES, 0)
    for phase, count in found.ended.items():
        counts[state_of(phase)] += count
    return pb.GetMetricsResponse(
        workers=found.workers,
        active_workflows=found.open,
        completed_workflows=counts["COMPLETED"],
        failed_workflows=counts["FAILED"],
        cancelled_workflows=counts["CANCELLED"],
        text="" if metrics is None else metrics.runs.text().decode(),
        unreachable=found.unreachable,
    )


async def list_workers(call: GrpcCall, request: Any) -> Any:
    """List workers, and what each carries out. Raises ForbiddenError."""
    found = await call.supervision.workers()
    listed = pb.ListWorkersResponse(unreachable=found.unreachable)
    for one in found.workers:
        listed.workers.add(
            name=one.name,
            session=one.session,
            pool=one.pool,
            labels=dict(one.labels),
            executors=one.executors,
            slots=dict(one.slots),
            used=dict(one.used),
            state=one.state,
            seen_seconds_ago=one.seen_seconds_ago,
            server=one.server,
            running=[
                pb.RunningTask(
                    workflow_id=task.run_id,
                    path=task.path,
                    attempt=task.attempt,
                    state=task.state,
                    workflow_namespace=task.namespace,
                )
                for task in one.running
            ],
        )
    return listed


async def drain_worker(call: GrpcCall, request: Any) -> Any:
    """Give a worker no more work. Raises ApiError (404, 503), ForbiddenError."""
    grace_s = request.grace_ms / 1000 if request.grace_ms else DRAIN_S
    found = await call.supervision.drain(request.worker, grace_s)
    return pb.DrainWorkerResponse(drained=found.drained, unreachable=found.unreachable)
