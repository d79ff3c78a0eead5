"""What becomes of attempts that calls in other engines carried out (`worker.hosted`), as a sink hears of it.

Law: what an attempt itself broke is blamed, what went with a process or a machine is not. What could not be had now (a vault,
a process) is reported as lost after a pause that grows, so that it is offered again, and not for ever: after MOST_S it is an
Error that says what was missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.broker import ResultSink, Stored
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_result

__all__ = ["Endings", "hear"]

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
MOST_S: Final = 300.0  # a provider of secrets that is away for longer is an Error with servers, too


class _Back:
    """A task run whose attempt came back without having been carried out. `due` reports it."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.pause = FIRST_S
        self.due: asyncio.TimerHandle | None = None


class Endings:
    """Reports endings to a sink. It is begun on the event loop that the sink belongs to."""

    def __init__(self, sink: ResultSink) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._back: dict[str, _Back] = {}  # by task run

    def report(self, ref: AttemptRef, ended: Mapping[str, Any], stored: Stored | None = None) -> bool:
        """Report what a call returned.

        Args:
            ref: the attempt that it carried out.
            ended: an ending (`worker.hosted.host.Ending`).
            stored: called once when a result is in the store.

        Returns:
            Whether that is a result; else the attempt was lost, and `stored` is not called.
        """
        match ended["end"]:
            case "finished":
                self.forget(ref)
                self._sink.finished(_result(ref, ended["result"]), stored)
                return True
            case "died":
                self._sink.lost(ref, clean(ended["reason"]), True)
            case "stopped":  # by its process, which took this broker for gone
                self.returned(ref, "its process lost the way to its broker", stored)
            case _:
                return self.returned(ref, clean(ended["reason"]), stored)
        return False

    def fail(self, ref: AttemptRef, message: str, stored: Stored | None = None) -> None:
        """Report an Error: it came to no attempt."""
        self.forget(ref)
        self._sink.finished(TaskResult(ref, ERROR, clean(message)), stored)

    def returned(self, ref: AttemptRef, reason: str, stored: Stored | None = None) -> bool:
        """Report an attempt that was not carried out: after a pause as lost; in the end as an Error, which is a result."""
        now = self._loop.time()
        back = self._back.setdefault(ref.task_run_id, _Back(now))
        if now - back.since > MOST_S:
            self.fail(ref, f"the task could not be carried out for {round(now - back.since)} s: {reason}", stored)
            return True
        back.due = self._loop.call_later(back.pause, self._sink.lost, ref, reason, False)
        back.pause = min(2 * back.pause, LONGEST_S)
        return False

    def forget(self, ref: AttemptRef) -> None:
        """Report nothing more of a task run: it ended, or is to stop."""
        back = self._back.pop(ref.task_run_id, None)
        if back is not None and back.due is not None:
            back.due.cancel()

    def close(self) -> None:
        """Report nothing any more."""
        for back in self._back.values():
            if back.due is not None:
                back.due.cancel()
        self._back.clear()


def hear(sink: ResultSink, ref: AttemptRef, news: Mapping[str, Any]) -> None:
    """Report what became known of an attempt while it runs."""
    match news.get("say"):
        case "started":
            sink.started(ref)
        case "logged":
            sink.logged(ref, news["stream"], news["text"], news["offset"])
        case "progressed":
            sink.heartbeat(ref, news["details"])


def _result(ref: AttemptRef, message: Any) -> TaskResult:
    """What a call says that an attempt gave; where that is not a result of this attempt, an Error."""
    try:
        result = decode_result(message)
    except WireError as error:
        return TaskResult(ref, ERROR, f"its process reported {error}")
    return result if result.ref == ref else TaskResult(ref, ERROR, "its process reported the result of another attempt")
