"""The shape of a finding: code, severity, message, path, position, hint (DOC-7).

Law: plain frozen values, ordered by file, line and column.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Diagnostic(Struct, frozen=True, order=True):
    """One finding. `line` and `column` count from 1 (0: unknown); `path` is like `spec.templates[0].dag.tasks[1]`."""

    file: str
    line: int
    column: int
    code: str
    severity: Severity
    message: str
    path: str
    hint: str | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """The object of `aether validate -o json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "path": self.path,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "hint": self.hint,
        }


class CodeInfo(Struct, frozen=True):
    """A row of the table of codes: its usual severity, a title, and the text of `aether explain`."""

    code: str
    severity: Severity
    title: str
    explanation: str
