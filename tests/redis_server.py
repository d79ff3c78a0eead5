"""A Redis server for tests, a real one: Debian's `redis-server`. One that is started here lies in a folder of its own, takes a
port of its own and ends with the tests.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

PROGRAM = "redis-server"
DATABASES = 16


def described() -> str:
    """What tests use, in words."""
    place = shutil.which(PROGRAM)
    if place is None:
        return f"none (Debian's `{PROGRAM}` brings one)"
    version = subprocess.run([place, "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    return f"Redis {version.removeprefix('v=')}, {place}"


def needs_redis() -> None:
    """Leave the test out where no server can be started; in CI it fails."""
    if shutil.which(PROGRAM) is None:
        if os.environ.get("CI"):
            pytest.fail(f"Redis: {described()}")
        pytest.skip(f"Redis: {described()}")


class RedisServer(ServerProcess):
    """A server that was started here. It keeps what it has over an orderly stop."""

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--databases", str(DATABASES)]
        more = ["--save", "3600 1", "--appendonly", "no", "--loglevel", "warning"]
        self.begin([PROGRAM, *words, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as made:
                made.sendall(b"PING\r\n")
                return made.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def command(self, *words: str, database: int = 0) -> bytes:
        """Send a command; gives the first bytes of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as made:
            for several in (("SELECT", str(database)), words):
                made.sendall(b"*%d\r\n" % len(several) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in several))
                answer = made.recv(65_536)
            return answer

    def stop(self) -> None:
        """End it in order: what it has is kept."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as in a crash: what it has is gone, since it saves nothing while it runs."""
        self.end(signal.SIGKILL)

    def pause(self, *, resume: bool = False) -> None:
        """Let it answer no more, or again."""
        self.send(signal.SIGCONT if resume else signal.SIGSTOP)


@cache
def shared_server() -> RedisServer:
    """The server that all tests of this process share."""
    needs_redis()
    folder = Path(tempfile.mkdtemp(prefix="aether-redis-"))
    server = RedisServer(folder)
    server.start()

    def end() -> None:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server
