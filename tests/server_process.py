"""A real server that tests start: in a folder of its own, at a port of its own, until they end it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port of this machine that was free just now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


class ServerProcess:
    """What all kinds of servers have in common. A kind says by what command it begins, and when it answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, command: Sequence[str | Path], **how: Any) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(command, **how)
        until = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait for its end, where it runs."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        """Whether it takes questions now."""
        raise NotImplementedError
