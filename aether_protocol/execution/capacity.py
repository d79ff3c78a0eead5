"""Room on the machine: descriptors, processes, memory and space that an attempt needs to begin.

Law: a full machine is never a task's fault. What cannot begin for want of room waits, in the order of arrival, while
others end; only where this process runs nothing that could free anything does it give up, after `GIVE_UP_S`. What has begun
is never begun a second time. A reserve of descriptors stays free for the engine itself: stores, logs, artifacts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
Tell = Callable[[str], None]

POLL_S: Final = 0.25  # between tries while other processes, whose ends are not reported, may free something
GIVE_UP_S: Final = 60.0  # of waiting while this process runs nothing
LEAST: Final = 8  # descriptors that a start itself needs
RESERVE: Final = 32  # descriptors that stay free beside what runs, where there are many

_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.ENOBUFS})
_ADVICE: Final = {
    errno.ENOSPC: "make space on the disk, or let TMPDIR name another folder",
    errno.EDQUOT: "make space on the disk, or let TMPDIR name another folder",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`), or lower --concurrency",
    errno.ENOMEM: "free memory, or lower --concurrency",
    errno.ENFILE: "too many files are open on this machine: lower --concurrency",
}
_RAISE: Final = "raise the limit of open files (`ulimit -n`), or lower --concurrency"


class FullError(OSError):
    """There was no room for so long that waiting makes no sense. Its text has no number of an error in front."""

    def __str__(self) -> str:
        return str(self.strerror)


class _Room:
    """What an event loop knows of the room: how many things are running, which is next, and that something has ended."""

    def __init__(self) -> None:
        self.running = 0
        self.turn = asyncio.Lock()
        self.freed = asyncio.Event()


_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, _Room] = WeakKeyDictionary()


def is_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, says that the machine is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def under_way() -> Iterator[None]:
    """Count something that holds descriptors, processes or space, and frees them at its end."""
    room = _room()
    room.running += 1
    try:
        yield
    finally:
        room.running -= 1
        room.freed.set()


async def begin(start: Callable[[], T], tell: Tell) -> T:
    """What `start` gives. It is called again when there is room if it raises the OSError of a full machine (or what that
    caused); it must have undone then what it did, for what waits here may hold nothing that others wait for.

    `tell` is called once that this waits. Raises FullError, and what else `start` raises.
    """
    room = _room()
    patience = Patience(tell)
    async with room.turn:
        while True:
            room.freed.clear()
            try:
                _probe(room)
                return start()
            except Exception as error:
                if not is_full(error):
                    raise
                full = error
            await patience.wait(full)


class Patience:
    """Waits for room on behalf of one attempt, as long as that makes sense."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._alone_since: float | None = None
        self._told = False

    async def wait(self, error: BaseException) -> None:
        """Wait until something has ended, or for a moment. Raises FullError."""
        room = _room()
        reason = _reason(error)
        now = asyncio.get_running_loop().time()
        if room.running:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= GIVE_UP_S:
            advice = _ADVICE.get(reason, _RAISE)
            text = f"no room for {GIVE_UP_S:g} s, and nothing is running that could free any: {os.strerror(reason).lower()}"
            raise FullError(reason, f"{text}; {advice}") from error
        if not self._told:
            self._told = True
            self._tell(f"waits for room on the machine: {os.strerror(reason).lower()}\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await room.freed.wait()


def _room() -> _Room:
    loop = asyncio.get_running_loop()
    room = _rooms.get(loop)
    if room is None:
        room = _rooms[loop] = _Room()
    return room


def _probe(room: _Room) -> None:
    """See that a start leaves enough descriptors. Raises OSError where it would not.

    Where nothing runs it is tried with what there is.
    """
    count = max(LEAST, min(RESERVE, _soft() // 8)) if room.running else LEAST
    held: list[int] = []
    try:
        held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(count - 1):
            held.append(os.dup(held[0]))
    finally:
        for descriptor in held:
            os.close(descriptor)


def _soft() -> int:
    try:
        import resource
    except ImportError:
        return RESERVE * 8
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _reason(error: BaseException | None) -> int:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error.errno or 0
        error = error.__cause__ or error.__context__
    return errno.EMFILE
