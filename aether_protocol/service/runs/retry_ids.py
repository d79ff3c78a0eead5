"""Make the id of a retry of a run, and continue the run that a name means (RT-42).

Law: a retry of ID is ID.2, the next one ID.3, and so is a retry of such a retry; the name ID means the newest of them all.
What was recorded is what is continued: plan and parameters are never taken from the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from aether_protocol.errors import BusyError
from aether_protocol.ports.store import RunQuery, RunSummary, Store
from aether_protocol.views.phases import FINE_PHASES

if TYPE_CHECKING:
    from aether_protocol.engine.api import RunEngine
    from aether_protocol.service.client import RunControl

_PAGE: Final = 1_000
_NUMBERED: Final = r"(.+)\.([0-9]{1,9})"


class ContinuedRun(Struct, frozen=True):
    """What became of a run that was to be continued: `run_id` is that of the run to watch."""

    run_id: str
    what: Literal["recovered", "retried", "ended"]


async def newest_of(store: Store, run_id: str) -> RunSummary | None:
    """Give the run of that name, or the newest of its retries; None where there is neither."""
    row = await store.runs.row(run_id)
    base = _base(run_id, row)
    found = [] if row is None else [row]
    names = {run_id}
    for retry in await _retries(store, base):
        if run_id == base or retry.retry_of in names:
            names.add(retry.run_id)
            found.append(retry)
    return max(found, key=lambda one: one.created_at, default=None)  # old retries of a deleted run do not hide a new one


async def next_retry_id(store: Store, run_id: str) -> str:
    """Make the id of the next retry of a run: ID.2, ID.3 and so on."""
    base = _base(run_id, await store.runs.row(run_id))
    number = 2
    for retry in await _retries(store, base):
        number = max(number, int(retry.run_id[len(base) + 1 :]) + 1)
    while await store.runs.row(f"{base}.{number}") is not None:  # a name that a caller chose
        number += 1
    return f"{base}.{number}"


def _base(run_id: str, row: RunSummary | None) -> str:
    """The name that retries of this run share."""
    numbered = re.fullmatch(_NUMBERED, run_id)
    return numbered[1] if row is not None and row.retry_of is not None and numbered is not None else run_id


async def _retries(store: Store, base: str) -> list[RunSummary]:
    """The retries named `base`.N that are still there, oldest first."""
    query = RunQuery(prefix=f"{base}.", retries=True, limit=_PAGE)
    found: list[RunSummary] = []
    while rows := await store.runs.rows(query):
        for row in rows:
            numbered = re.fullmatch(_NUMBERED, row.run_id)
            if numbered is not None and numbered[1] == base:
                found.append(row)
        query.before = (rows[-1].created_at, rows[-1].run_id)
    return found[::-1]


async def resume_or_retry(engine: RunEngine, control: RunControl, row: RunSummary, *, retry: bool) -> ContinuedRun:
    """Recover an unfinished run, retry one that did not succeed where `retry` says so, else report that it has ended.

    Raises:
        BusyError: another engine drives the run.
    """
    if not row.closed:
        try:
            recovered = await engine.recover([row.run_id])
        except BusyError as error:
            hint = f"'aether wait {row.run_id}' waits for its end, 'aether logs {row.run_id} --follow' shows what it does"
            raise BusyError(error.message, hint=hint) from error
        return ContinuedRun(row.run_id, "recovered" if recovered else "ended")
    if retry and row.phase not in FINE_PHASES:
        return ContinuedRun(await control.retry(row.run_id), "retried")
    return ContinuedRun(row.run_id, "ended")
