"""What applying documents comes to, as values: of each document what becomes of it, and how it differs from what was there.

Law: nothing here reads or writes. The values are those of the answer of a server, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.diagnostics import Diagnostic

WORKFLOW: Final = "Workflow"
TEMPLATE: Final = "WorkflowTemplate"
SCHEDULE: Final = "CronWorkflow"
KINDS: Final = (WORKFLOW, TEMPLATE, SCHEDULE)

Action = Literal["created", "updated", "replaced", "unchanged"]


class DocumentChange(Struct, frozen=True, kw_only=True):
    """What becomes of one document.

    Attributes:
        kind: Workflow, WorkflowTemplate or CronWorkflow.
        namespace: of the document.
        name: of the document.
        action: what is done; a schedule is `replaced` by one that runs something else.
        version: the number of its newest version then; of a schedule how many had that name.
        digest: the sha256 of its text, in hex.
        file: where it came from, as diagnostics call it.
        line: where its name stands there.
        before: the text of the version before; None where there is none.
        text: its text.
        applied_at: when that version was applied, in microseconds since the epoch; None: it is yet to be.
        next_at: when a schedule fires next, in microseconds since the epoch.
        resumed: a schedule was suspended, and this lets it continue.
    """

    kind: str
    namespace: str
    name: str
    action: Action
    version: int
    digest: str
    file: str
    line: int
    before: str | None
    text: str
    applied_at: int | None = None
    next_at: int | None = None
    resumed: bool = False

    def difference(self) -> Iterator[str]:
        """Give how the text differs from that of the version before, as the lines of a unified diff."""
        if self.action == "unchanged":
            return iter(())
        before = None if self.before is None else (f"{self.namespace}/{self.name}", self.before)
        return difference(before, (self.file, self.text))


class LeftOutDocument(Struct, frozen=True):
    """A document that was there and not asked for, and where its kind stands."""

    kind: str
    name: str
    file: str
    line: int


class AppliedDocuments(Struct, frozen=True, kw_only=True):
    """What applying came to, in the order of the files; `dry_run`: nothing was written."""

    changes: Sequence[DocumentChange]
    warnings: Sequence[Diagnostic] = ()
    left_out: Sequence[LeftOutDocument] = ()
    dry_run: bool = False


def difference(before: tuple[str, str] | None, after: tuple[str, str]) -> Iterator[str]:
    """Give the lines of a unified diff of two texts, each with what it is called; None: there was none."""
    from difflib import unified_diff  # rarely asked for, and its import is a millisecond

    name, text = before or ("nothing", "")
    old, new = _lines(text), _lines(after[1])
    return (line.rstrip("\n") for line in unified_diff(old, new, name, after[0]))


def _lines(text: str) -> list[str]:
    """The lines of a text; JSON in one line, as a schedule's document is kept, is laid out."""
    if text.startswith("{") and "\n" not in text.rstrip("\n"):
        with contextlib.suppress(ValueError):
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return [f"{line}\n" for line in text.splitlines()]
