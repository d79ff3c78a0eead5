"""Runs one child process in a process group of its own and brings back how it ended and what it wrote.

Law: when `run_child` returns or is cancelled, nothing of the group is alive and no descriptor is left open, whatever
the child did: wrote a line of 100 MB, left a grandchild that holds the pipe, ignored SIGTERM. Where we are killed, `guard`
sees to it. The pipes are our own because asyncio's wait ends only when every holder of its pipes has ended.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aether_protocol.adapters.executors import guard

CHUNK: Final = 65_536  # bytes read at once, and the longest line part held back before it is logged
CAPTURE_LIMIT: Final = 1_048_576  # bytes of stdout that are kept
DRAIN_READS: Final = 16  # of `CHUNK`, a full pipe at its largest
TAIL: Final = 4_096  # bytes of the end of stderr that are kept
GRACE_S: Final = 2.0  # between SIGTERM and SIGKILL
DRAIN_S: Final = 0.5  # for what a descendant still writes after the process itself has ended

OnText = Callable[[str], None]

_groups: set[int] = set()  # the process groups that are alive


@dataclass(slots=True)
class ChildEnd:
    """`returncode` is negative for a signal. `stdout` may be cut, `stderr_tail` is the end of what came."""

    returncode: int
    stdout: str
    stderr_tail: str


class _Pipe:
    """The reading end of one pipe: keeps the head and the tail of what comes and passes all of it on, line by line."""

    def __init__(self, on_text: OnText, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""  # an unfinished line: logged whole, so that a secret in it is seen whole
        self._total = 0
        self.head = bytearray()
        self.tail = bytearray()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._fd, self.write_fd = os.pipe()
        os.set_blocking(self._fd, False)
        loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self.close()

    def _take(self, data: bytes) -> None:
        self._total += len(data)
        if len(self.head) < CAPTURE_LIMIT:
            self.head += data[: CAPTURE_LIMIT - len(self.head)]
        self.tail = (self.tail + data)[-TAIL:]
        self._pass_on(self._decoder.decode(data))

    def _pass_on(self, text: str) -> None:
        text = self._pending + text
        end = text.rfind("\n") + 1
        if end == 0 and len(text) >= CHUNK:
            end = len(text)
        self._pending = text[end:]
        if end:
            self._on_text(text[:end])

    def drain(self) -> None:
        """Take what is there now without waiting for more, then close.

        It is bounded because somebody who left the group may still be writing.
        """
        for _ in range(DRAIN_READS):
            before = self._total
            if not self.closed.done():
                self._readable()
            if self._total == before:
                break
        self.close()

    def close(self) -> None:
        if self.closed.done():
            return
        self.closed.set_result(None)
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self.close_writer()
        self._pending += self._decoder.decode(b"", final=True)
        if self._pending:
            self._on_text(self._pending)
            self._pending = ""

    def close_writer(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def text(self) -> str:
        text = self.head.decode("utf-8", errors="replace")
        if self._total > len(self.head):
            text += f"\n[cut: {self._total - len(self.head)} more bytes]"
        return text


async def run_child(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None, on_stdout: OnText, on_stderr: OnText
) -> ChildEnd:
    """Run `argv` to its end. Raises OSError or ValueError where it cannot be started.

    Cancelled, it sends SIGTERM to the group, waits up to `GRACE_S`, sends SIGKILL, and then lets the cancellation on.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        stdout = _Pipe(on_stdout, loop)
        stack.callback(stdout.drain)
        stderr = _Pipe(on_stderr, loop)
        stack.callback(stderr.drain)
        guard.ready()
        start = asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout.write_fd,
            stderr=stderr.write_fd,
            env=env,
            cwd=cwd,
            process_group=0,
        )
        process, cancelled = await _finish(start)
        stack.callback(guard.ended, guard.begun(process.pid))
        _groups.add(process.pid)
        stack.callback(_groups.discard, process.pid)
        stack.callback(_signal_group, process.pid, signal.SIGKILL)
        stdout.close_writer()
        stderr.close_writer()
        try:
            if cancelled:
                raise asyncio.CancelledError
            returncode = await process.wait()
            await asyncio.wait([stdout.closed, stderr.closed], timeout=DRAIN_S)
        except asyncio.CancelledError:
            await _stop(process, (stdout, stderr))
            raise
    return ChildEnd(returncode, stdout.text(), stderr.tail.decode("utf-8", errors="replace"))


async def _finish(start: Coroutine[Any, Any, Process]) -> tuple[Process, bool]:
    """What `start` gives, and whether we were cancelled meanwhile. Asyncio's own way to take back a half-made start kills
    the process alone, and what that has started by then would live on."""
    starting = asyncio.ensure_future(start)
    cancelled = False
    while not starting.done():
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError:
            cancelled = True
    return starting.result(), cancelled


def kill_all() -> None:
    """For a process that leaves at once: no child of ours outlives it."""
    for group in tuple(_groups):
        _signal_group(group, signal.SIGKILL)


async def _stop(process: Process, pipes: Sequence[_Pipe]) -> None:
    """SIGTERM, grace, SIGKILL. Open pipes tell that descendants are still ending; a second cancel cuts it short."""
    _signal_group(process.pid, signal.SIGTERM)
    end = asyncio.ensure_future(process.wait())
    ends: list[asyncio.Future[int] | asyncio.Future[None]] = [end, *(pipe.closed for pipe in pipes)]
    try:
        await asyncio.wait(ends, timeout=GRACE_S)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
    await asyncio.wait([end], timeout=GRACE_S)  # a process in the kernel's hands may not end even so


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
