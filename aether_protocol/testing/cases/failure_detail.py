"""What a run did, as text under a case that did not pass.

Law: bounded, however large the run is, and without secrets: it is drawn from the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from aether_protocol.engine.logs import LogRecord
from aether_protocol.scheduler.timing import duration_text
from aether_protocol.testing.cases.compare import written
from aether_protocol.testing.cases.expectations import Ran

_TASKS: Final = 60
_LINES: Final = 20


def run_detail(ran: Ran) -> str:
    """The task tree with phases, the hooks, what did not run, and the end of the log."""
    report = ran.report
    lines = [f"the run: {report['phase']}{_tail(report['message'])}"]
    lines += _tree(ran, report["tasks"])
    lines += [f"  hook {entry['hook']}: {entry['phase']}{_tail(entry['message'])}" for entry in report["hooks"][:_TASKS]]
    if report["notRun"]:
        lines.append(f"  not run: {', '.join(report['notRun'][:_TASKS])}")
    lines += [f"  warning: {message}" for _, message in ran.state.notes[:_LINES]]
    lines += _log(ran.watch.logs)
    return "\n".join(lines)


def _tree(ran: Ran, tasks: Sequence[dict[str, Any]]) -> Iterator[str]:
    for entry in tasks[:_TASKS]:
        node = ran.state.find(entry["path"])
        times = ""
        if node is not None:
            ends = "..." if node.ended_at is None else duration_text(ran.since(node.ended_at) or 0)
            times = f" [{duration_text(ran.since(node.created_at) or 0)} to {ends}]"
        retries = f", {entry['retries']} retries" if entry["retries"] else ""
        outputs = f" {written(entry['outputs'])}" if entry["outputs"] else ""
        indent = "  " * (entry["depth"] + 1)
        yield f"{indent}{entry['path']}: {entry['phase']}{retries}{times}{_tail(entry['message'])}{outputs}"
    if len(tasks) > _TASKS:
        yield f"  (and {len(tasks) - _TASKS} more)"


def _tail(message: str) -> str:
    return f" ({message})" if message else ""


def _log(records: Sequence[LogRecord]) -> Iterator[str]:
    lines = [f"{record.path}: {line}" for record in records for line in record.text.splitlines()]
    if lines:
        yield "  log:" if len(lines) <= _LINES else f"  log (the last {_LINES} of {len(lines)} lines):"
        yield from (f"    {line}" for line in lines[-_LINES:])
