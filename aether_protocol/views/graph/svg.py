"""A picture as SVG: stands by itself, needs no script and no font, follows the reader's light or dark setting.

Law: every text is escaped; nothing of a document reaches the file as markup. A phase is said in words, not by colour alone.
"""

from __future__ import annotations

from html import escape
from typing import Final

from aether_protocol.views.graph.labels import LEAST, detail_lines, heading, title_lines
from aether_protocol.views.graph.layout import Arrow, Layout, Metrics, Rect, arrange
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.text import cells, fold, printable

# Pixels: of a character of a title and of what is below it, of a line, around everything, and of the caption.
CHAR, SMALL, LINE, MARGIN, CAPTION = 8, 7, 17, 16, 28
WIDEST: Final = 44  # columns of the texts in a box
HEAD: Final = 34  # pixels of a group's heading of one line
# By kind, or phase: the line and the filling of a box, in light and in dark.
COLORS: Final = {
    "task": ("#3b6fb6", "#eef4ff", "#6d9be0", "#1d2a3f"),
    "approval": ("#b7791f", "#fdf6e3", "#d9a441", "#2e2614"),
    "hook": ("#7b8290", "#fbfbfc", "#8a909c", "#1b1d22"),
    "dag, workflow": ("#a8adb7", "#f7f7f8", "#5b606b", "#1e2026"),
    "loop": ("#6d9a5b", "#f3f8f1", "#7fae6c", "#1c261a"),
    "created, skipped": ("#a8adb7", "#f7f7f8", "#5b606b", "#1e2026"),
    "ready, running": ("#2563eb", "#dbeafe", "#6d9be0", "#1d2a3f"),
    "suspended": ("#b7791f", "#fdf6e3", "#d9a441", "#2e2614"),
    "succeeded": ("#2f8a4c", "#e9f7ee", "#58b878", "#16291d"),
    "failed, error, timeout": ("#c62f2f", "#fdecec", "#e57373", "#331b1b"),
    "cancelled": ("#8e44ad", "#f6ecfa", "#b98ad0", "#291c30"),
}
LIGHT: Final = """
{of} text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2937 }
{of} .sub { font-size: 11px; fill: #4b5563 } {of} .title { font-weight: 600 } {of} .page { fill: #ffffff }
{of} .optional { stroke-dasharray: 5 3 } {of} rect.hook { stroke-dasharray: 2 3 } {of} rect.approval { stroke-width: 2 }
{of} path { fill: none; stroke: #6b7280; stroke-width: 1.4 } {of} path.weak { stroke-dasharray: 2 3 }
{of} marker path { fill: #6b7280; stroke: none }"""
DARK: Final = "{of} text { fill: #e5e7eb } {of} .sub { fill: #a8b0bd } {of} .page { fill: #16181d }"


def style_of_graph(scope: str = "") -> str:
    """The style sheet; `scope`: a selector of the picture where it is in a page with others."""
    light, dark = [LIGHT], [DARK]
    for names, (line, filling, dark_line, dark_filling) in COLORS.items():
        boxes = ", ".join(f"{{of}} rect.{name}" for name in names.split(", "))
        pieces = ", ".join(f"{{of}} rect.bar-{name}" for name in names.split(", "))
        light.append(f"{boxes} {{ stroke: {line}; fill: {filling} }} {pieces} {{ fill: {line} }}")
        dark.append(f"{boxes} {{ stroke: {dark_line}; fill: {dark_filling} }} {pieces} {{ fill: {dark_line} }}")
    light.append("{of} rect.frame { fill: #f7f7f8 }")  # of a run a group is seen by its line, so that its tasks stand out
    dark.append("{of} rect.frame { fill: #1e2026 }")
    sheet = "\n".join([*light, "@media (prefers-color-scheme: dark) {", *dark, "}"])
    return sheet.replace("{of} ", f"{scope} " if scope else "")


def as_svg(picture: Picture) -> str:
    """The whole file."""
    return f'{drawing(picture, style_of_graph())}\n'


def drawing(picture: Picture, style: str = "", css_class: str = "graph") -> str:
    """The element, with its style sheet where it stands by itself."""
    layout = place_boxes(picture)
    inner, height = layout.size
    least = cells(picture.title) * CHAR
    width = max(inner, min(least, WIDEST * CHAR)) + 2 * MARGIN
    is_said = picture.boxes[0].kind == "workflow" and picture.boxes[0].title == picture.title
    caption = [] if is_said else fold(picture.title, (width - 2 * MARGIN) // CHAR, 3)
    top = MARGIN + (CAPTION + LINE * (len(caption) - 1) if caption else 0)
    height += top + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{css_class}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{_text(picture.title)}"><title>{_text(picture.title)}</title>'
        f'{f"<style>{style}</style>" if style else ""}',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0.5 L8,4 L0,7.5 z"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    parts += [
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 13 + LINE * index}">{_text(line)}</text>'
        for index, line in enumerate(caption)
    ]
    parts.append(f'<g transform="translate({(width - inner) // 2} {top})">')
    parts += [_box(box, layout.rects[box.id]) for box in picture.boxes if box.group]
    parts += [_arrow(arrow, picture.boxes[arrow.target].kind == "hook") for arrow in layout.arrows]
    parts += [_box(box, layout.rects[box.id]) for box in picture.boxes if not box.group]
    parts.append("</g></svg>")
    return "\n".join(parts)


def place_boxes(picture: Picture) -> Layout:
    """Give each box its place, in pixels, as large as its texts need."""
    return arrange(picture, Metrics(_size, _head, (MARGIN, MARGIN, MARGIN), 24, _layer_gap))


def folded(box: Box, width: int) -> tuple[list[str], list[str]]:
    """What stands in a box of this width, line by line: its title, and what is said below."""
    if not box.group:
        return title_lines(box, WIDEST), detail_lines(box, WIDEST)
    columns = _columns(width)
    return fold(heading(box), columns, 3), fold(", ".join(box.lines), columns, 6) if box.lines else []


def _size(box: Box) -> tuple[int, int]:
    titles, details = folded(box, 0)
    width = max(*(cells(line) * CHAR for line in titles), *(cells(line) * SMALL for line in details), 48)
    slant = 16 if box.kind == "approval" else 0
    bar = 6 if box.counts else 0
    return width + 24 + slant, 16 + LINE * (len(titles) + len(details)) + bar


def _head(box: Box, width: int) -> tuple[int, int]:
    titles, details = folded(box, width)
    least = max(*(cells(line) * CHAR for line in titles), *(cells(line) * SMALL for line in details), 0) + 32
    return least, HEAD + LINE * (len(titles) - 1 + len(details)) + (6 if box.counts else 0)


def _columns(width: int) -> int:
    """How many columns of text a group of this width has at least."""
    return max((width - 32) // CHAR, LEAST)


def _layer_gap(bends: int) -> int:
    return 34 + min(bends, 6) * 6


def _box(box: Box, rect: Rect) -> str:
    titles, details = folded(box, rect.width)
    words = (box.kind, "optional" if box.optional else "", box.phase.lower(), "frame" if box.group and box.phase else "")
    style = " ".join(filter(None, words))
    radius = min(rect.height // 2, 22) if box.kind == "approval" else 6
    x, anchor = (rect.x + 12, "start") if box.group else (rect.middle, "middle")
    out = [
        f'<g><title>{_text(box.tooltip)}</title><rect class="{style}" x="{rect.x}" y="{rect.y}" width="{rect.width}" '
        f'height="{rect.height}" rx="{radius}"/>'
    ]
    for index, (css, line) in enumerate([*(("title", line) for line in titles), *(("sub", line) for line in details)]):
        y = rect.y + (19 if box.group else 21) + LINE * index
        out.append(f'<text class="{css}" text-anchor="{anchor}" x="{x}" y="{y}">{_text(line)}</text>')
    if box.counts:
        y = rect.y + (HEAD - 8 + LINE * (len(titles) - 1 + len(details)) if box.group else rect.height - 10)
        out.append(_bar(box, rect.x + 10, y, rect.width - 20))
    out.append("</g>")
    return "".join(out)


def _bar(box: Box, x: float, y: int, width: int) -> str:
    """How many of its task runs are in which phase."""
    out, total = [], sum(box.counts.values())
    for phase, count in box.counts.items():
        piece = width * count / total
        out.append(f'<rect class="bar-{phase.lower()}" x="{x:.1f}" y="{y}" width="{max(piece, 1):.1f}" height="4"/>')
        x += piece
    return "".join(out)


def _arrow(arrow: Arrow, is_weak: bool) -> str:
    x, start, y = arrow.points[0]
    path = [f"M{x},{start}"] + [f"L{x},{y}"] * (y > start)
    for to_x, top, bottom in arrow.points[1:]:
        bend = max((top - y) // 2, 12)
        path.append(f"C{x},{y + bend} {to_x},{top - bend} {to_x},{top}")
        if bottom > top:
            path.append(f"L{to_x},{bottom}")
        x, y = to_x, bottom
    css = ' class="weak"' if is_weak else ""
    return f'<path{css} d="{" ".join(path)}" marker-end="url(#head)"/>'


def _text(text: str) -> str:
    return escape(printable(text))
