"""What a scheduler does, reported as it happens: a line for people, or a JSON line for programs, for each thing.

Law: an entry is data; both forms show the same of it. Lines go to standard error, JSON to standard output. `quiet` leaves
out what went well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

import click
from msgspec import Struct, field

from aether_protocol.assembly.store_urls import without_password
from aether_protocol.cli.exits import FINE_PHASES
from aether_protocol.cli.render.times import here, in_zone
from aether_protocol.cli.terminal import messages
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.schedules import BACKFILLED, MISSED, SKIPPED, STARTED, TRIGGERED, FireRecord, StoredSchedule
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.service.run_host import (
    DocumentsApplied,
    FireLeftOut,
    FireReported,
    HostEvent,
    HostFailure,
    RunEnded,
    RunLost,
    RunRecovered,
    RunsDeleted,
    RunSuspended,
)
from aether_protocol.service.schedules.find import called
from aether_protocol.service.schedules.times import zone_of
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.summary import trace_id_of
from aether_protocol.views.text import counted, duration, one_line, printable

KINDS: Final = {
    STARTED: "FireStarted",
    SKIPPED: "FireSkipped",
    MISSED: "FireMissed",
    TRIGGERED: "RunTriggered",
    BACKFILLED: "FireBackfilled",
}

AGAIN_US: Final = 60 * SECOND


class JournalEntry(Struct, frozen=True):
    """One thing that happened: `text` for people, `fields` for programs. `bad`: it did not go well."""

    kind: str
    text: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    color: str | None = None
    bad: bool = False


class Journal:
    """`now` gives microseconds since the epoch."""

    def __init__(self, now: Callable[[], int], *, as_events: bool, quiet: bool = False) -> None:
        self._now = now
        self._as_events = as_events
        self._quiet = quiet

    def tell(self, entry: JournalEntry) -> None:
        if self._quiet and not entry.bad:
            return
        at = self._now()
        if self._as_events:
            record = {"at": rfc3339(at), "kind": entry.kind, **entry.fields}
            click.echo(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
        elif messages.is_json():
            fields = {name: value for name, value in entry.fields.items() if name not in ("time", "level", "message")}
            messages.record("warning" if entry.bad else "info", entry.text, kind=entry.kind, **fields)
        else:
            click.echo(f"{here(at)}  ", nl=False, err=True)
            click.secho(printable(entry.text), fg=entry.color, err=True)


class JournalHandler(logging.Handler):
    """Warnings of the engine, on standard error; a repeated one once a minute. What broke a run is reported
    by the journal."""

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__()
        self._now = now
        self._last = ("", 0)

    def emit(self, record: logging.LogRecord) -> None:
        text, at = record.getMessage(), self._now()
        if record.exc_info is None and not (text == self._last[0] and 0 <= at - self._last[1] < AGAIN_US):
            self._last = (text, at)
            if messages.is_json():
                messages.record("warning", text)
                return
            click.echo(f"{here(at)}  warning: {printable(text)}", err=True)


def entry_of(event: HostEvent, more: str) -> JournalEntry:
    """Give the entry of anything that a host reports; `more` are options that a command needs to find a run."""
    match event:
        case FireReported(schedule=schedule, record=record):
            return fire_entry(schedule, record)
        case FireLeftOut(schedule=schedule, at=at, run_id=run_id, why=why):
            return left_out_entry(schedule, at, run_id, why)
        case RunRecovered(state=state):
            return recovered_entry(state)
        case RunSuspended(state=state, paths=paths):
            return suspended_entry(state, paths, more)
        case RunEnded(state=state):
            return ended_entry(state)
        case RunLost(run_id=run_id, message=message):
            return lost_entry(run_id, message)
        case RunsDeleted(run_ids=run_ids):
            return deleted_entry(run_ids)
        case DocumentsApplied(names=names):
            return applied_entry(names)
        case HostFailure(about=about, message=message):
            return failure_entry(about, message)
    assert_never(event)


def fire_entry(schedule: StoredSchedule, record: FireRecord) -> JournalEntry:
    """What became of a fire."""
    zone = zone_of(schedule.settings)
    fire = in_zone(record.at, zone)
    name = called(schedule)
    if record.kind == TRIGGERED:
        text = f"{name}: triggered, run {record.run_id}"
    elif record.run_id is not None:
        text = f"{name}: fire {fire} {record.kind}, run {record.run_id}"
    elif record.first is not None:
        text = f"{name}: {counted(record.count, 'fire')} from {in_zone(record.first, zone)} to {fire} {record.kind}"
    else:
        text = f"{name}: fire {fire} {record.kind}: {record.reason.removeprefix(f'{record.kind}: ')}"
    fields: dict[str, Json] = {**_of(schedule.namespace, schedule.name), "fire": rfc3339(record.at)}
    if record.run_id is not None:
        fields["runId"] = record.run_id
    else:
        fields["reason"] = record.reason
    if record.first is not None:
        fields |= {"first": rfc3339(record.first), "count": record.count}
    return JournalEntry(KINDS[record.kind], text, fields, None if record.run_id else "yellow", bad=record.kind == MISSED)


def left_out_entry(schedule: StoredSchedule, at: int, run_id: str, why: str) -> JournalEntry:
    """A fire that is not backfilled."""
    text = f"{called(schedule)}: fire {in_zone(at, zone_of(schedule.settings))} left out: {why}"
    fields = {**_of(schedule.namespace, schedule.name), "fire": rfc3339(at), "runId": run_id, "reason": why}
    return JournalEntry("FireLeftOut", text, fields)


def recovered_entry(state: RunState) -> JournalEntry:
    """An unfinished run is continued here."""
    done = f"{state.leaves_ended} of {counted(state.leaves_known, 'task')} done"
    return JournalEntry("RunRecovered", f"{_name(state)}: recovered run {state.header.run_id}, {done}", _run(state))


def suspended_entry(state: RunState, paths: Sequence[str], more: str) -> JournalEntry:
    """A run that waits for answers; `more` are options that a command needs to find it."""
    run_id = state.header.run_id
    text = f"{_name(state)}: run {run_id} waits for an answer: aether resume {run_id} {paths[0]}{more}"
    return JournalEntry("RunSuspended", text, {**_run(state), "paths": list(paths)}, PHASE_COLORS["Suspended"], bad=True)


def ended_entry(state: RunState) -> JournalEntry:
    took = None
    if state.root is not None and state.root.ended_at is not None:
        took = (state.root.ended_at - state.header.created_at) / SECOND
    phase = str(state.phase)
    because = f": {one_line(state.message)}" if state.message else ""
    text = f"{_name(state)}: run {state.header.run_id} {phase}{'' if took is None else f' in {duration(took)}'}{because}"
    fields = {**_run(state), "phase": phase, "message": state.message, "durationSeconds": took}
    return JournalEntry("RunEnded", text, fields, PHASE_COLORS[phase], bad=phase not in FINE_PHASES)


def lost_entry(run_id: str, message: str) -> JournalEntry:
    """A run that cannot be driven here any more."""
    told = f"run {run_id} is not driven here any more: {message}"
    return JournalEntry("RunLost", told, {"runId": run_id, "message": message}, "red", bad=True)


def failure_entry(what: str, message: str) -> JournalEntry:
    """A schedule that cannot be handled, or a run that cannot be resumed."""
    return JournalEntry("Failure", f"{what}: {message}", {"about": what, "message": message}, "red", bad=True)


def deleted_entry(run_ids: Sequence[str]) -> JournalEntry:
    """Runs beyond the history limits (CRON-5)."""
    shown = ", ".join(run_ids[:5]) + (", ..." if len(run_ids) > 5 else "")
    return JournalEntry("RunsDeleted", f"deleted {counted(len(run_ids), 'old run')}: {shown}", {"runIds": list(run_ids)})


def applied_entry(names: Sequence[str]) -> JournalEntry:
    """Documents of the folder that a server follows."""
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return JournalEntry("DocumentsApplied", f"documents: {shown}", {"documents": list(names)})


def began_entry(store: str, schedules: Sequence[StoredSchedule]) -> JournalEntry:
    """A scheduler is there."""
    store = without_password(store)
    ahead = min((one.next_at for one in schedules if one.next_at is not None), default=None)
    when = "" if ahead is None else f", the next fire is at {here(ahead)}"
    text = f"scheduler of {store}: {counted(len(schedules), 'schedule')}{when}"
    told = {"store": store, "schedules": len(schedules), "nextFireAt": None if ahead is None else rfc3339(ahead)}
    return JournalEntry("SchedulerStarted", text, told)


def leaving_entry(under_way: Sequence[str], grace_s: float) -> JournalEntry:
    """A signal came."""
    waits = f"; {counted(len(under_way), 'run')} may continue for {grace_s:g}s" if under_way else ""
    fields: dict[str, Json] = {"runIds": list(under_way), "graceSeconds": grace_s}
    return JournalEntry("SchedulerLeaving", f"nothing more is started{waits}", fields)


def left_entry(left: Sequence[str]) -> JournalEntry:
    """The last entry of a scheduler."""
    shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
    text = f"the scheduler ends; left for the next one: {shown}" if left else "the scheduler ends"
    return JournalEntry("SchedulerEnded", text, {"leftRunIds": list(left)})


def serving_entry(
    url: str, store: str, *, local: bool, cron: bool, grpc_url: str | None = None, has_grpc: bool = True
) -> JournalEntry:
    """A server is there. `grpc_url`: its port for gRPC and HTTP; without the extra it has HTTP alone."""
    store = without_password(store)
    parts = [word for word, there in (("a worker of its own", local), ("schedules", cron)) if there]
    having = f", with {' and '.join(parts)}" if parts else ""
    spoken = "gRPC and HTTP" if has_grpc else "HTTP alone, for gRPC needs the extra [grpc],"
    beside = "" if grpc_url is None else f"; {spoken} at {grpc_url}"
    text = f"serving {store} at {url}{having}{beside}"
    told: dict[str, Json] = {"url": url, "store": store, "worker": local, "cron": cron}
    return JournalEntry("ServerStarted", text, told if grpc_url is None else {**told, "grpcUrl": grpc_url, "grpc": has_grpc})


def stopping_entry(grace_s: float) -> JournalEntry:
    """A signal came to a server."""
    waits = f"; tasks here may continue for {grace_s:g}s" if grace_s else ""
    return JournalEntry("ServerLeaving", f"nothing more is begun{waits}", {"graceSeconds": grace_s})


def served_entry() -> JournalEntry:
    """The last entry of a server."""
    return JournalEntry("ServerEnded", "the server ends; open runs are left for the next one")


def pages_entry(url: str, store: str) -> JournalEntry:
    """The pages of a store are there."""
    store = without_password(store)
    text = f"the pages of {store} are at {url} (Ctrl-C ends them)"
    return JournalEntry("PagesStarted", text, {"url": url, "store": store})


def pages_ended_entry(left: Sequence[str], more: str) -> JournalEntry:
    """The last entry of the pages of a store; `left` are runs that began there, `more` what a command needs to find them."""
    text = "the pages end"
    if left:
        text += f"; {counted(len(left), 'run')} that began here stopped with them: aether resume {left[0]}{more}"
    if len(left) > 1:
        text += f" (also {', '.join(left[1:5])}{', ...' if len(left) > 5 else ''})"
    return JournalEntry("PagesEnded", text, {"leftRunIds": list(left)})


def entries_left_out(count: int) -> str:
    """In place of entries that were not read in time; as a line of JSON."""
    return json.dumps({"kind": "EntriesLeftOut", "count": count}, separators=(",", ":"))


def _name(state: RunState) -> str:
    plan = state.plan
    return plan.name if plan.namespace == "default" else f"{plan.namespace}/{plan.name}"


def _run(state: RunState) -> dict[str, Json]:
    told = {**_of(state.plan.namespace, state.plan.name), "runId": state.header.run_id}
    trace_id = trace_id_of(state.header)
    return told if trace_id is None else {**told, "traceId": trace_id}


def _of(namespace: str, name: str) -> dict[str, Json]:
    return {"schedule": {"name": name, "namespace": namespace}}
