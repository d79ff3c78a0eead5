"""What pages show at a glance, as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from aether_protocol.service.runs.overview import WaitingTask
from aether_protocol.service.wire.reports import HookBody, NoteBody, Values
from aether_protocol.service.wire.runs import RunBody
from aether_protocol.service.wire.values import Instant


class ShownTask(Struct, rename="camel"):
    """A task run without its inputs and outputs."""

    id: str
    path: str
    task_name: str
    template_name: str
    template_type: Annotated[str, Meta(description="task, dag or loop")]
    depth: int
    phase: str
    message: str
    retries: int
    started_at: Instant | None
    finished_at: Instant | None


class RunViewBody(Struct, rename="camel"):
    """A run for its page. `run` is its row as it is now; all else is as it was after the log entry `seq`."""

    run: RunBody
    seq: Annotated[int, Meta(description="The number of the log entry; what follows is in the feed of events.")]
    phase: str
    message: str
    progress: str
    outputs: Values
    parameters: Values
    owner: Annotated[str | None, Meta(description="Which engine drives the run now.")]
    waiting: Annotated[list[WaitingTask], Meta(description="Attempts that no worker has yet, and why.")]
    tasks: list[ShownTask]
    hooks: list[HookBody]
    not_run: list[str]
    warnings: list[NoteBody]


def shown_task(task: dict[str, Any]) -> dict[str, Any]:
    """Leave the values of a task run out."""
    return {name: value for name, value in task.items() if name not in ("inputs", "outputs")}
