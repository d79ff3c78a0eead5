"""What a terminal shows is drawn again and again, until Ctrl-C.

Law: one look at the store or the server at a time and at most one a second, of what fits on the terminal; what was drawn last
stays there at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from aether_protocol.cli.terminal.prompt import interrupts
from aether_protocol.cli.terminal.streams import terminal_columns
from aether_protocol.errors import UsageError

EVERY_S: Final = 1.0

Draw = Callable[[int, int], Awaitable[str]]  # a text of at most so many columns and lines


def check_drawable(output: str = "text") -> None:
    """Raise UsageError where standard output is not a terminal for people."""
    if output != "text" or terminal_columns() is None:
        raise UsageError("--watch draws on a terminal", hint="'aether events RUN --follow' is for programs")


async def redraw(draw: Draw) -> None:
    """Show what `draw` gives, as it is at each moment."""
    console = Console(highlight=False)
    left = asyncio.Event()
    with interrupts(left.set), Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while not left.is_set():
            text = await draw(console.width, max(console.height - 1, 2))
            live.update(Text.from_ansi(text, no_wrap=True), refresh=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(left.wait(), EVERY_S)
