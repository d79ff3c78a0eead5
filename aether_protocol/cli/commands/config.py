"""`aether config`: the settings that hold, where each comes from, and whether the files are valid."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import click

from aether_protocol.assembly.configuration.effective import Configuration, EffectiveSetting
from aether_protocol.assembly.configuration.find import ConfigurationFile
from aether_protocol.assembly.configuration.settings import redacted
from aether_protocol.cli.configured import configuration
from aether_protocol.cli.exits import FINE, INVALID
from aether_protocol.cli.options import profile_option
from aether_protocol.expressions.values import Json
from aether_protocol.views.text import one_line, printable

EPILOG = """\b
Examples:
  aether config show
  aether config show --profile prod -o json
  aether config validate deploy/aether.toml"""

output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)


@click.group("config", epilog=EPILOG)
def command() -> None:
    """Show the settings of aether.toml, variables and profiles, and where they come from."""


@command.command("show")
@profile_option
@output_option
def show(output: str) -> int:
    """Show every setting that holds here, and where it comes from: a variable, file:line, or a default.

    Passwords in URLs are masked.
    """
    from aether_protocol.assembly.configuration.store_place import store_url

    settings = configuration()
    found = list(settings.all())
    store = str(redacted(store_url(settings)))
    if output == "json":
        click.echo(json.dumps(to_json(settings, found, store), indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.table import show_table

    rows = [(one.key, told(one.value), printable(str(one.source))) for one in found]
    show_table(("SETTING", "VALUE", "FROM"), rows)
    click.echo(f"\nstore:   {one_line(store)}")
    click.echo(f"profile: {printable(settings.profile or 'none')}")
    click.echo(f"digest:  {settings.digest}")
    warn(settings)
    return FINE


@command.command("path")
@profile_option
@output_option
def path(output: str) -> int:
    """Print the files that count here; of a setting in several of them the last one counts."""
    settings = configuration()
    if output == "json":
        click.echo(json.dumps({"files": [file_to_json(file) for file in settings.files]}, indent=2, ensure_ascii=False))
        return FINE
    for file in settings.files:
        click.echo(printable(file.path))
    if not settings.files:
        click.echo("there is no aether.toml here", err=True)
    warn(settings)
    return FINE


@command.command("validate")
@click.argument("paths", nargs=-1, metavar="[FILE]...", type=click.Path())
@click.option("-o", "--output", type=click.Choice(["text", "json", "github", "sarif"]), default="text", show_default=True,
              help="How to print what was found.")
def validate(paths: tuple[str, ...], output: str) -> int:
    """Check files with settings, by default those that count here, and show all faults at once.

    Exit codes: 0 no errors, 3 errors.
    """
    from aether_protocol.assembly.configuration.effective import find_configuration
    from aether_protocol.assembly.configuration.find import read_named
    from aether_protocol.assembly.configuration.tables import read_tables
    from aether_protocol.cli.render.diagnostics import FORMATS, show_diagnostics, summary

    files = [file for one in paths if (file := read_named(one)) is not None] if paths else find_configuration()
    diagnostics = [fault for file in files for fault in read_tables(file).faults]
    if output == "text":
        show_diagnostics(diagnostics, {file.path: file.data for file in files}, err=False)
        click.echo(summary(diagnostics, len(files)))
    elif text := FORMATS[output](diagnostics):
        click.echo(text)
    return INVALID if any(one.severity == "error" for one in diagnostics) else FINE


def told(value: Json) -> str:
    """A value on one line, as TOML would have it; nothing where there is none."""
    shown = redacted(value)
    return "-" if shown is None else one_line(shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False))


def warn(settings: Configuration) -> None:
    """Report what does not count, on standard error."""
    for warning in settings.warnings:
        click.echo(f"note: {printable(warning.file)}: {printable(warning.message)}", err=True)


def to_json(settings: Configuration, found: Sequence[EffectiveSetting], store: str) -> Json:
    return {
        "profile": settings.profile,
        "digest": settings.digest,
        "store": store,
        "files": [file_to_json(file) for file in settings.files],
        "settings": [setting_to_json(one) for one in found],
        "warnings": [one.to_json() for one in settings.warnings],
    }


def file_to_json(file: ConfigurationFile) -> Json:
    return {"path": os.path.abspath(file.path), "layer": file.layer, "table": ".".join(file.table) or None}


def setting_to_json(one: EffectiveSetting) -> Json:
    source = one.source
    return {
        "key": one.key,
        "value": redacted(one.value),
        "source": {
            "kind": source.kind,
            "name": source.name or None,
            "line": source.line or None,
            "profile": source.profile,
        },
    }
