"""The two messages between engine and workers (WIRE-1, WIRE-2): `TaskAssignment` (from scheduler.commands) and `TaskResult`.

Law: snake_case in Python; what they are as JSON is the affair of `wire_json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.commands import AttemptRef, TaskAssignment

__all__ = ["AttemptRef", "TaskAssignment", "TaskResult"]


class TaskResult(Struct, gc=False):
    """What one attempt gave (WIRE-2). `code` as in SCHED-7; `parameters` are outputs; `artifacts` are
    {name: {name, digest, size}}; `fetched` says what input artifacts from a source were: {name: {digest, size}}, and the
    `commit` of a git one; `warnings` say what was strange or left out, and change nothing."""

    ref: AttemptRef
    code: int = 0
    message: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Mapping[str, Json] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    fetched: Mapping[str, Json] = field(default_factory=dict)
