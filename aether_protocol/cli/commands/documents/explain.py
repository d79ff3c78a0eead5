"""`aether explain CODE`: what a diagnostic code means and what to do."""

from __future__ import annotations

import json
import textwrap
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import TextOrJson, ToOption
from aether_protocol.diagnostics import CODES, CodeInfo
from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.errors import UsageError

EPILOG = """\b
Examples:
  aether explain AE204
  aether explain          (lists all codes)"""


class ExplainOptions(Struct, frozen=True, kw_only=True):
    code: Annotated[str | None, argument("[CODE]", required=False)] = None
    output: TextOrJson = "text"
    to: ToOption = None


@command_with(ExplainOptions, "explain", epilog=EPILOG)
def command(options: ExplainOptions) -> int:
    """Explain a diagnostic code; without CODE list them all."""
    infos = list(CODES.values()) if options.code is None else [find(options.code)]
    if options.output == "json":
        listed = [
            {"code": one.code, "severity": one.severity, "title": one.title, "explanation": one.explanation} for one in infos
        ]
        click.echo(json.dumps(listed if options.code is None else listed[0], indent=2, ensure_ascii=False))
    elif options.code is None:
        for info in infos:
            click.secho(f"{info.code} ", nl=False, bold=True)
            click.echo(f"{info.severity:8} {info.title}")
    else:
        show(infos[0])
    return FINE


def find(code: str) -> CodeInfo:
    """The code that is meant. Raises UsageError with the nearest one."""
    found = CODES.get(code.strip().upper())
    if found is None:
        near = suggest(code.upper(), list(CODES))
        hint = f"did you mean {near}?" if near else "'aether explain' lists all codes"
        raise UsageError(f"there is no code {code!r}", hint=hint)
    return found


def show(found: CodeInfo) -> None:
    """A code as text."""
    click.secho(f"{found.code} ", nl=False, bold=True)
    click.echo(f"({found.severity}) {found.title}\n")
    for paragraph in found.explanation.strip().split("\n\n"):
        example = any(line.startswith("  ") for line in paragraph.splitlines())
        click.echo(paragraph if example else textwrap.fill(" ".join(paragraph.split()), 80))
        click.echo()
