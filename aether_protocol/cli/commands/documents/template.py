"""`aether template`: the library of a store, WorkflowTemplates that many documents share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from aether_protocol.assembly.templates import KIND, Applied, dependents, make_shelf, put_templates, template_names
from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import (
    MEMORY,
    library_option,
    limits_option,
    namespace_option,
    store_option,
    table_option,
)
from aether_protocol.cli.stored import look, open_at
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.source import Limits
from aether_protocol.errors import UsageError
from aether_protocol.service.library import choose_version, find_versions, read_template_name, remove_templates

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


@click.group("template")
def command() -> None:
    """Keep WorkflowTemplates in the store, for every document that is run on it."""


@command.command("apply", epilog=APPLY_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@library_option
@store_option
@table_option
@limits_option
def apply(files: tuple[str, ...], library: tuple[str, ...], store: str, output: str, limits: Limits) -> int:
    """Store WorkflowTemplates, each under the name and namespace that it gives itself. A text that differs from the newest
    version makes another one.

    FILE is a document or several, a folder (every aether document in it) or - for standard input. What they refer to is
    looked up in these files, in --library, then in the store. All of them are stored or, if something is invalid, none. Runs
    that were submitted before stay what they were.
    """
    if store == MEMORY:
        raise UsageError("the store 'memory' ends with its process: nothing can be kept there", hint="leave --store out")
    inputs = DocumentInputs(library, limits, store, writes=True)
    read = inputs.read(files)
    templates, warnings = inputs.templates(read)
    if warnings:
        from aether_protocol.cli.render.diagnostics import show_diagnostics

        show_diagnostics(warnings, inputs.sources)
    others = [one for several in read for file in several for one in file.documents if one.kind != KIND]
    for one in dict.fromkeys(others):
        line, _ = one.locate(("kind",))
        click.echo(f"{one.file}:{line}: {one.kind} {one.name!r} is left out: it is no WorkflowTemplate", err=True)
    applied = asyncio.run(_apply(store, templates))
    from aether_protocol.cli.render.templates import show_applied

    show_applied(applied, as_json=output == "json")
    return FINE


async def _apply(url: str, templates: Sequence[LoadedDocument]) -> list[Applied]:
    store = open_at(url)
    try:
        return await put_templates(store, templates, now_us())
    finally:
        await store.close()


@command.command("ls")
@click.option("-n", "--namespace", metavar="NAME", help="Only those of this namespace.")
@table_option
@store_option
def ls(namespace: str | None, output: str, store: str) -> int:
    """List the WorkflowTemplates of the store, each in its newest version, with the templates that it has."""
    documents = look(store, lambda opened: opened.list_documents(KIND, namespace))
    from aether_protocol.cli.render.templates import show_documents

    if not documents and output == "table":
        click.echo(f"there are no templates {f'in namespace {namespace!r}' if namespace else 'yet'}", err=True)
        return FINE
    shelf = make_shelf(documents)
    names = {(one.namespace, one.name): template_names(shelf, one) for one in documents}
    show_documents(documents, names, as_json=output == "json")
    return FINE


@command.command("show", epilog=SHOW_EPILOG)
@click.argument("name", metavar="NAME")
@namespace_option
@click.option("--version", type=click.IntRange(1), metavar="N", help="This version, not the newest.")
@click.option("--digest", metavar="DIGEST", help="The version with this digest, or one that begins so.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="The text on standard output and the versions on standard error, or all of it as JSON.",
)
@store_option
def show(name: str, namespace: str | None, version: int | None, digest: str | None, output: str, store: str) -> int:
    """Print a WorkflowTemplate as it was applied, and list its versions.

    NAME may have its namespace in front (ops/words) and a version behind (words@2), as diagnostics name stored documents.
    """
    namespace, name, named = read_template_name(name, namespace)
    if version is not None and named not in (None, version):
        raise UsageError(f"{name}@{named} is not version {version}")
    versions = look(store, lambda opened: find_versions(opened, namespace, name))
    document = choose_version(versions, version or named, digest)
    from aether_protocol.cli.render.templates import show_document

    show_document(document, versions, as_json=output == "json")
    return FINE


@command.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@namespace_option
@table_option
@store_option
def rm(names: tuple[str, ...], namespace: str | None, output: str, store: str) -> int:
    """Remove WorkflowTemplates with all of their versions. All of them or, if one is not there, none.

    Runs that were submitted before keep what they need. What else in the store refers to them is told.
    """
    meant = dict.fromkeys(read_template_name(name, namespace) for name in names)
    for space, name, version in meant:
        if version is not None:
            raise UsageError(f"{name}@{version}: versions are not removed one by one", hint=f"'{space}/{name}' means all")
    keys = [(space, name) for space, name, _ in meant]
    removed, left = look(store, lambda opened: remove_templates(opened, keys), writes=True)
    from aether_protocol.cli.render.templates import show_removed

    show_removed(removed, as_json=output == "json")
    for one, other in dependents(left, removed):
        click.secho("warning: ", nl=False, fg="yellow", bold=True, err=True)
        click.echo(f"{one} refers to {other}: what uses it cannot be submitted until there is one again", err=True)
    return FINE
