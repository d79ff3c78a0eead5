"""What is expected of a run, by earlier runs of its workflow.

Law: a few rows and one report are read, whatever the store holds.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from aether_protocol.errors import AetherError
from aether_protocol.ports.store import RunQuery, RunSummary

if TYPE_CHECKING:
    from aether_protocol.service.client import RunReader
    from aether_protocol.views.forecast import Forecast

RUNS: Final = 7  # of which the median counts
MOST_TASKS: Final = 1_000  # of a longer run the tasks are not looked at


async def learn_from_earlier(runs: RunReader, row: RunSummary, forecast: Forecast) -> None:
    """Fill in a forecast for a run. What cannot be read leaves it empty: it is for people, and no run depends on it."""
    with contextlib.suppress(AetherError):
        query = RunQuery(phases=("Succeeded",), name=row.workflow, namespace=row.namespace, until=row.created_at, limit=RUNS)
        whole = [earlier for earlier in await runs.list(query) if earlier.retry_of is None and earlier.run_id != row.run_id]
        detailed = next((earlier for earlier in whole if earlier.leaves_known <= MOST_TASKS), None)
        forecast.learn(whole, None if detailed is None else await runs.report(detailed.run_id))
