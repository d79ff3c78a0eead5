"""The one "did you mean": the known name that an unknown one was probably meant to be.

Law: advice is bounded, so that documents with many faults are checked as fast as others. A name is compared with a few that
agree with it in one half; all comparisons for one reader together have a budget, and the names after it get no suggestion.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

BUDGET: Final = 2_000  # comparisons for one document
LONGEST: Final = 100  # characters of a name that is compared at all
_ALL: Final = 30  # so many names are compared as they are, and no more of any number
_LOOK: Final = 16  # names that are looked at for the cost of one comparison


class Suggestions:
    """Suggests as long as the budget lasts."""

    __slots__ = ("left",)

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget

    def nearest(self, name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
        """The name in `known` that is most like `name`, or None where none is, or nothing is left of the budget."""
        found = self.closest(name, known, 1, cutoff)
        return found[0] if found else None

    def closest(self, name: str, known: Collection[str], most: int, cutoff: float = 0.6) -> list[str]:
        """At most so many names in `known` that are like `name`, the nearest first."""
        if self.left <= 0 or len(name) > LONGEST:
            return []
        self.left -= len(known) // _LOOK
        candidates = _candidates(name, known)
        self.left -= len(candidates)
        from difflib import get_close_matches  # a fault is rare, and its import is a millisecond

        return get_close_matches(name, candidates, most, cutoff)


def suggest(name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """As `Suggestions.nearest`, for one question."""
    return Suggestions().nearest(name, known, cutoff)


def did_you_mean(name: str, known: Collection[str], otherwise: str | None = None) -> str | None:
    """The hint that proposes the nearest name; `otherwise` where none is near."""
    near = suggest(name, known)
    return f"did you mean {near!r}?" if near is not None else otherwise


def _candidates(name: str, known: Collection[str]) -> Collection[str]:
    if len(known) <= _ALL:
        return known
    half = max(len(name) // 2, 1)
    start, end = name[:half], name[-half:]
    return [one for one in known if one.startswith(start) or one.endswith(end)][:_ALL]
