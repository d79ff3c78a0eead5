"""One attempt of a task: its name, what it is given and what it gives. These values go to workers and back (WIRE-1, WIRE-2).

An executor answers through its assignment (`succeed`, `fail`, `suspend`), so a result always names its own attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from aether_protocol.expressions.values import Json

if TYPE_CHECKING:  # executors and the checks of documents import this file, and need none of these
    from aether_protocol.plan.model import Call, OutputBinding, Resources, TaskDef
    from aether_protocol.plan.placement import Placement

SUCCEEDED: Final = 0  # codes, as in SCHED-7
SUSPENDED: Final = 1
FAILED: Final = 2
ERROR: Final = 3
TIMEOUT: Final = 4

NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})  # shared by all that gave nothing
_EMPTY: Final[Mapping[str, Json]] = {}  # never written to


class AttemptRef(Struct, frozen=True, gc=False):
    """The name of one attempt, the same wherever it is spoken of: opaque to brokers, workers and executors.

    `path` is that of the task run; of a hook's run `PATH!EVENT#N`, for it may be fired several times (N counts from 1).
    `epoch` is not 0 once the run has gone back to an earlier state than others may have seen, and grows each time.
    """

    run_id: str
    path: str
    attempt: int
    epoch: int = 0

    @property
    def task_run_id(self) -> str:
        """The task run, stable over attempts and restarts: `RUN/PATH`."""
        return f"{self.run_id}/{self.path}"

    def is_after(self, other: AttemptRef) -> bool:
        """Whether this is a later attempt than `other`, which is of the same task run."""
        return (self.epoch, self.attempt) > (other.epoch, other.attempt)


class TaskResult(Struct, gc=False):
    """What one attempt gave (WIRE-2). `code` as in SCHED-7; `artifacts` are
    {name: {name, digest, size}}; `fetched` says what input artifacts from a source were: {name: {digest, size}}, and the
    `commit` of a git one; `warnings` say what was strange or left out, and change nothing."""

    ref: AttemptRef
    code: int = 0
    message: str = ""
    outputs: Mapping[str, Json] = NOTHING
    artifacts: Mapping[str, Json] = NOTHING
    warnings: Sequence[str] = ()
    fetched: Mapping[str, Json] = NOTHING


class TaskAssignment(Struct, gc=False):
    """All that a worker needs for one attempt (WIRE-1); `ports.wire_json` writes it as JSON.

    `config` and `inputs` are resolved; where `secret` is true they hold `SecretValue`s until they are filled in.
    They are shared with the run's state: an executor gets a copy. `rank` orders what happens at one instant: document order,
    hooks last. `deadline_us` is the earliest deadline above the task. `hook` is the event (`onSuccess`) when this is a hook's
    run. `artifacts` are input artifacts by name. `folder` is where the document lies, if it came from a file. `secrets` are
    the (name, key) of the secrets that the run has used so far. `elapsed_us` is how long the attempt ran before it was
    lost with its engine, where the executor does what is left of it. `namespace` is that of the workflow. `filled`: it
    holds the texts of secrets by now, and stays where it is. `placement` is what all levels together ask of its worker, None
    where they ask nothing (RT-136).
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
    namespace: str = "default"
    filled: bool = False
    placement: Placement | None = None

    @property
    def run_id(self) -> str:
        """The run."""
        return self.ref.run_id

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self.ref.attempt

    @property
    def task_run_id(self) -> str:
        """The name of the task run: `RUN/PATH`, stable over attempts."""
        return self.ref.task_run_id

    @property
    def path(self) -> str:
        """The path of the task; of a hook's run that of the task that the hook belongs to."""
        return self.ref.path if self.hook is None else self.ref.path.partition("!")[0]

    @property
    def executor_type(self) -> str:
        """The executor type that carries it out."""
        return self.target.executor_type

    @property
    def task_name(self) -> str:
        """The name of the task in its DAG."""
        return self.call.name

    @property
    def template_name(self) -> str:
        """The name of the task template."""
        return self.target.name

    @property
    def timeout_us(self) -> int | None:
        """How long the attempt may take, in microseconds; None: no limit."""
        return self.call.timeout_us

    @property
    def declared_outputs(self) -> tuple[OutputBinding, ...]:
        """The outputs that the template declares."""
        return self.target.outputs

    @property
    def resources(self) -> Resources | None:
        """What the template asks for of CPU, memory and the like."""
        return self.target.resources

    @property
    def idempotency_key(self) -> str:
        """Stable over attempts, retries, resumes and crashes: the run and the path in it."""
        return f"{self.ref.run_id}:{self.ref.path}"

    # --- answers ---

    def succeed(self, /, **outputs: Json) -> TaskResult:
        """The work is done; these are its outputs. Names that Python cannot write go in as `**{"exit-code": 0}`."""
        return TaskResult(self.ref, outputs=outputs)

    def fail(self, message: str, code: int = FAILED, outputs: Mapping[str, Json] = _EMPTY) -> TaskResult:
        """The work was not done, for this reason.

        Args:
            message: Why, for people.
            code: 2 is Failed, a verdict about the work; 3 is Error, where there is no verdict; 4 is Timeout (SCHED-7).
            outputs: What is known all the same.
        """
        return TaskResult(self.ref, code, message, outputs)

    def suspend(self, message: str = "", outputs: Mapping[str, Json] = _EMPTY) -> TaskResult:
        """Nothing more happens until an answer comes: the task is Suspended, and is called again with it in `payloads`."""
        return TaskResult(self.ref, SUSPENDED, message, outputs)
