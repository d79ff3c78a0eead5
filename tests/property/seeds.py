"""Seeds of the simulations, as tests play them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from aether_protocol.testing.simulation.__main__ import told
from aether_protocol.testing.simulation.play import Played


def part_of(seeds: int, part: int, parts: int) -> range:
    """The seeds of one part, where several processes share the work."""
    return range(part * seeds // parts, (part + 1) * seeds // parts)


def all_hold(play: Callable[[int], Played], seeds: Iterable[int]) -> Counter[str]:
    """Play seeds, in which every law has to hold; what happened in them, counted."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        played = play(seed)
        assert played.law is None, told(played)
        counts.update(played.counts)
    return counts


def first_failure(play: Callable[[int], Played], seeds: int) -> Played:
    """The first seed in which a law is broken; it has to be noticed."""
    failed = next((played for played in map(play, range(seeds)) if played.law is not None), None)
    assert failed is not None, "nothing is noticed"
    return failed
