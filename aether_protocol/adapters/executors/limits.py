"""Limits of a program (`limits` of EXEC-3), set between the fork and the program by a command that replaces itself by it.

Law: limits are the system's own and hold for every process by itself; one that the system sets lower stays as it is. Python
can set them in a child only by code that runs after a fork beside other threads, which can hang; so `prlimit` does it, or,
where that is not installed, `ulimit` of the shell (which loses variables whose names are none for a shell). A program also
gets back the limit of descriptors that this process raised for itself.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from aether_protocol.execution.descriptors import given_descriptors
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.sizes import parse_size
from aether_protocol.expressions.values import Json


class _Kind(NamedTuple):
    constant: str
    option: str  # of prlimit
    letter: str  # of ulimit
    unit: int  # bytes or seconds of ulimit's unit
    more: int  # that the hard limit is higher by: between the two a program is warned by a signal


_KINDS: Final = {
    "cpu": _Kind("RLIMIT_CPU", "--cpu", "t", 1, 1),
    "memory": _Kind("RLIMIT_AS", "--as", "v", 1024, 0),
    "files": _Kind("RLIMIT_NOFILE", "--nofile", "n", 1, 0),
    "output": _Kind("RLIMIT_FSIZE", "--fsize", "f", 512, 0),
}


def read_limits(config: Json) -> dict[str, int]:
    """`limits` as numbers: seconds, bytes, a count."""
    given: dict[str, int] = {}
    for name, value in (config or {}).items():
        if value is None:
            continue
        if name == "cpu":
            given[name] = max(1, -(-parse_duration(value) // 1_000_000))
        else:
            given[name] = value if name == "files" else parse_size(value)
    return given


def limited(argv: Sequence[str], limits: Mapping[str, int], cwd: str | None) -> list[str]:
    """The command line that sets the limits and then becomes `argv`, whose first word is a path. Raises OSError where the
    program cannot be started, which could not be distinguished from its own failure later."""
    wanted: dict[str, tuple[int, int | None]] = {name: (value, value + _KINDS[name].more) for name, value in limits.items()}
    soft = given_descriptors()
    if soft is not None and "files" not in wanted:
        wanted["files"] = (soft, None)
    if not wanted:
        return list(argv)
    _check(argv[0], cwd)
    bounded = {_KINDS[name]: _bounded(_KINDS[name], *pair) for name, pair in wanted.items()}
    tool = _prlimit()
    if tool is not None:
        options = [f"{kind.option}={low}:{'' if high is None else high}" for kind, (low, high) in bounded.items()]
        return [tool, *options, "--", *argv]
    settings = []
    for kind, (low, high) in bounded.items():
        settings.append(f"ulimit -S -{kind.letter} {-(-low // kind.unit)}")
        if high is not None:
            settings.append(f"ulimit -H -{kind.letter} {-(-high // kind.unit)}")
    return ["/bin/sh", "-c", " && ".join([*settings, 'exec "$@"']), "sh", *argv]


@functools.cache
def _prlimit() -> str | None:
    return shutil.which("prlimit", path=os.environ.get("PATH", os.defpath) + os.pathsep + os.defpath)


def _bounded(kind: _Kind, low: int, high: int | None) -> tuple[int, int | None]:
    """Not above what the system allows us."""
    import resource

    most = resource.getrlimit(getattr(resource, kind.constant))[1]
    if most == resource.RLIM_INFINITY:
        return low, high
    return min(low, most), None if high is None else min(high, most)


def _check(program: str, cwd: str | None) -> None:
    """Raise what starting this program would raise."""
    if "/" not in program:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    file = Path(cwd or ".", program)
    file.stat()
    if not file.is_file() or not os.access(file, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)
    if not os.access(file, os.R_OK):
        return
    with open(file, "rb") as stream:
        head = stream.read(256)
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        if words and not os.path.exists(words[0]):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
