"""What many runs came to: how many, how long, how often they failed, and whether that changes.

Law: pure, and bounded: rows are added one by one and none is kept; durations are counted in classes that are 2 % wide, so that
a median or a percentile is right within that, of any number of runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from heapq import heappush, heappushpop
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.views.report import Report

BAD: Final = frozenset({"Failed", "Error", "Timeout"})
SPANS: Final = 14  # of equal length, in which a trend is counted
SLOWEST: Final = 5
_WIDTH: Final = math.log(1.02)
_INDEX: Final = re.compile(r"\[[0-9]+\]")


class DurationSpread(Struct):
    """How durations are spread."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    classes: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        number = round(math.log(max(seconds, 1e-6)) / _WIDTH)
        self.classes[number] = self.classes.get(number, 0) + 1

    def quantile(self, part: float) -> float | None:
        """The duration that `part` of them do not pass; None of none."""
        left = part * self.count
        for number in sorted(self.classes):
            left -= self.classes[number]
            if left <= 0:
                return min(math.exp(number * _WIDTH), self.longest_s)
        return None

    def to_json(self) -> dict[str, Json]:
        """Seconds, rounded to what they are right within."""
        return {
            "median": _rounded(self.quantile(0.5)),
            "p95": _rounded(self.quantile(0.95)),
            "mean": _rounded(self.total_s / self.count if self.count else None),
            "longest": _rounded(self.longest_s if self.count else None),
        }


class SpanStatistics(Struct):
    """The runs that were made in one part of the time."""

    runs: int = 0
    failed: int = 0
    durations: DurationSpread = field(default_factory=DurationSpread)


class WorkflowStatistics(Struct):
    """The runs of one workflow."""

    workflow: str
    namespace: str
    runs: int = 0
    open: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    durations: DurationSpread = field(default_factory=DurationSpread)  # of those that Succeeded
    spans: list[SpanStatistics] = field(default_factory=lambda: [SpanStatistics() for _ in range(SPANS)])
    slowest: list[tuple[float, str]] = field(default_factory=list)  # a heap: seconds and run id

    @property
    def failed(self) -> int:
        """How many did not Succeed for a reason of their own: a cancelled one is none of them."""
        return sum(count for phase, count in self.phases.items() if phase in BAD)

    @property
    def failure_rate(self) -> float | None:
        """Of those that ended well or badly; None of none."""
        judged = self.failed + self.phases.get("Succeeded", 0)
        return self.failed / judged if judged else None

    @property
    def trend(self) -> float | None:
        """By how much the median of the later half of the time differs from that of the earlier half: 0.1 is 10 % longer."""
        half = len(self.spans) // 2
        medians = [_joined(part).quantile(0.5) for part in (self.spans[:half], self.spans[half:])]
        before, after = medians
        return after / before - 1 if before and after is not None else None

    def add(self, row: RunSummary, place: int) -> None:
        """Count a run, which was made in span `place`."""
        self.runs += 1
        self.spans[place].runs += 1
        if not row.closed or row.ended_at is None:
            self.open += 1
            return
        self.phases[row.phase] = self.phases.get(row.phase, 0) + 1
        self.spans[place].failed += row.phase in BAD
        took = (row.ended_at - row.created_at) / SECOND
        (heappush if len(self.slowest) < SLOWEST else heappushpop)(self.slowest, (took, row.run_id))
        if row.phase == "Succeeded":
            self.durations.add(took)
            self.spans[place].durations.add(took)


class TaskStatistics(Struct):
    """The runs of one task, of all iterations of a loop together."""

    path: str
    runs: int = 0
    failed: int = 0
    retries: int = 0
    durations: DurationSpread = field(default_factory=DurationSpread)

    def to_json(self) -> dict[str, Json]:
        """Give the entry of `tasks`."""
        return {"path": self.path, "runs": self.runs, "failed": self.failed, "retries": self.retries,
                "seconds": self.durations.to_json()}


class Statistics(Struct):
    """All that was counted of runs that were made from `since` on, up to `until`."""

    since: int
    until: int
    workflows: dict[tuple[str, str], WorkflowStatistics] = field(default_factory=dict)
    tasks: dict[str, TaskStatistics] = field(default_factory=dict)

    def add(self, row: RunSummary) -> None:
        """Count a run."""
        key = (row.namespace, row.workflow)
        if key not in self.workflows:
            self.workflows[key] = WorkflowStatistics(row.workflow, row.namespace)
        place = SPANS * (row.created_at - self.since) // max(self.until - self.since, 1)
        self.workflows[key].add(row, min(max(place, 0), SPANS - 1))

    def add_tasks(self, report: Report) -> None:
        """Count the tasks of a run."""
        for task in report.tasks:
            if task.template_type != "task" or task.started_at is None or task.finished_at is None:
                continue
            path = _INDEX.sub("[]", task.path)
            counted = self.tasks.setdefault(path, TaskStatistics(path))
            counted.runs += 1
            counted.failed += task.phase in BAD
            counted.retries += task.retries
            began, ended = (datetime.fromisoformat(at) for at in (task.started_at, task.finished_at))
            counted.durations.add((ended - began).total_seconds())

    def most_run(self) -> list[WorkflowStatistics]:
        """The workflows, that with the most runs first."""
        return sorted(self.workflows.values(), key=lambda one: (-one.runs, one.namespace, one.workflow))

    def slowest_tasks(self) -> list[TaskStatistics]:
        """The tasks, the slowest first."""
        return sorted(self.tasks.values(), key=lambda one: (-(one.durations.quantile(0.5) or 0.0), one.path))

    def to_json(self) -> dict[str, Json]:
        """The object that `aether stats -o json` prints."""
        length = (self.until - self.since) // SPANS
        return {
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "workflows": [_workflow_json(one, self.since, length) for one in self.most_run()],
            "tasks": [task.to_json() for task in self.slowest_tasks()],
        }


def _workflow_json(one: WorkflowStatistics, since: int, length: int) -> dict[str, Json]:
    spans: list[Mapping[str, Any]] = [
        {"from": rfc3339(since + number * length), "runs": span.runs, "failed": span.failed,
         "medianSeconds": _rounded(span.durations.quantile(0.5))}
        for number, span in enumerate(one.spans)
    ]
    return {
        "workflow": one.workflow,
        "namespace": one.namespace,
        "runs": one.runs,
        "open": one.open,
        "phases": dict(sorted(one.phases.items())),
        "failureRate": _rounded(one.failure_rate),
        "seconds": one.durations.to_json(),
        "trend": _rounded(one.trend),
        "spans": [dict(span) for span in spans],
        "slowest": [{"runId": run_id, "seconds": _rounded(took)} for took, run_id in sorted(one.slowest, reverse=True)],
    }


def _joined(spans: list[SpanStatistics]) -> DurationSpread:
    """The durations of several spans as one spread."""
    whole = DurationSpread()
    for span in spans:
        whole.count += span.durations.count
        whole.longest_s = max(whole.longest_s, span.durations.longest_s)
        for number, count in span.durations.classes.items():
            whole.classes[number] = whole.classes.get(number, 0) + count
    return whole


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
