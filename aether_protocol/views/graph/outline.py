"""A picture as an outline: a line for each box, what is in it further in, and what it waits for in words.

It takes the place of a drawing where there is no room for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from aether_protocol.views.graph.labels import heading
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.text import cells, fold, printable

MARKS: Final = ("├─ ", "└─ ", "│  ", "   ")
PLAIN_MARKS: Final = ("+- ", "`- ", "|  ", "   ")
LEAST: Final = 16  # columns of a text, however far in it stands
MOST_LINES: Final = 8  # of one box


def as_outline(
    picture: Picture, columns: int, *, plain: bool = False, paint: Callable[[str, str], str] | None = None
) -> str:
    """The whole outline; for the arguments see `as_characters`."""
    marks = PLAIN_MARKS if plain else MARKS
    before: dict[int, list[str]] = defaultdict(list)
    for box in picture.boxes:
        for source, target in box.edges:
            before[target].append(picture.boxes[source].title)
    lines: list[str] = []
    stack: list[tuple[int, str, str]] = [(0, "", "")]
    while stack:
        id_, first, further = stack.pop()
        box = picture.boxes[id_]
        hanging = further + (marks[2] if box.group else marks[3])
        told = fold(_told(box, before[id_]), max(columns - cells(hanging), LEAST), MOST_LINES)
        for number, line in enumerate(told):
            shown = paint(line, box.phase) if paint is not None and box.phase else line
            lines.append((first if not number else hanging) + shown)
        inside = [(child, child == box.children[-1]) for child in box.children]
        for child, last in reversed(inside):
            stack.append((child, further + marks[1 if last else 0], further + marks[3 if last else 2]))
    return "\n".join(lines) + "\n"


def _told(box: Box, before: Sequence[str]) -> str:
    """All that a box says, with what it waits for."""
    if box.kind == "hook":
        of = "" if box.path.startswith("workflow:") else f" of {before[0]}"
        return printable("; ".join([f"hook {box.title}{of}", *box.lines]))
    name = heading(box) if box.group or box.kind == "approval" else box.title
    return printable("; ".join([name, *box.lines, *([f"after {', '.join(before)}"] if before else [])]))
