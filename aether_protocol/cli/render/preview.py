"""`--dry-run` as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click
from msgspec.structs import asdict

from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import Plan
from aether_protocol.views.preview import PreviewEntry
from aether_protocol.views.text import as_value, one_line


def show_preview(plan: Plan, entries: list[PreviewEntry], parameters: Mapping[str, Json], *, as_json: bool) -> None:
    """On standard output: what would run."""
    if as_json:
        told = {"workflow": plan.name, "tasks": [asdict(entry) for entry in entries]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    click.secho(f"{one_line(plan.name)}", bold=True, nl=False)
    click.echo("  would run as follows; nothing was started")
    for name, value in parameters.items():
        click.echo(f"  parameter {name} = {'***' if has_secret(value) else as_value(value)}")
    for entry in entries:
        indent = "  " * (entry.depth + 1)
        click.echo(f"{indent}{one_line(entry.path.rpartition('.')[2])} ", nl=False)
        click.secho(f"({one_line(entry.what)})", dim=True, nl=False)
        click.echo("".join(f"  [{note}]" for note in entry.notes))
        for name, text, known in entry.inputs:
            click.echo(f"{indent}    {name} = ", nl=False)
            click.secho(text, dim=not known)
