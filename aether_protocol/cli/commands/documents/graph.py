"""`aether graph X`: a picture of a workflow, or of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import LibraryOption, LookedUpStore, MaxOption, ToOption, WorkflowName
from aether_protocol.cli.value_types import Location, Number
from aether_protocol.views.graph.picture import Picture, picture

if TYPE_CHECKING:
    from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether graph flow.yaml                        (drawn in the terminal)
  aether graph flow.yaml -o svg --to flow.svg
  aether graph flow.yaml -o html --to flow.html (a page in one file)
  aether graph flow.yaml -o mermaid             (for Markdown)
  aether graph flow.yaml -o dot | dot -Tpng > flow.png
  aether graph latest -o svg --to run.svg       (a run, coloured by phase)"""


def _text(shown: Picture) -> str:
    from aether_protocol.cli.terminal.color import colored
    from aether_protocol.cli.terminal.streams import shows, terminal_columns
    from aether_protocol.views.graph.characters import JOINTS, as_characters
    from aether_protocol.views.phases import PHASE_COLORS

    def paint(text: str, phase: str) -> str:
        return click.style(text, fg=PHASE_COLORS[phase])

    plain = not shows("".join(JOINTS.values()), err=False)
    return as_characters(shown, terminal_columns(), plain=plain, paint=paint if colored() else None)


def _ascii(shown: Picture) -> str:
    from aether_protocol.cli.terminal.streams import terminal_columns
    from aether_protocol.views.graph.characters import as_characters

    return as_characters(shown, terminal_columns(), plain=True)


def _svg(shown: Picture) -> str:
    from aether_protocol.views.graph.svg import as_svg

    return as_svg(shown)


def _html(shown: Picture) -> str:
    from aether_protocol.views.html.page import picture_page

    return picture_page(shown)


def _mermaid(shown: Picture) -> str:
    from aether_protocol.views.graph.markup import as_mermaid

    return as_mermaid(shown)


def _dot(shown: Picture) -> str:
    from aether_protocol.views.graph.markup import as_dot

    return as_dot(shown)


FORMATS: Mapping[str, Callable[[Picture], str]] = {
    "text": _text, "ascii": _ascii, "svg": _svg, "html": _html, "mermaid": _mermaid, "dot": _dot,
}


class GraphOptions(Struct, frozen=True, kw_only=True):
    file: Annotated[str, argument("FILE", type=Location())]
    output: Annotated[str, output_option(*FORMATS, help="What to draw it as.", to=True)] = "text"
    to: ToOption = None
    depth: Annotated[
        int | None, option("--depth", type=Number(0), metavar="N", help="Draw dags and loops below this depth closed.")
    ] = None
    name: WorkflowName = None
    library: LibraryOption = ()
    store: LookedUpStore
    max: MaxOption
    server: Annotated[str | None, option("--server", metavar="URL", help="The server whose run is drawn.")] = None


@command_with(GraphOptions, "graph", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: GraphOptions) -> int:
    """Draw a workflow: its tasks, what they wait for, and dags and loops as groups.

    FILE is a document, or - for standard input; where there is no such file, a run: its id, the beginning of it, or latest.
    Each task of a run says what became of it.
    """
    if options.server is not None or _names_run(options.file):
        click.echo(FORMATS[options.output](_draw_run(options)), nl=False)
        return FINE
    inputs = DocumentInputs(options.library, options.max, options.store)
    plan = inputs.plan(inputs.read_one(options.file), options.name, strict=False)
    click.echo(FORMATS[options.output](picture(plan, options.depth)), nl=False)
    return FINE


def _names_run(text: str) -> bool:
    """Whether it can only be a run: there is no such file, and it does not look like one."""
    return text != "-" and not os.path.exists(text) and not text.endswith((".yaml", ".yml", ".json")) and "/" not in text


def _draw_run(options: GraphOptions) -> Picture:
    from aether_protocol.cli.stored import ask
    from aether_protocol.service.runs.plans import picture_of_run

    async def look(client: Client) -> Picture:
        row = await client.runs.get(options.file)
        layout = await client.plans.layout(row.digest, depth=options.depth)
        return picture_of_run(layout, await client.runs.report(row.run_id))

    return ask(options.server or options.store, look)
