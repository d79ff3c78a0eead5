"""Who this process is to a store, and whether another one that left its name there is dead.

Law: a process of this machine that is provably gone need not be waited for: what it held is free at once. Of an owner that
cannot be looked at (on another machine, in another container) only the end of the lease counts.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

_SERVER = "server-"
_STARTED = 19  # where /proc/<pid>/stat has the start, counted after the name, which may hold anything


@cache
def place() -> str:
    """Where process numbers mean what they mean here: the machine since its start, and the container."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    except OSError:  # no Linux
        pass
    return "/".join(part.replace("|", "_") for part in parts)


def started(pid: int) -> str:
    """When that process started, in the system's own count; `ended` for one that is over and only not buried yet; empty
    where that cannot be found out."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[_STARTED]


def this_process(*, serves: bool = False) -> str:
    """The name under which this process claims runs and locks; no two processes ever have the same. `serves`: it is a server,
    whose attempts workers carry out."""
    pid = os.getpid()
    return "|".join((place(), str(pid), started(pid), (_SERVER if serves else "") + os.urandom(4).hex()))


def is_server(owner: str) -> bool:
    """Is this the name of a server?"""
    parts = owner.split("|")
    return len(parts) == 4 and parts[3].startswith(_SERVER)


def is_elsewhere(owner: str) -> bool:
    """Is this the name of a process of another machine, or of a container with another name? Its loopback is not ours."""
    parts = owner.split("|")
    return len(parts) == 4 and parts[0].split("/")[:2] != place().split("/")[:2]


def called(owner: str) -> str:
    """An owner as people call it: a process of the command line by its number and machine, any other by its name."""
    parts = owner.split("|")
    what = "server, process" if is_server(owner) else "process"
    return f"{what} {parts[1]} on {parts[0].split('/')[0]}" if len(parts) == 4 else owner


def is_dead(owner: str) -> bool:
    """Is this the name of a process of this place that has ended?"""
    return _lives(owner) is False


def is_alive(owner: str) -> bool:
    """Is this the name of a process of this place that provably runs? Its clock was perhaps set back; then its lease seems to
    have been written by a wrong one."""
    return _lives(owner) is True


def _lives(owner: str) -> bool | None:
    """None where it cannot be found out."""
    parts = owner.split("|")
    if len(parts) != 4 or parts[0] != place() or not parts[1].isdecimal():
        return None
    pid = int(parts[1])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    now = started(pid)
    return now == parts[2] if parts[2] and now else None
