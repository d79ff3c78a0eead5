"""Work on a database: a generator of statements, which is given the rows of each before it says the next.

Law: work has no other effect than its statements and its result, so it may be carried out again from the start where its
transaction was rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct

Row = tuple[Any, ...]


class Rows(list[Sequence[Any]]):
    """The values of a statement that is carried out once for each, whose results are not wanted."""


Statement = tuple[str, Sequence[Any]]  # its text, and its values


class Result(Struct, frozen=True):
    """What a statement gave: its rows, and how many it changed."""

    rows: list[Row]
    changed: int


_NOTHING: Final = Result([], 0)
T = TypeVar("T")
Work = Generator[Statement, Result, T]


class SqlDatabase(Protocol):
    """What shared facets need of a database, each answer in its dialect."""

    path: str  # names it in errors
    chained_change: str  # the column of `steps` that their digests cover as the number of the change
    for_update: str  # the end of a SELECT of runs that are to be changed
    if_free: str  # after `for_update`: pass over what is being changed at this moment
    for_key: str  # the end of a SELECT of a plan or run that must stay until the transaction ends
    holds_label: str  # the condition that `labels` contain a text
    holds_text: str  # the condition that the id, the workflow or the message contain a text, whose ASCII letters are small
    holds_namespace: str  # the condition that `namespace` is one of a list
    is_in: str  # the condition that `number` is one of what a selection, in the place of {}, gives
    for_each: str  # the join of `kinds` with `found`, what a selection, in the place of {}, gives for each of them
    gone_owner: str  # the condition that an owner of `owners` has died, whatever its lease says

    async def transact(
        self, make: Callable[[], Work[T]], lock: str = "", *, again: Callable[[], Work[T]] | None = None
    ) -> T:
        """Carry work out in one transaction: all of it, or nothing.

        Args:
            make: Makes the work; asked again where the transaction is to be repeated.
            lock: Of work with the same lock, one at a time is carried out.
            again: Makes what is carried out where it cannot be known whether the transaction before was committed.
        """
        ...

    async def query(self, make: Callable[[], Work[T]], *, bulk: bool = False) -> T:
        """Carry out work that reads, all of it at the same moment. `bulk`: it may bring, or look at, very much."""
        ...

    def list_value(self, values: Sequence[str]) -> Any:
        """Make the value for `holds_namespace`."""
        ...

    def next_ids(self, table: str, count: int = 1) -> Work[Sequence[int]]:
        """Find the ids, growing, that the next rows of a table with numbers of its own shall have."""
        ...

    def record_change(self, run: int, gone: str | None = None, namespace: str | None = None) -> Work[None]:
        """Record a change of the run of this number for the feed; of one that was deleted, `gone` is the id and `namespace`
        that which it was of."""
        ...

    def clock(self) -> Work[int]:
        """Read the clock by which leases are measured."""
        ...


def fetch(text: str, values: Sequence[Any] = ()) -> Work[list[Row]]:
    """Run a statement; its rows."""
    return (yield text, values).rows


def fetch_one(text: str, values: Sequence[Any] = ()) -> Work[Row | None]:
    """Run a statement; its first row, None where there is none."""
    rows = (yield text, values).rows
    return rows[0] if rows else None


def change(text: str, values: Sequence[Any] = ()) -> Work[int]:
    """Run a statement; how many rows it changed."""
    return (yield text, values).changed


def run(execute: Callable[[str, Sequence[Any]], Any], work: Work[T]) -> T:
    """Carry work out on a connection that waits for nothing, by the `execute` of DB-API 2."""
    answer: Result | None = None
    try:
        while True:
            text, values = work.send(answer)  # type: ignore[arg-type]  # None begins it
            if type(values) is Rows:
                for one in values:
                    execute(text, one)
                answer = _NOTHING
            else:
                cursor = execute(text, values)
                answer = Result(cursor.fetchall(), cursor.rowcount)
    except StopIteration as end:
        result: T = end.value
        return result
