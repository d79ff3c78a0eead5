"""Closer looks at runs of a server (`client.RunInspector`), their plans (`client.PlanReader`), and what is made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from aether_protocol.errors import NotFoundError
from aether_protocol.ports.store import RunSummary
from aether_protocol.service.documents.parameters import WorkflowParameters
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.runs.inspect import KeptWorkspace, LogPlace, TaskQuestion
from aether_protocol.service.runs.overview import RunDifferences, RunOverview, RunStep
from aether_protocol.service.runs.plans import PlanDocuments, PlanLayout
from aether_protocol.service.wire import inspections as wire
from aether_protocol.service.wire.runs import RunBody, read_row
from aether_protocol.views.artifacts import RunArtifact
from aether_protocol.views.retry import RetryPreview


class RemoteInspector:
    """See `client.RunInspector`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def overview(self, run: str, *, lines: int = 60, reasons: int = 5) -> RunOverview:
        parameters = [("lines", lines), ("reasons", reasons)]
        return wire.read_overview(await self._calls.get(path_of("runs", run, "overview"), wire.OverviewBody, parameters))

    async def step(self, run: str, at: int | None = None) -> RunStep:
        return wire.read_step(await self._calls.get(path_of("runs", run, "step"), wire.StepBody, [("at", at)]))

    async def compare(self, before: str, after: str) -> RunDifferences:
        path = path_of("runs", before, "compare", after)
        return wire.read_differences(await self._calls.get(path, wire.DifferencesBody))

    async def compare_steps(self, run: str, before: int | None, after: int) -> RunDifferences:
        path, parameters = path_of("runs", run, "compare-steps"), [("before", before), ("after", after)]
        return wire.read_differences(await self._calls.get(path, wire.DifferencesBody, parameters))

    async def log_place(self, run: str, task: str) -> LogPlace:
        return wire.read_place(await self._calls.get(path_of("runs", run, "log-place"), wire.PlaceBody, [("task", task)]))

    async def question(self, run: str, task: str) -> TaskQuestion:
        path = path_of("runs", run, "question")
        return wire.read_question(await self._calls.get(path, wire.QuestionBody, [("task", task)]))

    async def newest(self, run_id: str) -> RunSummary | None:
        try:
            return read_row(await self._calls.get(path_of("runs", run_id, "newest"), RunBody))
        except NotFoundError:
            return None

    async def workspace(self, run: str, task: str) -> KeptWorkspace:
        path = path_of("runs", run, "workspace")
        return wire.read_workspace(await self._calls.get(path, wire.WorkspaceBody, [("task", task)]))


class RemotePlans:
    """See `client.PlanReader`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def get(self, digest: str) -> PlanDocuments:
        return await self._calls.get(path_of("plans", digest), PlanDocuments)

    async def layout(
        self, digest: str, *, depth: int | None = None, open_loops: Collection[str] | None = None
    ) -> PlanLayout:
        folded: list[tuple[str, Any]] = [] if open_loops is None else [("folded", True)]
        opened = [("open", path) for path in sorted(open_loops or ())]
        return await self._calls.get(path_of("plans", digest, "layout"), PlanLayout, [("depth", depth), *folded, *opened])

    async def parameters(self, digest: str) -> WorkflowParameters:
        return await self._calls.get(path_of("plans", digest, "parameters"), WorkflowParameters)

class RemoteExtracts:
    """See `service.runs.extracts.RunExtracts`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def retry_preview(self, run: str, start: str | None = None) -> RetryPreview:
        return await self._calls.get(path_of("runs", run, "retry-preview"), RetryPreview, [("from", start)])

    async def artifacts(self, run: str) -> Sequence[RunArtifact]:
        return (await self._calls.get(path_of("runs", run, "artifacts"), wire.ArtifactsBody)).artifacts

    async def summary(self, run: str, task: str) -> str | None:
        body = await self._calls.get(path_of("runs", run, "summary"), wire.SummaryBody, [("task", task)])
        return body.summary

    async def case(self, run: str) -> str:
        pieces = [piece async for piece in self._calls.pieces(path_of("runs", run, "case"))]
        return b"".join(pieces).decode()

    async def artifact(self, run: str, digest: str) -> AsyncIterator[bytes]:
        async for piece in self._calls.pieces(path_of("runs", run, "artifacts", digest)):
            yield piece
