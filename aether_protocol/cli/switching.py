"""`aether cron suspend` and `resume`: the switch of a schedule.

Law: all schedules are found before the first is changed. What is so already stays, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.render.schedules import called, next_text
from aether_protocol.cli.schedules import find_schedule, find_schedules
from aether_protocol.cli.stored import look
from aether_protocol.engine.schedules import set_suspended
from aether_protocol.errors import BusyError
from aether_protocol.ports.schedules import CronStore, StoredSchedule
from aether_protocol.views.text import printable

_TRIES: Final = 20  # against schedulers that change it at the same moment


def switch(store: str, namespace: str | None, names: Sequence[str], *, suspend: bool) -> None:
    """Suspend schedules, or let them go on, and tell of each."""
    for schedule, changed in look(store, lambda opened: _switch(opened, namespace, names, suspend), writes=True):
        name = printable(called(schedule))
        if suspend:
            click.echo(f"{name} is suspended" + ("" if changed else " already"))
        else:
            click.echo(f"{name} {'goes on' if changed else 'was not suspended'}: next {next_text(schedule, now_us())}")


async def _switch(
    store: CronStore, namespace: str | None, names: Sequence[str], suspend: bool
) -> list[tuple[StoredSchedule, bool]]:
    found = await find_schedules(store, namespace, names)
    return [await _one(store, schedule, suspend) for schedule in found]


async def _one(store: CronStore, schedule: StoredSchedule, suspend: bool) -> tuple[StoredSchedule, bool]:
    for _ in range(_TRIES):
        try:
            return await set_suspended(store, schedule.namespace, schedule.name, suspend, now_us())
        except BusyError:
            await find_schedule(store, schedule.namespace, schedule.name)  # it may be gone
    raise BusyError(f"schedule {schedule.name!r} is changed by others all the time", hint="try again")
