"""Folders of a process that must not outlive it, and folders that are kept within bounds.

Law: what a process lays down beneath its area is gone when the process is, however that ended: it removes the area itself, or
its guard does, or the next process that works on the same root. A process holds a lock on the file beside its
area for as long as it lives; the system releases the lock when it dies, so it is never a guess which process is alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o700
LIVE: Final = ".live"  # no run can be called so
_LOCK: Final = ".lock"
_TRIES: Final = 10


class Area:
    """The folder of this process below `root`, made when this is made. Raises OSError."""

    def __init__(self, root: Path) -> None:
        self._count = 0
        self._root = root
        self.folder = root / LIVE / f"{os.getpid()}-{os.urandom(6).hex()}"
        for left in reversed(range(_TRIES)):
            try:
                ensure_private(root)
                self.folder.parent.mkdir(PRIVATE, exist_ok=True)
                self._lock = self._take_lock(Path(f"{self.folder}{_LOCK}"))
                break
            except FileNotFoundError:  # another process closed its area, the last one there, at this moment
                if not left:
                    raise
        self.folder.mkdir(PRIVATE)

    def _take_lock(self, file: Path) -> int:
        """Hold the lock on `file`. A sweep that looks at this moment may take the file away: then once more."""
        while True:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), os.stat(file)):
                    return handle
            os.close(handle)

    def name(self, what: str) -> Path:
        """A path in the area that nothing has yet."""
        self._count += 1
        return self.folder / f"{what[:80]}.{self._count}"

    def close(self) -> None:
        """Remove the area and what is in it, and the folders around it that are empty then."""
        remove(self.folder)
        with contextlib.suppress(OSError):
            os.unlink(f"{self.folder}{_LOCK}")
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()
            self._root.rmdir()
            self._root.parent.rmdir()
        os.close(self._lock)


def ensure_private(folder: Path) -> None:
    """Make a folder 0700, those above it as usual. One that is there stays as it is (it may be the root of a disk, and all that
    is made in it is 0700), but must belong to this user. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(PRIVATE)
        return
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(13, "it belongs to another user", str(folder))


def temporary_root() -> Path:
    """Where the folders of processes without a durable store lie."""
    import tempfile  # here: the folders of a durable store lie beside it

    return Path(tempfile.gettempdir(), f"aether-{os.getuid()}")


def left_behind(root: Path) -> Iterator[Callable[[], None]]:
    """What dead processes left below `root`, as functions that remove it. Nothing of a live process is touched."""
    try:
        names = sorted(os.listdir(root / LIVE))
    except OSError:
        return
    for name in sorted({name.removesuffix(_LOCK) for name in names}):
        lock = root / LIVE / f"{name}{_LOCK}"
        handle = -1
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:  # the file goes last: its process is dead
            pass
        except OSError:  # it lives, or cannot be looked at
            if handle >= 0:
                os.close(handle)
            continue
        yield _removal(root / LIVE / name, lock, handle)


def _removal(folder: Path, lock: Path, handle: int) -> Callable[[], None]:
    def go() -> None:
        remove(folder)
        with contextlib.suppress(OSError):
            lock.unlink()
        if handle >= 0:
            os.close(handle)

    return go


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also what has no permissions. What cannot be removed stays, in silence."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    todo = [folder]
    while todo:
        with contextlib.suppress(OSError):
            place = todo.pop()
            if stat.S_ISDIR(place.lstat().st_mode):
                place.chmod(PRIVATE)  # one that is closed keeps what is in it
                todo.extend(place.iterdir())
    shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """The bytes that a folder takes, links not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
