"""The person at the terminal: the prompt for suspended tasks and Ctrl-C.

Law: nothing here blocks the event loop. A line is read when the terminal has one, so a run goes on, a timeout fires and
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
    """Is there somebody to ask?"""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def read_line(prompt: str) -> str | None:
    """Ask on standard error, read a line of standard input; None at its end (Ctrl-D)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bytes] = loop.create_future()
    fd = sys.stdin.fileno()

    def arrived() -> None:
        data = os.read(fd, 65536)  # a terminal gives a line at a time
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
    """Call `heard` on the event loop at each SIGINT and SIGTERM while the block runs."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
