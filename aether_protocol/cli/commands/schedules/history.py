"""`aether cron history NAME`: what became of a schedule's fires, newest first."""

from __future__ import annotations

import json

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import store_option, table_option
from aether_protocol.cli.stored import look
from aether_protocol.errors import UsageError
from aether_protocol.ports.schedules import CronStore, FireRecord, StoredSchedule
from aether_protocol.ports.store import RunSummary
from aether_protocol.service.schedules.find import find_schedule

EPILOG = """\b
Examples:
  aether cron history nightly
  aether cron history nightly --output json

\b
A fire was started, skipped (by concurrencyPolicy), missed (nobody was there in time), triggered or backfilled.
In JSON, `next` is the cursor of the next page, null on the last one."""


@click.command("history", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--namespace", metavar="NAME", help="The schedule's namespace ('default' unless given).")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to a page.")
@click.option("--page", metavar="CURSOR", help="The next page, as the page before names it.")
@table_option
@store_option
def command(name: str, namespace: str | None, limit: int, page: str | None, output: str, store: str) -> int:
    """List what became of a schedule's fires, newest first: kind, run and phase, or the reason why there is no run."""
    before = read_cursor(page)
    schedule, records, runs = look(store, lambda opened: read(opened, namespace, name, before, limit + 1))
    following = str(records[limit - 1].id) if len(records) > limit else None
    records = records[:limit]
    if output == "json":
        from aether_protocol.cli.render.schedules import record_json

        told = {"fires": [record_json(one, runs.get(one.run_id or "")) for one in records], "next": following}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.schedules import show_records

    if records:
        show_records(schedule, records, runs)
    else:
        click.echo("it has not fired yet", err=True)
    if following is not None:
        click.echo(f"more with: --page {following}", err=True)
    return FINE


def read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise UsageError(f"{text!r} is no page", hint="give what the page before named")
    return int(text)


async def read(
    store: CronStore, namespace: str | None, name: str, before: int | None, limit: int
) -> tuple[StoredSchedule, list[FireRecord], dict[str, RunSummary]]:
    """The schedule, a page of its records, and the runs of these that are kept."""
    schedule = await find_schedule(store, namespace, name)
    records = await store.fires(schedule.namespace, schedule.name, before, limit)
    runs = [row for one in records if one.run_id is not None and (row := await store.row(one.run_id)) is not None]
    return schedule, records, {row.run_id: row for row in runs}
