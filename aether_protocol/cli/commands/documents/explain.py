"""`aether explain CODE`: what a diagnostic code means and what to do."""

from __future__ import annotations

import textwrap

import click

from aether_protocol.diagnostics import CODES
from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.errors import UsageError

EPILOG = """\b
Examples:
  aether explain AE204
  aether explain          (lists all codes)"""


@click.command("explain", epilog=EPILOG)
@click.argument("code", required=False)
def command(code: str | None) -> int:
    """Say what a diagnostic code means; without CODE list them all."""
    if code is None:
        for info in CODES.values():
            click.secho(f"{info.code} ", nl=False, bold=True)
            click.echo(f"{info.severity:8} {info.title}")
        return 0
    found = CODES.get(code.strip().upper())
    if found is None:
        near = suggest(code.upper(), CODES)
        hint = f"did you mean {near}?" if near else "'aether explain' lists all codes"
        raise UsageError(f"there is no code {code!r}", hint=hint)
    click.secho(f"{found.code} ", nl=False, bold=True)
    click.echo(f"({found.severity}) {found.title}\n")
    for paragraph in found.explanation.strip().split("\n\n"):
        example = any(line.startswith("  ") for line in paragraph.splitlines())
        click.echo(paragraph if example else textwrap.fill(" ".join(paragraph.split()), 88))
        click.echo()
    return 0
