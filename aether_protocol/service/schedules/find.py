"""Find schedules by what the caller calls them, with their runs.

Law: nothing here changes a schedule. A name is looked up in one namespace; what is near is named where it is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.cron.policy import run_name
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.ports.store import RunSummary, Store, schedules_of
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.service.documents.parameters import WorkflowParameters

DEFAULT_NAMESPACE: Final = "default"


class ScheduleOverview(Struct, frozen=True):
    """A schedule with its runs that are kept, the latest fire's first. `takes`: the parameters of its runs, of a schedule that
    was asked for by its name."""

    schedule: StoredSchedule
    runs: Sequence[RunSummary]
    takes: WorkflowParameters | None = None

    @property
    def last_run(self) -> RunSummary | None:
        """The run of the last fire that started one, while it is kept."""
        at = self.schedule.last_at
        named = None if at is None else run_name(self.schedule.namespace, self.schedule.name, at)
        return next((row for row in self.runs if row.run_id == named), None)

    @property
    def unfinished(self) -> list[RunSummary]:
        """Its runs that have not closed."""
        return [row for row in self.runs if not row.closed]


def called(schedule: StoredSchedule) -> str:
    """Give the name that finds it: `nightly`, or `team/nightly` in a namespace of its own."""
    return schedule.name if schedule.namespace == DEFAULT_NAMESPACE else f"{schedule.namespace}/{schedule.name}"


def read_name(text: str, namespace: str | None) -> tuple[str, str]:
    """Read (namespace, name) from `nightly` or `ops/nightly`. Raises UsageError."""
    space, slash, name = text.rpartition("/")
    if not name or (slash and not space):
        raise UsageError(f"{text!r} is not a name of a schedule", hint="it is NAME or NAMESPACE/NAME")
    if space and namespace not in (None, space):
        raise UsageError(f"{text!r} is not in namespace {namespace!r}", hint="leave -n out, or the namespace in the name")
    return space or namespace or DEFAULT_NAMESPACE, name


def full_name(text: str, namespace: str | None) -> str:
    """Give NAMESPACE/NAME of what `read_name` reads."""
    return "/".join(read_name(text, namespace))


async def find_schedule(store: Store, namespace: str | None, text: str) -> StoredSchedule:
    """Find the schedule that is meant, as `read_name` reads it. Raises UsageError with what is near."""
    namespace, name = read_name(text, namespace)
    found = await schedules_of(store).get(namespace, name)
    if found is not None:
        return found
    known = await schedules_of(store).find()
    here = [one.name for one in known if one.namespace == namespace]
    elsewhere = [one.namespace for one in known if one.name == name]
    if elsewhere:
        hint: str | None = f"there is one in namespace {elsewhere[0]!r}: {elsewhere[0]}/{name}"
    else:
        none = "the store holds no schedule: 'aether cron apply FILE'"
        hint = did_you_mean(name, here, "'aether cron ls' lists the schedules" if known else none)
    raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}", hint=hint)


async def find_schedules(store: Store, namespace: str | None, texts: Sequence[str]) -> list[StoredSchedule]:
    """Find all of them, each once. Raises UsageError for the first that is not there."""
    found = [await find_schedule(store, namespace, text) for text in texts]
    return list({(one.namespace, one.name): one for one in found}.values())


async def overview_of(store: Store, schedule: StoredSchedule) -> ScheduleOverview:
    """Give a schedule with its runs."""
    return ScheduleOverview(schedule, await schedules_of(store).runs(schedule.namespace, schedule.name))
