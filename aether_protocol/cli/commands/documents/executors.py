"""`aether executors`: what tasks can be made of, with the fields of their config and their outputs."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.executors import executor_types, missing_modules
from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import TextOrJson, ToOption
from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField, with_nested
from aether_protocol.plan.config_schema import config_schema
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.views.text import as_value

WIDTH = 80

EPILOG = """\b
Examples:
  aether executors
  aether executors script
  aether executors -o json"""


class ExecutorsOptions(Struct, frozen=True, kw_only=True):
    type: Annotated[str | None, argument("[TYPE]", required=False)] = None
    output: TextOrJson = "text"
    to: ToOption = None


@command_with(ExecutorsOptions, "executors", epilog=EPILOG)
def command(options: ExecutorsOptions) -> int:
    """List the executor types that are installed, with their fields.

    Other packages add theirs through the entry-point group aether.executors.
    """
    types = executor_types()
    if options.type is not None and options.type not in types:
        near = suggest(options.type, list(types))
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(types))}"
        raise UsageError(f"there is no executor type {options.type!r}", hint=hint)
    chosen = [types[name] for name in sorted(types) if options.type in (None, name)]
    if options.output == "json":
        click.echo(json.dumps([as_json(one) for one in chosen], indent=2, ensure_ascii=False))
        return FINE
    for number, one in enumerate(chosen):
        if number:
            click.echo()
        show(one)
    return FINE


def show(type_: ExecutorType) -> None:
    """One executor type as text."""
    click.secho(type_.name, bold=True)
    click.echo(click.wrap_text(type_.description, WIDTH, "  ", "  "))
    rows = [(f"config.{name}", facts(field), field.description) for name, field in with_nested(type_.config)]
    rows += [(f"output {output.name}", output.type, output.description) for output in type_.outputs]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, type_text, description in rows:
        click.echo(f"  {name:{width}}  ", nl=False)
        click.secho(type_text, fg="cyan")
        click.echo(click.wrap_text(description, WIDTH, "      ", "      "))
    missing = missing_modules(type_)
    if missing:
        click.secho(f"  needs {', '.join(missing)}, not installed here: {type_.install}", fg="yellow")
    if type_.site == "engine":
        click.echo("  carried out by the engine itself: it takes no slot")
    if type_.open_config:
        click.echo("  other fields of config are allowed")
    if type_.open_outputs:
        click.echo("  other outputs, as the task gives them")


def as_json(type_: ExecutorType) -> Json:
    """One executor type for programs."""
    return {
        "name": type_.name,
        "description": type_.description,
        "config": [field_as_json(field) for field in type_.config],
        "outputs": [{"name": o.name, "type": o.type, "description": o.description} for o in type_.outputs],
        "schema": config_schema(type_),
        "site": type_.site,
        "version": type_.version,
        "modules": list(type_.modules),
        "install": type_.install or None,
        "openConfig": type_.open_config,
        "openOutputs": type_.open_outputs,
    }


def field_as_json(field: ConfigField) -> Json:
    """One field of a config for programs."""
    return {
        "name": field.name,
        "type": field.type,
        "description": field.description,
        "required": field.required,
        "default": field.default,
        "enum": None if field.enum is None else list(field.enum),
        "items": field.items,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "fields": [field_as_json(one) for one in field.fields],
        "words": list(field.words),
    }


def facts(field: ConfigField) -> str:
    """`string, required`, `integer, default 2, 0 to 10`."""
    parts = [f"array of {field.items}" if field.type == "array" and field.items else field.type]
    if field.words:
        parts[0] += "".join(f" or `{word}`" for word in field.words)
    if field.required:
        parts.append("required")
    if field.default is not None:
        parts.append(f"default {as_value(field.default)}")
    if field.enum is not None:
        parts.append("one of " + ", ".join(as_value(value) for value in field.enum))
    if field.minimum is not None or field.maximum is not None:
        low = "" if field.minimum is None else f"{field.minimum:g}"
        high = "" if field.maximum is None else f"{field.maximum:g}"
        parts.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
    return ", ".join(parts)
