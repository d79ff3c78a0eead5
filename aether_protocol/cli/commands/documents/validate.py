"""`aether validate`: all faults of all files at once, and nothing runs."""

from __future__ import annotations

import os
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE, INVALID
from aether_protocol.cli.options import LibraryOption, LookedUpStore, MaxOption, ToOption
from aether_protocol.cli.value_types import Location
from aether_protocol.errors import UsageError

EPILOG = """\b
Examples:
  aether validate flow.yaml
  aether validate workflows/ --strict -o github
  aether validate flow.yaml --library shared/ --store sqlite:/srv/aether.db
  cat flow.yaml | aether validate -

Exit codes: 0 no errors (warnings are allowed), 3 errors."""
STRICT = """As strict as a run here: executor types, artifact sources and namespaces that this machine does not have are
errors. So is a retry on the call of a dag or loop, which has no effect. Other warnings stay warnings."""


class ValidateOptions(Struct, frozen=True, kw_only=True):
    paths: Annotated[tuple[str, ...], argument("PATH...", nargs=-1, required=True, type=Location())]
    strict: Annotated[bool, option("--strict", is_flag=True, help=STRICT)] = False
    output: Annotated[
        str, output_option("text", "json", "github", "sarif", help="How to print what was found.", to=True)
    ] = "text"
    to: ToOption = None
    library: LibraryOption = ()
    store: LookedUpStore
    max: MaxOption


@command_with(ValidateOptions, "validate", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: ValidateOptions) -> int:
    """Check documents and show all faults at once.

    PATH is a file, a folder (every aether document in it; they find each other's templates) or - for standard input.
    """
    # pydantic looks for plugins among all that is installed, which takes longer than the check of a page. Nothing runs
    # here, so no other process inherits this.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    inputs = DocumentInputs(options.library, options.max, options.store)
    files = inputs.read(options.paths)
    if not any(files):
        raise UsageError(
            f"there is no aether document in {', '.join(map(repr, options.paths))}",
            hint="a document begins with 'apiVersion: aether/v1'",
        )
    diagnostics = inputs.check(files, strict=options.strict)
    from aether_protocol.cli.render.diagnostics import FORMATS, show_diagnostics, summary

    if options.output == "text":
        show_diagnostics(diagnostics, inputs.sources, err=False)
        click.echo(summary(diagnostics, len({file.file for several in files for file in several})))
    else:
        text = FORMATS[options.output](diagnostics)
        if text:
            click.echo(text)
    return INVALID if any(d.severity == "error" for d in diagnostics) else FINE
