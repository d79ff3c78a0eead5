"""How long a run and its tasks will take, by what earlier runs of the same workflow took.

Law: pure. A forecast is the median of runs that Succeeded; without one nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.views.report import Report
from aether_protocol.views.text import duration

LEAST_S: Final = 1.0  # of what takes less nothing is said


class Forecast(Struct):
    """Seconds: of the whole run, and of tasks by their paths. Filled in once it is known."""

    run_s: float | None = None
    tasks: Mapping[str, float] = field(default_factory=dict)

    def run_text(self, elapsed_s: float) -> str:
        """`about 40s left`, `usually 2m05s`; empty where nothing is known."""
        if self.run_s is None or self.run_s < LEAST_S:
            return ""
        left = self.run_s - elapsed_s
        return f"about {_rough(left)} left" if left > 0 else f"usually {_rough(self.run_s)}"

    def task_text(self, path: str) -> str:
        """`of about 12s`; empty where nothing is known."""
        usual = self.tasks.get(path, 0.0)
        return f"of about {_rough(usual)}" if usual >= LEAST_S else ""

    def learn(self, rows: Iterable[RunSummary], report: Report | None) -> None:
        """Take over what earlier runs took, and one of them in detail."""
        took = sorted((row.ended_at - row.created_at) / SECOND for row in rows if row.ended_at is not None)
        self.run_s = took[len(took) // 2] if took else None
        self.tasks = {} if report is None else {
            task.path: _seconds(task.started_at, task.finished_at)
            for task in report.tasks
            if task.started_at is not None and task.finished_at is not None and task.phase == "Succeeded"
        }


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _rough(seconds: float) -> str:
    return f"{max(round(seconds), 1)}s" if seconds < 60 else duration(seconds)
