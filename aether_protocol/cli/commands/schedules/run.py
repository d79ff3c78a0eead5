"""`aether cron run`: the scheduler, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import ConcurrencyOption, HostingOptions, PassivationOption
from aether_protocol.cli.value_types import Number

if TYPE_CHECKING:
    from aether_protocol.cli.render.journal import Journal
    from aether_protocol.service.run_host import HostContext

EPILOG = """\b
Examples:
  aether cron run
  aether cron run --store sqlite:/data/aether.db -o events --grace 25
  AETHER_STORE=sqlite:/data/aether.db aether cron run --quiet

Schedules that others apply, change and remove meanwhile count at once, within about a second. Several schedulers may work
on one store: no fire is started twice, and one takes over what another leaves behind.

On SIGTERM, SIGINT and SIGHUP nothing more is started; runs that have begun get --grace seconds to end, then their tasks are
stopped and the next scheduler recovers them. A second signal ends it at once. The exit code is 0 either way."""


class ScheduleRunOptions(Struct, frozen=True, kw_only=True):
    grace: Annotated[
        float,
        option("--grace", type=Number(0, 86_400, fraction=True), default=10, show_default=True, metavar="SECONDS",
               help="How long runs may continue after a signal."),
    ] = 10
    passivate_after: PassivationOption
    concurrency: ConcurrencyOption = None
    hosting: HostingOptions


@command_with(ScheduleRunOptions, "run", epilog=EPILOG)
def command(options: ScheduleRunOptions) -> int:
    """Start what is due on the schedules of the store, see runs to their ends and tidy up, until a signal comes.

    Fires that came while no scheduler ran are missed, but for the latest one of each schedule, which is started
    now if startingDeadlineSeconds allows it. Runs that were left behind are recovered.
    """
    from aether_protocol.cli.hosting import Hosting, host
    from aether_protocol.cli.render.journal import began_entry, leaving_entry, left_entry
    from aether_protocol.cli.schedules import refuse_memory, store_option_text

    store, grace = options.hosting.store, options.grace
    refuse_memory(store)

    async def serve(at: HostContext, journal: Journal) -> int:
        journal.tell(began_entry(store, [one.schedule for one in await at.client.schedules.list()]))
        await at.schedules.serve(at.runs.leaving)
        journal.tell(leaving_entry(at.runs.watched, grace))
        left = await at.runs.grace(grace)
        await at.delete_old_runs()
        journal.tell(left_entry(left))
        return FINE

    settings = Hosting(
        **asdict(options.hosting),
        concurrency=options.concurrency,
        passivate_after_s=options.passivate_after,
        serves=True,
        left_code=FINE,
        more=store_option_text(store),
    )
    return host(settings, serve)
