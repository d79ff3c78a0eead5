"""`aether cron tick`: what `aether cron run` would do at this moment, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.options import ConcurrencyOption, HostingOptions, NamespaceOption

if TYPE_CHECKING:
    from aether_protocol.cli.render.journal import Journal
    from aether_protocol.service.run_host import HostContext

EPILOG = """\b
Examples:
  * * * * *  cd /srv/jobs && aether cron tick --quiet   (in a crontab)
  aether cron tick nightly -o events

Ticks may overlap: no fire is started twice, and a run that another one drives is left to it. The first one after a
long time starts the latest missed fire of each schedule, as 'aether cron run' does.

\b
Exit codes: 0 nothing was due, or all Succeeded; else that of the run that
went worst: 4 Error, 1 Failed, 5 Timeout, 6 Cancelled, 7 it waits for an
answer (and is left so); 2 wrong usage, 9 the store cannot be used,
130 interrupted (runs are left as they are: the next tick recovers them)."""


class TickOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("[NAME]...", nargs=-1)] = ()
    namespace: NamespaceOption = None
    concurrency: ConcurrencyOption = None
    hosting: HostingOptions


@command_with(TickOptions, "tick", epilog=EPILOG)
def command(options: TickOptions) -> int:
    """Start what is due on all schedules, or on those named, recover their runs that no process drives, see all of
    it to its end, and exit.

    For what starts it every minute: the system's crontab, a systemd timer, a Kubernetes CronJob, CI.
    """
    from aether_protocol.cli.hosting import Hosting, host, worst_of
    from aether_protocol.cli.schedules import refuse_memory, store_option_text
    from aether_protocol.cli.stored import check_there
    from aether_protocol.service.schedules.find import full_name

    store = options.hosting.store
    refuse_memory(store)
    check_there(store)

    async def tick(at: HostContext, _: Journal) -> int:
        names = dict.fromkeys(full_name(name, options.namespace) for name in options.names)
        chosen = [(await at.client.schedules.get(name)).schedule for name in names]
        keys = {(one.namespace, one.name) for one in chosen}
        await at.schedules.tick(lambda one: not at.runs.leaving.is_set() and (not keys or (one.namespace, one.name) in keys))
        runs = [row.run_id for name in names for row in (await at.client.schedules.get(name)).unfinished]
        await at.schedules.adopt_orphans(runs if keys else None)
        await at.runs.through()
        await at.delete_old_runs()
        return worst_of(at.runs.outcomes.values())

    settings = Hosting(**asdict(options.hosting), concurrency=options.concurrency, more=store_option_text(store))
    return host(settings, tick)
