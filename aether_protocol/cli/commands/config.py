"""`aether config`: the settings that hold, where each comes from, and whether the files are valid."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.configuration.effective import Configuration, EffectiveSetting
from aether_protocol.assembly.configuration.find import ConfigurationFile
from aether_protocol.assembly.configuration.settings import redacted, setting_of
from aether_protocol.cli.command import argument, command_with, output_option
from aether_protocol.cli.configured import configuration
from aether_protocol.cli.exits import FINE, INVALID
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import ProfileOption, TextOrJson, ToOption
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location
from aether_protocol.expressions.values import Json
from aether_protocol.views.text import one_line, printable

EPILOG = """\b
Examples:
  aether config show
  aether config show --profile prod -o json
  aether config validate deploy/aether.toml"""


@click.group("config", cls=CommandGroup, epilog=EPILOG)
def command() -> None:
    """Show the settings of aether.toml, variables and profiles, and where they come from."""


class ConfigShowOptions(Struct, frozen=True, kw_only=True):
    profile: ProfileOption = None
    output: TextOrJson = "text"
    to: ToOption = None


class ConfigValidateOptions(Struct, frozen=True, kw_only=True):
    paths: Annotated[tuple[str, ...], argument("[FILE]...", nargs=-1, type=Location())] = ()
    output: Annotated[str, output_option("text", "json", "github", "sarif", help="How to print what was found.")] = "text"
    to: ToOption = None


@command_with(ConfigShowOptions, "show")
def show(options: ConfigShowOptions) -> int:
    """Show every setting that holds here, and where it comes from: a variable, file:line, or a default.

    Passwords in URLs are masked.
    """
    from aether_protocol.assembly.configuration.store_place import store_url

    settings = configuration()
    found = list(settings.all())
    store = str(redacted(store_url(settings)))
    if options.output == "json":
        click.echo(json.dumps(to_json(settings, found, store), indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.table import show_table

    rows = [(one.key, told(setting_of(one.key).shown(one.value)), printable(str(one.source))) for one in found]
    show_table(("SETTING", "VALUE", "FROM"), rows)
    click.echo(f"\nstore:   {one_line(store)}")
    click.echo(f"profile: {printable(settings.profile or 'none')}")
    click.echo(f"digest:  {settings.digest}")
    warn(settings)
    return FINE


@command_with(ConfigShowOptions, "path")
def path(options: ConfigShowOptions) -> int:
    """Print the files that count here; of a setting in several of them the last one counts."""
    settings = configuration()
    if options.output == "json":
        click.echo(json.dumps({"files": [file_to_json(file) for file in settings.files]}, indent=2, ensure_ascii=False))
        return FINE
    for file in settings.files:
        click.echo(printable(file.path))
    if not settings.files:
        messages.note("there is no aether.toml here")
    warn(settings)
    return FINE


@command_with(ConfigValidateOptions, "validate")
def validate(options: ConfigValidateOptions) -> int:
    """Check files with settings, by default those that count here, and show all faults at once.

    Exit codes: 0 no errors, 3 errors.
    """
    from aether_protocol.assembly.configuration.effective import find_configuration
    from aether_protocol.assembly.configuration.find import read_named
    from aether_protocol.assembly.configuration.tables import read_tables
    from aether_protocol.cli.render.diagnostics import FORMATS, show_diagnostics, summary

    files = [file for one in options.paths if (file := read_named(one)) is not None] if options.paths else find_configuration()
    diagnostics = [fault for file in files for fault in read_tables(file).faults]
    if options.output == "text":
        show_diagnostics(diagnostics, {file.path: file.data for file in files}, err=False)
        click.echo(summary(diagnostics, len(files)))
    elif text := FORMATS[options.output](diagnostics):
        click.echo(text)
    return INVALID if any(one.severity == "error" for one in diagnostics) else FINE


for _one in (path, show, validate):
    command.add_command(_one)


def told(value: Json) -> str:
    """A value on one line, as TOML would have it; nothing where there is none."""
    return "-" if value is None else one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def warn(settings: Configuration) -> None:
    """Report what does not count, on standard error."""
    for warning in settings.warnings:
        messages.warn(f"{warning.file}: {warning.message}")


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
        "value": setting_of(one.key).shown(one.value),
        "source": {
            "kind": source.kind,
            "name": source.name or None,
            "line": source.line or None,
            "profile": source.profile,
        },
    }
