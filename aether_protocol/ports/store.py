"""The Store port: a run's truth is its numbered list of steps, and what a store tells of it besides (rows, snapshots).

Law: `append` is atomic per run and refuses a run where another writer was first (optimistic lock on the sequence) or where
the writer's fencing token is stale. Values here are ours (LogEntry, Plan, RunHeader); a durable store encodes them itself. No
store reads a clock: instants and leases come in, in microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct, field

from aether_protocol.errors import AetherError
from aether_protocol.expressions.values import Json

if TYPE_CHECKING:  # who lists runs needs none of these
    from aether_protocol.plan.model import Plan
    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.events import RunHeader

MEMORY: Final = "memory"
SNAPSHOT: Final = "snapshot"
STATE_ACTION_LOG: Final = "state-action-log"

BREAKS: Final = 3  # in a row set a run aside


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
    tier: str = MEMORY
    broken: str | None = None


class NewRun(Struct):
    """A run to make known. With an `owner` it is claimed at once, until instant `until`, by a lease of `length_us`.
    `artifacts` are the digests of those that it names from the beginning (a retry keeps task runs)."""

    row: RunSummary
    plan: Plan
    header: RunHeader
    owner: str | None = None
    until: int = 0
    length_us: int | None = None
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
    digests of those that it names, is for `adopt`: a store leaves it empty.
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


class LogLine(Struct):
    """A piece of a task's log, masked. `seq` is the store's, growing; 0 until it is stored.

    `stream` is stdout, stderr or `note`: what the store says itself (older lines were dropped).
    """

    run_id: str
    node: int
    path: str
    attempt: int
    stream: str
    text: str
    at: int
    seq: int = 0


class Request(Struct):
    """What somebody who does not drive the run asks of who does (resume, cancel)."""

    id: int
    run_id: str
    request: Json


class StoredDocument(Struct):
    """One version of a library document. `version` counts from 1 per name; `digest` is the sha256 of `text` in hex."""

    kind: str
    namespace: str
    name: str
    text: str
    digest: str
    version: int
    at: int


class NewDocument(Struct):
    """A document to be kept."""

    kind: str
    namespace: str
    name: str
    text: str


class StoreInfo(Struct):
    """What `aether db` shows. `details` are the adapter's own words (path, durability, version of its library).
    `undigested`: runs that were recorded, at least in part, before records carried digests."""

    schema: int
    runs: int
    open_runs: int
    size: int  # bytes
    details: Mapping[str, str]
    undigested: int = 0


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

    async def adopt(self, run: StoredRun) -> None:
        """Take in a run that another store gave (import), unowned. An id that exists is a UsageError."""
        ...

    async def delete(self, run_ids: Sequence[str], now: int) -> int:
        """Forget runs with all that belongs to them; how many there were. BusyError, and none is deleted, where one is
        open and its owner's lease runs beyond `now`."""
        ...


def goes_on(until: int, length_us: int | None, now: int) -> bool:
    """Whether a lease that ends at `until` and is `length_us` long (None: nobody said) goes on at `now`.

    No right clock can have written one that ends much later than its length from now; as much again is left for clocks that
    are not quite the same.
    """
    return now < until and (length_us is None or until - now <= 2 * length_us)


class LeaseStore(Protocol):
    """Who drives which run. A lease is its owner's, for all runs and locks that it holds; `goes_on` says how long it counts."""

    async def claim(self, run_ids: Sequence[str] | None, owner: str, now: int, until: int) -> list[tuple[str, int]]:
        """Take runs (None: all) that are open, not set aside, and unowned, its own already, or whose owner's lease does not go
        on at `now`.

        Gives (run id, fencing token), oldest run first; the token grows with every change of hands. The owner's lease then
        ends at `until`.
        """
        ...

    async def renew(self, owner: str, held: Mapping[str, int], until: int) -> list[str]:
        """Let the owner's lease end at `until`; which of `held` (run id: token) are not its any more."""
        ...

    async def release(self, owner: str, run_ids: Sequence[str] | None = None) -> None:
        """Give runs back (None: all, its locks too, and its lease). What the owner does not hold is left alone."""
        ...

    async def owner(self, run_id: str, now: int | None = None) -> tuple[str, int] | None:
        """Who claimed this run, and when that lease ends; None where nobody holds it, or the lease does not go on at `now`."""
        ...

    async def owners(self) -> Mapping[str, int]:
        """Every owner that has not given its lease back, with the instant at which it ends (or ended)."""
        ...

    async def lock(self, name: str, owner: str, now: int, until: int) -> bool:
        """Take or keep the lock `name`; False where another's goes on at `now`. `renew` extends it."""
        ...

    async def unlock(self, name: str, owner: str) -> None:
        """Give the lock back if `owner` holds it."""
        ...


class BreakStore(Protocol):
    """Runs that break the engine that drives them, and are set aside so that they do not for ever."""

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        """The run broke its engine, for `reason`, when so many leaves had ended; whether it is set aside now: it is with the
        BREAKS-th time in a row, without a leaf having ended in between. A stale token says nothing."""
        ...

    async def mend(self, run_id: str) -> bool:
        """Let a run that was set aside be claimed again; False if it was not. The next time that it breaks its engine sets it
        aside again."""
        ...


class MailboxStore(Protocol):
    """Requests to whoever drives a run; delivered at least once, answered once."""

    async def post(self, run_id: str, request: Json) -> int:
        """Ask; the request's id. An unknown run is a UsageError."""
        ...

    async def requests(self, owner: str) -> list[Request]:
        """What is asked of the runs of `owner` and not answered yet, oldest first. From now on none of it can be taken back."""
        ...

    async def answered(self, id_: int, answer: Json) -> None:
        """Answer a request (not with None). The first answer counts."""
        ...

    async def answer(self, id_: int) -> Json | None:
        """The answer, once it is there; reading it ends the request. None: not yet."""
        ...

    async def withdraw(self, id_: int) -> bool:
        """Take back a request that nobody has been given; False if somebody has, or it is answered or unknown."""
        ...


class LogStore(Protocol):
    """What tasks wrote. Bounded per task run: the oldest is dropped, and a line of stream `note` says so."""

    async def write_logs(self, lines: Sequence[LogLine]) -> None:
        """Keep lines in this order. Those of unknown runs are dropped."""
        ...

    async def read_logs(self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000) -> list[LogLine]:
        """Lines with a greater `seq` than `after`, in order; with `path` of the task run there and of those below it."""
        ...


class DocumentStore(Protocol):
    """The library: documents by kind, namespace and name, each with its versions."""

    async def put_document(self, kind: str, namespace: str, name: str, text: str, at: int) -> StoredDocument:
        """Keep a version; the text that is the newest one already makes none."""
        ...

    async def put_documents(self, documents: Sequence[NewDocument], at: int) -> list[tuple[StoredDocument, bool]]:
        """As `put_document`, all or none in one go; with each whether it made a version."""
        ...

    async def get_document(self, kind: str, namespace: str, name: str, digest: str | None = None) -> StoredDocument | None:
        """The newest version, or the one with `digest`."""
        ...

    async def document_versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        """All versions, newest first; none of an unknown document."""
        ...

    async def list_documents(self, kind: str | None = None, namespace: str | None = None) -> list[StoredDocument]:
        """The newest version of each, by kind, namespace and name."""
        ...

    async def remove_document(self, kind: str, namespace: str, name: str) -> bool:
        """Forget all versions; False if there was none."""
        ...


class UpkeepStore(Protocol):
    """What `aether db` does."""

    async def info(self) -> StoreInfo: ...

    async def check(self) -> list[str]:
        """What is wrong inside, in words; empty if all is well. Reads everything, changes nothing."""
        ...

    async def vacuum(self) -> None:
        """Give unused space back."""
        ...

    async def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date: its version before and after."""
        ...

    async def artifacts(self) -> Mapping[str, str]:
        """The digests of all artifacts that runs name, each with the id of one that does."""
        ...


class Store(RunStore, LeaseStore, BreakStore, MailboxStore, LogStore, DocumentStore, UpkeepStore, Protocol):
    """Everything above. Every method raises PortError when the outside fails.

    `durable`: what is written survives this process, and others may read and write it too. `tier` is how new runs are kept.
    """

    @property
    def durable(self) -> bool: ...

    @property
    def tier(self) -> str: ...

    async def close(self) -> None: ...
