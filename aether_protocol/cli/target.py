"""Where a result goes: standard output, or the file of `--to`.

Law: a file that is not whole never has the name; one that was there before keeps its mode, a link stays a link. What is not a
plain file (a pipe, a device) is written to as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from aether_protocol.errors import PortError

STANDARD = "-"


@contextmanager
def written_to(path: Path | None) -> Iterator[None]:
    """While the block runs, what is printed goes to this file; None (or `-`): where it always goes. Raises PortError where
    the file cannot be made."""
    if path is None or str(path) == STANDARD:
        yield
        return
    with _told(path):
        import tempfile  # here: most commands write to standard output

        target = path if path.exists() and not path.is_file() else path.resolve()  # a link stays one
        number, name = (None, None) if target is path else tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        file = open(target if number is None else number, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
    try:
        with redirect_stdout(file):
            yield
        with _told(path):
            file.close()
            if name is not None:
                _put(name, target)
    except BaseException:
        with suppress(OSError):
            file.close()
        if name is not None:
            with suppress(OSError):
                os.unlink(name)
        raise


def _put(name: str, target: Path) -> None:
    if target.exists():  # a new one is its owner's alone
        os.chmod(name, stat.S_IMODE(target.stat().st_mode))
    os.replace(name, target)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PortError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
