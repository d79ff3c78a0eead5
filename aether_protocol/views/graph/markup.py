"""A picture as Mermaid or Graphviz source: other programs lay it out.

Law: names in the source are numbers made here; text of a document stands only inside quoted labels, escaped for the format.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.views.graph.labels import heading
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.graph.svg import COLORS
from aether_protocol.views.text import printable

# By kind: what is around the label of a box, in Mermaid and (a shape) in Graphviz.
SHAPES: Final = {"approval": ('{{"', '"}}', "hexagon"), "hook": ('>"', '"]', "note")}


def as_mermaid(picture: Picture) -> str:
    """A flowchart, as code hosts show it inside of Markdown."""
    out = ["flowchart TD"]
    phases = sorted({box.phase for box in picture.boxes if box.phase})
    for box, level, closing in _walk(picture):
        indent = "  " * (level + 1)
        if closing:
            out += [f"{indent}  n{source} {_join(picture.boxes[target])} n{target}" for source, target in box.edges]
            out.append(f"{indent}end")
        elif box.group:
            out.append(f'{indent}subgraph n{box.id}["{_mermaid(_label(box))}"]')
        else:
            left, right, _ = SHAPES.get(box.kind) or (('(["', '"])', "") if box.optional else ('["', '"]', ""))
            label = "<br/>".join(_mermaid(line) for line in (box.title, *box.lines))
            out.append(f"{indent}n{box.id}{left}{label}{right}")
    for phase in phases:
        line, filling = _colors(phase)
        out.append(f"  classDef {phase} stroke:{line},fill:{filling},color:#1f2937")
        out.append(f"  class {','.join(f'n{box.id}' for box in picture.boxes if box.phase == phase)} {phase}")
    return "\n".join(out) + "\n"


def as_dot(picture: Picture) -> str:
    """Graphviz; arrows between groups end at their border."""
    out = [f'digraph "{_dot(picture.title)}" {{', "  compound=true; rankdir=TB; node [shape=box, style=rounded];"]
    first, last = _representatives(picture)
    for box, level, closing in _walk(picture):
        indent = "  " * (level + 1)
        if closing:
            for source, target in box.edges:
                tail, head = picture.boxes[source], picture.boxes[target]
                ends = [f"ltail=cluster{source}"] * tail.group + [f"lhead=cluster{target}"] * head.group
                ends += ["style=dotted"] * (head.kind == "hook")
                style = f" [{', '.join(ends)}]" if ends else ""
                out.append(f"{indent}  n{last[source]} -> n{first[target]}{style};")
            out.append(f"{indent}}}")
        elif box.group:
            color = f' color="{_colors(box.phase)[0]}";' if box.phase else ""
            out.append(f'{indent}subgraph cluster{box.id} {{ label="{_dot(_label(box))}";{color}')
        else:
            label = "\\n".join(_dot(line) for line in (box.title, *box.lines))
            out.append(f'{indent}n{box.id} [label="{label}"{_style(box)}];')
    out.append("}")
    return "\n".join(out) + "\n"


def _join(target: Box) -> str:
    return "-.->" if target.kind == "hook" else "-->"


def _colors(phase: str) -> tuple[str, str]:
    """The line and the filling of a phase."""
    return next(colors[:2] for names, colors in COLORS.items() if phase.lower() in names.split(", "))


def _style(box: Box) -> str:
    """What makes a box another one than most: its shape, its lines, its colours."""
    shape = SHAPES[box.kind][2] if box.kind in SHAPES else ""
    words = [*(["rounded"] if not shape else []), *(["dashed"] if box.optional else []), *(["filled"] if box.phase else [])]
    style = [f"shape={shape}"] if shape else []
    if shape or len(words) > 1:
        style.append(f'style="{",".join(words)}"')
    if box.phase:
        line, filling = _colors(box.phase)
        style.append(f'color="{line}", fillcolor="{filling}"')
    return "".join(f", {part}" for part in style)


def _walk(picture: Picture) -> list[tuple[Box, int, bool]]:
    """All boxes depth first: (box, level, False), and for a group once more with True after its children."""
    out: list[tuple[Box, int, bool]] = []
    stack: list[tuple[int, int, bool]] = [(0, 0, False)]
    while stack:
        id_, level, closing = stack.pop()
        box = picture.boxes[id_]
        out.append((box, level, closing))
        if box.group and not closing:
            stack.append((id_, level, True))
            stack.extend((child, level + 1, False) for child in reversed(box.children))
    return out


def _representatives(picture: Picture) -> tuple[dict[int, int], dict[int, int]]:
    """Graphviz joins nodes, not clusters: the first and the last leaf of every box."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for box in reversed(picture.boxes):
        first[box.id] = first[box.children[0]] if box.group else box.id
        last[box.id] = last[box.children[-1]] if box.group else box.id
    return first, last


def _label(box: Box) -> str:
    return ", ".join((heading(box), *box.lines))


def _mermaid(text: str) -> str:
    """Mermaid reads `#name;` as an entity; everything that could be markup becomes one."""
    return "".join(c if c.isalnum() or c in " -_.,:()/" else f"#{ord(c)};" for c in printable(text))


def _dot(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
