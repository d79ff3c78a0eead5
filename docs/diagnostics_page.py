"""Makes docs/reference/diagnostics.md from the table of codes: `python docs/diagnostics_page.py`.

Law: the page says what `aether explain` says, nothing else. A test compares the page with what this gives.
"""

from __future__ import annotations

from pathlib import Path

from aether_protocol.diagnostics import CODES

PAGE = Path(__file__).parent / "reference" / "diagnostics.md"

INTRODUCTION = """\
<!-- Made by docs/diagnostics_page.py. Change the tables in aether_protocol/diagnostics, then run it. -->
# Diagnostics

Everything that `aether validate` finds has a code, which never changes its meaning. `aether explain AE204` prints what
stands here. All findings of a file are reported together, each with its file, line and column, its path in the document and,
where there is one, a hint. An **error** keeps a document from running; a **warning** does not.
"""

GROUPS = {
    "1": "Reading a file and its fields",
    "2": "References and structure",
    "3": "Expressions and placeholders",
    "4": "Executors, secrets and artifacts",
    "5": "Schedules",
    "6": "Configuration",
    "9": "Surprises",
}


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    group = ""
    for code, info in sorted(CODES.items()):
        if code[2] != group:
            group = code[2]
            parts.append(f"## {GROUPS[group]}\n")
        parts.append(f"### {code}: {info.title}\n\n*{info.severity}*\n\n{info.explanation}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
