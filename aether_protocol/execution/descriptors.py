"""Raise the limit of open files for this process, and restore it for the programs that it starts.

Law: this file is free to import; every command line begins with it.
"""

from __future__ import annotations

import contextlib
from typing import Final

HIGHEST: Final = 1_048_576  # more than that nothing here can need, and some tables grow with it

_given: int | None = None  # the soft limit that this process was started with, where it was raised


def raise_descriptors() -> None:
    """Raise this process's soft limit of descriptors to the hard one."""
    global _given
    try:
        import resource
    except ImportError:  # no POSIX
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # some systems refuse what they call allowed
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _given = soft if _given is None else _given


def given_descriptors() -> int | None:
    """The soft limit of descriptors for programs, where ours is another one."""
    return _given
