"""What workers can be given where no server stands between: their own secrets, and artifacts of a store that both sides
name (RT-144).

Law: what they could not have is refused before it is sent, with the reason and what to do. No text of a secret is sent: each
worker asks its own providers for what an assignment refers to.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.ports.wire import ERROR, AttemptRef, TaskAssignment, TaskResult

_HOW: Final = "name the repository by a URL on both sides, like sqlite:runs.db?artifacts=folder:///mnt/shared"


def why_not(assignment: TaskAssignment, artifacts: str) -> str | None:
    """Say why such a worker cannot carry an attempt out; None: it can.

    Args:
        assignment: what it would be given.
        artifacts: the URL by which it opens the repository of artifacts; empty: it cannot.
    """
    if not artifacts:
        for kind, some in (("takes", assignment.artifacts), ("keeps", assignment.target.artifacts)):
            if some:
                return f"it {kind} artifacts, and its workers do not reach where they are kept here: {_HOW}"
    return None


def too_large(size: int, limit: int, of: str) -> str:
    """Say that a message is larger than what carries it.

    Args:
        size: how many bytes it has.
        limit: how many it may have.
        of: what sets the limit, in words.
    """
    hint = "give large data as artifacts, or make it smaller"
    return f"it takes {size} bytes to send, and {of} takes {limit}: {hint}"


def refusal(assignment: TaskAssignment, reason: str) -> TaskResult:
    """The result of an attempt that is not sent: an Error with the reason."""
    return refused(assignment.ref, reason)


def refused(ref: AttemptRef, reason: str) -> TaskResult:
    """`refusal`, of the attempt with this name."""
    return TaskResult(ref, ERROR, f"the task cannot be sent to a worker: {reason}")
