"""WorkflowTemplates of a store, with the templates that each holds, for people and as JSON.

Law: both forms show the same documents in the same order. What templates share with other documents is in `documents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from aether_protocol.cli.render.documents import SHORT, print_json
from aether_protocol.cli.render.table import show_table
from aether_protocol.cli.render.times import here
from aether_protocol.ports.store import StoredDocument
from aether_protocol.service.documents.as_json import change_json, document_json
from aether_protocol.service.documents.changes import DocumentChange
from aether_protocol.views.text import one_line

Names = Mapping[tuple[str, str], Sequence[str]]  # the templates of each WorkflowTemplate, by namespace and name


def show_applied(applied: Sequence[DocumentChange], *, as_json: bool) -> None:
    """What became of the templates that were applied."""
    if as_json:
        print_json({"templates": [change_json(one, with_difference=False) for one in applied]})
        return
    for one in applied:
        click.secho(one.action, nl=False, fg=None if one.action == "unchanged" else "green")
        click.echo(f" {one.namespace}/{one.name} (version {one.version})")


def show_documents(documents: Sequence[StoredDocument], names: Names, *, as_json: bool) -> None:
    """A list of stored templates, each in its newest version."""
    if as_json:
        listed = [{**document_json(one), "templates": list(names[one.namespace, one.name])} for one in documents]
        print_json({"templates": listed})
        return
    rows = [
        (
            one.name,
            one.namespace,
            str(one.version),
            here(one.at),
            one.digest[:SHORT],
            one_line(", ".join(names[one.namespace, one.name]), 60),
        )
        for one in documents
    ]
    headings = ("NAME", "NAMESPACE", "VERSION", "APPLIED", "DIGEST", "TEMPLATES")
    show_table(headings, rows, least=("TEMPLATES", "DIGEST", "APPLIED"))
