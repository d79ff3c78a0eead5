"""Where lines run between two layers: each net (all lines to the same boxes) has a track, and nets that do not meet share one.

Law: a line that comes down on a column leaves it above the one that begins there, wherever that is possible, so that no
two nets seem to be one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Final

Net = frozenset[int]  # the columns to which it leads
STRAIGHT: Final = -1  # in place of a track: it runs straight down


def tracks(hops: Mapping[int, Net]) -> dict[Net, int]:
    """Give each net its track, 0 being the highest.

    Args:
        hops: by the column where a line leaves a box, those to which it leads.
    """
    sources: dict[Net, list[int]] = {}
    for column, net in hops.items():
        sources.setdefault(net, []).append(column)
    spans = {net: (min(*columns, *net), max(*columns, *net)) for net, columns in sources.items()}
    found = {net: STRAIGHT for net, (left, right) in spans.items() if left == right}
    taken: list[list[tuple[int, int]]] = []  # by track the spans there, sorted
    for net in _in_order([net for net in sorted(sources, key=spans.__getitem__) if net not in found], hops):
        track = 1 + max((found.get(hops[column], STRAIGHT) for column in net if hops.get(column, net) != net), default=STRAIGHT)
        while track < len(taken) and _meets(taken[track], spans[net]):
            track += 1
        while track >= len(taken):
            taken.append([])
        insort(taken[track], spans[net])
        found[net] = track
    return found


def count_tracks(hops: Mapping[int, Net]) -> int:
    """How many tracks there are."""
    return max(tracks(hops).values(), default=STRAIGHT) + 1


def _in_order(nets: list[Net], hops: Mapping[int, Net]) -> list[Net]:
    """Each net behind those that begin at a column where it ends, as far as that can be."""
    out: list[Net] = []
    state: dict[Net, bool] = {}  # False: it is being looked at, True: it has its place
    known = set(nets)
    for first in nets:
        stack = [first]
        while stack:
            net = stack[-1]
            if net not in state:
                state[net] = False
                stack += [above for column in net if (above := hops.get(column, net)) in known and above not in state]
                continue
            stack.pop()
            if not state[net]:
                state[net] = True
                out.append(net)
    return out


def _meets(spans: list[tuple[int, int]], span: tuple[int, int]) -> bool:
    """Whether it would touch one of them, which do not touch each other."""
    at = bisect_left(spans, span)
    before = at > 0 and spans[at - 1][1] + 1 >= span[0]
    return before or (at < len(spans) and spans[at][0] <= span[1] + 1)
