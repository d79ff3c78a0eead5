"""`aether cron trigger NAME`: a run of a schedule now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aether_protocol.cli.arguments import read_answers
from aether_protocol.cli.drive import Driving, drive
from aether_protocol.cli.options import answers_option, driving_options, namespace_option
from aether_protocol.cli.schedules import refuse_memory
from aether_protocol.expressions.values import Json
from aether_protocol.ports.schedules import CronStore
from aether_protocol.service.schedules.find import find_schedule

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.engine.schedule_runner import ScheduleRunner

EPILOG = """\b
Examples:
  aether cron trigger nightly
  aether cron trigger nightly --output json > report.json

\b
The run's scheduled time is now. It counts for the history of the schedule and for its limits.
Exit codes: as those of 'aether run'. An interrupt leaves the run as it is: 'aether resume' goes on with it."""


@click.command("trigger", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@namespace_option
@answers_option
@driving_options
def command(name: str, namespace: str | None, resumes: tuple[str, ...], **driving: Json) -> int:
    """Start a run of a schedule now, whatever its times and its concurrencyPolicy say, suspended or not, and drive it to its
    end.
    """
    refuse_memory(driving["store"])
    made: list[ScheduleRunner] = []

    async def begin(engine: Engine, store: CronStore) -> str:
        from aether_protocol.engine.clock import WallClock
        from aether_protocol.engine.schedule_runner import ScheduleRunner

        found = await find_schedule(store, namespace, name)
        made.append(ScheduleRunner(engine, store, WallClock()))
        return await made[0].trigger(found.namespace, found.name)

    async def tidy() -> None:
        for cron in made:
            await cron.tidy()

    return drive(Driving(answers=read_answers(resumes), **driving), begin, after=tidy)
