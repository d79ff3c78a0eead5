"""What to do: the scheduler's orders to the driver, carried out after the step's facts are stored.

Law: a command is complete (its carrier reads no state) and may be issued twice under the same ids. `cause` is the number
of the step that gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.expressions.values import Json

if TYPE_CHECKING:  # executors and the checks of documents import this file, and need none of these
    from aether_protocol.plan.model import Call, OutputBinding, Resources, TaskDef
    from aether_protocol.scheduler.events import TimerKind
    from aether_protocol.scheduler.facts import Fact


class AttemptRef(Struct, frozen=True, gc=False):
    """The name of one attempt, the same wherever it is spoken of: opaque to brokers, workers and executors.

    `path` is that of the task run; of a hook's run `PATH!EVENT#N`, for it may be fired several times (N counts from 1).
    `epoch` is not 0 once the run has gone back to an earlier state than others may have seen.
    """

    run_id: str
    path: str
    attempt: int
    epoch: int = 0

    @property
    def task_run_id(self) -> str:
        """The task run, stable over attempts and restarts: `RUN/PATH`."""
        return f"{self.run_id}/{self.path}"


class TaskAssignment(Struct, gc=False):
    """All that a worker needs for one attempt (WIRE-1); `ports.wire_json` writes it as JSON.

    `config` and `inputs` are resolved; where `secret` is true they hold `SecretValue`s until they are filled in.
    They are shared with the run's state: an executor gets a copy. `rank` orders what happens at one instant: document order,
    hooks last. `deadline_us` is the earliest deadline above the task. `hook` is the event (`onSuccess`) when this is a hook's
    run. `artifacts` are input artifacts by name. `folder` is where the document lies, if it came from a file. `secrets` are
    the (name, key) of the secrets that the run has used so far. `elapsed_us` is how long the attempt ran before it was
    lost with its engine, where the executor does what is left of it.
    """

    ref: AttemptRef
    rank: tuple[int, ...]
    call: Call
    target: TaskDef
    retry_count: int
    config: Json
    inputs: Mapping[str, Json]
    artifacts: Mapping[str, Json]
    payloads: Sequence[Mapping[str, Json]]
    priority: int
    deadline_us: int | None
    secret: bool
    hook: str | None
    folder: str | None = None
    trace_context: str | None = None
    secrets: Sequence[tuple[str, str]] = ()
    elapsed_us: int = 0

    @property
    def run_id(self) -> str:
        return self.ref.run_id

    @property
    def attempt(self) -> int:
        return self.ref.attempt

    @property
    def task_run_id(self) -> str:
        return self.ref.task_run_id

    @property
    def path(self) -> str:
        """The path of the task; of a hook's run that of the task that the hook belongs to."""
        return self.ref.path if self.hook is None else self.ref.path.partition("!")[0]

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
        """Stable over attempts, retries, resumes and crashes: the run and the path in it."""
        return f"{self.ref.run_id}:{self.ref.path}"


class DispatchTask(Struct, gc=False):
    """Hand this attempt of task run `node` to the broker."""

    node: int
    assignment: TaskAssignment
    cause: int


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


Command = DispatchTask | StopTask | SetTimer | ClearTimer | Continue | CloseRun


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
