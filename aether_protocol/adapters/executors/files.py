"""`files` of a program: keys and configs that it finds in its workspace and that are gone when it has ended (EXEC-3).

Law: each is new, a regular file of mode 0600 below the workspace, reached through no link; what was made here, folders too, is
taken away again whatever the program did.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from aether_protocol.expressions.values import Json, as_text


@contextlib.contextmanager
def laid(files: Mapping[str, Json] | None, workspace: Path) -> Iterator[None]:
    """Write `files` below `workspace`, and remove them at the end. Raises ValueError for what is not a path there, OSError."""
    with contextlib.ExitStack() as undo:
        for name, value in (files or {}).items():
            _lay(name, as_text(value), workspace, undo)
        yield


def _lay(name: str, text: str, workspace: Path, undo: contextlib.ExitStack) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or name.endswith("/"):
        raise ValueError(f"files: {name!r} is not a path below the workspace")
    place = workspace
    for part in parts[:-1]:
        place /= part
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            if place.is_symlink() or not place.is_dir():
                folder = str(place.relative_to(workspace))
                raise ValueError(f"files: {name!r} cannot be written: {folder!r} is not a folder") from None
        else:
            undo.callback(_remove, os.rmdir, place)
    place /= parts[-1]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(place, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL):
            raise ValueError(f"files: {name!r} cannot be written: {os.strerror(error.errno).lower()}") from None
        raise
    undo.callback(_remove, os.unlink, place)
    with open(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8", errors="replace"))


def _remove(how: Callable[[Path], None], place: Path) -> None:
    with contextlib.suppress(OSError):  # the program may have removed it, or put something else in its folder
        how(place)
