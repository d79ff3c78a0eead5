"""`aether ls`: the runs of a store, newest first."""

from __future__ import annotations

import gc
from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Instant
from aether_protocol.cli.options import (
    NamespaceFilter,
    PageCursor,
    PageSize,
    StoreOption,
    TextOrJson,
    ToOption,
)
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import terminal_columns
from aether_protocol.cli.value_types import OneOf
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.views.phases import PHASE_COLORS

EPILOG = """\b
Examples:
  aether ls
  aether ls --phase Failed --phase Error --since 1d
  aether ls --label team=data -o json
  aether ls --open                              (what has not ended)

In JSON, `next` is the cursor of the next page, null on the last one."""


class ListOptions(Struct, frozen=True, kw_only=True):
    phases: Annotated[
        tuple[str, ...],
        option("--phase", multiple=True, type=OneOf(list(PHASE_COLORS)), metavar="PHASE",
               help="Only runs in this phase: Running, Suspended, Succeeded, Failed, ... Several are allowed."),
    ] = ()
    name: Annotated[str | None, option("--name", metavar="NAME", help="Only runs of the workflow with this name.")] = None
    namespace: NamespaceFilter = None
    labels: Annotated[
        tuple[str, ...],
        option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Only runs of workflows with this label."),
    ] = ()
    since: Annotated[
        int | None,
        option("--since", type=Instant(), metavar="TIME",
               help="Only runs made since then: 2h (ago), 2026-01-01, RFC 3339."),
    ] = None
    until: Annotated[
        int | None, option("--until", type=Instant(), metavar="TIME", help="Only runs made before then.")
    ] = None
    unfinished: Annotated[
        bool | None, option("--open/--ended", default=None, help="Only runs that have not ended, or only those that have.")
    ] = None
    limit: PageSize = 50
    page: PageCursor = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ListOptions, "ls", epilog=EPILOG)
def command(options: ListOptions) -> int:
    """List runs, newest first."""
    return list_runs(options)


def list_runs(options: ListOptions) -> int:
    """Print the runs that are asked for."""
    gc.disable()  # a list may be long, none of it is garbage, and the process is over soon
    query = query_of(options)
    rows = ask(options.store, lambda client: client.runs.list(query), waits=False)
    following = cursor(rows[options.limit - 1]) if len(rows) > options.limit else None
    rows = rows[: options.limit]
    if options.output == "json":
        from aether_protocol.cli.render.runs import print_rows_json

        print_rows_json(rows, following)
        return FINE
    from aether_protocol.cli.render.runs import show_rows

    if rows:
        show_rows(rows, terminal_columns())
    else:
        by_number = options.namespace is not None and options.namespace.isdecimal()
        hint = f"-n is --namespace; --limit {options.namespace} sets the size of a page" if by_number else None
        messages.note("there are no such runs" if filters_given(query) else "there are no runs yet", hint)
    if following is not None:
        messages.note(f"more with: --page {following}")
    return FINE


def query_of(options: ListOptions) -> RunQuery:
    """What is asked of the store: one run more than is shown: then there are more."""
    return RunQuery(
        phases=options.phases,
        name=options.name,
        namespace=options.namespace,
        labels=read_labels(options.labels),
        since=options.since,
        until=options.until,
        closed=None if options.unfinished is None else not options.unfinished,
        limit=options.limit + 1,
        before=read_cursor(options.page),
    )


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise UsageError(f"--label {text!r} is not key=value", hint="for example: --label team=data")
        labels[key] = value
    return labels


def cursor(row: RunSummary) -> str:
    """The place after `row`."""
    return f"{row.created_at}:{row.run_id}"


def read_cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    at, _, run_id = text.partition(":")
    if not (at.isascii() and at.isdigit() and run_id):
        raise UsageError(f"{text!r} is not a page", hint="give what the page before named")
    return int(at), run_id


def filters_given(query: RunQuery) -> bool:
    return query != RunQuery(limit=query.limit)
