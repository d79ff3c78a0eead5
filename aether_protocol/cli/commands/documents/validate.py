"""`aether validate`: all faults of all files at once, and nothing runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE, INVALID
from aether_protocol.cli.options import CheckedStore, LibraryOption, MaxOption, ToOption
from aether_protocol.cli.value_types import Location
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.errors import DocumentError, UsageError

EPILOG = """\b
Examples:
  aether validate flow.yaml
  aether validate workflows/ --strict -o github
  aether validate flow.yaml --library shared/ --store sqlite:/srv/aether.db
  aether validate flow.yaml --server https://aether.example.com
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
    store: CheckedStore
    max: MaxOption


@command_with(ValidateOptions, "validate", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: ValidateOptions) -> int:
    """Check documents and show all faults at once.

    PATH is a file, a folder (every aether document in it; they find each other's templates) or - for standard input. With
    --server URL the server checks them as it would a run: against its library, and what it and its workers can carry out.
    """
    # pydantic looks for plugins among all that is installed, which takes longer than the check of a page. Nothing runs
    # here, so no other process inherits this.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    inputs = DocumentInputs(options.library, options.max, options.store)
    check = _check_there if is_server_url(options.store) else _check_here
    count, diagnostics = check(inputs, options)
    if not count:
        raise UsageError(
            f"there is no aether document in {', '.join(map(repr, options.paths))}",
            hint="a document begins with 'apiVersion: aether/v1'",
        )
    from aether_protocol.cli.render.diagnostics import FORMATS, show_diagnostics, summary

    if options.output == "text":
        show_diagnostics(diagnostics, inputs.sources, err=False)
        click.echo(summary(diagnostics, count))
    else:
        text = FORMATS[options.output](diagnostics)
        if text:
            click.echo(text)
    return INVALID if any(d.severity == "error" for d in diagnostics) else FINE


def _check_here(inputs: DocumentInputs, options: ValidateOptions) -> tuple[int, Sequence[Diagnostic]]:
    """How many files there are, and what is wrong with them."""
    files = inputs.read(options.paths)
    count = len({file.file for several in files for file in several})
    return count, inputs.check(files, strict=options.strict) if count else ()


def _check_there(inputs: DocumentInputs, options: ValidateOptions) -> tuple[int, Sequence[Diagnostic]]:
    """The same, as a server finds it; bytes that are not text are not sent."""
    from aether_protocol.cli.stored import ask_server

    try:
        texts, library = inputs.texts(options.paths)
    except DocumentError as error:
        return len({one.file for one in error.diagnostics}), error.diagnostics
    if not texts:
        return 0, ()
    found = ask_server(options.store, lambda client: client.documents.check(texts, library=library, strict=options.strict))
    return len(texts), found
