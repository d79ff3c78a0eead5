"""What `aether show` gathers of one task, and of the times of all: from the report, the event feed and the logs.

Law: nothing but what every client can be asked for, so that a run of a server is shown as one of a store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct, to_builtins

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.stored import ask
from aether_protocol.errors import AetherError, NotFoundError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.logs import LOSS
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.views.text import counted
from aether_protocol.views.timeline import TaskTimeline, timelines

if TYPE_CHECKING:
    from aether_protocol.ports.store import LogLine
    from aether_protocol.service.client import Client

TAIL = 40  # lines of a log that are asked for


class _Seen(Struct):
    """A task as a report has it and more, its times, and the end of its log."""

    task: dict[str, Json]
    times: TaskTimeline | None
    lines: Sequence[LogLine]


def look_at_task(store: str, run: str, task: str, *, as_json: bool) -> None:
    """Print one task of a run."""
    seen = ask(store, lambda client: _gather(client, run, task))
    attempts = [] if seen.times is None else seen.times.attempts
    if as_json:
        from aether_protocol.cli.render.pretty import pretty

        text = "".join(line.text for line in seen.lines)
        click.echo(pretty({**seen.task, "attempts": [to_builtins(attempt) for attempt in attempts], "logTail": text}))
        return
    from aether_protocol.cli.render.task import show_task

    show_task(seen.task, attempts, seen.lines, now_us())


async def _gather(client: Client, run: str, task: str) -> _Seen:
    row = await client.runs.get(run)
    place = await client.inspect.log_place(row.run_id, task)
    report = (await client.runs.report(row.run_id)).to_json()
    found = _find(report, place.path)
    if not place.several and ":" not in place.path:
        found["workspace"] = None
        with contextlib.suppress(AetherError):
            folder = (await client.inspect.workspace(row.run_id, place.path)).folder
            found["workspace"] = None if folder is None else str(folder)
        with contextlib.suppress(NotFoundError):  # its content may be deleted
            if (summary := await client.extracts.summary(row.run_id, place.path)) is not None:
                found["summary"] = summary
    if found["finishedAt"] is None and not row.closed:
        waiting = (await client.inspect.overview(row.run_id, lines=0, reasons=0)).waiting
        reasons = [f"for a worker: {one.reason}" for one in waiting if one.path == place.path]
        found["waits"] = next(iter(reasons), _why(found))
    records = [record async for record in client.runs.events(row.run_id)]
    lines = [] if place.several else [line async for line in client.runs.logs(row.run_id, place.path, tail=TAIL)]
    return _Seen(found, timelines(records).get(place.path), _since_last_begin(lines))


def _since_last_begin(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """What the last attempt wrote, and where it was lost what it wrote since."""
    begins = [n for n, line in enumerate(lines) if line.text == LOSS or (n and lines[n - 1].attempt != line.attempt)]
    return lines[begins[-1] :] if begins else lines


def _find(report: Mapping[str, Json], path: str) -> dict[str, Json]:
    """The entry of the report, or one like it of a hook and of what has not begun."""
    for task in report["tasks"]:
        if task["path"] == path:
            below = [one for one in report["tasks"] if one["path"].startswith((f"{path}.", f"{path}["))]
            leaves = [one for one in below if one["templateType"] == "task"]
            good = sum(one["phase"] == "Succeeded" for one in leaves)
            return {**task, "below": f"{good} of {counted(len(leaves), 'task')} succeeded so far"} if leaves else dict(task)
    blank: dict[str, Json] = {"path": path, "phase": "Created", "message": "", "inputs": {}, "outputs": {},
                              "startedAt": None, "finishedAt": None}
    return blank | next((dict(hook) | {"path": path} for hook in report["hooks"] if hook["hook"] == path), {})


def _why(task: Mapping[str, Json]) -> str | None:
    """Why it has not ended, as far as its phase tells."""
    return {
        "Created": "for what it depends on, or for its next attempt",
        "Ready": "for its turn",
        "Suspended": "for an answer: 'aether resume' gives it",
    }.get(task["phase"])


def look_at_times(store: str, run: str, *, as_json: bool) -> None:
    """Print when each task of a run ran."""

    async def gather(client: Client) -> list[TaskTimeline]:
        row = await client.runs.get(run)
        found = timelines([record async for record in client.runs.events(row.run_id)])
        order = {task.path: number for number, task in enumerate((await client.runs.report(row.run_id)).tasks)}
        return sorted(found.values(), key=lambda task: (task.hook is not None, order.get(task.path, len(order))))

    tasks = ask(store, gather)
    if as_json:
        from aether_protocol.cli.render.pretty import pretty

        click.echo(pretty({"tasks": [to_builtins(task) for task in tasks]}))
        return
    from aether_protocol.cli.render.timeline import show_timeline

    show_timeline(tasks, rfc3339(now_us()))
