"""Leases: which engine drives which run, and who holds which lock.

A run's token grows with every change of hands, in the transaction that changes its owner; what the owner before still
appends is refused from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

BREAKS: Final = 3  # in a row set a run aside
FOREVER: Final = 1 << 61  # the end of a lease without an end

Scope = Literal["ready", "woken", "all"]
"""Which runs a claim of any runs takes: `ready`, those that are awake, and passivated ones that are due or asked for something;
`woken`, of these the passivated ones alone; `all`, also passivated ones whose time has not come."""


class Lease(Struct, frozen=True):
    """The lease of an owner. `left` are the microseconds until it ends by the store's clock (negative: since it ended); `live`
    says whether it counts."""

    owner: str
    left: int
    live: bool


def lives(until: int, length_us: int | None, now: int) -> bool:
    """Whether a lease that ends at `until` and is `length_us` long (None: without an end) counts at `now`.

    One that ends later than twice its length from now was written before the store's clock was set back, by an owner that has
    not renewed it since: it could not be waited for (RT-85).
    """
    return now < until and (length_us is None or until - now <= 2 * length_us)


class LeaseStore(Protocol):
    """Who drives which run. A lease is its owner's, for all runs and locks that it holds.

    The store alone measures leases, by one clock of its own: no caller gives it an instant, so clocks of engines may differ by
    any amount. `ttl` is the length of a lease in microseconds; None: it has no end.
    """

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        """Take runs that are open, not set aside, and unowned, the owner's own already, or whose owner's lease does not count.

        What is taken is awake. Engines that passivate ask for `woken` every second: where there is nothing, it should cost a
        look and no write.

        Args:
            owner: Who takes them; its lease lasts for `ttl` from now on, if it takes any.
            ttl: The length of that lease.
            limit: How many runs at most.
            run_ids: Only these, asleep or not; None: any of `scope`.
            scope: Which ones, where none are named.

        Returns:
            (run id, fencing token), oldest run first, and those that the owner held already last. The token grows with every
            change of hands.
        """
        ...

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        """Let the owner's lease, and its locks, last for `ttl` from now on.

        Args:
            owner: Who holds them.
            ttl: The length of the lease.
            held: The runs that it drives, each with its token.

        Returns:
            Those of `held` that are no longer its own.
        """
        ...

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        """Release runs. What the owner does not hold is left alone.

        Args:
            owner: Who holds them.
            run_ids: Which ones. Neither these nor `sleeps`: all, its locks too, and its lease.
            sleeps: Runs that are passivated, with the microseconds until each is due (None: it is woken only by a request).
                A claim of `ready` runs passes over them until then.
        """
        ...

    async def owner(self, run_id: str) -> Lease | None:
        """Who claimed this run last, and did not release it; None where no engine did."""
        ...

    async def owners(self) -> list[Lease]:
        """Every owner that has not released its lease, by name."""
        ...

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        """Take a lock, or keep it; False where another owner's counts. `renew` extends it.

        Args:
            name: Of the lock.
            owner: Who takes it.
            ttl: For how long.
        """
        ...

    async def unlock(self, name: str, owner: str) -> None:
        """Release the lock if `owner` holds it."""
        ...

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        """Record that a run broke its engine; whether it is set aside now.

        It is with the BREAKS-th time in a row, without a leaf having ended in between.

        Args:
            run_id: The run.
            token: Of the engine that drove it; a stale one changes nothing.
            ended: How many leaves had ended.
            reason: What went wrong, for people.
        """
        ...
