"""Runs one child process in a process group of its own and brings back how it ended and what it wrote.

Law: when `run_child` returns or is cancelled, nothing of the group is alive and no descriptor is left open, whatever
the child did: wrote a line of 100 MB, left a grandchild that holds the pipe, ignored SIGTERM. Where we are killed, `guard`
sees to it. The start happens in one piece, so that a cancel never meets a process that is half begun, and what has begun is
never begun again. Neither pipes nor processes are asyncio's: its wait ends only when every holder of its pipes has ended, and
it has a thread for each process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final

from msgspec import Struct

from aether_protocol.adapters.executors import orphan_guard as guard
from aether_protocol.adapters.executors.streams import ChildStream
from aether_protocol.execution import capacity

GRACE_S: Final = 2.0  # between SIGTERM and SIGKILL
DRAIN_S: Final = 0.5  # for what a descendant still writes after the process itself has ended
KILLED_S: Final = 2.0  # for the end of a process after SIGKILL: one in the kernel's hands may not end even so
POLL_S: Final = 0.02  # between looks at a process, where the system has no descriptors of processes

_groups: set[int] = set()  # the process groups that are alive


class ProcessSpec(Struct, frozen=True):
    """What is to be run, and how it is asked to stop: `signal` first, SIGKILL after `grace_s`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None
    signal: signal.Signals = signal.SIGTERM
    grace_s: float | None = None


class ChildEnd(Struct):
    """`returncode` is negative for a signal. `excess` names the stream that became larger than it may."""

    returncode: int
    stdout: ChildStream
    stderr: ChildStream
    excess: str | None


class Excess:
    """Called when a stream has become larger than it may, which ends the child."""

    def __init__(self) -> None:
        self.stream: str | None = None
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def of(self, stream: str) -> Callable[[], None]:
        def tell() -> None:
            self.stream = self.stream or stream
            if not self.told.done():
                self.told.set_result(None)

        return tell


MakeStreams = Callable[[Excess], tuple[ChildStream, ChildStream]]


async def run_child(child: Child, command: ProcessSpec) -> ChildEnd:
    """See `child`, which was started as `command`, to its end.

    Cancelled, it sends the command's signal to the group, waits up to the grace, sends SIGKILL, and then lets the
    cancellation on.
    """
    with capacity.under_way(), child:
        try:
            ends: list[asyncio.Future[int] | asyncio.Future[None]] = [child.end, child.excess.told]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not child.end.done():
                signal_group(child.pid, signal.SIGKILL)
                await asyncio.wait([child.end], timeout=KILLED_S)
            await asyncio.wait([stream.closed for stream in child.streams], timeout=DRAIN_S)
        except asyncio.CancelledError:
            await _stop(child, command)
            raise
    returncode = child.end.result() if child.end.done() else -signal.SIGKILL
    return ChildEnd(returncode, *child.streams, child.excess.stream)


class Child:
    """A process that is started, with its streams. Leaving it ends the group and reads what is there.

    Raises OSError or ValueError where it cannot be started, and leaves nothing then.
    """

    def __init__(self, command: ProcessSpec, streams: MakeStreams) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            self.excess = Excess()
            self.streams = streams(self.excess)
            for stream in reversed(self.streams):
                undo.callback(stream.drain)
            guard.ready()
            stdout, stderr = (stream.write_fd for stream in self.streams)
            process = _spawn(command, stdout, stderr)
            self.pid = process.pid
            self.end = _watch(process, loop)
            undo.callback(guard.ended, guard.begun(process.pid))
            _groups.add(process.pid)
            undo.callback(_groups.discard, process.pid)
            undo.callback(signal_group, process.pid, signal.SIGKILL)
            for stream in self.streams:
                stream.close_writer()
            self._undo = undo.pop_all()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.close()


def _spawn(command: ProcessSpec, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    def spawn(argv: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=command.env,
            cwd=command.cwd,
            process_group=0,
        )

    try:
        return spawn(command.argv)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    return spawn(["/bin/sh", *command.argv])  # a text without `#!`, which every shell takes for a script of its own


def _watch(process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> asyncio.Future[int]:
    """The return code, once there is one."""
    end: asyncio.Future[int] = loop.create_future()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # another system, or the last descriptor was taken at this very moment

        def look() -> None:
            if process.poll() is None:
                loop.call_later(POLL_S, look)
            else:
                end.set_result(process.wait())

        look()
        return end

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        end.set_result(process.wait())

    loop.add_reader(descriptor, ended)
    return end


def kill_all() -> None:
    """For a process that leaves at once: no child of it outlives it."""
    for group in tuple(_groups):
        signal_group(group, signal.SIGKILL)


async def _stop(child: Child, command: ProcessSpec) -> None:
    """The signal, grace, SIGKILL. Open pipes tell that descendants are still ending; a second cancel cuts it short."""
    signal_group(child.pid, command.signal)
    ends: list[asyncio.Future[int] | asyncio.Future[None]] = [child.end, *(stream.closed for stream in child.streams)]
    try:
        await asyncio.wait(ends, timeout=GRACE_S if command.grace_s is None else command.grace_s)
    finally:
        signal_group(child.pid, signal.SIGKILL)
    await asyncio.wait([child.end], timeout=KILLED_S)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to all of a process group that are left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
