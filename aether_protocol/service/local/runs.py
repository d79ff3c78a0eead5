"""Runs, read from a store and from the engine that drives them (`client.RunReader`).

Law: nothing here changes a run. A run is polled where another process drives it; one of this process is followed as it goes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.store import LogLine, RunQuery, RunSummary
from aether_protocol.service.feed import Feed
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.local.logs import LogsWanted, log_batches
from aether_protocol.service.runs.find import driven_by, not_ended

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

    async def list(self, query: RunQuery | None = None, *, driven: bool = False) -> Sequence[RunSummary]:
        rows = await self._context.store.runs.rows(query or RunQuery())
        if not driven:
            return rows
        return [row if row.closed else replace(row, driven=await self._is_driven(row)) for row in rows]

    async def _is_driven(self, row: RunSummary) -> bool:
        return row.broken is None and await self._driver(row) is not None

    async def report(self, run: str, *, at: int | None = None) -> Report:
        from aether_protocol.views.report import make_report

        row = await self._context.row(run)
        report = await self._context.view(row, make_report, at)
        return replace(report, broken=row.broken, wake_at=row.wake_at if at is None else None)

    async def wait(self, run: str, *, or_suspended: bool = False, timeout_s: float | None = None) -> Report:
        clock = self._context.clock
        row = await self._context.row(run)
        if (here := self._context.driven(row.run_id)) is not None:
            from aether_protocol.service.local.waiting import within

            began = clock.now()
            try:
                if not await within(clock, timeout_s, here.join(row.run_id, or_suspended=or_suspended)):
                    raise not_ended(await self._again(row))
                here.state(row.run_id)  # raises what broke the run
                return await self.report(row.run_id)
            except BusyError:
                if not self._context.moved(row.run_id):
                    raise
                row = await self._again(row)  # another engine drives it now
            timeout_s = None if timeout_s is None else max(timeout_s - (clock.now() - began) / 1_000_000, 0)
        end = None if timeout_s is None else clock.now() + round(timeout_s * 1_000_000)
        while not row.closed and not (or_suspended and row.phase == "Suspended"):
            if end is not None and clock.now() >= end:
                raise not_ended(row)
            await clock.sleep(POLL_S)
            row = await self._again(row)
        return await self.report(row.run_id)

    async def _again(self, row: RunSummary) -> RunSummary:
        now = await self._context.store.runs.row(row.run_id)
        if now is None:
            raise UsageError(f"run {row.run_id!r} was deleted")
        return now

    async def suspended(self, run: str) -> Sequence[str]:
        from aether_protocol.engine.mailbox import suspended_paths

        return suspended_paths(await self._context.state((await self._context.row(run)).run_id))

    def events(self, run: str, *, after: int = 0, follow: bool = False) -> Feed[EventRecord]:
        return Feed(self._events(run, after, follow))

    async def _events(self, run: str, after: int, follow: bool) -> AsyncGenerator[Sequence[EventRecord], None]:
        from aether_protocol.engine.stream import StoredEvents

        context = self._context
        run_id = (await context.row(run)).run_id
        here = context.driven(run_id)
        if here is not None and (follow or not context.store.durable):
            live = here.events(run_id, follow=follow, after=after)
            try:
                while (entry := await live.next_entry()) is not None:
                    after = entry.seq
                    yield entry
                return
            except BusyError:
                if not context.moved(run_id):
                    raise
            finally:
                await live.aclose()
        stream = StoredEvents(context.store, context.clock, run_id, follow=follow, after=after)
        try:
            while (entry := await stream.next_entry()) is not None:
                yield entry
        finally:
            await stream.aclose()

    def logs(
        self,
        run: str,
        path: str | None = None,
        *,
        after: int = 0,
        before: int | None = None,
        tail: int | None = None,
        search: str | None = None,
        follow: bool = False,
    ) -> Feed[LogLine]:
        wanted = LogsWanted(path, after, before, tail, search, follow)
        return Feed(log_batches(self._context, run, wanted))

    async def driver(self, run: str) -> str | None:
        return await self._driver(await self._context.row(run))

    async def _driver(self, row: RunSummary) -> str | None:
        engine = self._context.engine
        if engine is not None and not row.closed and self._context.driven(row.run_id) is not None:
            return engine.owner  # also of a store that knows no leases
        return await driven_by(self._context.store, row)
