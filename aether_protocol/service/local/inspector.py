"""Closer looks at runs of a store (`client.RunInspector`), and their plans (`client.PlanReader`).

Law: nothing here changes a run; a large one is read beside the event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from msgspec.structs import replace

from aether_protocol.ports.store import LogLine, RunSummary
from aether_protocol.service.documents.parameters import WorkflowParameters, parameters_of
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.process_identity import is_server
from aether_protocol.service.runs.find import driven_by
from aether_protocol.service.runs.inspect import (
    KeptWorkspace,
    LogPlace,
    TaskQuestion,
    find_suspended,
    find_workspace,
    find_writer,
)
from aether_protocol.service.runs.overview import (
    FailedTask,
    RunDifferences,
    RunOverview,
    RunStep,
    WaitingTask,
    compare_runs,
    take_comparable,
    take_excerpt,
    take_step,
)
from aether_protocol.service.runs.plans import PlanDocuments, PlanLayout, documents_of, lay_out
from aether_protocol.service.runs.retry_ids import newest_of
from aether_protocol.views.diff import differences

TAIL = 2_000  # log pieces of a task that are read for the end of its log


class LocalInspector:
    """See `client.RunInspector`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def overview(self, run: str, *, lines: int = 60, reasons: int = 5) -> RunOverview:
        context = self._context
        row = await context.row(run)
        owner = await driven_by(context.store, row)
        excerpt = await context.view(row, partial(take_excerpt, lines=lines, reasons=reasons))
        failed = [FailedTask(one.to_json(), await self._tail(row.run_id, one.path)) for one in excerpt.failed]
        more = excerpt.count - len(failed)
        found = RunOverview(row, excerpt.report, excerpt.parameters, failed, more, owner)
        return replace(found, waiting=await self._waiting(row, owner))

    async def _waiting(self, row: RunSummary, owner: str | None) -> Sequence[WaitingTask]:
        """What waits for a worker of a server elsewhere, which drives the run: of a server here its broker knows more."""
        context = self._context
        if owner is None or not is_server(owner) or context.driven(row.run_id) is not None:
            return ()
        from aether_protocol.service.runs.waiting import connected_workers, waiting_tasks

        return await context.view(row, partial(waiting_tasks, workers=await connected_workers(context.store)))

    async def _tail(self, run_id: str, path: str) -> list[LogLine]:
        found: list[LogLine] = []
        after = 0
        while lines := await self._context.store.logs.read(run_id, path, after):
            found = [*found, *lines][-TAIL:]
            after = lines[-1].seq
        return found

    async def step(self, run: str, at: int | None = None) -> RunStep:
        row = await self._context.row(run)
        found = await self._context.view(row, take_step, row.seq if at is None else at)
        return found if found.at else replace(found, at=row.created_at)

    async def compare(self, before: str, after: str) -> RunDifferences:
        context = self._context
        ours, theirs = await context.row(before), await context.row(after)
        old, new = await context.view(ours, take_comparable), await context.view(theirs, take_comparable)
        return compare_runs(ours, theirs, old, new)

    async def compare_steps(self, run: str, before: int | None, after: int) -> RunDifferences:
        first, second = await self.step(run, before), await self.step(run, after)
        return RunDifferences(str(first.seq), str(second.seq), differences(first.report, second.report))

    async def log_place(self, run: str, task: str) -> LogPlace:
        return await self._context.view(await self._context.row(run), lambda state: find_writer(state, task))

    async def question(self, run: str, task: str) -> TaskQuestion:
        return await self._context.view(await self._context.row(run), lambda state: find_suspended(state, task))

    async def newest(self, run_id: str) -> RunSummary | None:
        return await newest_of(self._context.store, run_id)

    async def workspace(self, run: str, task: str) -> KeptWorkspace:
        context = self._context
        return await context.view(await context.row(run), lambda state: find_workspace(state, context.root, task))


class LocalPlans:
    """See `client.PlanReader`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def get(self, digest: str) -> PlanDocuments:
        return documents_of(await self._context.recorded_plan(digest))

    async def layout(
        self, digest: str, *, depth: int | None = None, open_loops: Collection[str] | None = None
    ) -> PlanLayout:
        from asyncio import to_thread

        return await to_thread(lay_out, await self._context.recorded_plan(digest), depth, open_loops)

    async def parameters(self, digest: str) -> WorkflowParameters:
        return replace(parameters_of(await self._context.recorded_plan(digest)), version=None)
