"""Workspaces: every attempt has an empty folder of its own, the working directory of what it runs (ART-4).

Law: two attempts never see each other's files unless they are told to. A folder is made when it is first needed, private
(0700), and gone when its attempt is over.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from aether_protocol.ports.wire import TaskAssignment


class Workspace:
    """The folder of one attempt, made on first use."""

    __slots__ = ("_folder", "_root")

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder, absolute. Raises OSError where it cannot be made."""
        if self._folder is None:
            if self._root is not None:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="aether-", dir=self._root)).resolve()
        return self._folder

    def close(self) -> None:
        """The attempt is over: its folder goes."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class Workspaces:
    """Gives attempts their workspaces, below the folder `root` (None: the system's folder for temporary files)."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root

    def of(self, assignment: TaskAssignment) -> Workspace:
        """The workspace of this attempt, not made yet."""
        return Workspace(self._root)
