"""Runs: their log entries, rows and snapshots; the part of a store that every other part refers to.

Law: `append` is atomic per run and refuses a run where another writer was first (optimistic lock on the sequence) or where
the writer's fencing token is stale. Values here are the package's own (LogEntry, Plan, RunHeader); durable stores encode them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from aether_protocol.errors import AetherError

if TYPE_CHECKING:  # who lists runs needs none of these
    from aether_protocol.plan.model import Plan
    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.events import RunHeader


class RunSummary(Struct):
    """What lists show and filters ask of a run, and the head of its report. `digest` is its plan's.

    `closed`: the run has ended and its hooks too. `tier` is how the run is kept, `broken` why it was set aside (BreakStore); a
    store fills both in when it reads. Appends change phase, message, started_at, ended_at, closed, seq and the counts;
    everything else is said once, by `create`.
    """

    run_id: str
    workflow: str
    namespace: str
    version: str | None
    labels: Mapping[str, str]
    phase: str
    message: str
    created_at: int
    started_at: int | None
    ended_at: int | None
    closed: bool
    seq: int
    leaves_ended: int
    leaves_known: int
    digest: str
    retry_of: str | None = None
    tier: str = "memory"
    broken: str | None = None


class NewRun(Struct):
    """A run to make known. With an `owner` it is claimed at once, by a lease of `ttl` (see `LeaseStore`).
    `artifacts` are the digests of those that it names from the beginning (a retry keeps task runs)."""

    row: RunSummary
    plan: Plan
    header: RunHeader
    owner: str | None = None
    ttl: int | None = None
    artifacts: Sequence[str] = ()


class RunAppend(Struct):
    """Steps of one run that follow step `expected_seq`. The list is the store's to keep.

    `row` and `snapshot` make what they say, as of the last of these steps; they are called before `append` returns or not
    at all, except that a store that keeps nothing may keep `row` until the run is closed. `token` is what `create` or
    `claim` gave. `closed`: the run closes with these steps. `progress` is the number of leaves ended where that and `seq` are
    all that the row says anew since step `expected_seq`; None where it says more, or nobody looked. `artifacts` are the digests
    of those that the steps name; they are the run's from then on, until it is deleted.
    """

    run_id: str
    expected_seq: int
    steps: list[LogEntry]
    row: Callable[[], RunSummary]
    snapshot: Callable[[], str]
    token: int = 0
    closed: bool = False
    progress: int | None = None
    artifacts: Sequence[str] = ()


class StoredRun(Struct):
    """All that is needed to have a run back: its snapshot, if there is one, and the encoded steps after it
    (scheduler.snapshot, scheduler.codec).

    The last line is step `row.seq`; without lines the snapshot is of that step (or the run has no step yet). `artifacts`, the
    digests of those that it names, is for `import_run`: `load` leaves it empty.
    """

    row: RunSummary
    plan: Plan
    header: RunHeader
    snapshot: str | None
    lines: list[str]
    artifacts: Sequence[str] = ()


class RunQuery(Struct):
    """Which runs to list: all, where nothing is said. Empty and None do not restrict; the others all hold.

    `since` and `until` bound the creation (until exclusive), `ended_before` the end. `before` is (created_at, run_id) of the
    last row of the page before.
    """

    phases: Sequence[str] = ()
    name: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: int | None = None
    until: int | None = None
    ended_before: int | None = None
    closed: bool | None = None
    limit: int | None = None
    before: tuple[int, str] | None = None
    prefix: str = ""  # of the run id
    retries: bool = False  # only runs that retry another one


class RunStore(Protocol):
    """Runs: their steps, rows and snapshots."""

    async def create(self, run: NewRun) -> int:
        """Make a new run known; its fencing token (0 without an owner). An id that exists is a UsageError."""
        ...

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        """Record the steps of several runs, all in one go; their commands are not recorded.

        The runs that were refused, with the reason: BusyError where another writer was first or the token is stale,
        UsageError for an unknown run. Nothing of these is written, all of the others is. Raises PortError when the outside
        fails: then nothing is written at all.
        """
        ...

    async def load(self, run_id: str) -> StoredRun:
        """A run as it is now. UsageError for an unknown one, and for one whose past was not kept."""
        ...

    async def row(self, run_id: str) -> RunSummary | None:
        """A run's row, None for an unknown run."""
        ...

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        """The rows that `query` asks for, newest first; of equal age the greater run id first."""
        ...

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        """(number, encoded step) of the steps after number `after`, oldest first, at most about `limit` of those that are
        kept: the numbers show what is missing. An unknown run is a UsageError."""
        ...

    async def import_run(self, run: StoredRun) -> None:
        """Take in a run that another store gave, unowned. An id that exists is a UsageError."""
        ...

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Forget runs with all that belongs to them; how many there were. BusyError, and none is deleted, where one is
        open and its owner's lease counts."""
        ...
