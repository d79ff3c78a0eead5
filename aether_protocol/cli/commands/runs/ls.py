"""`aether ls`: the runs of a store, newest first."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Instant, now_us
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
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.service.runs.listing import ListedRun, short_ids
from aether_protocol.service.runs.listing import list_runs as list_page
from aether_protocol.views.phases import PHASE_COLORS

if TYPE_CHECKING:
    from aether_protocol.service.client import Client, RunReader

EPILOG = """\b
Examples:
  aether ls
  aether ls --phase Failed --phase Error --since 1d
  aether ls --label team=data -o json
  aether ls --open --watch                      (what has not ended, live)
  aether ls --undriven                          (what no process drives)
  aether ls --since 1d --sort took

On a terminal ids are shortened to what means one run, as every command takes it; in a pipe they are whole. In JSON, `next`
is the cursor of the next page, null on the last one; `driven` says whether a process drives the run, null once it has ended."""

SORTS: Final[dict[str, Callable[[RunSummary], Any]]] = {
    "created": lambda row: -row.created_at,
    "ended": lambda row: -(row.ended_at or NEVER),
    "took": lambda row: row.created_at - (row.ended_at or now_us()),
    "workflow": lambda row: (row.workflow, -row.created_at),
    "phase": lambda row: (row.phase, -row.created_at),
}


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
    undriven: Annotated[
        bool,
        option("--undriven", is_flag=True,
               help="Only open runs that no process drives; not those that are asleep until a time to come."),
    ] = False
    broken: Annotated[
        bool,
        option("--broken", is_flag=True, help="Only runs that were set aside, since they broke their engine again and again."),
    ] = False
    sort: Annotated[
        str,
        option("--sort", type=OneOf(list(SORTS)), default="created", help="Order in the page: the latest or longest first."),
    ] = "created"
    watch: Annotated[
        bool, option("--watch", is_flag=True, help="On a terminal: keep the list as it is now, until Ctrl-C.")
    ] = False
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
    if options.watch:
        return watch_list(options)
    gc.disable()  # a list may be long, none of it is garbage, and the process is over soon
    columns = terminal_columns() if options.output == "text" else None
    page = ask(options.store, lambda client: read_page(client.runs, options, shortens=columns is not None), waits=False)
    if options.output == "json":
        from aether_protocol.cli.render.runs import print_rows_json

        print_rows_json(page.rows, page.following)
        return FINE
    from aether_protocol.cli.render.runs import show_rows

    if page.rows:
        show_rows(page.rows, columns, page.short)
    else:
        by_number = options.namespace is not None and options.namespace.isdecimal()
        hint = f"-n is --namespace; --limit {options.namespace} sets the size of a page" if by_number else None
        messages.note("there are no such runs" if filters_given(options) else "there are no runs yet", hint)
    if page.following is not None:
        messages.note(f"more with: --page {page.following}")
    return FINE


def watch_list(options: ListOptions) -> int:
    """Draw the list again and again. Raises UsageError where standard output is not a terminal."""
    from aether_protocol.cli.render.runs import table_of
    from aether_protocol.cli.terminal.redraw import check_drawable, redraw

    check_drawable(options.output)

    async def watch(client: Client) -> None:
        async def drawn(columns: int, height: int) -> str:
            page = await read_page(client.runs, options, shortens=True)
            return table_of(page.rows[: height - 1], columns, page.short) if page.rows else "there are no such runs now"

        await redraw(drawn)

    ask(options.store, watch)
    return FINE


class ListPage(Struct):
    """What is shown at once, the short ids by the whole ones, and the cursor of the next page."""

    rows: Sequence[ListedRun]
    short: Mapping[str, str]
    following: str | None


async def read_page(runs: RunReader, options: ListOptions, *, shortens: bool) -> ListPage:
    """Read what `options` ask for."""
    listed = await list_page(runs, query_of(options), now_us(), undriven=options.undriven, broken=options.broken)
    following = cursor(listed[options.limit - 1].row) if len(listed) > options.limit else None
    listed = listed[: options.limit]
    if options.sort != "created":
        listed = sorted(listed, key=lambda one: SORTS[options.sort](one.row))
    short = await short_ids(runs, [one.row.run_id for one in listed]) if shortens else {}
    return ListPage(listed, short, following)


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


def filters_given(options: ListOptions) -> bool:
    query = query_of(options)
    return options.undriven or options.broken or query != RunQuery(limit=query.limit)
