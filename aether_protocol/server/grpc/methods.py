"""What answers each method of the services, and what its caller needs.

Law: a method that is not in METHODS is not offered, and a test holds the table against the proto file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from aether_protocol.server.access import ADMIN, OPERATOR, VIEWER, WORKER
from aether_protocol.server.grpc import clients, operators, workers
from aether_protocol.server.grpc.callers import GrpcCall

Answer = Awaitable[Any] | AsyncIterator[Any]


class AnsweredMethod(Struct, frozen=True):
    """`needs`: as in `access`, for all callers; `answer` gets the call and its request, or the iterator of its requests;
    `lasts`: it may take long, so its token is looked at now and then, and a caller may have only so many of them."""

    needs: Mapping[str, Any]
    answer: Callable[[GrpcCall, Any], Answer]
    lasts: bool = False


METHODS: Final[Mapping[str, AnsweredMethod]] = {
    "ClientService.StartWorkflow": AnsweredMethod(OPERATOR, clients.start_workflow),
    "ClientService.GetWorkflowStatus": AnsweredMethod(VIEWER, clients.get_workflow_status),
    "ClientService.AwaitResult": AnsweredMethod(VIEWER, clients.await_result, lasts=True),
    "ClientService.CancelWorkflow": AnsweredMethod(OPERATOR, clients.cancel_workflow),
    "WorkerService.Register": AnsweredMethod(WORKER, workers.register),
    "WorkerService.PollTasks": AnsweredMethod(WORKER, workers.poll_tasks, lasts=True),
    "WorkerService.CompleteStep": AnsweredMethod(WORKER, workers.complete_step),
    "WorkerService.ReportStep": AnsweredMethod(WORKER, workers.report_step),
    "WorkerService.Heartbeat": AnsweredMethod(WORKER, workers.heartbeat),
    "WorkerService.Work": AnsweredMethod(WORKER, workers.work, lasts=True),
    "AdminService.ListWorkflows": AnsweredMethod(VIEWER, operators.list_workflows, lasts=True),
    "AdminService.GetMetrics": AnsweredMethod(VIEWER, operators.get_metrics),
    "AdminService.ListWorkers": AnsweredMethod(ADMIN, operators.list_workers),
    "AdminService.DrainWorker": AnsweredMethod(ADMIN, operators.drain_worker),
}
