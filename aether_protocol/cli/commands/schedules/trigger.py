"""`aether cron trigger NAME`: a run of a schedule now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.arguments import read_answers, read_pairs
from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.drive import Driving, drive
from aether_protocol.cli.options import AnswersOption, DrivingOptions, NamespaceOption
from aether_protocol.cli.schedules import refuse_memory
from aether_protocol.service.schedules.find import full_name

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether cron trigger nightly
  aether cron trigger nightly -p day=2026-01-31
  aether cron trigger nightly -o json > report.json

The run's scheduled time is now. It counts for the history of the schedule and for its limits.

Exit codes: as those of 'aether run'. An interrupt leaves the run as it is: 'aether resume' continues it."""


class TriggerOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    parameters: Annotated[
        tuple[str, ...],
        option("-p", "--parameter", multiple=True, metavar="NAME=VALUE",
               help="A workflow parameter of this run; the value is read as JSON unless the parameter is declared a string."),
    ] = ()
    namespace: NamespaceOption = None
    answers: AnswersOption = ()
    driving: DrivingOptions


@command_with(TriggerOptions, "trigger", epilog=EPILOG)
def command(options: TriggerOptions) -> int:
    """Start a run of a schedule now, whatever its times and its concurrencyPolicy say, suspended or not, and drive it to its
    end.
    """
    texts = read_pairs(options.parameters)
    if is_server_url(options.driving.store):
        return trigger_there(options, texts)
    refuse_memory(options.driving.store)
    tidies: list[Callable[[], Awaitable[object]]] = []

    async def begin(engine: Engine, client: Client) -> str:
        tidies.append(engine.scheduler().tidy)
        return await client.schedules.trigger(full_name(options.name, options.namespace), texts=texts)

    async def tidy() -> None:
        for one in tidies:
            await one()

    return drive(Driving.by(options.driving, read_answers(options.answers)), begin, after=tidy)


def trigger_there(options: TriggerOptions, texts: Mapping[str, str]) -> int:
    """Have a server start the run, and see it to its end."""
    from aether_protocol.cli.commands.runs.there import begin_there
    from aether_protocol.cli.watch import WatchedRun

    async def begin(client: Client) -> WatchedRun:
        return WatchedRun(await client.schedules.trigger(full_name(options.name, options.namespace), texts=texts))

    return begin_there(options.driving, begin)
