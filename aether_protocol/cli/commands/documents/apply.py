"""`aether apply PATH...`: keep documents of every kind in the store, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.document_inputs import DocumentInputs, told_as
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import LibraryOption, MaxOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask_new, refuse_memory
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.service.documents.changes import AppliedDocuments

EPILOG = """\b
Examples:
  aether apply flows/
  aether apply flows/ --dry-run          (how each document differs)
  aether apply nightly.yaml --replace    (its workflowSpec has changed)
  aether apply - < flow.yaml
  aether run --name flow                 (runs what was applied)

A Workflow is kept by its name (aether run --name), a WorkflowTemplate in the library, a CronWorkflow as a schedule
(aether cron). A text that differs from the newest version makes another one; what was there stays.

\b
Exit codes: 0 applied, or there already, 2 wrong usage, 3 something is
invalid and nothing was applied, 8 another process changes the same
schedule, 9 the store cannot be used."""


class ApplyOptions(Struct, frozen=True, kw_only=True):
    paths: Annotated[tuple[str, ...], argument("PATH...", nargs=-1, required=True, type=Location())]
    dry_run: Annotated[
        bool, option("--dry-run", is_flag=True, help="Show what would become of each document, and change nothing.")
    ] = False
    replace: Annotated[
        bool,
        option("--replace", is_flag=True,
               help="Of a CronWorkflow whose workflowSpec differs: make a new schedule of that name, which keeps the history."),
    ] = False
    library: LibraryOption = ()
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption
    max: MaxOption


@command_with(ApplyOptions, "apply", epilog=EPILOG)
def command(options: ApplyOptions) -> int:
    """Keep documents of every kind in the store, under the names that they give themselves. All of them or, if anything is
    wrong with one, none.

    PATH is a file with a document or several, a folder (every aether document in it) or - for standard input. What they refer
    to is looked up in these files, in --library, then in the store. Runs that were submitted before stay what they were.
    """
    refuse_memory(options.store)
    inputs = DocumentInputs(options.library, options.max)
    texts, library = inputs.texts(options.paths)

    async def apply(client: Client) -> AppliedDocuments:
        return await client.documents.apply(texts, library=library, replaces=options.replace, dry_run=options.dry_run)

    with told_as("nothing was applied"):
        done = ask_new(options.store, apply, inputs.make_workspace, writes=not options.dry_run)
    from aether_protocol.cli.render.diagnostics import show_warnings
    from aether_protocol.cli.render.documents import show_changes

    show_warnings(done.warnings, inputs.sources)
    for one in done.left_out:
        messages.note(f"{one.file}:{one.line}: {one.kind} {one.name!r} is left out")
    show_changes(done, as_json=options.output == "json")
    return FINE
