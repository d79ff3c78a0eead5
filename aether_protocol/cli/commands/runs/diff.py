"""`aether diff RUN RUN`: what is different about two runs."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask

EPILOG = """\b
Examples:
  aether diff 0195c3f2 latest
  aether diff nightly nightly.2 -o json      (a run and its retry)

The exit code is 0 whether they differ or not."""


class DiffOptions(Struct, frozen=True, kw_only=True):
    before: Annotated[str, argument("RUN")]
    after: Annotated[str, argument("RUN")]
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(DiffOptions, "diff", epilog=EPILOG)
def command(options: DiffOptions) -> int:
    """Compare two runs: documents, parameters, phases, inputs and outputs, task by task.

    RUN is a run's id, the beginning of it, or latest. Ids and times are not compared.
    """
    found = ask(options.store, lambda client: client.inspect.compare(options.before, options.after))
    if options.output == "json":
        shown = {"before": found.before, "after": found.after, "changes": found.changes}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        from aether_protocol.cli.render.history import show_changes

        show_changes(f"{found.before} -> {found.after}", found.changes)
    return FINE

