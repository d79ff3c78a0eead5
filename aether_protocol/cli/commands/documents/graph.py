"""`aether graph FILE`: a picture of a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.options import library_option, limits_option, looked_up_option, name_option
from aether_protocol.documents.source import Limits
from aether_protocol.views.graph.picture import Picture, picture

EPILOG = """\b
Examples:
  aether graph flow.yaml                        (drawn in the terminal)
  aether graph flow.yaml --format svg > flow.svg
  aether graph flow.yaml --format mermaid       (for Markdown)
  aether graph flow.yaml --format dot | dot -Tpng > flow.png"""


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


FORMATS: Mapping[str, Callable[[Picture], str]] = {"ascii": _ascii, "svg": _svg, "mermaid": _mermaid, "dot": _dot}


@click.command("graph", epilog=EPILOG)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="ascii", show_default=True,
              help="What to draw it as.")
@click.option("--depth", type=click.IntRange(0), help="Draw dags and loops below this depth closed.")
@name_option
@library_option
@looked_up_option
@limits_option
def command(
    file: str, format_: str, depth: int | None, name: str | None, library: tuple[str, ...], store: str, limits: Limits
) -> int:
    """Draw a workflow: its tasks, what they wait for, and dags and loops as groups.

    FILE is a document, or - for standard input.
    """
    inputs = DocumentInputs(library, limits, store)
    plan = inputs.plan(inputs.read_one(file), name, strict=False)
    click.echo(FORMATS[format_](picture(plan, depth)), nl=False)
    return 0
