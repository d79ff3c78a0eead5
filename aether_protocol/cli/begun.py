"""What a command found to drive: a run's id, or one of these.

Law: data only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct


class FinishedRun(Struct, frozen=True):
    """There is nothing to drive: the run ended before."""

    run_id: str


class RunToAnswer(Struct, frozen=True):
    """A run that is gone on with, and what is to be done to it once somebody watches. What `act` raises ends the command."""

    run_id: str
    act: Callable[[], Awaitable[None]]


Target = str | RunToAnswer | FinishedRun | None  # None: there is nothing to do or show
