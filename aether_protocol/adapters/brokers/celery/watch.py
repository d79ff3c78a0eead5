"""Looks at the table every few seconds, and does what an engine has missed: its inbox may be lost, and the table itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether_protocol.adapters.brokers.celery.entries import Entries, Entry
from aether_protocol.adapters.brokers.celery.publisher import Publisher
from aether_protocol.adapters.brokers.celery.reports import EngineReports
from aether_protocol.adapters.brokers.celery.table import AttemptTable
from aether_protocol.ports.clock import Clock

_BATCH: Final = 200


class TableWatch:
    """Compares what an engine has put into the table with what is there.

    Args:
        table: the table of attempts.
        entries: those of the engine.
        publisher: sends the messages that led nowhere again.
        reports: what the engine hears.
        clock: that of the engine.
        side: its inbox.
        lease_s: how long a worker may have what it does not put back.
    """

    def __init__(
        self,
        table: AttemptTable,
        entries: Entries,
        publisher: Publisher,
        reports: EngineReports,
        *,
        clock: Clock,
        side: str,
        lease_s: float,
    ) -> None:
        self._table = table
        self._entries = entries
        self._publisher = publisher
        self._reports = reports
        self._clock = clock
        self._side = side
        self._lease_s = lease_s

    async def look(self) -> None:
        """Compare what is known here with the table, and do what was missed."""
        entries = list(self._entries)
        for start in range(0, len(entries), _BATCH):
            several = entries[start : start + _BATCH]
            answers = await self._table.run_all([("check", (one.ref.task_run_id, one.token, self._side)) for one in several])
            ended = []
            for entry, (state, left) in zip(several, answers, strict=True):
                if self._entries.get(entry.ref.task_run_id) is entry and await self._compare(entry, state.decode(), left):
                    ended.append(entry.ref.task_run_id)
            await self._reports.take_results(ended)
        await self._publish_again([one for one in self._entries if one.state == "waiting"])

    async def _compare(self, entry: Entry, state: str, left: int) -> bool:
        """Do what the state of an attempt in the table asks for; True: its result is to be fetched."""
        now, was = self._clock.now(), entry.state
        match state:
            case "running" | "stopping":
                entry.lease_until = now + left * 1000
                if was == "waiting":
                    self._entries.turn(entry, "running")
            case "waiting":
                if was != "waiting":
                    self._entries.turn(entry, "waiting")
                    entry.sent_at = entry.sent_at or now
                if entry.wait_until is not None and now >= entry.wait_until:
                    self._reports.give_up(entry, "no worker took it within its `waitAtMost`")
            case "ended":
                return was != "ended"
            case "lost":
                ((reason, blamed),) = await self._table.fields([entry.ref.task_run_id], "reason", "blamed")
                self._reports.lose(entry, (reason or b"it was lost").decode(), blamed == b"1")
            case "missing":
                self._missing(entry, now)
            case "other" | "done":  # an engine that came after this one has it
                self._entries.drop(entry.ref.task_run_id)
        return False

    def _missing(self, entry: Entry, now: int) -> None:
        """Redis was emptied. What runs is put back by its worker; what no worker can have any more is lost."""
        if entry.state == "ended":
            self._entries.drop(entry.ref.task_run_id)
        elif entry.state == "waiting" or now >= entry.lease_until:
            if entry.lease_until or entry.state == "waiting":
                self._reports.lose(entry, "Redis does not have it any more", False)
            else:
                entry.lease_until = now + round(self._lease_s * 1e6)

    async def _publish_again(self, waiting: Sequence[Entry]) -> None:
        if not waiting:
            return
        now = self._clock.now()
        queued = await self._table.queued(list({one.message.list_name for one in waiting}))
        for entry in waiting:
            if self._entries.is_due(entry, queued[entry.message.list_name], now):
                self._publisher.add(self._entries.again(entry))
