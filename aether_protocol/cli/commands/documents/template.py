"""`aether template`: the library of a store, WorkflowTemplates that many documents share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches

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
from aether_protocol.ports.store import Store, StoredDocument

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
    namespace, name, named = read_name(name, namespace)
    if version is not None and named not in (None, version):
        raise UsageError(f"{name}@{named} is not version {version}")
    versions = look(store, lambda opened: find(opened, namespace, name))
    document = choose(versions, version or named, digest)
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
    meant = dict.fromkeys(read_name(name, namespace) for name in names)
    for space, name, version in meant:
        if version is not None:
            raise UsageError(f"{name}@{version}: versions are not removed one by one", hint=f"'{space}/{name}' means all")
    keys = [(space, name) for space, name, _ in meant]
    removed, left = look(store, lambda opened: remove(opened, keys), writes=True)
    from aether_protocol.cli.render.templates import show_removed

    show_removed(removed, as_json=output == "json")
    for one, other in dependents(left, removed):
        click.secho("warning: ", nl=False, fg="yellow", bold=True, err=True)
        click.echo(f"{one} refers to {other}: what uses it cannot be submitted until there is one again", err=True)
    return FINE


# --- finding them ---


def read_name(text: str, namespace: str | None) -> tuple[str, str, int | None]:
    """(namespace, name, version) of `words`, `ops/words`, `words@2`, `store:ops/words@2`. Raises UsageError."""
    rest, at, number = text.removeprefix("store:").partition("@")
    space, slash, name = rest.rpartition("/")
    if not name or (slash and not space) or (at and not (number.isascii() and number.isdigit())):
        raise UsageError(f"{text!r} is no name of a template", hint="it is NAME, NAMESPACE/NAME or NAME@VERSION")
    if space and namespace not in (None, space):
        raise UsageError(f"{text!r} is not in namespace {namespace!r}", hint="leave -n out, or the namespace in the name")
    return space or namespace or "default", name, int(number) if at else None


async def find(store: Store, namespace: str, name: str) -> list[StoredDocument]:
    """All versions of a WorkflowTemplate, newest first. Raises UsageError where there is none."""
    versions = await store.document_versions(KIND, namespace, name)
    if not versions:
        raise unknown(namespace, name, await store.list_documents(KIND))
    return versions


def unknown(namespace: str, name: str, known: Sequence[StoredDocument]) -> UsageError:
    """What to say of a name that is not there, with the nearest one that is."""
    elsewhere = [one.namespace for one in known if one.name == name]
    near = get_close_matches(name, [one.name for one in known if one.namespace == namespace], 1)
    hint = "'aether template ls' lists them" if known else "the store holds no templates"
    if elsewhere:
        hint = f"there is one in namespace {elsewhere[0]!r}: {elsewhere[0]}/{name}"
    elif near:
        hint = f"did you mean {near[0]!r}?"
    return UsageError(f"there is no WorkflowTemplate {name!r} in namespace {namespace!r}", hint=hint)


def choose(versions: Sequence[StoredDocument], version: int | None, digest: str | None) -> StoredDocument:
    """The version that is meant. Raises UsageError."""
    fitting = [one for one in versions if version in (None, one.version) and one.digest.startswith((digest or "").lower())]
    if not fitting:
        wanted = " and ".join(
            [*([f"version {version}"] if version is not None else []), *([f"digest {digest!r}"] if digest is not None else [])]
        )
        known = ", ".join(f"{one.version} ({one.digest[:12]})" for one in versions[:5])
        raise UsageError(f"{versions[0].name!r} has no {wanted}", hint=f"it has {known}{', ...' if len(versions) > 5 else ''}")
    if digest is not None and len({one.digest for one in fitting}) > 1:
        raise UsageError(f"{digest!r} is the beginning of several digests", hint=", ".join(one.digest for one in fitting[:5]))
    return fitting[0]


async def remove(
    store: Store, names: Sequence[tuple[str, str]]
) -> tuple[list[StoredDocument], list[StoredDocument]]:
    """The documents that were removed, and those that are left."""
    known = await store.list_documents(KIND)
    by_name = {(one.namespace, one.name): one for one in known}
    for namespace, name in names:
        if (namespace, name) not in by_name:
            raise unknown(namespace, name, known)
    removed = [by_name[key] for key in names if await store.remove_document(KIND, *key)]
    return removed, [one for one in known if one not in removed]
