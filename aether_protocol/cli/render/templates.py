"""The library of a store, for people and as JSON.

Law: both forms show the same documents in the same order. A text that is asked for is all that stands on standard output, so
that it can be applied again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import click

from aether_protocol.assembly.templates import Applied
from aether_protocol.cli.render.table import show_table
from aether_protocol.cli.render.times import here
from aether_protocol.cli.terminal.messages import is_quiet
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import StoredDocument
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.views.text import counted, one_line, printable

SHORT = 12  # characters of a digest in tables

Names = Mapping[tuple[str, str], Sequence[str]]  # the templates of each WorkflowTemplate, by namespace and name


def document_json(document: StoredDocument) -> dict[str, Json]:
    """A stored document without its text."""
    return {
        "name": document.name,
        "namespace": document.namespace,
        "version": document.version,
        "digest": document.digest,
        "appliedAt": rfc3339(document.at),
    }


def show_applied(applied: Sequence[Applied], *, as_json: bool) -> None:
    """What became of the documents that were applied."""
    if as_json:
        print_json({"templates": [{**document_json(one.document), "action": one.action} for one in applied]})
        return
    for one in applied:
        click.secho(one.action, nl=False, fg=None if one.action == "unchanged" else "green")
        click.echo(f" {one.document.namespace}/{one.document.name} (version {one.document.version})")


def show_documents(documents: Sequence[StoredDocument], names: Names, *, as_json: bool) -> None:
    """A list of stored documents, each in its newest version."""
    if as_json:
        listed = [{**document_json(one), "templates": list(names[one.namespace, one.name])} for one in documents]
        print_json({"templates": listed})
        return
    rows = [
        (
            one.name,
            one.namespace,
            str(one.version),
            _when(one),
            one.digest[:SHORT],
            one_line(", ".join(names[one.namespace, one.name]), 60),
        )
        for one in documents
    ]
    headings = ("NAME", "NAMESPACE", "VERSION", "APPLIED", "DIGEST", "TEMPLATES")
    show_table(headings, rows, least=("TEMPLATES", "DIGEST", "APPLIED"))


def show_document(document: StoredDocument, versions: Sequence[StoredDocument], *, as_json: bool) -> None:
    """One version with its text; all versions beside it, on standard error."""
    if as_json:
        listed = [
            {name: value for name, value in document_json(one).items() if name not in ("name", "namespace")} for one in versions
        ]
        print_json({**document_json(document), "text": document.text, "versions": listed})
        return
    text = printable(document.text) if sys.stdout.isatty() else document.text
    click.echo(text, nl=not text.endswith("\n"))
    if is_quiet():
        return
    rows = [(f"{one.version}{' (shown)' if one == document else ''}", _when(one), one.digest[:SHORT]) for one in versions]
    show_table(("VERSION", "APPLIED", "DIGEST"), rows, err=True)


def show_removed(removed: Sequence[StoredDocument], *, as_json: bool) -> None:
    """What was removed, each named by its newest version."""
    if as_json:
        print_json({"removed": [document_json(one) for one in removed]})
        return
    for one in removed:
        click.echo(f"removed {one.namespace}/{one.name} ({counted(one.version, 'version')})")


def print_json(value: Json) -> None:
    """One object on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _when(document: StoredDocument) -> str:
    return here(document.at)
