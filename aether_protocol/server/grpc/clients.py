"""ClientService: begin workflows, wait for them, cancel them. A workflow here is a run there."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.grpc import aether_pb2 as pb
from aether_protocol.ports.grpc.messages import read_json
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.wire_json import WireError
from aether_protocol.server.grpc.callers import GrpcCall
from aether_protocol.service.documents.texts import StoredWorkflow
from aether_protocol.views.workflow_states import state_of

_WAIT_S: Final = 60.0  # at a time, where the caller names no time
_BUSY_S: Final = 0.2  # before it is asked again, where the run is busy for another reason


def status_of(row: RunSummary) -> Any:
    """Return the status of a run."""
    return pb.WorkflowStatus(
        workflow_id=row.run_id,
        workflow_type=row.workflow,
        workflow_namespace=row.namespace,
        state=state_of(row.phase),
        phase=row.phase,
        message=row.message,
        closed=row.closed,
        created_at_ms=row.created_at // 1000,
        started_at_ms=None if row.started_at is None else row.started_at // 1000,
        ended_at_ms=None if row.ended_at is None else row.ended_at // 1000,
        tasks_ended=row.leaves_ended,
        tasks_known=row.leaves_known,
        digest=row.digest,
        labels=dict(row.labels),
    )


async def start_workflow(call: GrpcCall, request: Any) -> Any:
    """Begin a run of a stored workflow, or of a document. Raises UsageError, DocumentError, ..."""
    if bool(request.workflow_type) == bool(request.document):
        raise UsageError("give workflow_type, or document", hint="workflow_type names a stored workflow")
    source = StoredWorkflow(request.workflow_type) if request.workflow_type else request.document
    parameters = read_json(request.input, "input") if request.input else {}
    if not isinstance(parameters, dict):
        raise WireError("input is not a JSON object")
    control, run_id = call.client.control, request.workflow_id or None
    if request.idempotency_key:
        once = await control.submit_once(request.idempotency_key, source, parameters, run_id=run_id)
        return pb.StartWorkflowResponse(workflow_id=once.run_id, is_new=once.is_new)
    return pb.StartWorkflowResponse(workflow_id=await control.submit(source, parameters, run_id=run_id), is_new=True)


async def get_workflow_status(call: GrpcCall, request: Any) -> Any:
    """Read a run. Raises NotFoundError."""
    return pb.GetWorkflowStatusResponse(status=status_of(await call.client.runs.get(request.workflow_id)))


async def await_result(call: GrpcCall, request: Any) -> Any:
    """Wait for the end of a run, for its time, or for as long as the call lasts. Raises NotFoundError."""
    client, report = call.client, None
    run_id = (await client.runs.get(request.workflow_id)).run_id
    while report is None:
        try:
            report = await client.runs.wait(run_id, timeout_s=request.timeout_ms / 1000 if request.timeout_ms else _WAIT_S)
        except BusyError:
            if request.timeout_ms:
                return pb.AwaitResultResponse(status=status_of(await client.runs.get(run_id)), done=False)
            await asyncio.sleep(_BUSY_S)
    status = status_of(await client.runs.get(run_id))
    return pb.AwaitResultResponse(status=status, done=True, output=msgspec.json.encode(report.outputs))


async def cancel_workflow(call: GrpcCall, request: Any) -> Any:
    """Cancel a run; its hooks may still run. Raises NotFoundError, UsageError."""
    client = call.client
    run_id = (await client.runs.get(request.workflow_id)).run_id
    await client.control.cancel(run_id, reason=request.reason)
    return pb.CancelWorkflowResponse(status=status_of(await client.runs.get(run_id)))
