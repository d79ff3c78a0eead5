"""The person at the terminal: the prompt for suspended tasks, Ctrl-C and a terminal that is hung up.

Law: nothing here blocks the event loop. A line is read when the terminal has one, so a run continues, a timeout fires and
Ctrl-C is heard while the prompt waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def at_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def read_line(prompt: str) -> str | None:
    """Ask on standard error, read a line of standard input; None at its end (Ctrl-D)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bytes] = loop.create_future()
    fd = sys.stdin.fileno()

    def arrived() -> None:
        try:
            data = os.read(fd, 65536)  # a terminal gives a line at a time
        except OSError:  # the terminal was hung up: there is no answer to come
            data = b""
        if not ready.done():
            ready.set_result(data)

    click.echo(prompt, err=True, nl=False)
    sys.stderr.flush()
    loop.add_reader(fd, arrived)
    try:
        data = await ready
    finally:
        loop.remove_reader(fd)
    return data.decode("utf-8", "replace").rstrip("\r\n") if data else None


@contextmanager
def interrupts(heard: Callable[[], None]) -> Iterator[None]:
    """Call `heard` on the event loop at each SIGINT and SIGTERM while the block runs, and at SIGHUP unless that was ignored
    when the process was started (`nohup`). A terminal that goes may signal twice: a SIGHUP after another signal is left out."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    count = 0

    def came(number: int) -> None:
        nonlocal count
        count += 1
        if number != signal.SIGHUP or count == 1:
            heard()

    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        loop.add_signal_handler(number, came, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
