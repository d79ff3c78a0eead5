"""Runs, read from a store and from the engine that drives them (`client.RunReader`).

Law: nothing here changes a run. A run is polled where another process drives it; one of this process is followed as it goes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.store import LogLine, RunQuery, RunSummary
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.runs.find import driven_by

if TYPE_CHECKING:
    from aether_protocol.views.event_feed import EventRecord
    from aether_protocol.views.report import Report

POLL_S: Final = 0.2  # between two looks at a run that another process drives


class LocalRuns:
    """See `client.RunReader`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context

    async def get(self, run: str) -> RunSummary:
        return await self._context.row(run)

    async def list(self, query: RunQuery | None = None) -> Sequence[RunSummary]:
        return await self._context.store.runs.rows(query or RunQuery())

    async def report(self, run: str) -> Report:
        from aether_protocol.views.report import make_report

        row = await self._context.row(run)
        return replace(make_report(await self._context.state(row.run_id)), broken=row.broken)

    async def wait(self, run: str, *, or_suspended: bool = False, timeout_s: float | None = None) -> Report:
        clock = self._context.clock
        row = await self._context.row(run)
        end = None if timeout_s is None else clock.now() + round(timeout_s * 1_000_000)
        while not row.closed and not (or_suspended and row.phase == "Suspended"):
            if end is not None and clock.now() >= end:
                raise BusyError(f"run {row.run_id!r} has not ended: it is {row.phase}")
            await clock.sleep(POLL_S)
            row = await self._again(row)
        return await self.report(row.run_id)

    async def _again(self, row: RunSummary) -> RunSummary:
        now = await self._context.store.runs.row(row.run_id)
        if now is None:
            raise UsageError(f"run {row.run_id!r} was deleted")
        return now

    async def events(self, run: str, *, follow: bool = False) -> AsyncIterator[EventRecord]:
        from aether_protocol.engine.stream import StoredEvents

        context = self._context
        run_id = (await context.row(run)).run_id
        if context.engine is not None:
            stream = context.engine.events(run_id, follow=follow)
        else:
            stream = StoredEvents(context.store, context.clock, run_id, follow=follow)
        try:
            async for record in stream:
                yield record
        finally:
            await stream.aclose()

    async def logs(
        self, run: str, path: str | None = None, *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        context = self._context
        row = await context.row(run)
        if context.engine is not None:
            async for line in context.engine.logs(row.run_id, path, after=after, follow=follow):
                yield line
            return
        closed = row.closed
        while True:
            lines = await context.store.logs.read(row.run_id, path, after)
            for line in lines:
                yield line
                after = line.seq
            if lines:
                continue
            if closed or not follow:
                return
            now = await context.store.runs.row(row.run_id)
            closed = now is None or now.closed  # what was written before it closed is read once more
            if not closed:
                await context.clock.sleep(POLL_S)

    async def driver(self, run: str) -> str | None:
        return await driven_by(self._context.store, await self._context.row(run))

    async def export(self, run: str) -> AsyncIterator[str]:
        from aether_protocol.service.archive import archive_lines

        async for line in archive_lines(self._context.store, (await self._context.row(run)).run_id):
            yield line
