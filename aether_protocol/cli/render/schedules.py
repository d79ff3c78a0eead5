"""Schedules, their fires and what became of them, as text and as JSON.

Law: both forms show the same; text shows instants in the zone of `TZ` or, without it, in the schedule's own, JSON in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.runs import show_rows
from aether_protocol.cli.render.table import show_table
from aether_protocol.cli.render.times import away, in_zone, own_time
from aether_protocol.cron.settings import CronSettings
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.runs.listing import ListedRun
from aether_protocol.service.schedules.dst_notes import moment, oddity
from aether_protocol.service.schedules.find import DEFAULT_NAMESPACE, ScheduleOverview, called
from aether_protocol.service.schedules.suspend import SuspendedSchedule
from aether_protocol.service.schedules.times import zone_of
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.summary import row_json
from aether_protocol.views.text import counted, one_line, printable

# --- lists ---


def schedule_json(one: ScheduleOverview) -> dict[str, Json]:
    """A schedule in a list; settings have the names that they have in documents."""
    schedule, run = one.schedule, one.last_run
    return {
        "name": schedule.name,
        "namespace": schedule.namespace,
        **settings_json(schedule.settings),
        "generation": schedule.generation,
        "appliedAt": rfc3339(schedule.applied_at),
        "changedAt": rfc3339(schedule.changed_at),
        "lastFireAt": _instant(schedule.last_at),
        "lastRun": None if run is None else {"runId": run.run_id, "phase": run.phase},
        "nextFireAt": _instant(schedule.next_at),
        "unfinishedRuns": [row.run_id for row in one.unfinished],
    }


def settings_json(settings: CronSettings) -> dict[str, Json]:
    return {
        "schedule": settings.schedule,
        "timezone": settings.timezone,
        "startAt": _instant(settings.start_at),
        "endAt": _instant(settings.end_at),
        "concurrencyPolicy": settings.policy,
        "startingDeadlineSeconds": settings.deadline_s,
        "successfulJobsHistoryLimit": settings.keep_succeeded,
        "failedJobsHistoryLimit": settings.keep_failed,
        "suspend": settings.suspend,
    }


def print_schedules_json(several: Sequence[ScheduleOverview]) -> None:
    click.echo(json.dumps({"schedules": [schedule_json(one) for one in several]}, indent=2, ensure_ascii=False))


def print_switched(several: Sequence[SuspendedSchedule]) -> None:
    """Schedules that were suspended or resumed, and whether that was a change."""
    told = [
        {
            "name": one.schedule.name,
            "namespace": one.schedule.namespace,
            "suspend": one.schedule.settings.suspend,
            "changed": one.changed,
            "nextFireAt": _instant(one.schedule.next_at),
        }
        for one in several
    ]
    click.echo(json.dumps({"schedules": told}, indent=2, ensure_ascii=False))


def show_schedules(several: Sequence[ScheduleOverview], now: int) -> None:
    """A table; the namespace has a column where it is not the usual one."""
    headings = ["NAME", "NAMESPACE", "SCHEDULE", "ZONE", "LAST FIRE", "ITS RUN", "NEXT FIRE", "OPEN"]
    rows = [_cells(one, now) for one in several]
    colors = [PHASE_COLORS.get(one.last_run.phase) if one.last_run is not None else None for one in several]
    run = headings.index("ITS RUN")
    if all(one.schedule.namespace == DEFAULT_NAMESPACE for one in several):
        for row in (headings, *rows):
            del row[1]
        run -= 1
    show_table(headings, rows, colors=colors, column=run, least=("ZONE", "LAST FIRE", "ITS RUN", "SCHEDULE"))


def _cells(one: ScheduleOverview, now: int) -> list[str]:
    schedule, run = one.schedule, one.last_run
    zone = zone_of(schedule.settings)
    return [
        one_line(schedule.name, 63),
        one_line(schedule.namespace, 63),
        one_line(schedule.settings.schedule, 40),
        schedule.settings.timezone,
        "never" if schedule.last_at is None else in_zone(schedule.last_at, zone),
        "" if run is None else f"{mark(run.phase)} {run.phase}",
        next_text(schedule, now),
        str(len(one.unfinished)),
    ]


def next_text(schedule: StoredSchedule, now: int) -> str:
    """`2026-03-29 03:00+02:00, in 3d 4h`; `suspended`, or `never` where none is ahead."""
    if schedule.settings.suspend:
        return "suspended"
    if schedule.next_at is None:
        return "never"
    away_text = away(schedule.next_at, now) if schedule.next_at > now else "due"
    return f"{in_zone(schedule.next_at, zone_of(schedule.settings))}, {away_text}"


# --- fires ahead ---


def fire_json(settings: CronSettings, at: int) -> dict[str, Json]:
    zone = zone_of(settings)
    odd = oddity(settings.schedule, zone, at)
    return {
        "at": rfc3339(at),
        "local": moment(at, zone).isoformat(),
        "oddity": None if odd is None else odd.kind,
        "note": None if odd is None else odd.text,
    }


def fire_line(settings: CronSettings, at: int, now: int) -> str:
    """A fire on one line, with what is odd about it."""
    zone = zone_of(settings)
    odd = oddity(settings.schedule, zone, at)
    notes = [text for text in (own_time(at, zone), None if odd is None else odd.text) if text is not None]
    line = f"{in_zone(at, zone)}  {away(at, now)}"
    return f"{line}  ({'; '.join(notes)})" if notes else line


# --- what became of fires ---


def record_json(record: FireRecord, run: RunSummary | None) -> dict[str, Json]:
    """`first` and `count` where several were missed; `phase` is null where the run is not kept, or there was none."""
    return {
        "at": rfc3339(record.at),
        "kind": record.kind,
        "runId": record.run_id,
        "phase": None if run is None else run.phase,
        "reason": record.reason,
        "count": record.count,
        "first": _instant(record.first),
        "notedAt": rfc3339(record.noted_at),
        "generation": record.generation,
    }


def show_records(schedule: StoredSchedule, records: Sequence[FireRecord], runs: Mapping[str, RunSummary]) -> None:
    """A table, the newest first."""
    zone = zone_of(schedule.settings)
    rows, colors = [], []
    for record in records:
        run = runs.get(record.run_id or "")
        phase = f"{mark(run.phase)} {run.phase}" if run is not None else "deleted" if record.run_id else ""
        first = f"{in_zone(record.first, zone)} to " if record.first is not None else ""
        rows.append([first + in_zone(record.at, zone), record.kind, phase, record.run_id or one_line(record.reason, 100)])
        colors.append(PHASE_COLORS.get(run.phase) if run is not None else None)
    show_table(["FIRE", "WHAT", "PHASE", "RUN OR REASON"], rows, colors=colors, column=2)


# --- one schedule ---


def show_schedule(one: ScheduleOverview, fires: Sequence[int], records: Sequence[FireRecord], now: int) -> None:
    """All that is known of it; `fires` are those ahead, `records` the newest."""
    schedule = one.schedule
    click.secho(printable(called(schedule)), bold=True)
    for name, text in _head(schedule, now):
        click.echo(f"  {name + ':':<12} {text}")
    if fires:
        click.echo("next, once it is resumed:" if schedule.settings.suspend else "next:")
        for at in fires:
            click.echo(f"  {fire_line(schedule.settings, at, now)}")
    if records:
        click.echo("fires so far:")
        show_records(schedule, records, {row.run_id: row for row in one.runs})
    if one.runs:
        click.echo("runs that are kept:")
        show_rows([ListedRun(row, None) for row in one.runs])


def _head(schedule: StoredSchedule, now: int) -> list[tuple[str, str]]:
    settings = schedule.settings
    zone = zone_of(settings)
    head = [("schedule", f"{one_line(settings.schedule)}  {settings.timezone}")]
    if settings.start_at is not None:
        head.append(("from", in_zone(settings.start_at, zone)))
    if settings.end_at is not None:
        head.append(("until", in_zone(settings.end_at, zone)))
    deadline = "" if settings.deadline_s is None else f", late by {counted(settings.deadline_s, 'second')} at most"
    head.append(("policy", settings.policy + deadline))
    head.append(("keeps", f"{counted(settings.keep_succeeded, 'run')} that Succeeded, {settings.keep_failed} that did not"))
    if settings.suspend:
        head.append(("suspended", "yes"))
    applied = f"{in_zone(schedule.applied_at, zone)}, {away(schedule.applied_at, now)}"
    head.append(("applied", applied + (f" (number {schedule.generation} of this name)" if schedule.generation > 1 else "")))
    if schedule.changed_at != schedule.applied_at:
        head.append(("changed", f"{in_zone(schedule.changed_at, zone)}, {away(schedule.changed_at, now)}"))
    return head


def print_schedule_json(one: ScheduleOverview, fires: Sequence[int], records: Sequence[FireRecord]) -> None:
    runs = {row.run_id: row for row in one.runs}
    told = {
        **schedule_json(one),
        "next": [fire_json(one.schedule.settings, at) for at in fires],
        "fires": [record_json(record, runs.get(record.run_id or "")) for record in records],
        "runs": [row_json(row) for row in one.runs],
        "document": json.loads(one.schedule.document),
    }
    click.echo(json.dumps(told, indent=2, ensure_ascii=False))


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
