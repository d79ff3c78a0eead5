"""`--where` of `cancel` and `retry`: the same for all runs that fit.

Law: what would be done is what `--dry-run` lists: the runs are found first, by pages, then each is done by itself; one that
fails stops none of the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import click
from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.command import option
from aether_protocol.cli.exits import FINE, INTERRUPTED
from aether_protocol.cli.instants import Instant
from aether_protocol.cli.stored import ask, ask_server
from aether_protocol.cli.terminal import messages
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import counted

if TYPE_CHECKING:
    from aether_protocol.service.client import Client

PAGE: Final = 500
KEYS: Final = ("name", "phase", "namespace", "since", "until", "label.KEY")

WhereOption = Annotated[
    str | None,
    option("--where", metavar="KEY=VALUE,...",
           help="In place of RUN: all runs that fit. KEY is name, phase (several are allowed), namespace, since, until or "
                "label.KEY."),
]
DryRunOption = Annotated[
    bool, option("--dry-run", is_flag=True, help="With --where: list the runs on standard output, and change nothing.")
]


class BulkRequest(Struct, frozen=True):
    """What is done with many runs.

    Attributes:
        query: which ones.
        store: where they are kept.
        only_lists: nothing is done.
        output: text or json.
        here: does it to one run of a store, its exit code.
        there: does it to one run of a server; the id of a new run, or None.
    """

    query: RunQuery
    store: str
    only_lists: bool
    output: str
    here: Callable[[str], int]
    there: Callable[[Client, str], Awaitable[str | None]]


def check_meant(run: str | None, where: str | None, *, dry_run: bool = False) -> None:
    """Raise UsageError unless one run or some runs are named; `dry_run`: it is asked for, and is there for several alone."""
    if (run is None) == (where is None):
        raise UsageError("name one RUN, or several with --where", hint="for example: --where name=nightly,phase=Failed")
    if dry_run and where is None:
        raise UsageError("--dry-run is for --where", hint="'aether show RUN' shows a single run")


def read_where(text: str, *, closed: bool, phases: Sequence[str] = ()) -> RunQuery:
    """Read `name=nightly,phase=Failed`.

    Args:
        text: what is given.
        closed: whether runs that have ended are meant, or those that have not.
        phases: those that are meant where none is given.

    Raises:
        UsageError: it says nothing, or what is not known.
    """
    query = RunQuery(closed=closed)
    chosen: list[str] = []
    labels: dict[str, str] = {}
    for part in text.split(","):
        key, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not value:
            raise UsageError(f"--where {part.strip()!r} is not key=value", hint="like --where name=nightly,phase=Failed")
        if key == "phase":
            chosen.append(_phase(value))
        elif key.startswith("label.") and len(key) > len("label."):
            labels[key.removeprefix("label.")] = value
        elif key in ("since", "until"):
            query = replace(query, **{key: Instant().convert(value, None, None)})
        elif key in ("name", "namespace"):
            query = replace(query, **{key: value})
        else:
            raise UsageError(f"--where knows no {key!r}", hint=did_you_mean(key, KEYS, f"it is one of: {', '.join(KEYS)}"))
    return replace(query, phases=tuple(chosen) or tuple(phases), labels=labels)


def _phase(value: str) -> str:
    known = {phase.lower(): phase for phase in PHASE_COLORS}
    if value.lower() not in known:
        hint = did_you_mean(value, list(PHASE_COLORS), f"it is one of: {', '.join(PHASE_COLORS)}")
        raise UsageError(f"{value!r} is not a phase", hint=hint)
    return known[value.lower()]


def do_all(request: BulkRequest) -> int:
    """Find the runs, and do it to each; the greatest exit code."""
    rows = ask(request.store, lambda client: _find(client, request.query))
    if not rows:
        messages.note("there are no such runs")
        return FINE
    if request.only_lists:
        from aether_protocol.cli.render.runs import print_rows_json, show_rows
        from aether_protocol.service.runs.listing import ListedRun

        listed = [ListedRun(row, None) for row in rows]
        print_rows_json(listed, None) if request.output == "json" else show_rows(listed)
        messages.note(f"{counted(len(rows), 'run')}; nothing was changed")
        return FINE
    if is_server_url(request.store):
        return ask_server(request.store, lambda client: _each_there(client, rows, request))
    code = FINE
    for row in rows:
        code = max(code, _here(row, request))
        if code == INTERRUPTED:
            break
    return code


async def _find(client: Client, query: RunQuery) -> list[RunSummary]:
    """What fits; of runs that have ended only those that were not retried yet."""
    found = await _all_rows(client, query)
    if not query.closed or not found:
        return found
    retries = await _all_rows(client, RunQuery(name=query.name, namespace=query.namespace, retries=True))
    retried = {row.retry_of for row in retries}
    return [row for row in found if row.run_id not in retried]


async def _all_rows(client: Client, query: RunQuery) -> list[RunSummary]:
    found: list[RunSummary] = []
    while True:
        page = await client.runs.list(replace(query, limit=PAGE))
        found += page
        if len(page) < PAGE:
            return found
        query = replace(query, before=(page[-1].created_at, page[-1].run_id))


def _here(row: RunSummary, request: BulkRequest) -> int:
    try:
        return request.here(row.run_id)
    except AetherError as error:
        return _failed(row, error)


async def _each_there(client: Client, rows: Sequence[RunSummary], request: BulkRequest) -> int:
    code = FINE
    for row in rows:
        try:
            made = await request.there(client, row.run_id)
            click.echo(row.run_id if made is None else f"{row.run_id} {made}")
        except AetherError as error:
            code = max(code, _failed(row, error))
    return code


def _failed(row: RunSummary, error: AetherError) -> int:
    messages.warn(f"{row.run_id}: {error.message}")
    return error.exit_code
