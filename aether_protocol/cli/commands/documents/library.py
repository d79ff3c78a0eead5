"""`aether library`: workflows and templates that the store keeps, with their versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import MaxOption, NamespaceFilter, NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location, OneOf
from aether_protocol.errors import UsageError
from aether_protocol.service.documents.changes import TEMPLATE, WORKFLOW
from aether_protocol.service.documents.find import choose_version, read_document_name

if TYPE_CHECKING:
    from aether_protocol.documents.source import DocumentLimits
    from aether_protocol.ports.store import DocumentMark, StoredDocument
    from aether_protocol.service.client import Client
    from aether_protocol.service.documents.remove import RemovedDocuments

    Library = tuple[Sequence[StoredDocument], Sequence[DocumentMark]]

DIFF_EPILOG = """\b
Examples:
  aether library diff flow              (the two newest versions)
  aether library diff flow@1 flow@3
  aether library diff flow flow.yaml    (the newest version and a file)

The exit code is 0 whether they differ or not."""

KindOption = Annotated[
    str | None,
    option("--kind", type=OneOf([WORKFLOW, TEMPLATE]), help="Only documents of this kind; where a name is of both, which one."),
]


@click.group("library", cls=CommandGroup)
def command() -> None:
    """Look after the workflows and templates that 'aether apply' keeps; 'aether cron' looks after schedules."""


class LibraryListOptions(Struct, frozen=True, kw_only=True):
    kind: KindOption = None
    namespace: NamespaceFilter = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(LibraryListOptions, "ls")
def ls(options: LibraryListOptions) -> int:
    """List workflows and templates, each in its newest version.

    Where a server follows a folder (aether serve --documents), what became of each file is shown: applied, faulty (the version
    before counts), or gone (what it held is kept).
    """

    async def read(client: Client) -> Library:
        return await client.documents.list(options.kind, options.namespace), await client.documents.marks()

    documents, marks = ask(options.store, read)
    from aether_protocol.cli.render.documents import show_library

    if not documents and options.output == "text":
        messages.note(f"there are no documents {f'in namespace {options.namespace!r}' if options.namespace else 'yet'}")
    show_library(documents, marks, as_json=options.output == "json")
    return FINE


class LibraryShowOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    kind: KindOption = None
    namespace: NamespaceOption = None
    output: Annotated[
        str,
        output_option("text", "json", "yaml",
                      help="The text on standard output and the versions on standard error, all of it as JSON, or (yaml) the "
                           "text alone, which can be applied again, unchanged."),
    ] = "text"
    to: ToOption = None
    store: StoreOption


@command_with(LibraryShowOptions, "show")
def show(options: LibraryShowOptions) -> int:
    """Print a document as it was applied, and list its versions.

    NAME may have its namespace in front (ops/flow) and a version behind (flow@2); without one it is the newest.
    """
    name = read_document_name(options.name, options.namespace)
    versions = ask(options.store, lambda client: client.documents.versions(name.whole, kind=options.kind))
    from aether_protocol.cli.render.documents import show_text

    show_text(choose_version(versions, name.version, None), versions, options.output)
    return FINE


class LibraryDiffOptions(Struct, frozen=True, kw_only=True):
    before: Annotated[str, argument("NAME")]
    after: Annotated[str | None, argument("NAME|FILE", required=False, type=Location())] = None
    kind: KindOption = None
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption
    max: MaxOption


@command_with(LibraryDiffOptions, "diff", epilog=DIFF_EPILOG)
def diff(options: LibraryDiffOptions) -> int:
    """Compare two versions of a document, or one with what a file has under its name.

    Without a second NAME or FILE, the version is compared with the one before it.
    """
    from aether_protocol.cli.paths import names_file
    from aether_protocol.service.documents.changes import difference

    versions, before = _version(options, options.before)
    if options.after is None:
        after, before = before, choose_version(versions, before.version - 1, None)
    elif not names_file(options.after):
        _, after = _version(options, options.after)
    else:
        after = None
    second = (_named(after), after.text) if after is not None else _text_of_file(options.after or "", before, options.max)
    lines = list(difference((_named(before), before.text), second))
    from aether_protocol.cli.render.documents import print_json, show_difference

    if options.output == "json":
        print_json({"before": _named(before), "after": second[0], "difference": list(lines)})
    else:
        show_difference(lines)
        if not lines:
            messages.note(f"{_named(before)} and {second[0]} are the same")
    return FINE


def _version(options: LibraryDiffOptions, text: str) -> tuple[Sequence[StoredDocument], StoredDocument]:
    name = read_document_name(text, options.namespace)
    versions = ask(options.store, lambda client: client.documents.versions(name.whole, kind=options.kind))
    return versions, choose_version(versions, name.version, None)


def _named(document: StoredDocument) -> str:
    return f"{document.namespace}/{document.name}@{document.version}"


def _text_of_file(path: str, like: StoredDocument, limits: DocumentLimits) -> tuple[str, str]:
    """What a file has under the name of a stored document."""
    from aether_protocol.cli.document_inputs import DocumentInputs
    from aether_protocol.documents.source_texts import document_texts

    file = DocumentInputs((), limits).read_one(path)
    for document in file.documents:
        space = "default" if document.model is None else document.model.metadata.namespace
        if (document.kind, space, document.name) == (like.kind, like.namespace, like.name):
            return path, document_texts([document])[0]
    raise UsageError(f"{path!r} holds no {like.kind} {like.namespace}/{like.name}", hint="a file is compared by kind and name")


class LibraryRemoveOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    kind: KindOption = None
    namespace: NamespaceOption = None
    force: Annotated[
        bool, option("--force", is_flag=True, help="Also templates that stored documents or schedules refer to.")
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(LibraryRemoveOptions, "rm")
def rm(options: LibraryRemoveOptions) -> int:
    """Remove documents with all of their versions. All of them or, if one is not there or in use, none.

    Runs that were submitted before keep what they need.
    """
    names = [str(read_document_name(name, options.namespace)) for name in options.names]

    async def remove(client: Client) -> RemovedDocuments:
        return await client.documents.remove(names, kind=options.kind, force=options.force)

    done = ask(options.store, remove, writes=True)
    from aether_protocol.cli.render.documents import show_removed

    show_removed(done, as_json=options.output == "json")
    return FINE


for _one in (ls, show, diff, rm):
    command.add_command(_one)
