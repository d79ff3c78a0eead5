"""The command line as a process of its own, without a terminal or (with `Terminal`) on one."""

from __future__ import annotations

import atexit
import ctypes
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "examples" / "workflows" / "release.yaml"
AETHER = [sys.executable, "-m", "aether_protocol.cli"]
PATIENCE_S = 60
HOME = tempfile.mkdtemp(prefix="aether-tests-")  # of the store that tests use that name none
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "AETHER_DEBUG", "TZ")}
    kept["AETHER_STORE"] = f"sqlite:{HOME}/aether.db"
    return {**kept, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **more}


def aether(
    *arguments: str | Path,
    cwd: Path | None = None,
    text: str = "",
    before: Callable[[], None] | None = None,
    command: Sequence[str] = AETHER,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run to the end. There is no terminal anywhere. `before` is called in the child, `command` is what it becomes."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd, input=text, env=environment(**env), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        preexec_fn=before,
    )


def bound_by_rights() -> None:
    """In a child, before it becomes the command: the rights of files apply to it, also where the tests run as root."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if libc.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "a capability cannot be dropped")


def start(*arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start it, to send signals; both streams are pipes."""
    return subprocess.Popen(
        [*AETHER, *map(str, arguments)],
        cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def read_until(stream: Any, words: str) -> str:
    """Lines of a pipe up to the one that has these words."""
    seen = ""
    for line in stream:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came: {seen}")


class Terminal:
    """The command on a terminal: what it shows can be waited for, and keys can be pressed."""

    def __init__(self, *arguments: str | Path, cwd: Path | None = None, **env: str) -> None:
        self.ours, theirs = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [*AETHER, *map(str, arguments)],
            cwd=cwd, env=environment(**env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)

    def wait_for(self, words: str) -> None:
        while words not in self.shown:
            if not self._read():
                raise AssertionError(f"{words!r} never came: {self.shown}")

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> int:
        """Everything that is still to come; the exit code."""
        while self._read():
            pass
        os.close(self.ours)
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.ours], [], [], PATIENCE_S)
        try:
            data = os.read(self.ours, 65536) if ready else b""
        except OSError:  # the other end is closed
            data = b""
        self.shown += data.decode("utf-8", "replace")
        return bool(data)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
