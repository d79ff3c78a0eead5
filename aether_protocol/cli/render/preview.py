"""`--dry-run` as text and JSON.

Law: nothing is started and nothing recorded; text and JSON show the same tasks in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from aether_protocol.cli.configured import variable_sources
from aether_protocol.cli.instants import now_us
from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import Plan
from aether_protocol.service.runs.dry_run import DryRun, dry_run
from aether_protocol.views.text import as_value, one_line


def show_what_would_run(plan: Plan, arguments: Mapping[str, Json], *, as_json: bool) -> None:
    """On standard output: what would run. Arguments that do not fit are refused as a run would refuse them."""
    found = dry_run(plan, arguments, now_us(), variable_sources())
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
    else:
        _show(found)


def _show(found: DryRun) -> None:
    click.secho(f"{one_line(found.workflow)}", bold=True, nl=False)
    click.echo("  would run as follows; nothing was started")
    for name, value in found.parameters.items():
        click.echo(f"  parameter {name} = {'***' if has_secret(value) else as_value(value)}")
    for entry in found.entries:
        indent = "  " * (entry.depth + 1)
        click.echo(f"{indent}{one_line(entry.path.rpartition('.')[2])} ", nl=False)
        click.secho(f"({one_line(entry.what)})", dim=True, nl=False)
        click.echo("".join(f"  [{note}]" for note in entry.notes))
        for name, text, known in entry.inputs:
            click.echo(f"{indent}    {name} = ", nl=False)
            click.secho(text, dim=not known)
