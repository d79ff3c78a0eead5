"""`aether ls`: the runs of a store, newest first."""

from __future__ import annotations

import gc
import sys

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Instant
from aether_protocol.cli.options import store_option
from aether_protocol.cli.stored import look
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunSummary, Store
from aether_protocol.views.phases import PHASE_COLORS

EPILOG = """\b
Examples:
  aether ls
  aether ls --phase Failed --phase Error --since 1d
  aether ls --label team=data --output json
  aether ls --open                              (what has not ended)

\b
In JSON, `next` is the cursor of the next page, null on the last one."""


@click.command("ls", epilog=EPILOG)
@click.option("--phase", "phases", multiple=True, type=click.Choice(list(PHASE_COLORS), case_sensitive=False),
              help="Only runs in this phase; may be given several times.")
@click.option("--name", help="Only runs of the workflow with this name.")
@click.option("--namespace", help="Only runs of workflows in this namespace.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only runs of workflows with this label.")
@click.option("--since", type=Instant(), metavar="TIME", help="Only runs made since then: 2h (ago), 2026-01-01, RFC 3339.")
@click.option("--until", type=Instant(), metavar="TIME", help="Only runs made before then.")
@click.option("--open/--ended", "unfinished", default=None, help="Only runs that go on, or only those that are over.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to a page.")
@click.option("--page", metavar="CURSOR", help="The next page, as the page before names it.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print them.")
@store_option
def command(labels: tuple[str, ...], page: str | None, output: str, store: str, limit: int,
            unfinished: bool | None, **filters: object) -> int:
    """List runs, newest first."""
    gc.disable()  # a list may be long, none of it is garbage, and the process is over soon
    query = RunQuery(labels=read_labels(labels), limit=limit + 1, before=read_cursor(page), **filters)  # type: ignore[arg-type]
    query.closed = None if unfinished is None else not unfinished
    rows = look(store, lambda opened: read(opened, query), waits=False)
    following = cursor(rows[limit - 1]) if len(rows) > limit else None
    rows = rows[:limit]
    if output == "json":
        from aether_protocol.cli.render.runs import print_rows_json

        print_rows_json(rows, following)
        return FINE
    from aether_protocol.cli.render.runs import show_rows

    if rows:
        show_rows(rows, terminal_width() if sys.stdout.isatty() else None)
    else:
        click.echo("there are no such runs" if filters_given(query) else "there are no runs yet", err=True)
    if following is not None:
        click.echo(f"more with: --page {following}", err=True)
    return FINE


def terminal_width() -> int:
    from shutil import get_terminal_size  # 4 ms that a list in a pipe does not need

    return get_terminal_size().columns


async def read(store: Store, query: RunQuery) -> list[RunSummary]:
    return await store.rows(query)


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise UsageError(f"--label {text!r} is not key=value")
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
        raise UsageError(f"{text!r} is no page", hint="give what the page before named")
    return int(at), run_id


def filters_given(query: RunQuery) -> bool:
    return query != RunQuery(limit=query.limit)
