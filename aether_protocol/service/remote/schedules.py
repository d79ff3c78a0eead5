"""Schedules of a server (`client.ScheduleControl`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.remote.documents import applied_body, as_texts, shown_in
from aether_protocol.service.schedules.backfill import BackfillFire
from aether_protocol.service.schedules.check import AppliedSchedules
from aether_protocol.service.schedules.find import ScheduleOverview, full_name, read_name
from aether_protocol.service.schedules.suspend import SuspendedSchedule
from aether_protocol.service.wire.runs import MOST_LISTED
from aether_protocol.service.wire.schedules import (
    AppliedSchedulesBody,
    BackfillPage,
    FirePage,
    ScheduleBody,
    SchedulePage,
    ScheduleRemovedBody,
    SuspendedPage,
    TriggeredBody,
    read_applied_schedules,
    read_backfill,
    read_fire,
    read_overview,
    read_suspended,
)

if TYPE_CHECKING:
    from aether_protocol.ports.store.schedules import FireRecord
    from aether_protocol.service.client import Documents
    from aether_protocol.service.documents.texts import LibraryTexts

BACKFILL_S = 300.0  # that a server may take to record many fires


class RemoteSchedules:
    """See `client.ScheduleControl`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def apply(
        self, documents: Documents, *, replaces: bool = False, library: Sequence[LibraryTexts] = ()
    ) -> AppliedSchedules:
        texts = as_texts(documents)
        body = {**applied_body(texts, library), "replace": replaces}
        with shown_in(texts):
            done = (await self._calls.send("POST", path_of("schedules"), body, AppliedSchedulesBody))[1]
        return read_applied_schedules(done)

    async def get(self, name: str) -> ScheduleOverview:
        return read_overview(await self._calls.get(_path(name), ScheduleBody))

    async def list(
        self, namespace: str | None = None, *, after: tuple[str, str] | None = None, limit: int | None = None
    ) -> Sequence[ScheduleOverview]:
        found: list[ScheduleOverview] = []
        page = None if after is None else "/".join(after)
        while limit is None or len(found) < limit:
            size = MOST_LISTED if limit is None else min(MOST_LISTED, limit - len(found))
            asked = [("namespace", namespace), ("limit", size), ("page", page)]
            answer = await self._calls.get(path_of("schedules"), SchedulePage, asked)
            found += map(read_overview, answer.schedules)
            page = answer.next
            if page is None:
                break
        return found

    async def remove(self, name: str) -> bool:
        return (await self._calls.send("DELETE", _path(name), {}, ScheduleRemovedBody))[1].removed

    async def suspend(self, names: str | Sequence[str], *, suspend: bool = True) -> Sequence[SuspendedSchedule]:
        several = [full_name(name, None) for name in ([names] if isinstance(names, str) else names)]
        body = {"names": several, "suspend": suspend}
        done = (await self._calls.send("POST", path_of("schedules", "suspend"), body, SuspendedPage))[1]
        return [read_suspended(one) for one in done.schedules]

    async def history(self, name: str, *, before: int | None = None, limit: int = 100) -> Sequence[FireRecord]:
        found: list[FireRecord] = []
        while len(found) < limit:
            asked = [("before", before), ("limit", min(limit - len(found), MOST_LISTED))]
            answer = await self._calls.get(_path(name, "fires"), FirePage, asked)
            found += map(read_fire, answer.fires)
            before = answer.next
            if before is None:
                break
        return found

    async def trigger(self, name: str, *, texts: Mapping[str, str] | None = None) -> str:
        body = {"parameterTexts": dict(texts or {})}
        return (await self._calls.send("POST", _path(name, "trigger"), body, TriggeredBody))[1].run_id

    async def backfill(
        self, name: str, first: int, last: int, *, again: bool = False, dry_run: bool = False
    ) -> Sequence[BackfillFire]:
        body = {"from": rfc3339(first), "until": rfc3339(last), "again": again, "dryRun": dry_run}
        done = (await self._calls.send("POST", _path(name, "backfill"), body, BackfillPage, BACKFILL_S))[1]
        return [read_backfill(one) for one in done.fires]


def _path(name: str, *more: str) -> str:
    return path_of("schedules", *read_name(name, None), *more)
