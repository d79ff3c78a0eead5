"""Standard output and standard error, as commands write to them.

Law: writing raises nothing, unless a command asked to be stopped (`stop_when_lost`). A stream whose reader is gone or whose
device is full is lost: it takes everything and passes nothing on, and `entry` makes of that a message and an exit code. What
the encoding of a stream cannot hold is written as `\\uXXXX`, which inside JSON means the same; in text, ASCII stands in for
our own characters.

While runs are driven (`apart`) a thread does the writing, so that a reader that does not read stops no timer and lets no lease
run out. What then waits for standard error is bounded, and a note counts what was left out; results wait without a bound.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

CHUNK: Final = 65_536
FLOOD: Final = 4_194_304  # bytes that wait for a view's reader; more is left out
BEHIND: Final = 1_048_576  # bytes that wait before a producer that can wait does
PATIENCE_S: Final = 5.0  # at the end a view's reader is given up when it took nothing for so long
LOOK_S: Final = 0.02
FURTHER: Final = 6  # columns by which later lines of a text that is wrapped are further in
LEAST: Final = 20  # columns of text, however far in it stands

Note = Callable[[int], str]  # says that so many lines were left out


class LostOutputError(Exception):
    """What a command prints has nowhere to go, and it prints as long as it is let."""


ASCII: Final = {"…": "...", "│": "|", "━": "="}  # what our texts have; phases have ASCII marks of their own


def escape(error: UnicodeError, stand_ins: Mapping[str, str] = MappingProxyType({})) -> tuple[str, int]:
    """The error handler of our encoders: `\\uXXXX`, in pairs beyond U+FFFF, where nothing stands in for a character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(stand_ins.get(char) or _escaped(char) for char in lost), error.end


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def stand_in(error: UnicodeError) -> tuple[str, int]:
    """The same where people read: ASCII for our own characters."""
    return escape(error, ASCII)


codecs.register_error("aether-escape", escape)
codecs.register_error("aether-text", stand_in)


class Outlet:
    """What waits to be written to one destination, and the thread that writes it. Two streams of one terminal or pipe share
    it, and so keep their order."""

    def __init__(self) -> None:
        self.waiting = 0  # bytes
        self.taken = 0  # bytes that left, ever
        self._queue: deque[tuple[Stream, bytes]] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, stream: Stream, data: bytes) -> None:
        with self._change:
            self._queue.append((stream, data))
            self.waiting += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="aether-output", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def wait(self, patience_s: float | None) -> bool:
        """Until all is written; False where nothing was taken for so long."""
        with self._change:
            while self.waiting:
                before, end = self.taken, time.monotonic() + (patience_s or 0)
                while self.waiting and self.taken == before:
                    left = None if patience_s is None else end - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._change.wait(left)
        return True

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._queue:
                    self._change.wait()
                stream, data = self._queue.popleft()
            for at in range(0, len(data), CHUNK):
                piece = data[at : at + CHUNK]
                stream.put_out(piece)
                with self._change:
                    self.waiting -= len(piece)
                    self.taken += len(piece)
                    self._change.notify_all()


class Stream(io.TextIOBase):
    """A text stream over a file descriptor that it does not own. `lost` is why it leads nowhere by now; `note` says what was
    left out where what waits is bounded, None: it is not."""

    encoding = "utf-8"  # click goes its own way around a stream that says ascii
    errors = "backslashreplace"

    def __init__(self, descriptor: int, encoding: str, note: Note | None = None) -> None:
        self.lost: OSError | None = None
        self.stops = False
        self.note = note
        self.true_encoding = codecs.lookup(encoding).name
        self._descriptor = descriptor
        self._encoder = codecs.getincrementalencoder(encoding)("aether-text" if note is not None else "aether-escape")
        self._outlet: Outlet | None = None
        self._left_out = 0

    def hold_text(self) -> None:
        """From here on people read it, not programs."""
        self._encoder.errors = "aether-text"

    # --- what a text stream is asked ---

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"a str is needed, not {type(text).__name__}")
        if self.lost is not None:
            if self.stops:
                raise LostOutputError
        elif self._outlet is None:
            self.put_out(self._encoder.encode(text))
        elif self.note is None or self._has_room(self._outlet, text, self.note):
            self._outlet.put(self, self._encoder.encode(text))
        return len(text)

    def _has_room(self, outlet: Outlet, text: str, note: Note) -> bool:
        if outlet.waiting >= FLOOD or (self._left_out and outlet.waiting > FLOOD // 2):
            self._left_out += text.count("\n")
            return False
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            outlet.put(self, self._encoder.encode(f"{note(left_out)}\n"))
        return True

    def flush(self) -> None:
        """Nothing is kept back here."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    # --- where it goes ---

    @property
    def waiting(self) -> int:
        """How many bytes still wait to be read."""
        return 0 if self._outlet is None else self._outlet.waiting

    def put_out(self, data: bytes) -> None:
        """Write it, however long that takes."""
        left = memoryview(data)
        while left and self.lost is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another program that has this terminal or pipe made it so
                select.select([], [self._descriptor], [], 1)
            except OSError as error:
                self.lost = error

    def can_hold(self, text: str) -> bool:
        try:
            text.encode(self.true_encoding)
        except UnicodeError:
            return False
        return True

    def aside(self, outlet: Outlet) -> None:
        """Let a thread do the writing from now on, unless it cannot take long."""
        try:
            mode = os.fstat(self._descriptor).st_mode
        except OSError:
            return
        if not stat.S_ISREG(mode):
            self._outlet = outlet

    def back(self, patience_s: float | None) -> None:
        """Write what waits, and do without the thread. Without an end to the patience one waits for the reader."""
        if self._outlet is not None:
            if self._left_out and self.note is not None and self.lost is None:
                left_out, self._left_out = self._left_out, 0
                self._outlet.put(self, self._encoder.encode(f"{self.note(left_out)}\n"))
            if not self._outlet.wait(patience_s):
                self.lost = self.lost or OSError(errno.EAGAIN, "no reader takes it")
            self._outlet = None


class Standard:
    """The two of this process. `outcome_decides`: what a command did counts, whether or not its output went anywhere."""

    def __init__(self, out: Stream, err: Stream) -> None:
        self.out = out
        self.err = err
        self.outcome_decides = False


_here: Standard | None = None


@contextmanager
def installed() -> Iterator[Standard | None]:
    """Use them while the block runs; None where another program has replaced what Python set up."""
    global _here
    before = (sys.stdout, sys.stderr, _here)
    try:
        numbers = (sys.stdout.fileno(), sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        numbers = (-1, -1)
    if numbers != (1, 2):
        yield None
        return
    sys.stdout.flush()
    _here = Standard(
        Stream(1, sys.stdout.encoding or "utf-8"),
        Stream(2, sys.stderr.encoding or "utf-8", lambda count: f"({count} lines are left out: standard error was not read)"),
    )
    sys.stdout, sys.stderr = _here.out, _here.err
    try:
        yield _here
    finally:
        sys.stdout, sys.stderr, _here = before


@contextmanager
def apart(note: Note | None = None) -> Iterator[None]:
    """While the block runs the writing delays nothing, and what the command did decides its exit code. With `note` what
    waits for standard output is bounded, too."""
    here = _here
    if here is None:
        yield
        return
    here.outcome_decides = True
    here.out.note = note
    shared = _same_place()
    outlet = Outlet()
    here.out.aside(outlet)
    here.err.aside(outlet if shared else Outlet())
    try:
        yield
    finally:
        here.err.back(None if shared else PATIENCE_S)
        here.out.back(None)


def _same_place() -> bool:
    try:
        one, two = os.fstat(1), os.fstat(2)
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


@contextmanager
def redirected(stream: Stream) -> Iterator[None]:
    """While the block runs, standard output is this stream."""
    before, ours = sys.stdout, None if _here is None else _here.out
    sys.stdout = stream
    if _here is not None:
        _here.out = stream
    try:
        yield
    finally:
        sys.stdout = before
        if _here is not None and ours is not None:
            _here.out = ours


def print_text() -> None:
    """What this command prints is text: where an encoding lacks our characters, ASCII stands in for them."""
    if _here is not None:
        _here.out.hold_text()


def terminal_columns() -> int | None:
    """How wide the terminal is that standard output leads to; None where it leads to none."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size  # 4 ms that a list in a pipe does not need

    return get_terminal_size().columns


def outcome_decides() -> bool:
    """Whether the exit code says what a command did, whatever became of what it printed."""
    return _here is not None and _here.outcome_decides


def let_outcome_decide() -> None:
    """The exit code is the result of this command; what it prints does not count."""
    if _here is not None:
        _here.outcome_decides = True


def stop_when_lost() -> None:
    """This command does nothing but print: raise LostOutputError once standard output leads nowhere."""
    if _here is not None:
        _here.out.stops = True


def behind() -> bool:
    """Whether standard error waits to be read."""
    return _here is not None and _here.err.waiting > 0


def shows(text: str, *, err: bool = True) -> bool:
    """Whether standard error (or standard output) can hold these characters."""
    return _here is None or (_here.err if err else _here.out).can_hold(text)


async def caught_up() -> None:
    """Return once not too much waits for the reader of standard output."""
    import asyncio  # most commands do without

    while _here is not None and _here.out.waiting > BEHIND:  # noqa: ASYNC110 (who writes is a thread, which knows of no event loop)
        await asyncio.sleep(LOOK_S)


def settle(patience_s: float) -> None:
    """Before the process ends at once: write what waits, if there is a reader."""
    if _here is not None:
        _here.err.back(patience_s)
        _here.out.back(patience_s)


def wrapped(text: str, indent: str = "", further: int = FURTHER) -> list[str]:
    """`text` behind `indent`: on a terminal in lines that fit, the later ones `further` columns further in; else one line. What
    tasks wrote, and what programs read, is never broken."""
    from aether_protocol.views.text import cells

    columns = terminal_columns()
    if columns is None or len(indent) + cells(text) <= columns:
        return [indent + text]
    from textwrap import wrap  # here: most lines fit

    later = indent + " " * further
    room = max(columns - 1, len(later) + LEAST)
    return wrap(text, room, initial_indent=indent, subsequent_indent=later, break_on_hyphens=False)


def say(text: str, indent: str = "", *, further: int = FURTHER, color: str | None = None, bold: bool = False) -> None:
    """Print `text` on standard output as `wrapped` gives it."""
    import click

    lines = "\n".join(wrapped(text, indent, further))
    click.secho(lines, fg=color, bold=bold) if color or bold else click.echo(lines)
