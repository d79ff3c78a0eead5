"""`aether schema`: the JSON Schema of documents, for editors and other programs."""

from __future__ import annotations

import json

import click

from aether_protocol.documents.schema import published
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json

EPILOG = """\b
Examples:
  aether schema > aether-v1.schema.json
  aether schema --kind Workflow

\b
Then, as the first line of a document, for editors with the YAML language server:
  # yaml-language-server: $schema=aether-v1.schema.json"""

KINDS = ("Workflow", "CronWorkflow", "WorkflowTemplate")


@click.command("schema", epilog=EPILOG)
@click.option("--kind", type=click.Choice(KINDS, case_sensitive=False), help="Only the schema of this kind.")
def command(kind: str | None) -> int:
    """Print the JSON Schema (2020-12) of aether/v1 documents."""
    schema = published()
    click.echo(json.dumps(schema if kind is None else schema_of(schema, kind), indent=2, ensure_ascii=False))
    return 0


def schema_of(schema: dict[str, Json], kind: str) -> dict[str, Json]:
    """The part for one kind, standing by itself: its definition as the root and the definitions that it reaches."""
    definitions: dict[str, Json] = schema["$defs"]
    if kind not in definitions:
        raise UsageError(f"the schema has no definition {kind!r}")
    wanted, queue = {kind}, [kind]
    while queue:
        for name in _references(definitions[queue.pop()]):
            if name not in wanted:
                wanted.add(name)
                queue.append(name)
    kept = {name: definition for name, definition in definitions.items() if name in wanted}
    head: dict[str, Json] = {key: schema[key] for key in ("$schema", "$comment") if key in schema}
    return {**head, "title": f"aether/v1 {kind}", "$ref": f"#/$defs/{kind}", "$defs": kept}


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
