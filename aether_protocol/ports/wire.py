"""The messages between engine and workers (WIRE-1, WIRE-2), as values; what they are as JSON is the affair of `wire_json`."""

from __future__ import annotations

from aether_protocol.scheduler.attempts import (
    ERROR,
    FAILED,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    AttemptRef,
    TaskAssignment,
    TaskResult,
)

__all__ = ["ERROR", "FAILED", "SUCCEEDED", "SUSPENDED", "TIMEOUT", "AttemptRef", "TaskAssignment", "TaskResult"]
