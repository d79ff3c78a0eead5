"""Where a result goes: standard output, or the file of `--to`.

Law: a file that is not whole never has the name; one that was there before keeps its mode, a link stays a link. What is not a
plain file (a pipe, a device) is written to as it is, and so is what is to be read while it comes (events, logs that are
followed). Writing raises nothing on the way, as with standard output: a full disk breaks no run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import LostOutputError, Stream, outcome_decides, redirected
from aether_protocol.errors import PortError

STANDARD: Final = "-"

_unfinished: set[str] = set()  # files that have no name of their own yet


def written_to(path: Path | None, body: Callable[[], int], *, as_it_comes: bool = False) -> int:
    """Run `body` with its standard output in this file; None (or `-`): where it always goes.

    Args:
        path: The file of `--to`.
        body: The command; returns its exit code.
        as_it_comes: The file is read while it is written.

    Returns:
        The exit code of `body`.

    Raises:
        PortError: The file cannot be written, and there is nothing else that the exit code has to say.
    """
    if path is None or str(path) == STANDARD:
        return body()
    target = _open(path, as_it_comes)
    stream = Stream(target.number, "utf-8")
    code = FINE
    try:
        with redirected(stream), suppress(LostOutputError):  # then `lost` says why
            code = body()
        fault = stream.lost or target.keep()
    finally:
        target.close()
    if fault is None:
        return code
    error = _cannot_write(path, fault)
    if code == FINE and not outcome_decides():
        raise error
    messages.warn(error.message, error.hint)
    return code


def discard_unfinished() -> None:
    """Before the process ends at once: leave no file behind that is not whole."""
    for name in list(_unfinished):
        with suppress(OSError):
            os.unlink(name)


class _Target(Struct):
    """An open file; `name` is what it is called until it is whole, None: it is written in place."""

    path: Path
    number: int
    name: str | None = None

    def keep(self) -> OSError | None:
        """Give the file its name, unless that is refused."""
        if self.name is None:
            return None
        try:
            if self.path.exists():  # a new one is its owner's alone
                os.chmod(self.name, stat.S_IMODE(self.path.stat().st_mode))
            os.replace(self.name, self.path)
        except OSError as error:
            return error
        _unfinished.discard(self.name)
        self.name = None
        return None

    def close(self) -> None:
        """Close it, and remove what was not kept."""
        with suppress(OSError):
            os.close(self.number)
        if self.name is not None:
            _unfinished.discard(self.name)
            with suppress(OSError):
                os.unlink(self.name)


def _open(path: Path, as_it_comes: bool) -> _Target:
    try:
        if as_it_comes or (path.exists() and not path.is_file()):
            return _Target(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        target = path.resolve()  # a link stays one
        import tempfile  # here: most commands write to standard output

        number, name = tempfile.mkstemp(prefix=f".{target.name[:200]}.", dir=target.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise _cannot_write(path, error) from None
    _unfinished.add(name)
    return _Target(target, number, name)


def _cannot_write(path: Path, error: OSError | RuntimeError) -> PortError:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else "too many levels of symbolic links"
    return PortError(f"cannot write {str(path)!r}: {reason}", hint="does its folder exist, and is there room?")
