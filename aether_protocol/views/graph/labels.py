"""What stands in a box, folded into lines that fit: nothing is cut where there is room, and what is cut ends with an ellipsis.

Law: the same box and the same columns give the same lines, so that what measures and what draws agree.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.views.graph.picture import Box
from aether_protocol.views.text import fold

MOST_LINES: Final = 8  # of one text
LEAST: Final = 24  # columns that the heading of a group has at least


def title_lines(box: Box, columns: int) -> list[str]:
    """The name of a box."""
    return fold(box.title, columns, MOST_LINES)


def detail_lines(box: Box, columns: int) -> list[str]:
    """What is said of a box below its name."""
    return [line for text in box.lines for line in fold(text, columns, MOST_LINES)]


def heading(box: Box) -> str:
    """What stands at the head of a group."""
    return f"{box.title} ({box.kind})"
