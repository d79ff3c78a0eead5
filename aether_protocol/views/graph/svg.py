"""A picture as SVG: stands by itself, needs no script and no font, follows the reader's light or dark setting.

Law: every text is escaped; nothing of a document reaches the file as markup.
"""

from __future__ import annotations

from html import escape

from aether_protocol.views.graph.layout import Arrow, Layout, Metrics, Rect, arrange
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.text import cells, printable

CHAR, LINE, MARGIN = 8, 17, 16
STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2937 }
.sub { font-size: 11px; fill: #6b7280 } .title { font-weight: 600 }
.page { fill: #ffffff } rect.task { fill: #eef4ff; stroke: #3b6fb6 } rect.dag { fill: #f7f7f8; stroke: #a8adb7 }
rect.loop { fill: #f3f8f1; stroke: #6d9a5b } .optional { stroke-dasharray: 5 3 }
rect.succeeded { stroke: #2f8a4c; fill: #e9f7ee } rect.running, rect.ready { stroke: #2563eb; fill: #dbeafe }
rect.failed, rect.error, rect.timeout { stroke: #c62f2f; fill: #fdecec } rect.suspended { stroke: #b7791f; fill: #fdf6e3 }
rect.cancelled { stroke: #8e44ad; fill: #f6ecfa } rect.skipped, rect.created { stroke: #a8adb7; fill: #f7f7f8 }
path { fill: none; stroke: #6b7280; stroke-width: 1.4 } marker path { fill: #6b7280; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb } .sub { fill: #9ca3af } .page { fill: #16181d } rect.task { fill: #1d2a3f; stroke: #6d9be0 }
  rect.dag { fill: #1e2026; stroke: #5b606b } rect.loop { fill: #1c261a; stroke: #7fae6c }
  rect.succeeded { stroke: #58b878; fill: #16291d } rect.running, rect.ready { stroke: #6d9be0; fill: #1d2a3f }
  rect.failed, rect.error, rect.timeout { stroke: #e57373; fill: #331b1b } rect.suspended { stroke: #d9a441; fill: #2e2614 }
  rect.cancelled { stroke: #b98ad0; fill: #291c30 } rect.skipped, rect.created { stroke: #5b606b; fill: #1e2026 }
}"""


def as_svg(picture: Picture) -> str:
    """The whole file."""
    layout = place_boxes(picture)
    width, height = (side + 2 * MARGIN for side in layout.size)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img"><title>{_text(picture.title)}</title><style>{STYLE}</style>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0.5 L8,4 L0,7.5 z"/></marker></defs>',
        f'<rect class="page" width="{width}" height="{height}"/><g transform="translate({MARGIN} {MARGIN})">',
    ]
    parts += [_box(box, layout.rects[box.id]) for box in picture.boxes if box.group]
    parts += [_arrow(arrow) for arrow in layout.arrows]
    parts += [_box(box, layout.rects[box.id]) for box in picture.boxes if not box.group]
    parts.append("</g></svg>\n")
    return "\n".join(parts)


def place_boxes(picture: Picture) -> Layout:
    """Give each box its place, in pixels, as large as its texts need."""
    return arrange(picture, Metrics(_size, (MARGIN, 44, MARGIN, MARGIN), _least, 24, _layer_gap))


def _size(box: Box) -> tuple[int, int]:
    width = max(cells(line) for line in (box.title, *box.lines))
    return max(width * CHAR + 24, 72), 16 + LINE * (1 + len(box.lines))


def _least(box: Box) -> int:
    return cells("  ".join((_heading(box), *box.lines))) * CHAR + 32


def _layer_gap(sources: int) -> int:
    return 34 + min(sources, 6) * 6


def _heading(box: Box) -> str:
    return f"{box.title} ({box.kind})" if box.group else box.title


def _box(box: Box, rect: Rect) -> str:
    style = " ".join(filter(None, (box.kind, "optional" if box.optional else "", box.phase.lower())))
    out = [
        f'<g><title>{_text(box.tooltip)}</title><rect class="{style}" x="{rect.x}" y="{rect.y}" width="{rect.width}" '
        f'height="{rect.height}" rx="6"/>'
    ]
    if box.group:
        x, anchor = rect.x + 12, "start"
        out.append(f'<text class="title" x="{x}" y="{rect.y + 19}">{_text(_heading(box))}</text>')
        lines = [", ".join(box.lines)] if box.lines else []
    else:
        x, anchor = rect.middle, "middle"
        out.append(f'<text class="title" text-anchor="middle" x="{x}" y="{rect.y + 21}">{_text(box.title)}</text>')
        lines = box.lines
    for index, line in enumerate(lines):
        y = rect.y + 21 + LINE * (index + 1) - (2 if box.group else 0)
        out.append(f'<text class="sub" text-anchor="{anchor}" x="{x}" y="{y}">{_text(line)}</text>')
    out.append("</g>")
    return "".join(out)


def _arrow(arrow: Arrow) -> str:
    x, start, y = arrow.points[0]
    path = [f"M{x},{start}"] + [f"L{x},{y}"] * (y > start)
    for to_x, top, bottom in arrow.points[1:]:
        bend = max((top - y) // 2, 12)
        path.append(f"C{x},{y + bend} {to_x},{top - bend} {to_x},{top}")
        if bottom > top:
            path.append(f"L{to_x},{bottom}")
        x, y = to_x, bottom
    return f'<path d="{" ".join(path)}" marker-end="url(#head)"/>'


def _text(text: str) -> str:
    return escape(printable(text))
