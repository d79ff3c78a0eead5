"""Schedules as commands see them: found by what the user calls them, with the fires ahead and the runs behind them.

Law: nothing here changes a schedule. A name is looked up in one namespace; what is near is told where it is not there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from aether_protocol.cli.options import MEMORY, usual_store
from aether_protocol.cli.paths import names_file
from aether_protocol.cli.stored import is_there, look
from aether_protocol.cron.policy import run_name
from aether_protocol.cron.schedule import BadScheduleError, fire_times
from aether_protocol.cron.settings import CronSettings
from aether_protocol.cron.zones import find_zone
from aether_protocol.documents.source import Limits
from aether_protocol.errors import UsageError
from aether_protocol.ports.schedules import CronStore, StoredSchedule
from aether_protocol.ports.store import RunSummary

EVER: Final = 1 << 61  # later than any fire


class Standing(Struct, frozen=True):
    """A schedule with its runs that are kept, the latest fire's first."""

    schedule: StoredSchedule
    runs: Sequence[RunSummary]

    @property
    def last_run(self) -> RunSummary | None:
        """The run of the last fire that started one, while it is kept."""
        at = self.schedule.last_at
        named = None if at is None else run_name(self.schedule.namespace, self.schedule.name, at)
        return next((row for row in self.runs if row.run_id == named), None)

    @property
    def unfinished(self) -> list[RunSummary]:
        return [row for row in self.runs if not row.closed]


class Asked(Struct, frozen=True):
    """A schedule of a file or of the store, for whoever needs no more than its times."""

    namespace: str
    name: str
    settings: CronSettings


def refuse_memory(store: str) -> None:
    """Schedules outlive the process, or they are none."""
    if store == MEMORY:
        raise UsageError(
            "the store 'memory' ends with its process, and with it every schedule",
            hint="leave --store out, or give --store sqlite:PATH",
        )


def store_option_text(store: str) -> str:
    """What a command that is told of must be given to find this store."""
    return "" if store == usual_store() else f" --store {shlex.quote(store)}"


def read_name(text: str, namespace: str | None) -> tuple[str, str]:
    """(namespace, name) of `nightly` or `ops/nightly`. Raises UsageError."""
    space, slash, name = text.rpartition("/")
    if not name or (slash and not space):
        raise UsageError(f"{text!r} is no name of a schedule", hint="it is NAME or NAMESPACE/NAME")
    if space and namespace not in (None, space):
        raise UsageError(f"{text!r} is not in namespace {namespace!r}", hint="leave -n out, or the namespace in the name")
    return space or namespace or "default", name


async def find_schedule(store: CronStore, namespace: str | None, text: str) -> StoredSchedule:
    """The schedule that is meant, as `read_name` reads it. Raises UsageError with what is near."""
    namespace, name = read_name(text, namespace)
    found = await store.schedule(namespace, name)
    if found is not None:
        return found
    known = await store.schedules()
    here = [one.name for one in known if one.namespace == namespace]
    elsewhere = [one.namespace for one in known if one.name == name]
    if elsewhere:
        hint = f"there is one in namespace {elsewhere[0]!r}: {elsewhere[0]}/{name}"
    elif near := get_close_matches(name, here, 1):
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = "'aether cron ls' lists the schedules" if known else "the store holds no schedule: 'aether cron apply FILE'"
    raise UsageError(f"schedule {name!r} is unknown in namespace {namespace!r}", hint=hint)


async def find_schedules(store: CronStore, namespace: str | None, texts: Sequence[str]) -> list[StoredSchedule]:
    """All of them, each once, or UsageError for the first that is not there."""
    found = [await find_schedule(store, namespace, text) for text in texts]
    return list({(one.namespace, one.name): one for one in found}.values())


async def standing(store: CronStore, schedule: StoredSchedule) -> Standing:
    return Standing(schedule, await store.scheduled_runs(schedule.namespace, schedule.name))


def asked_for(what: str, namespace: str | None, store: str, limits: Limits) -> list[Asked]:
    """The CronWorkflows of a file, or a schedule of the store: whichever `what` means. Raises InvalidDocumentError for a
    faulty file, UsageError for what is not there."""
    if names_file(what):
        from aether_protocol.assembly.schedules import cron_settings
        from aether_protocol.cli.applying import read_cron_workflows

        return [
            Asked(model.metadata.namespace, model.metadata.name, cron_settings(model))
            for _, model in read_cron_workflows(what, limits)
        ]
    if not is_there(store):
        hint = "a file is named with its ending, or as ./FILE; 'aether cron apply' makes a store"
        raise UsageError(f"{what!r} is no file, and there is no store at {store!r} with schedules", hint=hint)
    found = look(store, lambda opened: find_schedule(opened, namespace, what))
    return [Asked(found.namespace, found.name, found.settings)]


def fires_of(settings: CronSettings, after: int, upto: int = EVER) -> Iterator[int]:
    """The fires after `after`, up to and with `upto`, within startAt and endAt, as if it were not suspended (CRON-2). Raises
    BadScheduleError for a zone that this machine does not know."""
    if settings.start_at is not None:
        after = max(after, settings.start_at - 1)
    if settings.end_at is not None:
        upto = min(upto, settings.end_at)
    return fire_times(settings.schedule, settings.timezone).between(after, upto)


def zone_of(settings: CronSettings) -> tzinfo:
    """Its zone; UTC where this machine does not know it (whoever needs the times themselves is told by `fires_of`)."""
    try:
        return find_zone(settings.timezone)
    except BadScheduleError:
        return UTC
