"""`aether cron history NAME`: what became of a schedule's fires, newest first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import NamespaceOption, PageCursor, PageSize, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.service.client import ScheduleControl
from aether_protocol.service.schedules.find import full_name

EPILOG = """\b
Examples:
  aether cron history nightly
  aether cron history nightly -o json

A fire was started, skipped (by concurrencyPolicy), missed (no scheduler ran in time), triggered or backfilled. In JSON,
`next` is the cursor of the next page, null on the last one."""


class ScheduleHistoryOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    namespace: NamespaceOption = None
    limit: PageSize = 50
    page: PageCursor = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleHistoryOptions, "history", epilog=EPILOG)
def command(options: ScheduleHistoryOptions) -> int:
    """List what became of a schedule's fires, newest first: kind, run and phase, or the reason why there is no run."""
    limit, before = options.limit, read_cursor(options.page)
    schedule, records, runs = ask(options.store, lambda client: read(client.schedules, options, before))
    following = str(records[limit - 1].id) if len(records) > limit else None
    records = records[:limit]
    if options.output == "json":
        from aether_protocol.cli.render.schedules import record_json

        told = {"fires": [record_json(one, runs.get(one.run_id or "")) for one in records], "next": following}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.schedules import show_records

    if records:
        show_records(schedule, records, runs)
    else:
        messages.note("it has not fired yet")
    if following is not None:
        messages.note(f"more with: --page {following}")
    return FINE


def read_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise UsageError(f"{text!r} is not a page", hint="give what the page before named")
    return int(text)


async def read(
    schedules: ScheduleControl, options: ScheduleHistoryOptions, before: int | None
) -> tuple[StoredSchedule, Sequence[FireRecord], dict[str, RunSummary]]:
    """The schedule, a page of its records and one more, and the runs of these that are kept."""
    name = full_name(options.name, options.namespace)
    one = await schedules.get(name)
    records = await schedules.history(name, before=before, limit=options.limit + 1)
    return one.schedule, records, {row.run_id: row for row in one.runs}
