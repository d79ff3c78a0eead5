"""Find the run that a caller means, and the process that drives it.

Law: nothing here changes a run or its lease.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import BusyError, NotFoundError, UsageError
from aether_protocol.ports.store import RunQuery, RunSummary, Store
from aether_protocol.ports.store.runs import LATEST as LATEST  # for commands
from aether_protocol.service.process_identity import is_alive, is_dead

_PROPOSED_FROM: Final = 200  # newest runs that a misspelt id is compared with


async def find_run(store: Store, text: str) -> RunSummary:
    """Find the run that `text` means: its id, the beginning of its id, or `latest`.

    Args:
        store: where the run is looked up.
        text: what the caller calls the run.

    Returns:
        The run's row. Where `text` begins the ids of a run and of its retries alone, that run's. The beginning of a run's id
        and `.2` mean its retry of that number.

    Raises:
        UsageError: no run is meant, or several are; the hint names what is near.
    """
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is not the name of a run", hint="a run is named by its id, as text")
    if text == LATEST:
        newest = await store.runs.rows(RunQuery(limit=1))
        if not newest:
            raise NotFoundError("the store holds no run")
        return newest[0]
    row = await store.runs.row(text)
    if row is not None:
        return row
    near = await store.runs.rows(RunQuery(prefix=text, limit=6)) if text else []
    fitting = sorted(near or await _retries(store, text), key=lambda row: row.run_id)
    if not fitting:
        raise NotFoundError(f"run {text!r} is unknown", hint=await _hint(store, text))
    first = fitting[0]
    if all(row.run_id.startswith(f"{first.run_id}.") for row in fitting[1:]):  # the others are its retries
        return first
    ids = ", ".join(row.run_id for row in fitting[:5])
    raise UsageError(f"{text!r} is the beginning of several runs", hint=f"{ids}{', ...' if len(fitting) > 5 else ''}")


async def _retries(store: Store, text: str) -> list[RunSummary]:
    """The retries of a number that belong to runs whose ids begin so: `0195c3f2.2`."""
    head, dot, number = text.rpartition(".")
    if not (head and dot and number):
        return []
    near = await store.runs.rows(RunQuery(prefix=head, retries=True, limit=_PROPOSED_FROM))
    return [row for row in near if row.run_id.rpartition(".")[2] == number]


async def _hint(store: Store, text: str) -> str | None:
    newest = [row.run_id for row in await store.runs.rows(RunQuery(limit=_PROPOSED_FROM))]
    return did_you_mean(text, newest, "'aether ls' lists the runs" if newest else "the store holds no run")


async def driven_by(store: Store, row: RunSummary) -> str | None:
    """Name the owner that drives an unfinished run at this moment; None where no process does."""
    if row.closed:
        return None
    held = await store.leases.owner(row.run_id)
    if held is None or is_dead(held.owner):
        return None
    return held.owner if held.live or is_alive(held.owner) else None  # of another machine: only its lease says


def not_ended(row: RunSummary) -> BusyError:
    """Make the error for a run that was waited for in vain."""
    return BusyError(f"run {row.run_id!r} has not ended: it is {row.phase}")
