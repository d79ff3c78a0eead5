"""Nothing that a process started or laid down outlives it, even where it is killed: a small shell beside it tidies up.

Law: the guard holds one end of a pipe and we the other; it learns which process groups begin and end and which folders are
ours, and when the pipe ends we are gone. Then it ends the groups that are left, SIGTERM first, removes the folders, and ends.
A group is known by the process that began it and the instant of its start, so a number that the system has given to another
one is not touched. Where there is no `/bin/sh` there is no guard: programs of a killed engine then go on to their own end.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from aether_protocol.execution.capacity import is_full

GRACE_S: Final = 0.2  # between SIGTERM and SIGKILL: the engine that recovers the run needs longer to begin
_STARTED: Final = 19  # where /proc/PID/stat has the start, counted after the name, which may hold anything

_SCRIPT: Final = """
trap '' HUP INT QUIT TERM PIPE
set -f
cd /
groups=' '
while read -r sign group; do
  case "$sign$groups" in
    /*) set -- "$@" "$group" ;;
    +*) groups="$groups$group " ;;
    -*" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
same() {  # PID START: that very process, or none any more
  [ -n "$2" ] && read -r stat 2>/dev/null < "/proc/$1/stat" || return 0
  start=$2
  set -- ${stat##*)}
  [ "${20}" = "$start" ]
}
for signal in TERM KILL; do
  left=''
  for group in $groups; do
    same "${group%:*}" "${group#*:}" && kill -s $signal -- "-${group%:*}" 2>/dev/null && left=yes
  done
  [ $signal = TERM ] && [ -n "$left" ] && { sleep GRACE 2>/dev/null || sleep 1; }
done
for folder; do
  chmod -R u+rwx "$folder"
  rm -rf -- "$folder" "$folder.lock"
done
""".replace("GRACE", str(GRACE_S))

_pipe: int | None = None  # the end that we hold
_owner = 0  # the process that it was made for: a fork needs one of its own


def ready() -> None:
    """Have a guard from now on. Raises OSError where the machine is full: then there may be room later."""
    global _pipe, _owner
    if _owner == os.getpid():
        return
    theirs, ours = os.pipe()
    try:
        os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _SCRIPT],
            {"PATH": os.environ.get("PATH", os.defpath)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setpgroup=0,  # what the terminal sends to us is not meant for it
        )
    except OSError as error:
        os.close(ours)
        if not is_full(error):
            _owner, _pipe = os.getpid(), None
            return
        raise
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)  # a guard that does not listen must not hold us up
    _owner, _pipe = os.getpid(), ours


def begun(pid: int) -> str:
    """A process group began with this process, which was not waited for yet. Gives the name to end it by."""
    name = f"{pid}:{_start_of(pid)}"
    _tell(f"+ {name}\n")
    return name


def laid(folder: Path) -> None:
    """This folder, and the file of its lock beside it, are to go when we are gone."""
    ready()
    if "\n" not in str(folder):
        _tell(f"/ {folder}\n")


def ended(name: str) -> None:
    """Nothing of that group is left."""
    _tell(f"- {name}\n")


def _tell(line: str) -> None:
    if _pipe is not None and _owner == os.getpid():
        with contextlib.suppress(OSError):
            os.write(_pipe, os.fsencode(line))


def _start_of(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:  # no Linux
        return ""
    return stat.rpartition(")")[2].split()[_STARTED]
