"""`aether stats [WORKFLOW]`: how runs went over time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Instant, now_us
from aether_protocol.cli.options import NamespaceFilter, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number, OneOf
from aether_protocol.ports.store import RunQuery

EPILOG = """\b
Examples:
  aether stats
  aether stats nightly --since 90d
  aether stats nightly -o json | jq '.tasks[0]'

Durations are those of runs that Succeeded, right within 2 %. TREND compares the median of the later half of the time with that
of the earlier half. A cancelled run counts as neither good nor bad. LONGER THAN USUAL are runs, open ones too, that take longer
than 95 % of the last 50 runs of their workflow that Succeeded. The page /insights of a server shows the same."""

DAYS = 30  # that are counted, where nothing is said
DAY_US = 86_400_000_000


class StatsOptions(Struct, frozen=True, kw_only=True):
    workflow: Annotated[str | None, argument("[WORKFLOW]", required=False)] = None
    namespace: NamespaceFilter = None
    since: Annotated[
        int | None,
        option("--since", type=Instant(), metavar="TIME",
               help="Only runs made since then: 90d (ago), 2026-01-01, RFC 3339; by default 30d."),
    ] = None
    until: Annotated[
        int | None, option("--until", type=Instant(), metavar="TIME", help="Only runs made before then.")
    ] = None
    runs: Annotated[
        int,
        option("--tasks-of", type=Number(0, 1_000), default=20, show_default=True, metavar="N",
               help="Count the tasks of the last N runs, too; shown with WORKFLOW, and with -o json."),
    ] = 20
    by: Annotated[
        str | None,
        option("--by", type=OneOf(("hour", "day", "week")),
               help="What 'periods' of -o json are; by default hours of up to 3 days, days of up to 400, else weeks."),
    ] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(StatsOptions, "stats", epilog=EPILOG)
def command(options: StatsOptions) -> int:
    """Show how runs went: how many, how long they took, how often they failed, and whether that changes.

    WORKFLOW, the name of one, adds its slowest runs, and its tasks, the slowest first.
    """
    from aether_protocol.service.runs.statistics import gather_statistics

    until = options.until or now_us()
    since = options.since if options.since is not None else until - DAYS * DAY_US
    query = RunQuery(name=options.workflow, namespace=options.namespace, since=since, until=options.until)
    task_runs = options.runs if options.workflow is not None or options.output == "json" else 0
    found = ask(
        options.store, lambda client: gather_statistics(client.runs, query, until, task_runs=task_runs, period=options.by)
    )
    if options.output == "json":
        import click

        from aether_protocol.cli.render.pretty import pretty

        click.echo(pretty(found.to_json()))
        return FINE
    if not found.workflows:
        messages.note("there are no such runs", "--since 90d looks further back")
        return FINE
    from aether_protocol.cli.render.statistics import show_statistics

    show_statistics(found, in_detail=options.workflow is not None)
    return FINE
