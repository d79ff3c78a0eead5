"""What is wrong with a document, as data (DOC-7): code, severity, message, path, position, hint.

Law: findings are values; renderers (text, JSON, SARIF, GitHub) show the same facts. Every code stands once in `CODES`.
Codes are grouped: AE1xx reading a file and its fields, AE2xx references and structure, AE3xx expressions and
placeholders, AE4xx executors, secrets and artifacts, AE5xx schedules, AE9xx warnings about what surprises people.
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
