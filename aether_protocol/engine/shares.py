"""How many runs an engine may hold beside others on the same store: arithmetic, and nothing else.

The share of each is the same part of all open runs, rounded up; what it may hold is a tenth more, so that a run which ends or
begins somewhere moves no other one. An engine claims up to that, and releases what is above it; both go by one bound, so what
one engine releases the next one has room for, and no run goes back and forth while nothing begins or ends.
"""

from __future__ import annotations

from typing import Final

SLACK: Final = 10  # a tenth above the share


def most_of(open_runs: int, engines: int) -> int:
    """Return how many runs one of `engines` may hold.

    Args:
        open_runs: that are driven by any of them, or by none.
        engines: how many there are, at least one.
    """
    share = -(-open_runs // engines)
    return share + share // SLACK


def to_claim(held: int, open_runs: int, engines: int) -> int:
    """Return how many free runs an engine may take.

    Args:
        held: how many it drives.
        open_runs: see `most_of`.
        engines: see `most_of`.
    """
    return max(most_of(open_runs, engines) - held, 0)


def to_release(held: int, open_runs: int, engines: int) -> int:
    """Return how many runs an engine has to release for others. One that is alone keeps all.

    Args:
        held: how many it drives.
        open_runs: see `most_of`.
        engines: see `most_of`.
    """
    return max(held - most_of(open_runs, engines), 0)
