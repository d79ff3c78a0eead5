"""`aether graph FILE`: a picture of a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import LibraryOption, LookedUpStore, MaxOption, ToOption, WorkflowName
from aether_protocol.cli.value_types import Location, Number
from aether_protocol.views.graph.picture import Picture, picture

EPILOG = """\b
Examples:
  aether graph flow.yaml                        (drawn in the terminal)
  aether graph flow.yaml -o svg --to flow.svg
  aether graph flow.yaml -o mermaid             (for Markdown)
  aether graph flow.yaml -o dot | dot -Tpng > flow.png"""


def _ascii(shown: Picture) -> str:
    from aether_protocol.views.graph.ascii import as_ascii

    return as_ascii(shown)


def _svg(shown: Picture) -> str:
    from aether_protocol.views.graph.svg import as_svg

    return as_svg(shown)


def _mermaid(shown: Picture) -> str:
    from aether_protocol.views.graph.markup import as_mermaid

    return as_mermaid(shown)


def _dot(shown: Picture) -> str:
    from aether_protocol.views.graph.markup import as_dot

    return as_dot(shown)


FORMATS: Mapping[str, Callable[[Picture], str]] = {"text": _ascii, "svg": _svg, "mermaid": _mermaid, "dot": _dot}


class GraphOptions(Struct, frozen=True, kw_only=True):
    file: Annotated[str, argument("FILE", type=Location())]
    output: Annotated[str, output_option(*FORMATS, help="What to draw it as.", old={"ascii": "text"}, to=True)] = "text"
    to: ToOption = None
    depth: Annotated[
        int | None, option("--depth", type=Number(0), metavar="N", help="Draw dags and loops below this depth closed.")
    ] = None
    name: WorkflowName = None
    library: LibraryOption = ()
    store: LookedUpStore
    max: MaxOption


@command_with(GraphOptions, "graph", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: GraphOptions) -> int:
    """Draw a workflow: its tasks, what they wait for, and dags and loops as groups.

    FILE is a document, or - for standard input.
    """
    inputs = DocumentInputs(options.library, options.max, options.store)
    plan = inputs.plan(inputs.read_one(options.file), options.name, strict=False)
    click.echo(FORMATS[options.output](picture(plan, options.depth)), nl=False)
    return FINE
