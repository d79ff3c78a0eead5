"""Events as JSON lines, the same wherever they come from, or as lines of text.

Law: JSON has everything, in UTC; a line of text has what can be read on one line, in the reader's zone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import click

from aether_protocol.cli.render.times import here
from aether_protocol.cli.terminal.streams import caught_up
from aether_protocol.expressions.values import Json
from aether_protocol.views.event_feed import EventRecord
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import as_value, one_line, printable

_HEAD = ("v", "runId", "seq", "index", "at", "cause", "kind", "id", "path", "hook", "phase", "message")


async def print_events(events: AsyncIterator[EventRecord], *, as_json: bool = True) -> int:
    """A line on standard output for each thing that happened; how many there were."""
    count = 0
    async for event in events:
        await print_event(event, as_json=as_json)
        count += 1
    return count


async def print_event(event: EventRecord, *, as_json: bool = True) -> None:
    """Print one."""
    if as_json:
        click.echo(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
    else:
        _print_text(event)
    await caught_up()  # the run continues meanwhile: what is not printed yet waits as steps


def _print_text(event: Mapping[str, Json]) -> None:
    """`12  2026-03-29 03:00:12 CEST  NodeEnded  main.a  Failed: no such host`."""
    at = round(datetime.fromisoformat(event["at"]).timestamp() * 1_000_000)
    click.echo(f"{event['seq']:>5}  {here(at)}  {event['kind']:<16}", nl=False)
    place = event.get("hook") or event.get("path")
    if place:
        click.echo(f"  {printable(place)}", nl=False)
    phase = event.get("phase")
    if phase:
        click.secho(f"  {phase}", fg=PHASE_COLORS.get(phase), nl=False)
    if event.get("message"):
        click.echo(f"  {one_line(event['message'], 120)}", nl=False)
    more = {name: value for name, value in event.items() if name not in _HEAD and value not in (None, {}, [], "", 0)}
    click.echo(f"  {as_value(more, 120)}" if more else "")
