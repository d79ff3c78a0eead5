"""`aether cron backfill NAME`: the fires of a time that is past."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Moment, ZonedInstant
from aether_protocol.cli.options import (
    durability_option,
    journal_option,
    namespace_option,
    quiet_option,
    secrets_option,
    store_option,
    workspace_option,
)

EPILOG = """\b
Examples:
  aether cron backfill nightly --from 2026-01-01 --to 2026-01-31 --dry-run
  aether cron backfill nightly --from 2026-01-01 --to 2026-01-31 --concurrency 4

\b
TIME is 2026-01-01 (the whole day), 2026-01-01T12:00 (both in the schedule's time zone), RFC 3339, or 2h (ago). Both
ends count. A fire whose run is there, or was and is deleted since, is left out. Runs that are backfilled are runs of
the schedule: they have the same ids, concurrencyPolicy sees them, and the history limits delete the oldest.
Exit codes: 0 all Succeeded, or nothing was left to do; else that of the run that went worst, as with
'aether cron tick'; 130 interrupted (runs are left as they are, 'aether cron tick' goes on with them)."""


@click.command("backfill", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--from", "first", type=ZonedInstant(), required=True, metavar="TIME", help="The first instant that counts.")
@click.option("--to", "last", type=ZonedInstant(), metavar="TIME", help="The last one; now if left out.")
@click.option("--dry-run", is_flag=True, help="List the fires, and which of them have run, on standard output; start nothing.")
@click.option("--again", is_flag=True, help="Also those whose run was deleted since.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N",
              help="At most N runs at once.")
@namespace_option
@secrets_option
@journal_option
@quiet_option
@workspace_option
@store_option
@durability_option
def command(
    name: str, first: Moment, last: Moment | None, dry_run: bool, again: bool, namespace: str | None, **hosting: object
) -> int:
    """Run the fires that a schedule had in a time that is past, as if somebody had been there: oldest first, each with its
    own scheduled time.

    startAt and endAt hold; that it is suspended, or was, does not count.
    """
    from aether_protocol.cli.backfilling import Span, backfill, list_fires
    from aether_protocol.cli.crowd import HostOptions, host
    from aether_protocol.cli.schedules import refuse_memory, store_option_text
    from aether_protocol.cli.stored import check_there, look

    store = str(hosting["store"])
    at_once = hosting.pop("concurrency")
    assert isinstance(at_once, int)
    refuse_memory(store)
    check_there(store)
    span = Span(namespace, name, first, last, again)
    if dry_run:
        look(store, lambda opened: list_fires(opened, span))
        return FINE
    settings = HostOptions(more=store_option_text(store), **hosting)  # type: ignore[arg-type]
    return host(settings, lambda at: backfill(at, span, at_once))
