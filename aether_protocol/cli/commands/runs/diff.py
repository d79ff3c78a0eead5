"""`aether diff RUN RUN`: what is different about two runs."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import look
from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import Store
from aether_protocol.service.runs.find import find_run
from aether_protocol.service.runs.inspect import load
from aether_protocol.views.diff import differences, parameter_differences
from aether_protocol.views.report import make_report

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
    found = look(options.store, lambda opened: gather(opened, options.before, options.after))
    if options.output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        from aether_protocol.cli.render.history import show_changes

        show_changes(f"{found['before']} -> {found['after']}", found["changes"])
    return FINE


async def gather(store: Store, first: str, second: str) -> dict[str, Json]:
    ours, theirs = await find_run(store, first), await find_run(store, second)
    old, new = await load(store, ours.run_id), await load(store, theirs.run_id)
    changes: list[dict[str, Json]] = []
    if ours.digest != theirs.digest:
        changes.append({"path": "", "field": "digest", "before": ours.digest, "after": theirs.digest})
    changes += parameter_differences(redacted(old.header.parameters), redacted(new.header.parameters))
    changes += differences(make_report(old).to_json(), make_report(new).to_json())
    return {"before": ours.run_id, "after": theirs.run_id, "changes": changes}
