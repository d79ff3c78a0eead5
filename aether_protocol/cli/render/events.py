"""Events as JSON lines, the same wherever they come from."""

from __future__ import annotations

import json

import click

from aether_protocol.cli.terminal.streams import caught_up
from aether_protocol.engine.stream import EventStream


async def print_events(events: EventStream) -> int:
    """A line on standard output for each thing that happened; how many there were."""
    count = 0
    async for event in events:
        click.echo(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        await caught_up()  # the run goes on meanwhile: what is not printed yet waits as steps
        count += 1
    return count
