"""What a worker has to report, in order, until the server has taken it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from typing import Final, Literal

from aether_protocol.ports.clock import Clock
from aether_protocol.ports.worker import (
    DiedReport,
    LogReport,
    ProgressReport,
    ResultReport,
    ReturnedReport,
    WorkReport,
)

MOST_LOG_BYTES: Final = 16 * 2**20  # kept while the server cannot be reached; then the oldest go, with a note
BATCH_LOG_BYTES: Final = 1 * 2**20  # in one report
BATCH_RESULTS: Final = 1000


class Outbox:
    """Collects reports; `take` gives the next message. `clock` says when what was not recorded is sent again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._filled = asyncio.Event()
        self._report = WorkReport()
        self._logs: deque[LogReport] = deque()
        self._log_bytes = 0
        self._later: list[ResultReport] = []
        self._later_at = 0  # when they are sent again (microseconds)
        self._progress: dict[str, ProgressReport] = {}  # by delivery: the newest counts
        self._gaps: dict[tuple[str, Literal["stdout", "stderr"]], tuple[int, int]] = {}  # (offset, bytes) that were dropped

    def is_empty(self) -> bool:
        """Whether there is nothing to report."""
        return not (self._later or self._logs or self._progress) and self._report == WorkReport()

    async def wait(self, resend_s: float) -> None:
        """Wait until there is something; what was sent before and is not recorded comes again after `resend_s`."""
        if self._later and not self._later_at:
            self._later_at = self._clock.now() + round(resend_s * 1_000_000)
        alarm = self._clock.call_at(self._later_at, self._filled.set) if self._later else None
        try:
            await self._filled.wait()
        finally:
            if alarm is not None:
                alarm.cancel()
        if self._later and self._clock.now() >= self._later_at:
            self._report.results += self._later
            self._later, self._later_at = [], 0

    def take(self) -> WorkReport | None:
        """Return the next message; None: there is nothing to report."""
        self._filled.clear()
        report, self._report = self._report, WorkReport()
        report.progress += self._progress.values()
        self._progress = {}
        report.logs += self._notes()
        size = 0
        while self._logs and size < BATCH_LOG_BYTES:
            report.logs.append(self._logs.popleft())
            size += len(report.logs[-1].text)
        self._log_bytes -= size
        if self._logs or len(report.results) > BATCH_RESULTS:
            self._report.results = report.results[BATCH_RESULTS:]
            report.results = report.results[:BATCH_RESULTS]
            self._filled.set()
        return None if report == WorkReport() else report

    def put_back(self, report: WorkReport) -> None:
        """A message was not taken: it goes before what came since."""
        now = self._report
        self._report = WorkReport(
            started=report.started + now.started,
            progress=report.progress + now.progress,
            results=report.results + now.results,
            died=report.died + now.died,
            returned=report.returned + now.returned,
        )
        self._logs.extendleft(reversed(report.logs))
        self._log_bytes += sum(len(log.text) for log in report.logs)
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
        self._logs.append(log)
        self._log_bytes += len(log.text)
        while self._log_bytes > MOST_LOG_BYTES and len(self._logs) > 1:
            self._drop_oldest()
        self._filled.set()

    def _drop_oldest(self) -> None:
        """Leave a note in its place, one for all that follows it directly: no text goes in silence."""
        oldest = self._logs.popleft()
        self._log_bytes -= len(oldest.text)
        size = len(oldest.text.encode("utf-8", "replace"))
        first, dropped = self._gaps.get((oldest.token, oldest.stream), (oldest.offset, 0))
        self._gaps[oldest.token, oldest.stream] = first, dropped + size

    def _notes(self) -> list[LogReport]:
        """What is said in place of text that was dropped, at its place in the stream and never longer than it."""
        gaps, self._gaps = self._gaps, {}
        return [
            LogReport(token=token, stream=stream, offset=first, text=f"[{size} bytes of the log were dropped]\n"[-size:])
            for (token, stream), (first, size) in gaps.items()
        ]

    def add_result(self, result: ResultReport, *, later: bool = False) -> None:
        """`later`: it was sent, and is to be sent again after a while."""
        if later:
            self._later.append(result)
        else:
            self._report.results.append(result)
            self._filled.set()

    def add_died(self, died: DiedReport) -> None:
        self._report.died.append(died)
        self._filled.set()

    def add_returned(self, returned: ReturnedReport) -> None:
        self._report.returned.append(returned)
        self._filled.set()
