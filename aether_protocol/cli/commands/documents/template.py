"""`aether template`: the library of a store, WorkflowTemplates that many documents share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.assembly.templates import make_shelf, template_names
from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.document_inputs import DocumentInputs, told_as
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import (
    LibraryOption,
    MaxOption,
    NamespaceFilter,
    NamespaceOption,
    StoreOption,
    TextOrJson,
    ToOption,
)
from aether_protocol.cli.stored import ask, ask_new, refuse_memory
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location, Number
from aether_protocol.errors import UsageError
from aether_protocol.service.documents.changes import TEMPLATE
from aether_protocol.service.documents.find import choose_version, read_document_name

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.service.documents.changes import AppliedDocuments
    from aether_protocol.service.documents.remove import RemovedDocuments

APPLY_EPILOG = """\b
Examples:
  aether template apply lib/words.yaml
  aether template apply lib/ --library ../shared
  aether template apply - < words.yaml

Exit codes: 0 stored, or there already, 3 a document is invalid and nothing was stored."""

SHOW_EPILOG = """\b
Examples:
  aether template show words
  aether template show ops/words --version 2 > words.yaml
  aether template show words --digest 3f2a"""


@click.group("template", cls=CommandGroup)
def command() -> None:
    """Keep WorkflowTemplates in the store, for every document that is run on it."""


class TemplateApplyOptions(Struct, frozen=True, kw_only=True):
    files: Annotated[tuple[str, ...], argument("FILE...", nargs=-1, required=True, type=Location())]
    library: LibraryOption = ()
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption
    max: MaxOption


@command_with(TemplateApplyOptions, "apply", epilog=APPLY_EPILOG, moved={"--limit": "--max"})
def apply(options: TemplateApplyOptions) -> int:
    """Store WorkflowTemplates, each under the name and namespace that it gives itself. A text that differs from the newest
    version makes another one.

    FILE is a document or several, a folder (every aether document in it) or - for standard input. What they refer to is
    looked up in these files, in --library, then in the store. All of them are stored or, if something is invalid, none. Runs
    that were submitted before stay what they were.
    """
    refuse_memory(options.store)
    inputs = DocumentInputs(options.library, options.max)
    texts, library = inputs.texts(options.files)

    async def put(client: Client) -> AppliedDocuments:
        return await client.documents.apply(texts, kinds=(TEMPLATE,), library=library)

    with told_as("nothing was applied"):
        done = ask_new(options.store, put, inputs.make_workspace)
    if done.warnings:
        from aether_protocol.cli.render.diagnostics import show_warnings

        show_warnings(done.warnings, inputs.sources)
    for one in done.left_out:
        messages.note(f"{one.file}:{one.line}: {one.kind} {one.name!r} is left out: it is not a WorkflowTemplate")
    from aether_protocol.cli.render.templates import show_applied

    show_applied(done.changes, as_json=options.output == "json")
    return FINE


class TemplateListOptions(Struct, frozen=True, kw_only=True):
    namespace: NamespaceFilter = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TemplateListOptions, "ls")
def ls(options: TemplateListOptions) -> int:
    """List the WorkflowTemplates of the store, each in its newest version, with the templates that it has."""
    documents = ask(options.store, lambda client: client.documents.list(TEMPLATE, options.namespace))
    from aether_protocol.cli.render.templates import show_documents

    if not documents and options.output == "text":
        messages.note(f"there are no templates {f'in namespace {options.namespace!r}' if options.namespace else 'yet'}")
        return FINE
    shelf = make_shelf(documents)
    names = {(one.namespace, one.name): template_names(shelf, one) for one in documents}
    show_documents(documents, names, as_json=options.output == "json")
    return FINE


class TemplateShowOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    namespace: NamespaceOption = None
    version: Annotated[
        int | None, option("--version", type=Number(1), metavar="N", help="This version, not the newest.")
    ] = None
    digest: Annotated[
        str | None, option("--digest", metavar="DIGEST", help="The version with this digest, or one that begins so.")
    ] = None
    output: Annotated[
        str,
        output_option("text", "json", "yaml",
                      help="The text on standard output and the versions on standard error, all of it as JSON, or (yaml) the "
                           "text alone, which can be applied again, unchanged."),
    ] = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TemplateShowOptions, "show", epilog=SHOW_EPILOG)
def show(options: TemplateShowOptions) -> int:
    """Print a WorkflowTemplate as it was applied, and list its versions.

    NAME may have its namespace in front (ops/words) and a version behind (words@2), as diagnostics name stored documents.
    """
    read = read_document_name(options.name, options.namespace)
    if options.version is not None and read.version not in (None, options.version):
        raise UsageError(f"{read.name}@{read.version} is not version {options.version}")
    versions = ask(options.store, lambda client: client.documents.versions(read.whole, kind=TEMPLATE))
    document = choose_version(versions, options.version or read.version, options.digest)
    from aether_protocol.cli.render.documents import show_text

    show_text(document, versions, options.output)
    return FINE


class TemplateRemoveOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    namespace: NamespaceOption = None
    force: Annotated[bool, option("--force", is_flag=True, help="Also what stored documents or schedules refer to.")] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(TemplateRemoveOptions, "rm")
def rm(options: TemplateRemoveOptions) -> int:
    """Remove WorkflowTemplates with all of their versions. All of them or, if one is not there, none.

    Runs that were submitted before keep what they need. What other documents or schedules refer to is not removed.
    """
    names = [str(read_document_name(name, options.namespace)) for name in options.names]

    async def remove(client: Client) -> RemovedDocuments:
        return await client.documents.remove(names, kind=TEMPLATE, force=options.force)

    done = ask(options.store, remove, writes=True)
    from aether_protocol.cli.render.documents import show_removed

    show_removed(done, as_json=options.output == "json")
    return FINE


for _one in (apply, ls, show, rm):
    command.add_command(_one)
