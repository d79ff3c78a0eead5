"""The shape of a finding: code, severity, message, path, position, hint (DOC-7).

Law: plain frozen values, ordered by file, line and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
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
        """The object of `aether validate --format json`."""
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


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """A row of the table of codes: its usual severity, a title, and the text of `aether explain`."""

    code: str
    severity: Severity
    title: str
    explanation: str
