"""An HTML page in one file, and the one of a picture.

Law: every text is escaped, and where an escape were ever forgotten nothing would run: the page has no script, and its policy
allows none, nor anything from another place. Light and dark follow the reader's setting.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from aether_protocol.expressions.values import Json
from aether_protocol.views.graph.picture import Box, Picture
from aether_protocol.views.graph.svg import drawing, style_of_graph
from aether_protocol.views.text import printable

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_OF_VALUE: Final = 20_000  # characters
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #4b5563; --page: #ffffff; --line: #d5d9e0; --block: #f6f7f9;
  --good: #1c7a3d; --bad: #b3261e; --busy: #1d4ed8; --asks: #8a5a0b; --off: #7a3696; --idle: #4b5563 }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a8b0bd; --page: #16181d; --line: #363b45;
  --block: #1e2026; --good: #6fcf8f; --bad: #f19999; --busy: #8db4f5; --asks: #e3b65c; --off: #d0a5e6; --idle: #a8b0bd } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 24px 20px 48px; max-width: 1120px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere } h2 { font-size: 17px; margin: 32px 0 8px }
h3 { font-size: 13px; margin: 12px 0 4px; color: var(--soft); font-weight: 600 }
p { margin: 4px 0 } a { color: inherit } .soft { color: var(--soft) }
code, pre, .mono { font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
pre { margin: 4px 0; padding: 8px 10px; background: var(--block); border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 480px; overflow-y: auto }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px } .scroll > svg { display: block }
.scroll > table { margin: 2px 10px; width: calc(100% - 20px) } .scroll tr:last-child > * { border-bottom: 0 }
table { border-collapse: collapse; width: 100%; font-size: 14px } th, td { text-align: left; vertical-align: top;
  padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word }
th { font-weight: 600; color: var(--soft) }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 16px; margin: 8px 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.Succeeded { color: var(--good) } .Failed, .Error, .Timeout, .Broken { color: var(--bad) }
.Running, .Ready { color: var(--busy) }
.Suspended { color: var(--asks) } .Cancelled { color: var(--off) } .Created, .Skipped { color: var(--idle) }
@media print { body { max-width: none; padding: 0 } pre { max-height: none } }"""


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """The whole file.

    Args:
        title: text.
        body: markup, escaped already.
        style: more of a style sheet.
    """
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{text_of(title)}</title>",
            f"<style>{STYLE}\n{style}</style>\n</head>\n<body>\n<main>",
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def text_of(text: str) -> str:
    """`text` as it is shown, whatever is in it."""
    return escape(printable(text))


def value_of(value: Json) -> str:
    """A value as a block of its own, or within a line where it is short."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    more = len(shown) - MOST_OF_VALUE
    if more > 0:
        return f'<pre tabindex="0">{text_of(shown[:MOST_OF_VALUE])}</pre><p class="soft">({more} more characters)</p>'
    if "\n" in shown or len(shown) > 200:
        return f'<pre tabindex="0">{text_of(shown)}</pre>'
    return f"<code>{text_of(shown)}</code>" if shown else '<span class="soft">(an empty text)</span>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; headings are text, cells are markup, the first of a row names it."""
    head = "".join(f'<th scope="col">{text_of(heading)}</th>' for heading in headings)
    lines = [f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows]
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table">{inner}</div>'


def framed(picture: Picture) -> str:
    """A drawing that scrolls where there is no room for it."""
    name = text_of(f"picture of {picture.title}")
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{drawing(picture)}</div>'


def picture_page(picture: Picture) -> str:
    """The page of a picture, with all that it says as a table, too."""
    before: dict[int, list[str]] = {}
    for box in picture.boxes:
        for source, target in box.edges:
            before.setdefault(target, []).append(picture.boxes[source].title)
    rows = [_row(box, before.get(box.id, [])) for box in picture.boxes]
    body = [
        f"<h1>{text_of(picture.title)}</h1>",
        framed(picture),
        "<details><summary>As a table</summary>",
        table(("What", "Kind", "Says", "Waits for"), rows),
        "</details>",
    ]
    return page(picture.title, body, style_of_graph("svg.graph"))


def _row(box: Box, before: Sequence[str]) -> tuple[str, str, str, str]:
    said = ", ".join(box.lines)
    return text_of(box.path or box.title), text_of(box.kind), text_of(said), text_of(", ".join(before))
