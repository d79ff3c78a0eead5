"""`aether worker ls`: the workers of all servers of a store, and why tasks wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import ServerOptions, ToOption, named_server
from aether_protocol.cli.stored import ask_server
from aether_protocol.cli.terminal.messages import warn_unreachable
from aether_protocol.views.text import printable

EPILOG = """\b
Examples:
  aether worker ls
  aether worker ls --server https://aether.example.com -o json"""


class WorkerListOptions(Struct, frozen=True, kw_only=True):
    output: Annotated[str, output_option("text", "json")] = "text"
    to: ToOption = None
    server: ServerOptions


@command_with(WorkerListOptions, "ls", epilog=EPILOG)
def command(options: WorkerListOptions) -> int:
    """List the workers of all servers of the store: slots, state, what each carries out; and why tasks wait."""
    asked = options.server
    found = ask_server(named_server(asked.server), lambda client: client.fleet.workers(), asked.token)
    warn_unreachable(found["unreachable"], "what is there is left out")
    if options.output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.table import show_table
    from aether_protocol.cli.terminal import messages

    workers = found["workers"]
    several = len({one["server"] for one in workers}) > 1
    heads = ("NAME", *(["SERVER"] if several else []), "STATE", "POOL", "SLOTS", "SEEN", "LABELS", "RUNNING")
    if workers:
        show_table(heads, [_row(one, several=several) for one in workers], least=("LABELS", "SEEN", "POOL"))
    else:
        messages.note("no worker is connected", "'aether worker --server URL' starts one")
    for reason, count in found["waiting"].items():
        click.echo(printable(f"{count} waiting: {reason}"))
    return FINE


def _row(worker: Mapping[str, Any], *, several: bool) -> tuple[str, ...]:
    used = worker["used"]
    slots = ", ".join(f"{kind} {used.get(kind, 0)}/{total}" for kind, total in sorted(worker["slots"].items()))
    labels = ", ".join(f"{name}={text}" for name, text in sorted(worker["labels"].items()))
    running = worker["running"]
    first = ", ".join(f"{one['path']} of {one['runId']}" for one in running[:2])
    more = f" and {len(running) - 2} more" if len(running) > 2 else ""
    seen = f"{worker['seenSecondsAgo']:.0f}s ago"
    named = (worker["name"], *([worker["server"] or "-"] if several else []))
    cells = *named, worker["state"], worker["pool"] or "-", slots, seen, labels or "-", f"{first}{more}" or "-"
    return tuple(map(printable, cells))
