"""A picture in characters, for terminals and logs: lines of boxes where the encoding has them, else `+`, `-` and `|`.

Law: on a terminal no line is wider than it. What does not fit is folded, then put into more layers, and where that is not
enough the picture is an outline. Where lines that are not the same cross, the vertical one is on top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Final

from aether_protocol.views.graph.labels import LEAST, detail_lines, heading, title_lines
from aether_protocol.views.graph.layout import Arrow, Layout, Metrics, arrange
from aether_protocol.views.graph.outline import as_outline
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.graph.tracks import tracks
from aether_protocol.views.text import cells, fold, printable

Paint = Callable[[str, str], str]  # (text, phase) -> the text with its colour
Cell = tuple[int, int]  # y, x

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
TALL, FLAT = UP | DOWN, LEFT | RIGHT
WIDEST: Final = 40  # columns of the texts in a box
# What is tried, one after the other, where it is too wide: columns of a text, and whether layers are split.
NARROWER: Final = ((28, False), (20, False), (28, True), (20, True), (14, True))
JOINTS: Final = dict(enumerate(" │││─┘┐┤─└┌├─┴┬┼"))  # by the directions in which a line leaves a cell
# By kind: corners from the upper left on in reading order, horizontal, vertical, and where a line leaves below.
FRAMES: Final = {"approval": "╔╗╚╝═║╤", "hook": "┌┐└┘╌┊┬", "": "┌┐└┘─│┬"}
PLAIN_FRAMES: Final = {"approval": "####=##", "hook": "....:::", "": "++++-|-"}
PLAIN_JOINTS: Final = dict(enumerate(" |||-++|-+++-+++"))


def as_characters(
    picture: Picture, columns: int | None = None, *, plain: bool = False, paint: Paint | None = None
) -> str:
    """The whole drawing.

    Args:
        picture: what is drawn.
        columns: of the terminal; None: as wide as it gets.
        plain: in ASCII alone.
        paint: colours a text by a phase.
    """
    for most, room in _tries(columns):
        layout = _arranged(picture, most, room)
        if columns is None or layout.size[0] <= columns:
            return _Canvas(picture, layout, most, plain=plain).text(paint)
    return as_outline(picture, columns or WIDEST, plain=plain, paint=paint)


def _tries(columns: int | None) -> Iterator[tuple[int, int]]:
    """What is tried: columns of the texts, and the width to keep to. Arrows that pass need some of it, too."""
    yield WIDEST, 0
    if columns is not None:
        for most, splits in NARROWER:
            rooms = (columns, columns * 5 // 6, columns * 2 // 3) if splits else (0,)
            yield from ((most, room) for room in rooms)


def _arranged(picture: Picture, most: int, room: int) -> Layout:
    def size(box: Box) -> tuple[int, int]:
        lines = [*title_lines(box, most), *detail_lines(box, most)]
        width = max(cells(printable(line)) for line in lines) + 4
        return width + 1 - width % 2, 2 + len(lines)

    def head(box: Box, width: int) -> tuple[int, int]:
        lines = _head_lines(box, width)
        least = max(max(map(cells, lines)) + 6, width)
        return least + 1 - least % 2, 1 + len(lines)  # odd, so that there is a column in the middle

    return arrange(picture, Metrics(size, head, (2, 2, 1), 3, lambda bends: 2 + bends, room))


def _head_lines(box: Box, width: int) -> list[str]:
    """The heading of a group of this width; the first line lies in its border."""
    told = f": {', '.join(box.lines)}" if box.lines else ""
    return fold(heading(box) + told, max(width - 6, LEAST), 6)


class _Canvas:
    """What is drawn, cell by cell."""

    def __init__(self, picture: Picture, layout: Layout, most: int, *, plain: bool) -> None:
        self._most = most
        self._frames = PLAIN_FRAMES if plain else FRAMES
        self._joints = PLAIN_JOINTS if plain else JOINTS
        width, height = layout.size
        self._cells = [[" "] * width for _ in range(height)]
        self._phases = [[""] * width for _ in range(height)]
        self._layout = layout
        for box in picture.boxes:
            if box.group:
                self._frame(box, in_border=True)
        self._lines(picture, "v" if plain else "▼")
        for box in picture.boxes:
            if not box.group:
                self._frame(box, in_border=False)
        for source in {arrow.source for arrow in layout.arrows}:
            self._leave(picture.boxes[source])

    def text(self, paint: Paint | None) -> str:
        """All lines."""
        if paint is None:
            return "\n".join("".join(row).rstrip() for row in self._cells) + "\n"
        lines = []
        for row, phases in zip(self._cells, self._phases, strict=True):
            length = len("".join(row).rstrip())
            parts = []
            for phase, run in groupby(zip(row, phases, strict=True), key=lambda cell: cell[1]):
                text = "".join(char for char, _ in run)[:length]
                length -= len(text)
                parts.append(paint(text, phase) if phase and text.strip() else text)
            lines.append("".join(parts))
        return "\n".join(lines) + "\n"

    def _frame(self, box: Box, *, in_border: bool) -> None:
        rect = self._layout.rects[box.id]
        right, bottom = rect.x + rect.width - 1, rect.y + rect.height - 1
        corners = self._frames.get(box.kind, self._frames[""])
        self._put(rect.y, rect.x, corners[0] + corners[4] * (rect.width - 2) + corners[1], box.phase)
        self._put(bottom, rect.x, corners[2] + corners[4] * (rect.width - 2) + corners[3], box.phase)
        for y in range(rect.y + 1, bottom):
            self._put(y, rect.x, corners[5], box.phase)
            self._put(y, right, corners[5], box.phase)
            if not in_border:
                self._put(y, rect.x + 1, " " * (rect.width - 2), box.phase)
        if in_border:
            first, *more = _head_lines(box, rect.width)
            self._put(rect.y, rect.x + 2, f" {first} ", box.phase)
            for index, line in enumerate(more):
                self._put(rect.y + 1 + index, rect.x + 3, line, box.phase)
            return
        for index, line in enumerate([*title_lines(box, self._most), *detail_lines(box, self._most)]):
            self._put(rect.y + 1 + index, rect.x + 2, line, box.phase)

    def _put(self, y: int, x: int, text: str, phase: str) -> None:
        row = self._cells[y]
        for char in printable(text):
            if x >= len(row):
                return
            row[x] = char
            self._phases[y][x] = phase
            for filler in range(1, cells(char)):  # a wide character covers the next column
                row[x + filler] = ""
                self._phases[y][x + filler] = phase
            x += max(cells(char), 1)

    def _leave(self, box: Box) -> None:
        """Where lines leave a box at the middle of its lower border."""
        rect = self._layout.rects[box.id]
        self._put(rect.y + rect.height - 1, rect.middle, self._frames.get(box.kind, self._frames[""])[6], box.phase)

    def _lines(self, picture: Picture, head: str) -> None:
        """Draw all arrows, gap by gap."""
        gaps: dict[tuple[int, int], dict[Cell, set[Cell]]] = defaultdict(lambda: defaultdict(set))
        heads: set[Cell] = set()
        for arrow in self._layout.arrows:
            _collect(arrow, picture.boxes[arrow.source].parent, gaps, heads)
        drawn: dict[Cell, int] = {}
        for (_, top), gap in gaps.items():
            _Net(drawn, top, gap).draw()
        for (y, x), directions in drawn.items():
            self._cells[y][x] = self._joints[directions]
        for y, x in heads:
            self._cells[y][x] = head


def _collect(
    arrow: Arrow, group: int, gaps: dict[tuple[int, int], dict[Cell, set[Cell]]], heads: set[Cell]
) -> None:
    """Note the pieces of an arrow by the gap that they run through."""
    x, start, y = arrow.points[0]
    for number, (to_x, top, bottom) in enumerate(arrow.points[1:], 1):
        last = number == len(arrow.points) - 1
        gaps[group, y][start if number == 1 else y, x].add((top if last else bottom, to_x))
        x, y = to_x, bottom
        if last:
            heads.add((top - 1, to_x))


class _Net:
    """The lines of one gap between two layers, which begins at row `top`."""

    def __init__(self, drawn: dict[Cell, int], top: int, gap: Mapping[Cell, set[Cell]]) -> None:
        self._drawn = drawn
        self._top = top
        self._gap = gap

    def draw(self) -> None:
        """Draw each net on its track."""
        hops = {x: frozenset(to_x for _, to_x in ends) for (_, x), ends in self._gap.items()}
        track = tracks(hops)
        nets: dict[frozenset[int], dict[Cell, int]] = defaultdict(dict)
        for (start, x), ends in self._gap.items():
            row = self._top + 1 + max(track[hops[x]], -1)
            row = min(row, min(end for end, _ in ends) - 1)
            cells_of = nets[hops[x]]
            self._trace(cells_of, (start, x), row, ends)
        for cells_of in nets.values():
            for cell, directions in cells_of.items():
                self._cross(cell, directions)

    def _trace(self, into: dict[Cell, int], source: Cell, row: int, ends: set[Cell]) -> None:
        """From the source down to a row, along it, and down to each end."""
        start, x = source
        columns = [x, *(to_x for _, to_x in ends)]
        left, right = min(columns), max(columns)
        if left == right:
            self._down(into, x, start, max(end for end, _ in ends))
            return
        self._down(into, x, start, row)
        into[row, x] = into.get((row, x), 0) | UP
        for column in range(left, right + 1):
            into[row, column] = into.get((row, column), 0) | (LEFT * (column > left)) | (RIGHT * (column < right))
        for end, to_x in ends:
            into[row, to_x] = into.get((row, to_x), 0) | DOWN
            self._down(into, to_x, row + 1, end)

    def _down(self, into: dict[Cell, int], x: int, start: int, end: int) -> None:
        for y in range(start, end):
            into[y, x] = into.get((y, x), 0) | UP | DOWN

    def _cross(self, cell: Cell, directions: int) -> None:
        """Draw a cell; of two lines that cross only the vertical one is seen there."""
        before = self._drawn.get(cell, 0)
        if before and not before & FLAT and not directions & TALL:
            return
        crosses = before and not before & TALL and not directions & FLAT
        self._drawn[cell] = directions if crosses else before | directions
