"""What is wrong inside of a store in SQL: rows that do not fit their digests, chains of steps with gaps, rows that belong to
nothing. Nothing here raises, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from aether_protocol.adapters.stores.sql.records import COVERED, fits, has_types, next_sum, sum_of_moved
from aether_protocol.adapters.stores.sql.work import Row, Work, fetch
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

MOST: Final = 1_000  # faults that are reported
_KEPT: Final = {SNAPSHOT: "snapshot", STATE_ACTION_LOG: "log"}


def _of(table: str, columns: str) -> str:
    return ", ".join([f"{table}.{name}" for name in columns.split(", ")])


_FIXED: Final = len(COVERED["fixed"].split(", "))
_MOVED: Final = len(COVERED["moved"].split(", "))

# The columns of a run, the number, whether its row must be at the newest step, its head, its plan, its snapshot.
RUNS_TO_CHECK: Final = (
    f"SELECT {_of('runs', COVERED['fixed'])}, runs.fixed, {_of('runs', COVERED['moved'])}, runs.moved, runs.head, "
    f"runs.number, closed = 1 OR tier = 'snapshot', {_of('heads', COVERED['heads'])}, heads.sum, plans.number, "
    f"{_of('snapshots', COVERED['snapshots'])}, snapshots.sum FROM runs LEFT JOIN heads ON heads.run = runs.number "
    "LEFT JOIN plans ON plans.number = plan LEFT JOIN snapshots ON snapshots.run = runs.number ORDER BY runs.number"
)
STEPS_TO_CHECK: Final = "SELECT id, last, ended, %s, lines, sum FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
OF_RUNS: Final = {  # rows that must belong to a run, by that column
    "steps": "id >> 32",
    "heads": "run",
    "snapshots": "run",
    "requests": "run",
    "logs": "run",
    "log_bounds": "run",
    "artifacts": "run",
    "keys": "run",
}
# A name for a row by its columns, for each table of which a row stands for itself.
NAMED_ROWS: Final[Mapping[str, str]] = {
    "requests": "'request ' || id",
    "logs": "'line ' || id || ' of the logs'",
    "log_bounds": "'what was dropped of the logs of ' || path",
    "keys": "'the idempotency key ' || key",
    "documents": "'document ' || name",
    "document_marks": "'what became of ' || file",
    "schedules": "'schedule ' || name",
    "fires": "'fire ' || id",
    "tokens": "'token ' || token",
    "namespaces": "'namespace ' || name",
    "audit": "'audit record ' || id",
    "identity": "'the name of the store'",
    "terms": "'the key of the fleet'",
    "workers": "'worker ' || name",
    "servers": "'server ' || owner",
}
STRAY: Final = "SELECT count(*) FROM {} WHERE {} NOT IN (SELECT number FROM runs)"
LOST_FIRES: Final = "SELECT count(*) FROM fires WHERE schedule NOT IN (SELECT number FROM schedules)"
LOST_PLANS: Final = "SELECT name FROM schedules WHERE plan NOT IN (SELECT number FROM plans)"
UNBOUND: Final = "SELECT count(*) FROM logs WHERE (run, path) NOT IN (SELECT run, path FROM log_bounds)"
_PAGE: Final = 10_000  # rows that are read at once


def faults(chained_change: str) -> Work[list[str]]:
    """Read everything; what is wrong, in words. `chained_change` as in `SqlDatabase`."""
    found: list[str] = []
    for number, digest, text in (yield from fetch("SELECT number, digest, text FROM plans")):
        found += plan_faults(number, digest, text)
    found += [f"schedule {name} has lost its plan" for (name,) in (yield from fetch(LOST_PLANS))]
    for row in (yield from fetch(RUNS_TO_CHECK)):
        number = number_of(row)
        bounds = (number << 32, ((number + 1) << 32) - 1)
        found += run_faults(row, (yield from fetch(STEPS_TO_CHECK % chained_change, bounds)))
    for table, where in OF_RUNS.items():
        ((count,),) = yield from fetch(STRAY.format(table, where))
        found += [f"{count} rows of {table} do not belong to a run"] if count else []
    for table, name in NAMED_ROWS.items():
        found += yield from _faults_of_table(table, name)
    ((lost,),) = yield from fetch(LOST_FIRES)
    found += [f"{lost} fires do not belong to a schedule"] if lost else []
    ((unbound,),) = yield from fetch(UNBOUND)
    return [*found, *([f"{unbound} lines of logs are not counted"] if unbound else [])]


def _faults_of_table(table: str, name: str) -> Work[list[str]]:
    """Read a table, in pages where its rows have numbers."""
    text = f"SELECT {COVERED[table]}, sum, {name} FROM {table}"
    if not COVERED[table].startswith("id, "):
        return list(row_faults(table, (yield from fetch(text))))
    found: list[str] = []
    after = 0
    while rows := (yield from fetch(f"{text} WHERE id > ? ORDER BY id LIMIT {_PAGE}", (after,))):
        found += row_faults(table, rows)
        after = rows[-1][0]
    return found


def plan_faults(number: int, digest: Any, text: Any) -> Iterator[str]:
    """Find the fault of a plan."""
    if not isinstance(text, str) or sha256(text.encode("utf-8", "surrogateescape")).hexdigest() != digest:
        yield f"plan {number} does not fit its digest"


def number_of(row: Row) -> int:
    """The number of the run of a row of RUNS_TO_CHECK."""
    number: int = row[_FIXED + _MOVED + 3]
    return number


def run_faults(row: Row, rows_of_steps: Iterable[Row]) -> Iterator[str]:
    """Find the faults of one run: `row` is of RUNS_TO_CHECK, the others of STEPS_TO_CHECK."""
    fixed, (fixed_sum, *others) = row[:_FIXED], row[_FIXED:]
    moved, (moved_sum, head, number, exact, *kept) = others[:_MOVED], others[_MOVED:]
    whose = f"run {fixed[0]!r}"
    right = fits("fixed", fixed, fixed_sum) and has_types("moved", moved) and isinstance(head, bytes | None)
    if not right or sum_of_moved(moved, head) != moved_sum:
        yield f"the row of {whose} does not fit its digest"
        return
    if kept[0] is None or kept[4] is None:
        yield f"{whose} has lost its plan or its header"
    elif not fits("heads", kept[:3], kept[3]):
        yield f"the header of {whose} does not fit its digest"
    saved = 0
    if kept[5] is not None:
        if not fits("snapshots", kept[5:8], kept[8]):
            yield f"the snapshot of {whose} does not fit its digest"
            return
        saved = kept[6]
    seq, tier = moved[5], fixed[8]
    steps = _StepChain(number, saved, seq)
    yield from (f"{whose} {fault}" for fault in steps.faults(rows_of_steps))
    reached = max(steps.expected - 1, saved)
    if reached < seq or (exact and reached != seq):
        yield f"{whose} is at step {seq}, its {_KEPT.get(tier, 'record')} at {reached}"
    elif head is not None and steps.head != head:
        yield f"the log of {whose} is not the one that its row was written with"


class _StepChain:
    """The chain of a run's rows of steps. `head` is the digest of the row whose last step is `seq`, where there is one."""

    def __init__(self, number: int, saved: int, seq: int) -> None:
        self.expected = 1
        self.head: bytes | None = None
        self._base = number << 32
        self._saved = saved
        self._seq = seq

    def faults(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
        before: bytes | None = b""
        for id_, last, ended, change, lines, sum_ in rows:
            first = id_ - self._base
            if (type(last), type(ended), type(change), type(lines)) != (int, int, int, str):
                yield f"has a damaged record from step {first} on"
                return
            if first != self.expected and not (self.expected == 1 and first == self._saved + 1):
                yield f"has no steps {self.expected} to {first - 1}"
                before = None
            self.expected = last + 1
            if sum_ is None:
                yield f"has no digest of steps {first} to {last}"
            elif before is not None and next_sum(before, id_, last, ended, change, lines) != sum_:
                yield f"has steps {first} to {last} that do not fit their digest"
            before = sum_ if isinstance(sum_, bytes) else b""
            if last == self._seq:
                self.head = before


def row_faults(table: str, rows: Iterable[Row]) -> Iterator[str]:
    """Find rows that do not fit their digest; each ends with its digest and a name for it."""
    for *values, sum_, shown in rows:
        if not fits(table, values, sum_):
            yield f"{shown} does not fit its digest"
