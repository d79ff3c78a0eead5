"""`aether validate`: all faults of all files at once, and nothing runs."""

from __future__ import annotations

import os

import click

from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE, INVALID
from aether_protocol.cli.options import library_option, limits_option, looked_up_option
from aether_protocol.documents.source import Limits
from aether_protocol.errors import UsageError

EPILOG = """\b
Examples:
  aether validate flow.yaml
  aether validate workflows/ --strict --format github
  aether validate flow.yaml --library shared/ --store sqlite:/var/lib/aether.db
  cat flow.yaml | aether validate -

Exit codes: 0 no errors (warnings are allowed), 3 errors."""


@click.command("validate", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--format", "format_", type=click.Choice(["text", "json", "github", "sarif"]), default="text", show_default=True,
              help="How to print what was found.")
@click.option("--strict", is_flag=True,
              help="As strict as a run here: executor types, artifact sources and namespaces that this machine does not have "
                   "are errors. So is a retry on the call of a dag or loop, which has no effect. Other warnings stay warnings.")
@library_option
@looked_up_option
@limits_option
def command(
    paths: tuple[str, ...], format_: str, strict: bool, library: tuple[str, ...], store: str, limits: Limits
) -> int:
    """Check documents and show all faults at once.

    PATH is a file, a folder (every aether document in it; they find each other's templates) or - for standard input.
    """
    # pydantic looks for plugins among all that is installed, which takes longer than the check of a page. Nothing runs
    # here, so no other process inherits this.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    inputs = DocumentInputs(library, limits, store)
    files = inputs.read(paths)
    if not any(files):
        raise UsageError(
            f"there is no aether document in {', '.join(map(repr, paths))}",
            hint="a document begins with 'apiVersion: aether/v1'",
        )
    diagnostics = inputs.check(files, strict=strict)
    from aether_protocol.cli.render.diagnostics import FORMATS, show_diagnostics, summary

    if format_ == "text":
        show_diagnostics(diagnostics, inputs.sources, err=False)
        click.echo(summary(diagnostics, len({file.file for several in files for file in several})))
    else:
        text = FORMATS[format_](diagnostics)
        if text:
            click.echo(text)
    return INVALID if any(d.severity == "error" for d in diagnostics) else FINE
