"""What people ask of runs, at whichever server: commands go through the mailbox of the store to the one that drives the run.

Law: each command has a text of its own, which the record of its run keeps where it is carried out. That is once at most; once
where it was answered as done, and never where it was withdrawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.engine.mailbox import Question
from aether_protocol.errors import AetherError, BusyError
from aether_protocol.execution.masking import MASK
from aether_protocol.testing.simulation.oracles import demand
from aether_protocol.testing.simulation.process import Process

COMMANDED: Final = "a command is carried out once where it was answered, else once at most, and never where it was withdrawn"
_CAUSES: Final = ('"api:CancelRequested"', '"api:ResumeRequested"')  # of entries; later ones may repeat a reason
_MASKED: Final = f': {MASK}"'  # a reason in a record, where the secrets of its run could not be had
_WITHDRAWN: Final = "no engine answers"  # how that is said

Outcome = Literal["open", "done", "withdrawn", "unknown"]


class _Command(Struct, eq=False):
    number: int
    run_id: str
    process: Process  # that was asked
    outcome: Outcome = "open"

    @property
    def text(self) -> str:
        return f"command {self.number} of {self.run_id}"


class Commands:
    """All commands of a world."""

    def __init__(self) -> None:
        self._sent: list[_Command] = []
        self._open: dict[tuple[str, str], _Command] = {}

    def is_open(self, run_id: str, about: str) -> bool:
        """Whether a living server has such a command in hand."""
        command = self._open.get((run_id, about))
        return command is not None and not command.process.dead

    async def send(self, process: Process, run_id: str, about: str, question: Callable[[str], Question]) -> bool:
        """Ask a server, which need not drive the run, unless the same is asked already; whether it says that it is done.

        Args:
            process: that of the server.
            run_id: which run.
            about: what it is about, within the run.
            question: makes it of its reason.
        """
        if self.is_open(run_id, about):
            return False
        command = self._open[run_id, about] = _Command(len(self._sent) + 1, run_id, process)
        self._sent.append(command)
        try:
            await process.engine.driven.ask(run_id, question(command.text))
            command.outcome = "done"
        except BusyError as error:
            command.outcome = "withdrawn" if error.message.startswith(_WITHDRAWN) else "unknown"
        except AetherError:
            command.outcome = "unknown"  # it may have been carried out, and answered by a server that was cut off
        finally:
            if self._open.get((run_id, about)) is command:
                del self._open[run_id, about]
        return command.outcome == "done"

    def judge(self, run_id: str, entries: Iterable[str], counts: Counter[str]) -> None:
        """Hold the commands of a run against the entries of its record. Raises LawBrokenError."""
        record = [entry for entry in entries if any(cause in entry for cause in _CAUSES)]
        for command in self._sent:
            if command.run_id != run_id:
                continue
            times = sum(f': {command.text}"' in entry for entry in record)
            masked = sum(entry.count(_MASKED) for entry in record)
            counts[f"commands {command.outcome}"] += 1
            counts["commands carried out"] += times
            least, most = {"done": (1, 1), "withdrawn": (0, 0)}.get(command.outcome, (0, 1))
            told = f"{command.text}, which is {command.outcome}, was carried out {times} times"
            demand(min(least, 1 - bool(masked)) <= times <= most, COMMANDED, told)
