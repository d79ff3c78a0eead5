"""Documents of a store: what became of those that were applied, lists, texts and differences, for people and as JSON.

Law: both forms show the same documents in the same order. A text that is asked for is all that stands on standard output, so
that it can be applied again.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.render.table import show_table
from aether_protocol.cli.render.times import here
from aether_protocol.cli.terminal import messages
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import DocumentMark, StoredDocument
from aether_protocol.service.documents.as_json import applied_json, by_document, document_json, mark_json, marked_json
from aether_protocol.service.documents.changes import AppliedDocuments, DocumentChange
from aether_protocol.service.documents.remove import RemovedDocuments
from aether_protocol.views.text import counted, one_line, printable

SHORT = 12  # characters of a digest in tables
_COLORS = {"created": "green", "updated": "yellow", "replaced": "yellow", "unchanged": None}
_LINE_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def show_changes(applied: AppliedDocuments, *, as_json: bool) -> None:
    """What became of the documents that were applied, or would become of them, with the differences."""
    if as_json:
        print_json(applied_json(applied))
        return
    for one in applied.changes:
        click.secho(one.action, nl=False, fg=_COLORS[one.action])
        click.echo(f" {one.kind} {one.namespace}/{one.name}{_more(one)}{' (dry run)' if applied.dry_run else ''}")
        if applied.dry_run and one.before is not None:
            show_difference(one.difference())
    counts: Counter[str] = Counter(one.action for one in applied.changes)
    messages.note(", ".join(f"{counts[action]} {action}" for action in _COLORS if counts[action]))


def _more(change: DocumentChange) -> str:
    """The version, and of a schedule when it fires next."""
    if change.kind != "CronWorkflow":
        return f" (version {change.version})"
    from aether_protocol.cli.render.times import away

    resumed = "it was suspended and is resumed, " if change.resumed else ""
    following = "never" if change.next_at is None else f"{here(change.next_at)}, {away(change.next_at, now_us())}"
    return f": {resumed}next {following}"


def show_difference(lines: Iterable[str]) -> None:
    """A unified diff."""
    for line in lines:
        click.secho(printable(line), fg=_LINE_COLORS.get(line[:1]), bold=line.startswith(("+++", "---")))


def show_library(documents: Sequence[StoredDocument], marks: Sequence[DocumentMark], *, as_json: bool) -> None:
    """Stored documents, each in its newest version, and what is wrong with files of a folder that a server follows."""
    known = by_document(marks)
    stray = [one for one in marks if not one.name and one.state != "applied"]
    if as_json:
        listed: list[Json] = [marked_json(one, known) for one in documents]
        print_json({"documents": listed, "files": [mark_json(one) for one in stray]})
        return
    headings = ["KIND", "NAMESPACE", "NAME", "VERSION", "APPLIED", "DIGEST"]
    rows = [
        [one.kind, one.namespace, one.name, str(one.version), here(one.at), one.digest[:SHORT]]
        for one in documents
    ]
    if known:
        headings.append("FOLDER")
        for row, one in zip(rows, documents, strict=True):
            mark = known.get((one.kind, one.namespace, one.name))
            row.append("" if mark is None else f"{mark.state}: {one_line(mark.file, 60)}")
    if rows:
        show_table(headings, rows, least=("DIGEST", "APPLIED"))
    for mark in marks:
        if mark.state == "faulty":
            messages.warn(f"{mark.file} is faulty{', and the version before counts' if mark.name else ''}: {mark.detail}")


def show_text(document: StoredDocument, versions: Sequence[StoredDocument], output: str) -> None:
    """One version with its text; all versions beside it, on standard error, unless the text alone (`yaml`) is wanted."""
    if output == "json":
        own = ("kind", "name", "namespace")
        listed: list[Json] = [
            {name: value for name, value in document_json(one).items() if name not in own} for one in versions
        ]
        print_json({**document_json(document), "text": document.text, "versions": listed})
        return
    text = printable(document.text) if sys.stdout.isatty() else document.text
    click.echo(text, nl=not text.endswith("\n"))
    if output == "yaml" or messages.is_quiet():
        return
    rows = [(f"{one.version}{' (shown)' if one == document else ''}", here(one.at), one.digest[:SHORT]) for one in versions]
    show_table(("VERSION", "APPLIED", "DIGEST"), rows, err=True)


def show_removed(done: RemovedDocuments, *, as_json: bool) -> None:
    """What was removed, each named by its newest version, and what refers to it all the same."""
    if as_json:
        print_json({"removed": [document_json(one) for one in done.documents]})
    else:
        for one in done.documents:
            click.echo(f"removed {one.namespace}/{one.name} ({counted(one.version, 'version')})")
    for user in done.users:
        messages.warn(f"{user} refers to {user.refers_to}: what uses it cannot be submitted until there is one again")


def print_json(value: Json) -> None:
    """One object on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
