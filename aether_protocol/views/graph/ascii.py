"""A picture in plain characters, for terminals and logs.

Law: pure ASCII for the lines; each source of arrows has a track of its own between two layers, so lines do not run over
each other. Where lines cross, the vertical one is on top.
"""

from __future__ import annotations

from collections import defaultdict

from aether_protocol.views.graph.layout import Arrow, Layout, Metrics, Rect, arrange
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.text import cells, printable

Hop = tuple[int, int]  # the place (x, y) where a line leaves a box or an invisible point


def as_ascii(picture: Picture) -> str:
    """The whole drawing."""
    layout = arrange(picture, Metrics(_size, (2, 2, 2, 1), _least, 3, lambda sources: 2 + sources))
    width, height = layout.size
    canvas = [[" "] * width for _ in range(height)]
    for box in picture.boxes:
        if box.group:
            _frame(canvas, layout.rects[box.id], [_heading(box)], in_border=True)
    _lines(canvas, layout)
    for box in picture.boxes:
        if not box.group:
            _frame(canvas, layout.rects[box.id], [box.title, *box.lines], in_border=False)
    return "\n".join("".join(row).rstrip() for row in canvas) + "\n"


def _size(box: Box) -> tuple[int, int]:
    width = max(cells(printable(line)) for line in (box.title, *box.lines)) + 4
    return width + 1 - width % 2, 3 + len(box.lines)


def _least(box: Box) -> int:
    return cells(printable(_heading(box))) + 6


def _heading(box: Box) -> str:
    lines = f": {', '.join(box.lines)}" if box.lines else ""
    return f"{box.title} ({box.kind}){lines}"


def _frame(canvas: list[list[str]], rect: Rect, lines: list[str], *, in_border: bool) -> None:
    right, bottom = rect.x + rect.width - 1, rect.y + rect.height - 1
    for x in range(rect.x, right + 1):
        canvas[rect.y][x] = canvas[bottom][x] = "-" if rect.x < x < right else "+"
    for y in range(rect.y + 1, bottom):
        canvas[y][rect.x] = canvas[y][right] = "|"
    for index, line in enumerate(lines):
        text = f" {printable(line)} " if in_border else printable(line)
        start = rect.x + 2
        _write(canvas, start, rect.y + index + (0 if in_border else 1), text)


def _write(canvas: list[list[str]], x: int, y: int, text: str) -> None:
    for char in text:
        if x >= len(canvas[y]):
            return
        canvas[y][x] = char
        for filler in range(1, cells(char)):  # a wide character covers the next column
            canvas[y][x + filler] = ""
        x += max(cells(char), 1)


def _lines(canvas: list[list[str]], layout: Layout) -> None:
    """Draw all arrows: straight pieces first, then those that need a track, source by source."""
    gaps: dict[int, dict[Hop, set[tuple[int, int]]]] = defaultdict(lambda: defaultdict(set))
    heads: set[tuple[int, int]] = set()
    for arrow in layout.arrows:
        _collect(arrow, gaps, heads)
    for gap in gaps.values():
        track: dict[int, int] = {}
        for (x, y), targets in sorted(gap.items(), key=lambda hop: _span(hop[0], hop[1])):
            bent = [target for target in targets if target[0] != x]
            row = y
            if bent:
                row = y + 1 + track.get(y, 0)
                track[y] = track.get(y, 0) + 1
            _net(canvas, x, y, row, sorted(targets))
    for x, y in heads:
        canvas[y][x] = "v"


def _span(source: Hop, targets: set[tuple[int, int]]) -> tuple[int, int]:
    reach = [source[0], *(x for x, _ in targets)]
    return min(reach), max(reach)


def _collect(
    arrow: Arrow, gaps: dict[int, dict[Hop, set[tuple[int, int]]]], heads: set[tuple[int, int]]
) -> None:
    x, start, y = arrow.points[0]
    gaps[y][x, start].add((x, y))
    for number, (to_x, top, bottom) in enumerate(arrow.points[1:], 1):
        last = number == len(arrow.points) - 1
        gaps[top][x, y].add((to_x, top if last else bottom))
        x, y = to_x, bottom
        if last:
            heads.add((to_x, top - 1))


def _net(canvas: list[list[str]], x: int, y: int, row: int, targets: list[tuple[int, int]]) -> None:
    """From (x, y) down to `row`, along it, and down to each target."""
    columns = [x, *(to_x for to_x, _ in targets)]
    for line in range(y, row):
        _put(canvas, x, line, "|")
    if min(columns) != max(columns):
        for column in range(min(columns), max(columns) + 1):
            _put(canvas, column, row, "-")
        for column in columns:
            canvas[row][column] = "+"
    for to_x, end in targets:
        for line in range(row if min(columns) == max(columns) else row + 1, end):
            _put(canvas, to_x, line, "|")


def _put(canvas: list[list[str]], x: int, y: int, char: str) -> None:
    here = canvas[y][x]
    if here == " " or (here == "-" and char == "|"):
        canvas[y][x] = char
