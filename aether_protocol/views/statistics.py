"""What many runs came to: how many, how long, how often they failed, and whether that changes.

Law: pure, and bounded: rows are added one by one and none is kept; what is listed of them is limited, and durations are counted
in classes (`spread`). The order in which rows are added changes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from heapq import heappush, heappushpop
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.views.periods import Periods
from aether_protocol.views.report import Report
from aether_protocol.views.spread import DurationSpread, joined, rounded

BAD: Final = frozenset({"Failed", "Error", "Timeout"})
SPANS: Final = 14  # of equal length, in which a trend is counted
SLOWEST: Final = 5
LONGER: Final = 50  # that are listed; all are counted
USUAL_OF: Final = 50  # the last runs that Succeeded, whose 95th percentile is what is usual
FEW: Final = 5  # of fewer it is not said what is usual
OPEN: Final = "Open"  # stands in the place of a phase for all that a run has before its end
_INDEX: Final = re.compile(r"\[[0-9]+\]")


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
    usual_s: float | None = None  # see `usual_of`

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
        medians = [joined(span.durations for span in part).quantile(0.5) for part in (self.spans[:half], self.spans[half:])]
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


class LongerRun(Struct, order=True):
    """A run that took, or takes already, longer than is usual. The greatest is open, and the newest of these."""

    open: bool
    created_at: int
    run_id: str
    workflow: str
    namespace: str
    phase: str
    took_s: float
    usual_s: float

    def to_json(self) -> dict[str, Json]:
        """Give the entry of `longer`."""
        return {"runId": self.run_id, "workflow": self.workflow, "namespace": self.namespace, "phase": self.phase,
                "open": self.open, "createdAt": rfc3339(self.created_at), "seconds": rounded(self.took_s),
                "usualSeconds": rounded(self.usual_s)}


class TaskStatistics(Struct):
    """The runs of one task, of all iterations of a loop together."""

    workflow: str
    namespace: str
    path: str
    runs: int = 0
    failed: int = 0
    retries: int = 0
    durations: DurationSpread = field(default_factory=DurationSpread)

    def to_json(self) -> dict[str, Json]:
        """Give the entry of `tasks`."""
        return {"workflow": self.workflow, "namespace": self.namespace, "path": self.path, "runs": self.runs,
                "failed": self.failed, "retries": self.retries, "seconds": self.durations.to_json()}


class Statistics(Struct):
    """All that was counted of runs that were made from `since` on, up to `until`. `counted_from`: only those made from then on
    were counted, since there are too many; None: all."""

    since: int
    until: int
    periods: Periods
    workflows: dict[tuple[str, str], WorkflowStatistics] = field(default_factory=dict)
    tasks: dict[tuple[str, str, str], TaskStatistics] = field(default_factory=dict)
    longer: list[LongerRun] = field(default_factory=list)  # a heap
    longer_count: int = 0
    counted_from: int | None = None

    def knows(self, row: RunSummary) -> bool:
        """Whether a run of its workflow was counted."""
        return (row.namespace, row.workflow) in self.workflows

    def expect(self, row: RunSummary, usual_s: float | None) -> None:
        """Say how long a run of this one's workflow takes at most, as a rule, before any is counted."""
        self.workflows[row.namespace, row.workflow] = WorkflowStatistics(row.workflow, row.namespace, usual_s=usual_s)

    def add(self, row: RunSummary) -> None:
        """Count a run."""
        if not self.knows(row):
            self.expect(row, None)
        place = SPANS * (row.created_at - self.since) // max(self.until - self.since, 1)
        workflow = self.workflows[row.namespace, row.workflow]
        workflow.add(row, min(max(place, 0), SPANS - 1))
        is_open = row.ended_at is None or not row.closed
        took = ((self.until if row.ended_at is None else row.ended_at) - row.created_at) / SECOND
        self.periods.add(row.created_at, OPEN if is_open else row.phase, took)
        if workflow.usual_s is not None and took > workflow.usual_s:
            self.longer_count += 1
            one = LongerRun(
                open=is_open,
                created_at=row.created_at,
                run_id=row.run_id,
                workflow=row.workflow,
                namespace=row.namespace,
                phase=row.phase,
                took_s=took,
                usual_s=workflow.usual_s,
            )
            (heappush if len(self.longer) < LONGER else heappushpop)(self.longer, one)

    def add_tasks(self, report: Report) -> None:
        """Count the tasks of a run."""
        whose = (report.workflow.namespace, report.workflow.name)
        for task in report.tasks:
            if task.template_type != "task" or task.started_at is None or task.finished_at is None:
                continue
            key = (*whose, _INDEX.sub("[]", task.path))
            counted = self.tasks.get(key)
            if counted is None:
                counted = self.tasks[key] = TaskStatistics(whose[1], whose[0], key[2])
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
        return sorted(self.tasks.values(), key=lambda one: (-(one.durations.quantile(0.5) or 0.0), one.path, one.workflow))

    def to_json(self) -> dict[str, Json]:
        """The object that `aether stats -o json` prints."""
        length = (self.until - self.since) // SPANS
        return {
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "workflows": [_workflow_json(one, self.since, length) for one in self.most_run()],
            "tasks": [task.to_json() for task in self.slowest_tasks()],
            "longer": [one.to_json() for one in sorted(self.longer, reverse=True)],
            "longerCount": self.longer_count,
            **self.periods.to_json(),
            "countedFrom": None if self.counted_from is None else rfc3339(self.counted_from),
        }


def _workflow_json(one: WorkflowStatistics, since: int, length: int) -> dict[str, Json]:
    spans: list[Mapping[str, Any]] = [
        {"from": rfc3339(since + number * length), "runs": span.runs, "failed": span.failed,
         "medianSeconds": rounded(span.durations.quantile(0.5))}
        for number, span in enumerate(one.spans)
    ]
    return {
        "workflow": one.workflow,
        "namespace": one.namespace,
        "runs": one.runs,
        "open": one.open,
        "phases": dict(sorted(one.phases.items())),
        "failureRate": rounded(one.failure_rate),
        "seconds": one.durations.to_json(),
        "trend": rounded(one.trend),
        "usualSeconds": rounded(one.usual_s),
        "spans": [dict(span) for span in spans],
        "slowest": [{"runId": run_id, "seconds": rounded(took)} for took, run_id in sorted(one.slowest, reverse=True)],
    }


def usual_of(rows: Iterable[RunSummary]) -> float | None:
    """How many seconds runs of a workflow take at most, as a rule: what 95 % of these do not pass; None of too few."""
    durations = sorted((row.ended_at - row.created_at) / SECOND for row in rows if row.ended_at is not None)
    return durations[math.ceil(0.95 * len(durations)) - 1] if len(durations) >= FEW else None
