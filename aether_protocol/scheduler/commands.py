"""What to do: the scheduler's orders to the driver, carried out after the step's facts are stored.

Law: a command is complete (its carrier reads no state) and may be issued twice under the same ids. `cause` is the number
of the step that gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from aether_protocol.expressions.values import Json

if TYPE_CHECKING:  # executors and the checks of documents import this file, and need none of these
    from aether_protocol.plan.model import Call, OutputBinding, Resources, TaskDef
    from aether_protocol.scheduler.events import RunHeader, TimerKind
    from aether_protocol.scheduler.facts import Fact


class TaskRunRef(Protocol):
    """Where an assignment comes from: the never-changing part of a node."""

    @property
    def id(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def order(self) -> tuple[int, ...]: ...


class TaskAssignment(Struct, gc=False):
    """Hand this attempt to the broker: all that a worker needs for it (WIRE-1); `ports.wire` writes it as JSON.

    `config` and `inputs` are resolved; where `secret` is true they hold `SecretValue`s until the engine has filled them.
    They are shared with the run's state: an executor gets a copy. `deadline_us` is the earliest deadline above the task.
    `hook` is the event (`onSuccess`) when this is a hook's run. `artifacts` are input artifacts by name. `secrets` are the
    (name, key) of the secrets that the engine has put in. `elapsed_us` is how long the attempt was under way before it was
    lost with its engine, where the executor does what is left of it.
    """

    header: RunHeader
    place: TaskRunRef
    call: Call
    target: TaskDef
    attempt: int
    retry_count: int
    config: Json
    inputs: Mapping[str, Json]
    artifacts: Mapping[str, Json]
    payloads: Sequence[Mapping[str, Json]]
    priority: int
    deadline_us: int | None
    secret: bool
    hook: str | None
    cause: int
    secrets: Sequence[tuple[str, str]] = ()
    elapsed_us: int = 0

    @property
    def run_id(self) -> str:
        return self.header.run_id

    @property
    def node(self) -> int:
        """The task run's number inside its run."""
        return self.place.id

    @property
    def task_run_id(self) -> str:
        """The run, the number in it, and the epoch where that is not 0."""
        epoch = self.header.epoch
        return f"{self.header.run_id}.{self.place.id}" + (f"-{epoch}" if epoch else "")

    @property
    def path(self) -> str:
        return self.place.path

    @property
    def executor_type(self) -> str:
        return self.target.executor_type

    @property
    def task_name(self) -> str:
        return self.call.name

    @property
    def template_name(self) -> str:
        return self.target.name

    @property
    def timeout_us(self) -> int | None:
        return self.call.timeout_us

    @property
    def declared_outputs(self) -> tuple[OutputBinding, ...]:
        return self.target.outputs

    @property
    def resources(self) -> Resources | None:
        return self.target.resources

    @property
    def idempotency_key(self) -> str:
        """Stable over attempts, retries, resumes and crashes: the run and the path in it (numbers of task runs may change where
        a run of tier snapshot goes back); of a hook its event and number, too, for it may be fired several times."""
        place = self.path if self.hook is None else f"{self.path}:{self.hook}:{self.node}"
        return f"{self.header.run_id}:{place}"


class StopTask(Struct, gc=False):
    """Tell whoever runs this attempt to stop; what it still says changes nothing."""

    node: int
    attempt: int
    cause: int


class SetTimer(Struct, gc=False):
    """Send `TimerFired(node, kind, due)` at instant `due`; it takes the place of an earlier timer (node, kind)."""

    node: int
    kind: TimerKind
    due: int
    cause: int


class ClearTimer(Struct, gc=False):
    """The timer (node, kind) is not wanted any more."""

    node: int
    kind: TimerKind
    cause: int


class Continue(Struct, gc=False):
    """There is more to start: send `Continued` after what has arrived by now."""

    cause: int


class CloseRun(Struct, gc=False):
    """The run has ended and its hooks too: forget it."""

    cause: int


Command = TaskAssignment | StopTask | SetTimer | ClearTimer | Continue | CloseRun


class LogEntry(Struct, gc=False):
    """What one event led to: step number `seq` (from 1) at instant `at`, caused by `cause` (`broker:TaskFinished`).

    `refused` is the reason why a resume or cancel was turned down; then there are no facts and no commands.
    """

    seq: int
    at: int
    cause: str
    facts: list[Fact]
    commands: list[Command]
    refused: str | None = None
