"""What a worker has to report, in order, until the server has taken it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from pathlib import Path
from typing import Final

import msgspec

from aether_protocol.ports.clock import Clock
from aether_protocol.ports.worker import (
    DiedReport,
    LogReport,
    ProgressReport,
    ResultReport,
    ReturnedReport,
    WorkReport,
)
from aether_protocol.worker.spool import MOST_BYTES, LogSpool

LOGS_FIRST_US: Final = 2_000_000  # how long a result waits until the log of its attempt is sent
BATCH_RESULTS: Final = 1000
BATCH_BYTES: Final = 4 * 2**20  # of results in a message: servers bound what they take
_encode: Final = msgspec.json.Encoder().encode


class Outbox:
    """Collects reports; `take` gives the next message.

    Args:
        clock: says when what was not recorded is sent again.
        spool: the folder for logs for which there is no room in memory; None: that of temporary files.
        spool_bytes: how much of them is kept.
    """

    def __init__(self, clock: Clock, spool: Path | None = None, spool_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._filled = asyncio.Event()
        self._report = WorkReport()
        self.logs = LogSpool(self._filled, spool, spool_bytes)
        self._results: deque[tuple[int, ResultReport]] = deque()  # and until when each waits for its log
        self._is_sending = False  # a message is on its way, and not answered yet
        self._later: list[ResultReport] = []
        self._later_at = 0  # when they are sent again (microseconds)
        self._progress: dict[str, ProgressReport] = {}  # by delivery: the newest counts

    def is_empty(self) -> bool:
        """Whether there is nothing to report but logs, and what was reported has arrived."""
        waits = self._is_sending or self._later or self._results or self._progress
        return not waits and self._report == WorkReport()

    async def wait(self, resend_s: float) -> None:
        """Wait until there is something; what was sent before and is not recorded comes again after `resend_s`."""
        if self._later and not self._later_at:
            self._later_at = self._clock.now() + round(resend_s * 1_000_000)
        dues = [self._later_at] if self._later else []
        dues += [self._results[0][0]] if self._results else []
        alarm = self._clock.call_at(min(dues), self._filled.set) if dues else None
        try:
            await self._filled.wait()
        finally:
            if alarm is not None:
                alarm.cancel()
        if self._later and self._clock.now() >= self._later_at:
            self._results.extendleft((0, result) for result in reversed(self._later))
            self._later, self._later_at = [], 0

    def take(self) -> WorkReport | None:
        """Return the next message; None: there is nothing to report."""
        self._filled.clear()
        report, self._report = self._report, WorkReport()
        report.progress += self._progress.values()
        self._progress = {}
        report.logs = self.logs.take()
        report.log_bytes_dropped, self.logs.dropped_bytes = self.logs.dropped_bytes, 0
        self._take_results(report)
        self._is_sending = report != WorkReport()
        return report if self._is_sending else None

    def arrived(self) -> None:
        """The last message was answered."""
        self._is_sending = False

    def _take_results(self, report: WorkReport) -> None:
        """Take the results whose logs are sent, or have been waited for."""
        unsent, now = self.logs.unsent(), self._clock.now()
        kept: deque[tuple[int, ResultReport]] = deque()
        size = 0
        while self._results and len(report.results) < BATCH_RESULTS:
            due, result = self._results.popleft()
            if result.token in unsent and now < due:
                kept.append((due, result))
                continue
            size += len(_encode(result.result))
            if size > BATCH_BYTES and report.results:
                self._results.appendleft((due, result))
                break
            report.results.append(result)
        if self._results:
            self._filled.set()
        self._results.extendleft(reversed(kept))

    def put_back(self, report: WorkReport) -> None:
        """A message was not taken: it goes before what came since."""
        self._is_sending = False
        now = self._report
        self._report = WorkReport(
            started=report.started + now.started,
            progress=report.progress + now.progress,
            died=report.died + now.died,
            returned=report.returned + now.returned,
        )
        self._results.extendleft((0, result) for result in reversed(report.results))
        self.logs.dropped_bytes += report.log_bytes_dropped
        self.logs.rewind()
        self._filled.set()

    def forget(self, tokens: Container[str]) -> None:
        """Report nothing of these deliveries any more but what they wrote."""
        report = self._report
        report.started = [one for one in report.started if one not in tokens]
        self._progress = {token: one for token, one in self._progress.items() if token not in tokens}
        report.died = [one for one in report.died if one.token not in tokens]
        report.returned = [one for one in report.returned if one.token not in tokens]

    def add_started(self, token: str) -> None:
        self._report.started.append(token)
        self._filled.set()

    def add_progress(self, progress: ProgressReport) -> None:
        self._progress[progress.token] = progress
        self._filled.set()

    def add_log(self, log: LogReport) -> None:
        self.logs.add(log)

    def add_result(self, result: ResultReport, *, later: bool = False) -> None:
        """`later`: it was sent, and is to be sent again after a while."""
        if later:
            self._later.append(result)
        else:
            self._results.append((self._clock.now() + LOGS_FIRST_US, result))
            self._filled.set()

    def add_died(self, died: DiedReport) -> None:
        self._report.died.append(died)
        self._filled.set()

    def add_returned(self, returned: ReturnedReport) -> None:
        self._report.returned.append(returned)
        self._filled.set()
