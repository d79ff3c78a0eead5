"""Runs: their log entries, rows and snapshots; the part of a store that every other part refers to.

`append` is atomic per run and refuses a run where another writer was first (optimistic lock on the sequence) or where
the writer's fencing token is stale. Values here are the package's own (LogEntry, Plan, RunHeader); durable stores encode them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct, field

from aether_protocol.errors import AetherError, ConflictError

if TYPE_CHECKING:  # who lists runs needs none of these
    from aether_protocol.plan.model import Plan
    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.events import RunHeader


FIRST_TOKEN: Final = 1  # of a run that is created with an owner; 0 without
LATEST: Final = "latest"  # in the place of a run's id: the newest one
NEVER: Final = 1 << 62  # the instant at which a run is due that only a request wakes


class RunSummary(Struct):
    """What lists show and filters ask of a run, and the head of its report. `digest` is its plan's. `document_version` is the
    number of the stored version that the run was started from by its name; None where it was not. `trace_id`: of the
    trace that the run is in.

    `closed`: the run has ended and its hooks too. A store fills in when it reads: `tier`, how the run is kept; `broken`, why it
    was set aside; `wake_at`, when a passivated run is due by the store's clock (NEVER: only a request wakes it). `driven`,
    where a client is asked for it: whether a process drives an open run (none drives one that was set aside). Appends change
    phase, message, started_at, ended_at, closed, seq and the counts; everything else is said once, by `create`.
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
    wake_at: int | None = None
    document_version: int | None = None
    trace_id: str | None = None
    driven: bool | None = None


class RunKey(Struct, frozen=True):
    """What makes a submission idempotent: of the runs of a namespace at most one has this key, as long as it is kept.

    `digest` is that of what was asked for.
    """

    key: str
    digest: str


class KeyTakenError(ConflictError):
    """An idempotency key names another run already.

    Args:
        key: the key.
        run_id: the run that it names.
        first: the digest of what it was given for then.
        given: the digest of what it was given for now.
    """

    def __init__(self, key: str, run_id: str, *, first: str, given: str) -> None:
        message = f"the idempotency key {key!r} named run {run_id!r} before, for other content"
        super().__init__(message, hint="give the content that it had then, or another key")
        self.run_id = run_id
        self.first = first
        self.given = given


class NewRun(Struct):
    """A run to record. With an `owner` it is claimed at once, by a lease of `ttl` (see `LeaseStore`), under FIRST_TOKEN.
    `artifacts` are the digests of those that it names from the beginning (a retry keeps task runs). `key`: for `create` alone.
    """

    row: RunSummary
    plan: Plan
    header: RunHeader
    owner: str | None = None
    ttl: int | None = None
    artifacts: Sequence[str] = ()
    key: RunKey | None = None


class RunAppend(Struct):
    """Steps of one run, and what they change. All of it are values, as of the last of these steps.

    Attributes:
        run_id: The run.
        expected_seq: The step that these follow.
        steps: One or more; the list is the store's to keep.
        leaves_ended: How many leaves have ended.
        row: The row, given where more of it has changed than `seq` and `leaves_ended` since it was given last, with `snapshot`,
            and with `closed`; None: that is all. It is the store's to keep.
        snapshot: The whole state as text, where the engine finds one due: it takes the place of the snapshot before. On tier
            `snapshot` a store keeps this and no steps: an append without one is checked, and nothing of it is kept but
            `artifacts` and `new_runs`; one that closes the run always has one. Before a run is passivated its state is saved
            without a new step: `steps` is an empty entry of the number that `expected_seq` has.
        token: What `create` or `claim` gave.
        closed: The run closes with these steps.
        artifacts: Digests of the artifacts that the steps name: they are the run's from then on, until it is deleted.
        new_runs: Runs that begin with these steps (a child run), created in the same transaction: all of the append is
            written, or nothing. Where the id of one is taken the append is refused with a UsageError.
    """

    run_id: str
    expected_seq: int
    steps: list[LogEntry]
    leaves_ended: int
    row: RunSummary | None = None
    snapshot: str | None = None
    token: int = 0
    closed: bool = False
    artifacts: Sequence[str] = ()
    new_runs: Sequence[NewRun] = ()


class StoredRun(Struct):
    """All that is needed to recover a run: its snapshot, if there is one, and the encoded steps after it
    (scheduler.snapshot, scheduler.codec).

    The last line is step `row.seq`; without lines the snapshot is of that step (or the run has no step yet). `artifacts`, the
    digests of those that it names, is for `import_run`: `load` leaves it empty. `epoch` is 0 until the run may go on from an
    earlier state than others saw, and grows each time: with every claim in a tier that loses steps, and with an import.
    """

    row: RunSummary
    plan: Plan
    header: RunHeader
    snapshot: str | None
    lines: list[str]
    artifacts: Sequence[str] = ()
    epoch: int = 0


class RunQuery(Struct):
    """Which runs to list: all, where nothing is said. Empty and None do not restrict (but with `namespaces`, which names all
    that may be: empty gives nothing); the others all hold.

    `since` and `until` bound the creation (until exclusive), `ended_before` the end. `before` is (created_at, run_id) of the
    last row of the page before. With `asleep` only passivated runs come, and the one that is due next comes first.
    `newest_of_each`: of the runs that fit, of each workflow (by namespace and name) only so many, the newest; at least 1.
    `before` and `limit` are of what is left then.
    """

    phases: Sequence[str] = ()
    name: str | None = None
    namespace: str | None = None
    namespaces: Sequence[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: int | None = None
    until: int | None = None
    ended_before: int | None = None
    closed: bool | None = None
    limit: int | None = None
    before: tuple[int, str] | None = None
    digest: str | None = None
    prefix: str = ""  # of the run id
    text: str = ""  # in the id, the name of the workflow or the message; ASCII letters of either case are alike
    retries: bool = False  # only runs that retry another one
    asleep: bool = False
    newest_of_each: int | None = None


_SMALL: Final = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}


def lower_ascii(text: str) -> str:
    """Make ASCII letters small, and leave all others as they are: what every store can do alike (`RunQuery.text`)."""
    return text.translate(_SMALL)


class RunStore(Protocol):
    """Runs: their steps, rows and snapshots."""

    async def create(self, run: NewRun) -> int:
        """Record a new run; its fencing token (0 without an owner).

        Raises:
            KeyTakenError: There is a run with its key.
            ConflictError: There is a run of this id.
            NotFoundError: The run that it retries was deleted, and what it names of that one with it.
        """
        ...

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        """Record steps of several runs in one transaction; their commands are not recorded.

        Returns:
            The runs that were refused, with the reason: BusyError where another writer was first or the token is stale,
            UsageError for an unknown run and for a new run whose id is taken. Nothing of these is written, all of the others
            is.

        Raises:
            PortError: The outside failed: nothing is written at all.
        """
        ...

    async def load(self, run_id: str) -> StoredRun:
        """Read a run as it is now. Raises UsageError for an unknown one, and for one whose past was not kept."""
        ...

    async def row(self, run_id: str) -> RunSummary | None:
        """Read a run's row; None for an unknown run."""
        ...

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        """List the rows that `query` asks for, newest first; of equal age the greater run id first."""
        ...

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        """List the steps of a run that are kept, oldest first, each with its number, which shows what is missing.

        Args:
            run_id: The run.
            after: The number of the last step that is known already.
            limit: About how many at most.

        Raises:
            UsageError: Unknown run.
        """
        ...

    async def import_run(self, run: StoredRun) -> None:
        """Record a run that another store gave, unowned. Raises UsageError for an id that exists."""
        ...

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Delete runs with all that belongs to them; how many there were. Raises BusyError, and deletes none, where one is
        open and its owner's lease counts."""
        ...
