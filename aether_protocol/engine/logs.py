"""The logs of tasks on their way to whoever listens.

Law: nothing is kept, and what is passed on is masked (DATA-12). An observer that raises is told of and left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aether_protocol.engine.runs import ActiveRun
from aether_protocol.engine.secrets import LogMask
from aether_protocol.ports.clock import Clock

_log = logging.getLogger("aether_protocol")


@dataclass(slots=True)
class LogRecord:
    """A piece of a task's log, masked. `stream` is stdout or stderr, `at` is in microseconds since the epoch."""

    run_id: str
    node: int
    path: str
    attempt: int
    stream: str
    text: str
    at: int


LogObserver = Callable[[LogRecord], None]


class Logs:
    """Masks pieces of logs and hands them to `observers`."""

    def __init__(self, clock: Clock) -> None:
        self.observers: list[LogObserver] = []
        self._clock = clock

    def take(self, run: ActiveRun, node: int, attempt: int, stream: str, text: str) -> None:
        if run.masker is not None:
            mask = run.log_masks.get((node, attempt, stream))
            if mask is None:
                mask = run.log_masks[node, attempt, stream] = LogMask(run.masker)
            text = mask.feed(text)
        self._tell(run, node, attempt, stream, text)

    def flush(self, run: ActiveRun, node: int, attempt: int) -> None:
        """The attempt is over: what was held back may be shown."""
        for stream in ("stdout", "stderr"):
            mask = run.log_masks.pop((node, attempt, stream), None)
            if mask is not None:
                self._tell(run, node, attempt, stream, mask.flush())

    def _tell(self, run: ActiveRun, node: int, attempt: int, stream: str, text: str) -> None:
        if not text or not 0 <= node < len(run.state.nodes):
            return
        record = LogRecord(run.id, node, run.state.nodes[node].path, attempt, stream, text, self._clock.now())
        for observer in self.observers:
            try:
                observer(record)
            except Exception:
                _log.exception("a log observer of run %s raised", run.id)
