"""Leases: which engine drives which run, and who holds which lock.

Law: a run's token grows with every change of hands, in the transaction that changes its owner; what the owner before still
appends is refused from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

BREAKS: Final = 3  # in a row set a run aside


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

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        """The run broke its engine, for `reason`, when so many leaves had ended; whether it is set aside now: it is with the
        BREAKS-th time in a row, without a leaf having ended in between. A stale token says nothing."""
        ...
