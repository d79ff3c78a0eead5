"""Where the boxes of a picture lie: layers from top to bottom, each group laid out by itself, from the inside out.

Law: no recursion and no quadratic step. Arrows join neighbours of one group only, so a group is a box of known size to
the group around it. Long arrows run over invisible points, one per layer and source (of several arrows to one box: one per
layer and target), so that they pass beside the boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct, field

from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.graph.tracks import count_tracks

MAX_POINTS: Final = 20_000  # invisible points of one group; beyond, long arrows are drawn straight
SWEEPS: Final = 6


class Metrics(Struct, frozen=True):
    """Sizes of one output format.

    Attributes:
        size: of a box without children, its width and height.
        head: of a group of this width at least: the width that its heading needs, and the height.
        pad: left, right and below the children of a group.
        gap: between boxes of a layer.
        layer_gap: between layers, by the number of tracks there.
        room: a width that is kept to where that can be, by more layers; 0: none.
    """

    size: Callable[[Box], tuple[int, int]]
    head: Callable[[Box, int], tuple[int, int]]
    pad: tuple[int, int, int]
    gap: int
    layer_gap: Callable[[int], int]
    room: int = 0


class Rect(Struct):
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


class Arrow(Struct):
    """From one child to another of the same group. `points` are (x, top, bottom), a vertical piece in each layer: the first
    from the source's border to the end of its layer, the last the target's border."""

    source: int
    target: int
    points: list[tuple[int, int, int]]


class Layout(Struct):
    """`rects` by box id, absolute; all arrows, absolute."""

    rects: list[Rect]
    arrows: list[Arrow]

    @property
    def size(self) -> tuple[int, int]:
        return self.rects[0].width, self.rects[0].height


class _Item(Struct):
    """A box or an invisible point in a layer."""

    box: int  # -1: an invisible point
    layer: int
    width: int
    x: float = 0.0  # of its middle
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


def arrange(picture: Picture, metrics: Metrics) -> Layout:
    """Place everything. Children come after their parents in the list, so backwards is from the inside out."""
    rects = [Rect() for _ in picture.boxes]
    arrows: list[tuple[int, list[Arrow]]] = []
    heads = [0] * len(picture.boxes)
    left, right, below = metrics.pad
    rooms = _rooms(picture, metrics)
    for box in reversed(picture.boxes):
        if not box.group:
            rects[box.id].width, rects[box.id].height = metrics.size(box)
            continue
        width, height, inner = _group(box, rects, metrics, rooms[box.id])
        least, heads[box.id] = metrics.head(box, width + left + right)
        rects[box.id].width = max(width + left + right, least)
        rects[box.id].height = height + heads[box.id] + below
        spare = (rects[box.id].width - width - left - right) // 2
        for child in box.children:
            rects[child].x += spare
        for arrow in inner:
            arrow.points = [(x + spare, top, bottom) for x, top, bottom in arrow.points]
        arrows.append((box.id, inner))
    for box in picture.boxes[1:]:
        parent = rects[box.parent]
        rects[box.id].x += parent.x + left
        rects[box.id].y += parent.y + heads[box.parent]
    for group, inner in arrows:
        x, y = rects[group].x + left, rects[group].y + heads[group]
        for arrow in inner:
            arrow.points = [(px + x, top + y, bottom + y) for px, top, bottom in arrow.points]
    return Layout(rects, [arrow for _, inner in arrows for arrow in inner])


def _rooms(picture: Picture, metrics: Metrics) -> list[int]:
    """By box the width that its children may take; 0: any."""
    if not metrics.room:
        return [0] * len(picture.boxes)
    sides = metrics.pad[0] + metrics.pad[1]
    rooms = [metrics.room - sides]
    for box in picture.boxes[1:]:
        rooms.append(max(rooms[box.parent] - sides, 1))
    return rooms


def _group(box: Box, rects: list[Rect], metrics: Metrics, room: int) -> tuple[int, int, list[Arrow]]:
    """Lay out the children of one group from (0, 0); gives its inner size and its arrows."""
    layers = _layers(box, rects, metrics.gap, room)
    items, chains = _items(box, layers, rects)
    rows: list[list[int]] = [[] for _ in range(max(item.layer for item in items) + 1)]
    for number, item in enumerate(items):
        rows[item.layer].append(number)
    _order(items, rows)
    _spread(items, rows, metrics.gap)
    shift = min(item.x - item.width / 2 for item in items)
    lefts = [int(item.x - item.width / 2 - shift) for item in items]
    middles = [left + item.width // 2 for left, item in zip(lefts, items, strict=True)]
    y, tops, bottoms = 0, [], []
    for row in rows:
        height = max((rects[items[n].box].height for n in row if items[n].box >= 0), default=0)
        tops.append(y)
        bottoms.append(y + height)
        hops = {middles[n]: frozenset(middles[below] for below in items[n].below) for n in row if items[n].below}
        y += height + metrics.layer_gap(count_tracks(hops))
    for left, item in zip(lefts, items, strict=True):
        if item.box >= 0:
            rects[item.box].x, rects[item.box].y = left, tops[item.layer]
    arrows = []
    for source, target, chain in chains:
        rect = rects[source]
        points = [(rect.middle, rect.y + rect.height, bottoms[layers[source]])]
        points += [(middles[n], tops[items[n].layer], bottoms[items[n].layer]) for n in chain]
        points.append((rects[target].middle, rects[target].y, rects[target].y))
        arrows.append(Arrow(source, target, points))
    width = max(left + item.width for left, item in zip(lefts, items, strict=True))
    return width, bottoms[-1], arrows


def _layers(box: Box, rects: list[Rect], gap: int, room: int) -> dict[int, int]:
    """Each child's layer: the longest way to it (the edges have no cycle), or a later one that has room for it."""
    below: dict[int, list[int]] = {child: [] for child in box.children}
    open_: dict[int, int] = dict.fromkeys(box.children, 0)
    for source, target in box.edges:
        below[source].append(target)
        open_[target] += 1
    layer = dict.fromkeys(box.children, 0)
    ready = [child for child in box.children if not open_[child]]
    used: dict[int, int] = {}
    for child in ready:  # grows while it is walked
        width = rects[child].width
        while room and layer[child] in used and used[layer[child]] + gap + width > room:
            layer[child] += 1
        used[layer[child]] = used.get(layer[child], -gap) + gap + width
        for target in below[child]:
            layer[target] = max(layer[target], layer[child] + 1)
            open_[target] -= 1
            if not open_[target]:
                ready.append(target)
    return layer


def _items(
    box: Box, layers: dict[int, int], rects: list[Rect]
) -> tuple[list[_Item], list[tuple[int, int, list[int]]]]:
    """The children and invisible points as items; and for each edge (source, target, its points)."""
    items = [_Item(child, layers[child], rects[child].width) for child in box.children]
    number = {child: n for n, child in enumerate(box.children)}
    long = [(source, target) for source, target in box.edges if layers[target] > layers[source] + 1]
    leaving = Counter(source for source, _ in long)
    # Whose point it is: that of the source where several long arrows leave it, else that of the target.
    whose = {edge: (0, edge[0]) if leaving[edge[0]] > 1 else (1, edge[1]) for edge in long}
    reach: dict[tuple[int, int], tuple[int, int]] = {}
    for source, target in long:
        first, last = reach.get(whose[source, target], (layers[source], layers[target]))
        reach[whose[source, target]] = min(first, layers[source]), max(last, layers[target])
    straight = sum(last - first - 1 for first, last in reach.values()) > MAX_POINTS
    joined: set[tuple[int, int]] = set()

    def join(above: int, below: int) -> None:
        if (above, below) not in joined:
            joined.add((above, below))
            items[above].below.append(below)
            items[below].above.append(above)

    points: dict[tuple[tuple[int, int], int], int] = {}
    chains: list[tuple[int, int, list[int]]] = []
    for source, target in box.edges:
        chain: list[int] = []
        last = number[source]
        for layer in range(layers[source] + 1, layers[target]) if not straight else ():
            key = whose[source, target], layer
            if key not in points:
                points[key] = len(items)
                items.append(_Item(-1, layer, 1))
            join(last, points[key])
            last = points[key]
            chain.append(last)
        if not straight or layers[target] == layers[source] + 1:
            join(last, number[target])
        chains.append((source, target, chain))
    return items, chains


def _order(items: list[_Item], rows: list[list[int]]) -> None:
    """Order the items of each layer by the mean place of their neighbours, downwards and upwards in turn."""
    place = [0.0] * len(items)
    for row in rows:
        for index, number in enumerate(row):
            place[number] = index
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            keys = {}
            for number in row:
                near = items[number].above if down else items[number].below
                keys[number] = sum(place[n] for n in near) / len(near) if near else place[number]
            row.sort(key=keys.__getitem__)
            for index, number in enumerate(row):
                place[number] = index


def _spread(items: list[_Item], rows: list[list[int]], gap: int) -> None:
    """Give each item its x: as near to the mean of its neighbours as the order and the gaps allow."""
    for row in rows:
        x = 0.0
        for number in row:
            items[number].x = x + items[number].width / 2
            x += items[number].width + gap
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = []
            for number in row:
                near = items[number].above if down else items[number].below
                wanted.append(sum(items[n].x for n in near) / len(near) if near else items[number].x)
            for number, x in zip(row, _resolve(wanted, [items[n].width for n in row], gap), strict=True):
                items[number].x = x


def _resolve(wanted: Sequence[float], widths: Sequence[int], gap: int) -> list[float]:
    """The places nearest to `wanted` (least squares) that keep the order and do not overlap: neighbours that collide are
    joined into a block, which lies at the mean of what its members want."""
    offsets = [0.0]
    for before, after in pairwise(widths):
        offsets.append(offsets[-1] + (before + after) / 2 + gap)
    blocks: list[tuple[float, int]] = []  # (sum of wishes for the origin, members)
    for wish, offset in zip(wanted, offsets, strict=True):
        total, count = wish - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            more, members = blocks.pop()
            total, count = total + more, count + members
        blocks.append((total, count))
    origins = [total / count for total, count in blocks for _ in range(count)]
    return [origin + offset for origin, offset in zip(origins, offsets, strict=True)]
