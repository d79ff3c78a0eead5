"""What is wrong with a document, as data (DOC-7), and the table of all codes.

Law: findings are values; renderers (text, JSON, SARIF, GitHub) show the same facts. Every code stands once in `CODES`.
Codes are grouped: AE1xx reading a file and its fields, AE2xx references and structure, AE3xx expressions and
placeholders, AE4xx executors, secrets and artifacts, AE5xx schedules, AE6xx configuration, AE9xx warnings about what
surprises people.

Theory: a finding has a code, a place (file, line, column and path), a message that names the thing and the value, and a hint
that says what to do. What finds something makes a `Diagnostic`; nothing here prints. `bounds` keeps a file with very many
faults readable, and `suggest` is the one place that looks for the name that was meant.

Modules by role:

    values  model, bounds, suggest
    codes   reading, checks, schedules, configuration
"""

from typing import Final

from aether_protocol.diagnostics.checks import CHECKS
from aether_protocol.diagnostics.configuration import CONFIGURATION
from aether_protocol.diagnostics.model import CodeInfo, Diagnostic, Severity
from aether_protocol.diagnostics.reading import READING
from aether_protocol.diagnostics.schedules import SCHEDULES

CODES: Final[dict[str, CodeInfo]] = {info.code: info for info in (*READING, *CHECKS, *SCHEDULES, *CONFIGURATION)}

__all__ = ["CODES", "CodeInfo", "Diagnostic", "Severity"]
