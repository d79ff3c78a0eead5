"""The workflows that are known: those that have runs, those that are stored, and those that a schedule runs.

Law: of each the newest runs alone are read, and found without the others (`RunQuery.newest_of_each`); figures are of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.service.documents.changes import WORKFLOW
from aether_protocol.views.statistics import BAD

if TYPE_CHECKING:
    from aether_protocol.ports.store.schedules import StoredSchedule
    from aether_protocol.service.client import Client

NEWEST: Final = 20  # runs of a workflow that are looked at

WorkflowKey = tuple[str, str]  # namespace and name


class KnownWorkflow(Struct, frozen=True):
    """A workflow by its namespace and name.

    `runs` are its newest ones, newest first; `version` is the number of the newest version of the stored Workflow of that name,
    None where none is stored; `schedule` is the CronWorkflow of that name, None where there is none.
    """

    namespace: str
    name: str
    runs: Sequence[RunSummary] = ()
    version: int | None = None
    schedule: StoredSchedule | None = None

    @property
    def next_at(self) -> int | None:
        """When its schedule fires next, in microseconds since the epoch; None of a suspended one."""
        schedule = self.schedule
        return None if schedule is None or schedule.settings.suspend else schedule.next_at

    @property
    def succeeded(self) -> int:
        """How many of `runs` have Succeeded."""
        return sum(row.closed and row.phase == "Succeeded" for row in self.runs)

    @property
    def judged(self) -> int:
        """How many of `runs` ended well or badly: a cancelled one did neither."""
        return self.succeeded + sum(row.closed and row.phase in BAD for row in self.runs)

    @property
    def median_s(self) -> float | None:
        """The median of the seconds that those of `runs` took which have Succeeded; None of none."""
        took = [
            (row.ended_at - row.created_at) / SECOND
            for row in self.runs
            if row.closed and row.phase == "Succeeded" and row.ended_at is not None
        ]
        return median(took) if took else None


async def list_workflows(
    client: Client,
    namespace: str | None = None,
    *,
    newest: int = NEWEST,
    after: WorkflowKey | None = None,
    limit: int | None = None,
) -> list[KnownWorkflow]:
    """List the workflows that are known, by namespace and name.

    Args:
        client: where they are read.
        namespace: only those of this one.
        newest: how many runs come with each.
        after: only those behind this one (namespace, name): the last of the page before.
        limit: how many at the most.
    """
    stored = {(one.namespace, one.name): one.version for one in await client.documents.list(WORKFLOW, namespace)}
    schedules = {(one.schedule.namespace, one.schedule.name): one.schedule for one in await client.schedules.list(namespace)}
    runs: dict[WorkflowKey, list[RunSummary]] = {}
    for row in await client.runs.list(RunQuery(namespace=namespace, newest_of_each=newest)):
        runs.setdefault((row.namespace, row.workflow), []).append(row)
    keys = sorted(key for key in stored.keys() | schedules.keys() | runs.keys() if after is None or key > after)
    return [
        KnownWorkflow(*key, runs.get(key, ()), stored.get(key), schedules.get(key))
        for key in (keys if limit is None else keys[:limit])
    ]
