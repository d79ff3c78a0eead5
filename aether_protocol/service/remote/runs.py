"""Runs of a server (`client.RunReader`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from aether_protocol.ports.store import LogLine, RunQuery, RunSummary
from aether_protocol.scheduler.timing import duration_text
from aether_protocol.service.feed import Feed
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.runs.find import not_ended
from aether_protocol.service.wire.feeds import LogBody, read_log
from aether_protocol.service.wire.inspections import DriverBody, SuspendedBody
from aether_protocol.service.wire.reports import ReportBody, read_report
from aether_protocol.service.wire.runs import MOST_LISTED, RunBody, RunPage, cursor, query_parameters, read_row
from aether_protocol.views.event_feed import EventRecord
from aether_protocol.views.report import Report

WAIT_S: Final = 30.0  # that one request waits


class RemoteRuns:
    """See `client.RunReader`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def get(self, run: str) -> RunSummary:
        return read_row(await self._calls.get(path_of("runs", run), RunBody))

    async def list(self, query: RunQuery | None = None, *, driven: bool = False) -> Sequence[RunSummary]:
        wanted = query or RunQuery()
        if wanted.limit is not None and wanted.limit < 1:
            return []
        parameters = [*query_parameters(wanted), *([("drivers", "true")] if driven else [])]
        page = None if wanted.before is None else f"{wanted.before[0]}:{wanted.before[1]}"
        found: list[RunSummary] = []
        while True:
            left = MOST_LISTED if wanted.limit is None else min(wanted.limit - len(found), MOST_LISTED)
            body = await self._calls.get(path_of("runs"), RunPage, [*parameters, ("limit", left), ("page", page)])
            found += [read_row(row) for row in body.runs]
            if body.next is None or len(found) == wanted.limit:
                return found
            page = cursor(found[-1])

    async def report(self, run: str, *, at: int | None = None) -> Report:
        return read_report(await self._calls.get(path_of("runs", run, "report"), ReportBody, [("at", at)]))

    async def wait(self, run: str, *, or_suspended: bool = False, timeout_s: float | None = None) -> Report:
        run_id = (await self.get(run)).run_id
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = WAIT_S if end is None else min(max(end - time.monotonic(), 0.001), WAIT_S)
            body = await self._calls.persist(partial(self._result, run_id, or_suspended, left))
            if isinstance(body, ReportBody):
                return read_report(body)
            if end is not None and time.monotonic() >= end:
                raise not_ended(read_row(body))

    async def _result(self, run_id: str, or_suspended: bool, wait_s: float) -> ReportBody | RunBody:
        waits = duration_text(max(round(wait_s * 1000), 1) * 1000)
        parameters = [("wait", waits), ("orSuspended", or_suspended)]
        return await self._calls.either(path_of("runs", run_id, "result"), ReportBody, RunBody, parameters, wait_s)

    async def suspended(self, run: str) -> Sequence[str]:
        return (await self._calls.get(path_of("runs", run, "suspended"), SuspendedBody)).suspended

    def events(self, run: str, *, after: int = 0, follow: bool = False) -> Feed[EventRecord]:
        parameters = {"after": after, "follow": follow}
        return Feed(self._calls.follow(path_of("runs", run, "events", "follow"), parameters, _itself, list[dict[str, Any]]))

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
        parameters = {
            "path": path, "after": after, "before": before, "tail": tail, "search": search or None, "follow": follow
        }
        return Feed(self._calls.follow(path_of("runs", run, "logs", "follow"), parameters, read_log, list[LogBody]))

    async def driver(self, run: str) -> str | None:
        return (await self._calls.get(path_of("runs", run, "driver"), DriverBody)).driver


def _itself(record: EventRecord) -> EventRecord:
    return record
