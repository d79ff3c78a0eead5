"""Every error that Aether Protocol raises, split by who is at fault.

Law: each class owns its exit code (the contract of every command), and carries a `hint` that says what to do.
`BrokenInvariant` is ours alone: nothing that a document or a caller does may lead to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from aether_protocol.diagnostics import Diagnostic


class AetherError(Exception):
    """Base of all. `message` is a lower-case fragment without a final stop; `hint` is the advice."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DocumentError(AetherError):
    """The author's fault: the document is invalid.

    Args:
        message: the first fault in one line.
        diagnostics: all findings, errors and warnings.
        sources: the bytes that were read, by the file name in the diagnostics, so that faults can be shown in their lines:
            standard input cannot be read twice.
        hint: what the author can do about it.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        diagnostics: Sequence[Diagnostic] = (),
        sources: Mapping[str, bytes] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)
        self.sources = dict(sources or {})


class UsageError(AetherError):
    """The caller's fault: a wrong argument, an unknown run, a resume for a task that is not suspended."""

    exit_code = 2


class NotFoundError(UsageError):
    """What the caller named is not there: a run, a task, a schedule, a document."""


class ForbiddenError(UsageError):
    """The caller is known, and may not do this."""


class ConflictError(UsageError):
    """What the caller asks for does not fit what is there: an id that is taken, a run that has ended, or has not."""


class BusyError(AetherError):
    """Another engine drives this run or holds this lock."""

    exit_code = 8


class ChangedError(BusyError):
    """What a change was decided on is not so any more, and nothing was changed: it is to be decided anew."""


class PortError(AetherError):
    """The outside failed: a store, a disk, a network, a secret provider."""

    exit_code = 9


class BrokenInvariant(AetherError):  # noqa: N818 - it names what happened, and callers are not meant to catch it
    """An invariant does not hold: a bug in Aether Protocol, to be reported with the command and the document."""

    exit_code = 70


def why(error: BaseException) -> str:
    """What any exception says, as people read it: of the system's errors the reason and the file in place of a number, of a
    group what its members say; the type's name where there is no text."""
    if isinstance(error, AetherError):
        return error.message
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(why, error.exceptions)))
    try:
        text = str(error)
    except Exception:  # foreign code to the last
        text = ""
    if isinstance(error, OSError) and error.strerror and text.startswith("[Errno"):
        names = [name for name in (error.filename, error.filename2) if name is not None]
        text = ": ".join([error.strerror, " -> ".join(repr(str(name)) for name in names)] if names else [error.strerror])
    return text or type(error).__name__
