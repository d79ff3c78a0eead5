"""Statistics over the runs of a store or a server.

Law: rows are read in keyset pages and counted, never held together; the tasks of a bounded number of runs are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from aether_protocol.ports.store import RunQuery
from aether_protocol.views.statistics import Statistics

if TYPE_CHECKING:
    from aether_protocol.service.client import RunReader

PAGE: Final = 1_000
MOST_TASKS: Final = 5_000  # of a run whose tasks are looked at


async def gather_statistics(runs: RunReader, query: RunQuery, until: int, *, task_runs: int = 0) -> Statistics:
    """Count the runs that `query` asks for; it says since when.

    Args:
        runs: where they are read.
        query: which runs.
        until: the end of the time that is counted, where the query has none.
        task_runs: of how many of the newest that have ended the tasks are counted, too.
    """
    found = Statistics(query.since or 0, query.until or until)
    while True:
        page = await runs.list(replace(query, limit=PAGE))
        for row in page:
            found.add(row)
            if task_runs > 0 and row.closed and row.leaves_known <= MOST_TASKS:
                task_runs -= 1
                found.add_tasks(await runs.report(row.run_id))
        if len(page) < PAGE:
            return found
        query = replace(query, before=(page[-1].created_at, page[-1].run_id))
