"""Statistics over the runs of a store or a server.

Law: rows are read in keyset pages and counted, never held together; the tasks of a bounded number of runs are looked at. What
else runs in the event loop has its turn after each page and each run: a store may answer without one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.views.periods import LENGTHS, MOST, Periods, period_of
from aether_protocol.views.statistics import USUAL_OF, Statistics, usual_of

if TYPE_CHECKING:
    from aether_protocol.service.client import RunReader

PAGE: Final = 500  # rows that are read and counted within some 15 ms
MOST_TASKS: Final = 5_000  # of a run whose tasks are looked at
MOST_WORKFLOWS: Final = 300  # of which it is asked how long their last runs took


async def gather_statistics(
    runs: RunReader,
    query: RunQuery,
    until: int,
    *,
    task_runs: int = 0,
    period: str | None = None,
    most: int | None = None,
) -> Statistics:
    """Count the runs that `query` asks for; it says since when.

    Args:
        runs: where they are read.
        query: which runs.
        until: the end of the time that is counted, where the query has none.
        task_runs: of how many of the newest that have ended the tasks are counted, too.
        period: `hour`, `day` or `week`: what is counted together over time; by default as long as the time asks for.
        most: how many runs are counted at most, the newest; None: all.

    Raises:
        UsageError: there would be too many periods.
    """
    since, until = query.since or 0, query.until or until
    found = Statistics(since, until, _periods(since, until, period))
    left = most
    while True:
        limit = PAGE if left is None else min(PAGE, left)
        page = await runs.list(replace(query, limit=limit))
        await asyncio.sleep(0)
        for row in page:
            if not found.knows(row) and len(found.workflows) < MOST_WORKFLOWS:
                found.expect(row, usual_of(await _last_good(runs, row, query.until)))
            found.add(row)
            if task_runs > 0 and row.closed and row.leaves_known <= MOST_TASKS:
                task_runs -= 1
                with contextlib.suppress(NotFoundError):  # it was deleted meanwhile
                    found.add_tasks(await runs.report(row.run_id))
                await asyncio.sleep(0)
        if len(page) < limit:
            return found
        query = replace(query, before=(page[-1].created_at, page[-1].run_id))
        left = None if left is None else left - len(page)
        if left == 0:
            found.counted_from = page[-1].created_at
            return found


async def _last_good(runs: RunReader, row: RunSummary, until: int | None) -> list[RunSummary]:
    """The last runs of a workflow that Succeeded."""
    last = RunQuery(phases=("Succeeded",), name=row.workflow, namespace=row.namespace, until=until, limit=USUAL_OF)
    return [*await runs.list(last)]


def _periods(since: int, until: int, period: str | None) -> Periods:
    name = period or period_of(since, until)
    if period is not None and (until - since) // LENGTHS[name] >= MOST:
        raise UsageError(f"that is more than {MOST} periods of one {name}", hint="ask for less time, or for longer periods")
    return Periods(since, until, name)
