"""Laying files, folders and links down below one folder, and nowhere else (ART-2).

Law: an entry's name is relative and has no `..`; no write ever goes through a link, neither one of the archive nor one
that lay there before; links are made last, and only such as stay below the folder. `Tree` is the only way in which
content from outside becomes files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import Final

from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Budget, Reader

MAX_NAME: Final = 4096


class Tree:
    """The folder `root`, filled entry by entry. Existing files are replaced, existing folders are filled."""

    def __init__(self, root: Path, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._links: list[tuple[tuple[str, ...], str]] = []
        self._folders: set[tuple[str, ...]] = set()
        self._modes: list[tuple[tuple[str, ...], int]] = []
        self._make_folder(())

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Make a folder and those above it; its mode is set by `finish`."""
        self._budget.entry()
        parts = split_name(name)
        self._make_folder(parts)
        self._modes.append((parts, mode))

    def file(self, name: str, source: Reader, mode: int = 0o644) -> None:
        """Write a file with all that `source` gives. Of `mode`, what others may write does not count."""
        self._budget.entry()
        path = self._place(split_name(name), name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as sink:
            self._budget.copy(source, sink.write)
            os.fchmod(sink.fileno(), mode & 0o755 | 0o600)

    def copy(self, name: str, of: str) -> None:
        """A hard link of an archive: a copy of an entry that has been written before."""
        parts = split_name(of)
        origin = self._root.joinpath(*parts)
        if parts[:-1] not in self._folders or not stat.S_ISREG(_mode(origin)):
            raise PortError(f"entry {name!r} is a link to {of!r}, which is not a file before it in the archive")
        with origin.open("rb") as source:
            self.file(name, source, _mode(origin))

    def link(self, name: str, target: str) -> None:
        """A symbolic link; it is made by `finish`."""
        self._budget.entry()
        parts = split_name(name)
        check_link(name, target)
        self._links.append((parts, target))

    def finish(self) -> None:
        """Make the links, and give the folders their modes."""
        for parts, mode in self._modes:
            self._root.joinpath(*parts).chmod(mode & 0o755 | 0o700)
        for parts, target in self._links:
            self._place(parts, "/".join(parts)).symlink_to(target)

    def _make_folder(self, parts: tuple[str, ...]) -> Path:
        """The folder of `parts`, made with all above it; a link in its place is refused."""
        if parts in self._folders:
            return self._root.joinpath(*parts)
        path = self._make_folder(parts[:-1]) / parts[-1] if parts else self._root
        mode = _mode(path)
        if mode == 0:
            path.mkdir(mode=0o700)
        elif not stat.S_ISDIR(mode):
            raise PortError(f"{str(path)!r} is in the way: it is not a folder")
        self._folders.add(parts)
        return path

    def _place(self, parts: tuple[str, ...], name: str) -> Path:
        """A free place for a file or link."""
        if not parts:
            raise PortError(f"entry {name!r} has no name")
        path = self._make_folder(parts[:-1]) / parts[-1]
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            raise PortError(f"{str(path)!r} is in the way: it is a folder")
        if mode:
            path.unlink()
        return path


def split_name(name: str) -> tuple[str, ...]:
    """The segments of an entry's name, `.` and empty ones left out. Raises PortError for one that leads elsewhere."""
    if name.startswith("/") or "\0" in name or len(name) > MAX_NAME:
        raise PortError(f"entry {name!r} is not a relative path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or ".." in name.replace("\\", "/").split("/"):
        raise PortError(f"entry {name!r} leads out of the artifact")
    if len(parts) > 200:
        raise PortError(f"entry {name!r} is nested too deeply")
    return parts


def check_link(name: str, target: str) -> None:
    """A link may go up only at its start, and not above the artifact: so that no chain of links can leave it either."""
    steps = [part for part in target.split("/") if part not in ("", ".")]
    up = next((i for i, part in enumerate(steps) if part != ".."), len(steps))
    depth = len(split_name(name)) - 1
    bad = PurePosixPath(target).is_absolute() or "\0" in target or not target or len(target) > MAX_NAME
    if bad or up > depth or ".." in steps[up:]:
        raise PortError(f"link {name!r} to {target!r} leads out of the artifact")


def _mode(path: Path) -> int:
    """The mode of what lies at `path` itself; 0 where nothing does."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def kept_mode(mode: int) -> int:
    """What is kept of a mode. No more than there is, so that a key stays a key; no other user may write."""
    return mode & 0o755
