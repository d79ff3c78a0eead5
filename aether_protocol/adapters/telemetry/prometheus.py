"""Metrics of runs and calls for Prometheus: counted as things happen, written out in its text format.

Law: labels are bounded. Of workflows and namespaces the first MOST_NAMES have their own label, all others are `other`. Nothing
here raises into what it watches, or waits. Needs prometheus-client (the extra `[server]`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store.schedules import STARTED, FireRecord
from aether_protocol.ports.wire import bytes_of
from aether_protocol.scheduler.facts import AttemptRepeated, NodeEnded, RunClosed, RunCreated
from aether_protocol.scheduler.nodes import TaskNode

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.state import RunState

MOST_NAMES: Final = 200
OTHER: Final = "other"
_SECOND: Final = 1_000_000
_TASKS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
_STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_LATE: Final = (0.01, 0.1, 0.5, 1, 2, 5, 10, 60, 600, 3600, 86_400)
_CALLS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class LabelNames:
    """Values of a label: the first MOST_NAMES as they are, then `other`."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class RunMetrics:
    """What happens to runs, tasks and the store. See `ports.telemetry.CallMeter`, and `engine.observers` for `observe_entry`.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram
            from prometheus_client.registry import Collector
        except ImportError:
            hint = "pip install 'aether-protocol[server]'"
            raise UsageError("metrics need prometheus-client, which is not installed", hint=hint) from None

        class OpenRuns(Collector):
            def collect(self) -> Iterator[Any]:
                return open_runs()

        open_runs = self._open_runs
        self.registry: CollectorRegistry = CollectorRegistry()
        self._workflows, self._namespaces = LabelNames(), LabelNames()
        self._open: dict[str, tuple[str, str]] = {}  # run -> namespace, phase
        self.registry.register(OpenRuns())
        made: dict[str, Any] = {"registry": self.registry}
        self._runs = Counter("aether_runs", "Runs that have ended.", ("namespace", "workflow", "phase"), **made)
        self._begun = Counter("aether_runs_started", "Runs that have begun.", ("namespace", "workflow"), **made)
        self._tasks = Histogram(
            "aether_task_seconds",
            "How long tasks took, retries included.",
            ("namespace", "executor", "phase"),
            buckets=_TASKS,
            **made,
        )
        self._lost = Counter("aether_attempts_lost", "Attempts that were lost and repeated.", ("reason",), **made)
        self._append = Histogram("aether_step_append_seconds", "Appends to the store.", buckets=_CALLS, **made)
        self._steps = Histogram("aether_steps_per_append", "Steps that went to the store together.", buckets=_STEPS, **made)
        self._fenced = Counter("aether_fenced_writes", "Appends to a run that were refused: another writer was first.", **made)
        self._mailbox = Histogram(
            "aether_mailbox_seconds",
            "From a question to a run of another process to its answer.",
            ("outcome",),
            buckets=_CALLS,
            **made,
        )
        self._late = Histogram("aether_schedule_late_seconds", "How late fires of schedules were.", buckets=_LATE, **made)
        self._calls = Histogram(
            "aether_store_call_seconds", "Calls of the store.", ("call", "outcome"), buckets=_CALLS, **made
        )
        self._log_bytes = Counter("aether_log_bytes", "Bytes of logs of tasks.", ("dropped",), **made)
        self._takeovers = Counter("aether_lease_takeovers", "Runs that were recovered from the store.", **made)

    # --- what happens ---

    def watch(self, engine: Any) -> None:
        """Count what happens in an `engine.api.RunEngine` from now on."""
        engine.observers.append(self.observe_entry)
        engine.log_observers.append(self.logged)
        engine.log_drops.append(self.log_dropped)

    def observe_entry(self, run_id: str, state: RunState, entry: LogEntry) -> None:
        """An engine has stored a log entry of a run."""
        plan = state.plan
        namespace = self._namespaces.of(plan.namespace)
        phase = str(state.root.phase) if state.root is not None else "Created"
        self._open[run_id] = namespace, phase
        for fact in entry.facts:
            kind = type(fact)
            if kind is NodeEnded:
                self._ended(state, namespace, fact)  # type: ignore[arg-type]
            elif kind is AttemptRepeated:
                blamed = fact.losses > 0  # type: ignore[union-attr]
                self._lost.labels("its process died" if blamed else "its worker was lost").inc()
            elif kind is RunCreated:
                self._begun.labels(namespace, self._workflows.of(plan.name)).inc()
            elif kind is RunClosed:
                self._runs.labels(namespace, self._workflows.of(plan.name), phase).inc()
                self._open.pop(run_id, None)

    def _ended(self, state: RunState, namespace: str, fact: NodeEnded) -> None:
        node = state.nodes[fact.node]
        if isinstance(node, TaskNode) and node.started_at is not None and node.ended_at is not None:
            took = (node.ended_at - node.started_at) / _SECOND
            self._tasks.labels(namespace, node.target.executor_type, str(fact.phase)).observe(took)

    def observe(self, name: str, seconds: float, labels: Mapping[str, str]) -> None:
        """A call of the store was made; see `adapters.telemetry.measured`."""
        outcome = labels.get("outcome", "ok")
        if name == "store.mailbox":
            self._mailbox.labels(outcome).observe(seconds)
            return
        if name == "store.runs.append":
            self._append.observe(seconds)
        self._calls.labels(name.removeprefix("store."), outcome if outcome == "ok" else "error").observe(seconds)

    def appended(self, steps: int, fenced: int) -> None:
        """Steps went to the store together; see `adapters.telemetry.measured`."""
        self._steps.observe(steps)
        if fenced:
            self._fenced.inc(fenced)

    def logged(self, record: Any) -> None:
        """A task wrote to its log."""
        self._log_bytes.labels("no").inc(bytes_of(record.text))

    def log_dropped(self, count: int) -> None:
        """Bytes of logs were not stored."""
        self._log_bytes.labels("yes").inc(count)

    def fired(self, record: FireRecord) -> None:
        """Something became of a fire of a schedule."""
        if record.kind == STARTED:
            self._late.observe(max(0, record.noted_at - record.at) / _SECOND)

    def recovered(self, count: int = 1) -> None:
        """Runs were recovered from the store."""
        self._takeovers.inc(count)

    # --- out ---

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def write(self, file: Path) -> None:
        """Write everything to a file, which is replaced in one step: a collector of text files never reads half of it.

        Raises:
            PortError: it cannot be written.
        """
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            temporary.write_bytes(self.text())
            os.replace(temporary, file)
        except OSError as fault:
            reason = (fault.strerror or str(fault)).lower()
            raise PortError(f"the metrics cannot be written to {str(file)!r}: {reason}") from fault
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def open_count(self) -> int:
        """How many runs are not closed."""
        return len(self._open)

    def ended_counts(self) -> dict[str, int]:
        """How many runs have ended since the start, by phase."""
        counts: dict[str, int] = {}
        for family in self._runs.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    phase = sample.labels["phase"]
                    counts[phase] = counts.get(phase, 0) + round(sample.value)
        return counts

    def _open_runs(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        counts: dict[tuple[str, str], int] = {}
        for one in self._open.values():
            counts[one] = counts.get(one, 0) + 1
        family = GaugeMetricFamily("aether_runs_open", "Runs that are not closed.", labels=("namespace", "phase"))
        for labels, count in counts.items():
            family.add_metric(labels, count)
        yield family
