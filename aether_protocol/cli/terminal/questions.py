"""A question of a suspended task to the person at the terminal, until it is answered or it is moot.

Law: what the person writes is checked by the run that waits; what is refused there is asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import click
from msgspec import Struct

from aether_protocol.cli.terminal.prompt import read_line
from aether_protocol.errors import AetherError
from aether_protocol.expressions.values import Json
from aether_protocol.views.text import one_line, printable

_PROMPT = "  yes, no or a JSON object (Ctrl-D leaves it suspended): "


class Question(Struct, frozen=True):
    """What is asked.

    Args:
        path: of the task that waits.
        message: what it says about itself.
        is_open: whether it still waits, and the command is to go on.
        answer: delivers an answer; raises AetherError where that is refused.
    """

    path: str
    message: str
    is_open: Callable[[], bool]
    answer: Callable[[dict[str, Json]], Awaitable[None]]

    async def ask(self, attention: asyncio.Event) -> bool:
        """Ask until an answer was accepted or none is needed; False where the person leaves it suspended (Ctrl-D).

        Args:
            attention: set whenever `is_open` may have changed.
        """
        from aether_protocol.cli.arguments import read_payload

        click.secho(f"\n{printable(self.path)} waits for an answer", fg="yellow", bold=True, err=True)
        if self.message:
            click.echo(f"  {one_line(self.message, 1000)}", err=True)
        while self.is_open():
            line = await self._line(attention)
            if line is None:
                return not self.is_open()
            try:
                payload = read_payload(line) if line.strip() else None
                if payload is None:
                    click.echo("  that is neither yes, no nor a JSON object", err=True)
                    continue
                await self.answer(payload)
            except AetherError as error:
                click.echo(f"  refused: {printable(error.message)}", err=True)
            else:
                return True
        return True

    async def _line(self, attention: asyncio.Event) -> str | None:
        """A line from the terminal; None at its end, or once the question is moot."""
        reading = asyncio.ensure_future(read_line(_PROMPT))
        while True:
            attention.clear()
            looking = asyncio.ensure_future(attention.wait())
            await asyncio.wait({reading, looking}, return_when=asyncio.FIRST_COMPLETED)
            looking.cancel()
            if reading.done():
                return reading.result()
            if not self.is_open():
                reading.cancel()
                await asyncio.wait({reading})
                click.echo(err=True)
                return None
