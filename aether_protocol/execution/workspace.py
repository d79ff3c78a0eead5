"""Workspaces: every attempt has an empty folder of its own, the working directory of what it runs (ART-4).

Law: two attempts never see each other's files unless configured to. A folder is made when it is first needed, private, in
the area of this process (see `folders`), so that nothing of a killed process stays. What an attempt lays down that holds
secrets stands in its scratch folder, which goes when the attempt is over, whatever became of it. The workspace itself goes
once its attempt is recorded as Succeeded, and is kept within bounds, for people to look at, when it did not succeed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from aether_protocol.errors import PortError
from aether_protocol.execution.capacity import is_full
from aether_protocol.execution.folders import LIVE, PRIVATE, Area, ensure_private, left_behind, remove, size_of, temporary_root
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import NodeEnded, RetryScheduled, RunClosed, TaskSuspended
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUCCEEDED

KEPT_FOLDERS: Final = 100  # of attempts that did not succeed, for each root
KEPT_BYTES: Final = 1_073_741_824
TOLD: Final = 3  # files that a warning names
LOOKED_AT: Final = 1_000  # files that are counted for a warning
SHARED: Final = "shared"  # the folder of a run, while it is open
_SUSPENDED: Final = 1  # the code of a result that suspends its task
_CACHES: Final = frozenset({"__pycache__"})
_UNSAFE: Final = r"[^A-Za-z0-9._\[\]-]"


class Workspace:
    """The folders of one attempt, each made on first use. Raises PortError where one cannot be made."""

    __slots__ = ("_assignment", "_folder", "_home", "_scratch")

    def __init__(self, home: Workspaces, assignment: TaskAssignment) -> None:
        self._home = home
        self._assignment = assignment
        self._folder: Path | None = None
        self._scratch: Path | None = None

    @property
    def made(self) -> bool:
        """Whether there is a working directory."""
        return self._folder is not None

    @property
    def folder(self) -> Path:
        """The working directory, absolute and empty."""
        if self._folder is None:
            self._folder = self._home.make(self._assignment.task_name)
        return self._folder

    @property
    def scratch(self) -> Path:
        """A folder for what must not be kept: it goes when the attempt is over."""
        if self._scratch is None:
            self._scratch = self._home.make(f"{self._assignment.task_name}-scratch")
        return self._scratch

    def left(self, name: str) -> Path | None:
        """Find what was left in the scratch folder under this name."""
        file = None if self._scratch is None else self._scratch / name
        return file if file is not None and os.path.lexists(file) else None

    @property
    def shared(self) -> Path:
        """The folder that the attempts of this run share on this machine."""
        return self._home.shared(self._assignment.run_id)

    def strays(self, known: list[str]) -> list[str]:
        """The files in the workspace that are neither below one of these paths nor caches, by name; of very many the first."""
        if self._folder is None:
            return []
        tops = {os.path.normpath(path) for path in known}
        return sorted(_files(str(self._folder), "", tops, [LOOKED_AT]))

    def take(self) -> Path | None:
        """Give the working directory away, if there is one, and remove the scratch folder."""
        if self._scratch is not None:
            self._home.discard(self._scratch)
            self._scratch = None
        folder, self._folder = self._folder, None
        return folder

    def close(self) -> None:
        """Remove all of it."""
        folder = self.take()
        if folder is not None:
            self._home.discard(folder)


def _files(top: str, below: str, known: set[str], left: list[int]) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(os.path.join(top, below)) as entries:
        for entry in entries:
            path = os.path.join(below, entry.name)
            if left[0] <= 0:
                return
            if entry.name.startswith(".") or entry.name in _CACHES or path in known:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(top, path, known, left)
            else:
                left[0] -= 1
                yield path


class Workspaces:
    """Gives attempts their workspaces, below the folder `root`; without one, below the system's folder for temporary files,
    where nothing is kept.

    `announce` is called with the folder that must not outlive this process, once, as soon as there is one. A caller of
    `stored` for every step says so with `hears`: workspaces then wait until their attempts are recorded.
    """

    def __init__(
        self, root: Path | None = None, *, announce: Callable[[Path], None] | None = None, hears: bool = False
    ) -> None:
        self.root = Path(os.path.abspath(root if root is not None else temporary_root()))
        self._keeps = root is not None
        self._announce = announce
        self._hears = hears
        self._area: Area | None = None
        self._closed = False
        self._users = 0
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[str, tuple[str, Path]]] = {}  # by run and node: the name if kept, and the folder
        self._later: deque[Callable[[], None]] = deque()
        self._worker: threading.Thread | None = None

    # --- life ---

    def start(self) -> None:
        """Remove what dead processes left behind. Several may use the same workspaces: the first one starts them."""
        self._users += 1
        if self._users > 1:
            return
        self._closed = False
        for removal in left_behind(self.root):
            self._do_later(removal)

    def close(self) -> None:
        """Every attempt of the last user is over: remove all that is not kept. Blocks until that is done."""
        self._users -= 1
        if self._users > 0:
            return
        self._closed = True
        self._waiting.clear()
        worker = self._worker
        if worker is not None:
            worker.join()
        area, self._area = self._area, None
        if area is not None:
            area.close()

    # --- for attempts ---

    def of(self, assignment: TaskAssignment) -> Workspace:
        """The workspace of this attempt, not made yet."""
        return Workspace(self, assignment)

    def make(self, what: str) -> Path:
        """A new folder in the area. Raises PortError."""
        try:
            with self._lock:  # attempts in threads, too
                folder = self._own_area().name(what)
            folder.mkdir(PRIVATE)
        except OSError as fault:
            if is_full(fault):  # no fault of the task: the attempt waits
                raise
            raise _cannot_make("a workspace", self.root, fault) from fault
        return folder

    def _own_area(self) -> Area:
        if self._area is None:
            self._area = Area(self.root)
            if self._announce is not None:
                self._announce(self._area.folder)
        return self._area

    def shared(self, run_id: str) -> Path:
        """The folder of a run. Raises PortError."""
        try:
            if self._keeps:
                folder = self.root / run_id / SHARED
                ensure_private(self.root)
                folder.parent.mkdir(PRIVATE, exist_ok=True)
            else:
                with self._lock:
                    folder = self._own_area().folder / f"{SHARED}.{run_id}"
            folder.mkdir(PRIVATE, exist_ok=True)
        except OSError as fault:
            if is_full(fault):
                raise
            raise _cannot_make("the folder of the run", self.root, fault) from fault
        return folder

    def end(self, workspace: Workspace, assignment: TaskAssignment, result: TaskResult | None) -> None:
        """An attempt is over; without a result it was stopped."""
        folder = workspace.take()
        if folder is None:
            return
        if self._closed or not self._hears or (result is not None and result.code == _SUSPENDED):
            self.discard(folder)
        elif result is None:  # what stopped it is recorded already
            self._keep(assignment.run_id, _name_of(assignment), folder)
        else:
            waiting = self._waiting.setdefault(assignment.run_id, {})
            before = waiting.pop(assignment.ref.path, None)
            waiting[assignment.ref.path] = (_name_of(assignment), folder)
            if before is not None:
                self.discard(before[1])

    # --- for the engine ---

    def stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        """A step is in the store: an observer of the engine."""
        waiting = self._waiting.get(run_id)
        if waiting is not None:
            for fact in step.facts:
                if isinstance(fact, NodeEnded | RetryScheduled | TaskSuspended):
                    self._settle(run_id, waiting.pop(state.nodes[fact.node].run_path, None), fact)
            if not waiting:
                del self._waiting[run_id]
        if step.facts and type(step.facts[-1]) is RunClosed:
            self._run_ended(run_id, succeeded=state.phase is SUCCEEDED)

    def _settle(
        self, run_id: str, held: tuple[str, Path] | None, fact: NodeEnded | RetryScheduled | TaskSuspended
    ) -> None:
        if held is None:
            return
        name, folder = held
        if isinstance(fact, TaskSuspended) or fact.phase is SUCCEEDED:
            self.discard(folder)
        else:
            self._keep(run_id, name, folder)

    def _run_ended(self, run_id: str, *, succeeded: bool) -> None:
        """Discard workspaces that wait for a record of this run: none will come."""
        for _, folder in self._waiting.pop(run_id, {}).values():
            self.discard(folder)
        if not self._keeps:
            if self._area is not None:
                self.discard(self._area.folder / f"{SHARED}.{run_id}")
            return
        folder = self.root / run_id
        if not folder.exists():
            return
        shared = folder / SHARED
        if succeeded:
            self.discard(shared)
        elif shared.exists():
            self._keep(run_id, f"{SHARED}@end", shared)
        self._do_later(lambda: _remove_empty(folder))

    # --- what goes and what stays ---

    def discard(self, folder: Path) -> None:
        """Remove a folder: at once where it is empty, else beside the loop."""
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            self._do_later(lambda: remove(folder))

    def _keep(self, run_id: str, name: str, folder: Path) -> None:
        """Keep a folder to be looked at. An empty one tells nothing."""
        try:
            folder.rmdir()
            return
        except OSError:
            pass
        if not self._keeps:
            self.discard(folder)
            return
        place = self.root / run_id / name
        try:
            place.parent.mkdir(PRIVATE, exist_ok=True)
            if place.exists():  # a run of tier snapshot that went back
                os.rename(place, old := folder.with_name(f"{folder.name}.old"))
                self.discard(old)
            os.rename(folder, place)
            os.utime(place)
        except OSError:
            self.discard(folder)
            return
        self._do_later(lambda: keep_within_bounds(self.root))

    def _do_later(self, work: Callable[[], None]) -> None:
        """Do it in a thread that ends when there is nothing more; the interpreter waits for it."""
        with self._lock:
            self._later.append(work)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="aether-workspaces")
                self._worker.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._later:
                    self._worker = None
                    return
                work = self._later.popleft()
            with contextlib.suppress(OSError):
                work()


def _name_of(assignment: TaskAssignment) -> str:
    return kept_name(assignment.ref.path, assignment.attempt)


def kept_name(path: str, attempt: int) -> str:
    """What the kept workspace of an attempt is called in the folder of its run. `path` as in an AttemptRef."""
    text = re.sub(_UNSAFE, "_", path)
    if len(text) > 150 or text != path:
        text = f"{text[:150]}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    return f"{text}@{attempt}"


def find_kept(root: Path, run_id: str, path: str, attempts: int) -> Path | None:
    """The workspace that was kept of the task run's last attempt that left one, out of so many attempts."""
    for attempt in range(attempts, 0, -1):
        folder = root / run_id / kept_name(path, attempt)
        if folder.is_dir():
            return folder
    return None


def forget(root: Path, run_id: str) -> None:
    """Remove all that was kept of a run."""
    remove(root / run_id)


def keep_within_bounds(root: Path, folders: int = KEPT_FOLDERS, size: int = KEPT_BYTES) -> None:
    """Remove the oldest kept folders until the others are within the bounds. Folders of runs that go on are no part of it."""
    kept: list[tuple[int, Path]] = []
    for run in root.iterdir():
        if run.name != LIVE:
            with contextlib.suppress(OSError):
                kept += [(one.stat().st_mtime_ns, one) for one in run.iterdir() if one.name != SHARED]
    kept.sort(reverse=True)
    total = 0
    for number, (_, folder) in enumerate(kept):
        if number < folders and total <= size:
            total += size_of(folder)
        if number >= folders or total > size:
            remove(folder)
            _remove_empty(folder.parent)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _cannot_make(what: str, root: Path, fault: OSError) -> PortError:
    reason = (fault.strerror or str(fault)).lower()
    return PortError(f"cannot make {what} below {str(root)!r}: {reason}", hint="--workspace DIR names another folder")


def warning_of(strays: list[str]) -> str:
    """Return the warning about files that nothing keeps."""
    more = len(strays) - TOLD
    count = f"at least {LOOKED_AT - TOLD}" if len(strays) >= LOOKED_AT else str(more)
    told = ", ".join(repr(one) for one in strays[:TOLD]) + (f" and {count} more" if more > 0 else "")
    advice = "declare an artifact, write to an absolute path, or set workingDir: document"
    return f"files in the workspace were not kept: {told} ({advice})"
