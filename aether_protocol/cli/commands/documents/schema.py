"""`aether schema`: the JSON Schema of documents, for editors and other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.executors import executor_types
from aether_protocol.cli.command import command_with, option, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import ToOption
from aether_protocol.cli.value_types import OneOf
from aether_protocol.documents.schema import published
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_schema import with_configs

EPILOG = """\b
Examples:
  aether schema --to aether-v1.schema.json
  aether schema --kind Workflow

\b
Then, as the first line of a document, for the YAML language server:
  # yaml-language-server: $schema=aether-v1.schema.json"""

KINDS = ("Workflow", "CronWorkflow", "WorkflowTemplate")


class SchemaOptions(Struct, frozen=True, kw_only=True):
    kind: Annotated[str | None, option("--kind", type=OneOf(KINDS), help="Only the schema of this kind.")] = None
    output: Annotated[str, output_option("json")] = "json"
    to: ToOption = None


@command_with(SchemaOptions, "schema", epilog=EPILOG)
def command(options: SchemaOptions) -> int:
    """Print the JSON Schema (2020-12) of aether/v1 documents, with the configs of the executors that are installed."""
    schema = editors()
    chosen = schema if options.kind is None else schema_of(schema, options.kind)
    click.echo(json.dumps(chosen, indent=2, ensure_ascii=False))
    return FINE


def editors() -> dict[str, Json]:
    """The schema for editors."""
    return with_configs(published(), executor_types())


def schema_of(schema: Mapping[str, Json], kind: str) -> dict[str, Json]:
    """The schema of one kind, standing by itself: its branch in place of the choice, and the definitions that it reaches."""
    branch = next(one["then"] for one in schema["allOf"] if one["if"]["properties"]["kind"]["const"] == kind)
    properties = {**schema["properties"], **branch["properties"]}
    properties["kind"] = {**properties["kind"], "enum": [kind]}
    alone = {key: value for key, value in schema.items() if key not in ("$id", "allOf", "$defs")}
    alone |= {"title": f"aether/v1 {kind}", "properties": properties}
    definitions: Mapping[str, Json] = schema["$defs"]
    wanted = set(queue := _references(properties))
    while queue:
        for name in _references(definitions[queue.pop()]):
            if name not in wanted:
                wanted.add(name)
                queue.append(name)
    return {**alone, "$defs": {name: definitions[name] for name in definitions if name in wanted}}


def _references(node: Json) -> list[str]:
    found: list[str] = []
    stack = [node]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            target = here.get("$ref")
            if isinstance(target, str):
                found.append(target.rpartition("/")[2])
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)
    return found
