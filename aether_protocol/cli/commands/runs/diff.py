"""`aether diff RUN RUN`: what is different about two runs."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct, to_builtins

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FAILED, FINE
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask

EPILOG = """\b
Examples:
  aether diff 0195c3f2 latest
  aether diff nightly nightly.2 -o json      (a run and its retry)

Exit codes: 0 they are the same, 1 they differ. Durations alone are no difference."""


class DiffOptions(Struct, frozen=True, kw_only=True):
    before: Annotated[str, argument("RUN")]
    after: Annotated[str, argument("RUN")]
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(DiffOptions, "diff", epilog=EPILOG)
def command(options: DiffOptions) -> int:
    """Compare two runs: documents, parameters, phases, inputs and outputs, task by task.

    RUN is a run's id, the beginning of it, or latest. Ids and times are not compared; how long tasks took is shown.
    """
    found = ask(options.store, lambda client: client.inspect.compare(options.before, options.after))
    if options.output == "json":
        shown = {
            "before": found.before,
            "after": found.after,
            "changes": found.changes,
            "durations": to_builtins(found.durations),
            "documents": found.documents,
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        from aether_protocol.cli.render.documents import show_difference
        from aether_protocol.cli.render.history import show_changes, show_durations

        show_changes(f"{found.before} -> {found.after}", found.changes)
        show_difference(found.documents)
        show_durations(found.durations)
    return FAILED if found.changes else FINE

