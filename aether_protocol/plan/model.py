"""The plan: what a workflow document means, compiled and frozen. The scheduler sees this and nothing of documents.

Law: a plan is immutable, complete (every reference is resolved, every literal is checked, every expression is parsed) and
free of documents, clocks and I/O. Durations are integer microseconds. Nesting is acyclic (SPEC-12), so calls point at
their definitions directly. Each input is a list of sources in the order of DATA-1: binding walks it and knows no rules.
What is array_like is written to records field by field (`codec`): its fields keep their places, new ones come last with a
default, and none changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType

from msgspec import Struct, field

from aether_protocol.expressions import Expression, Name, Template
from aether_protocol.expressions.values import Json


class Kind(IntEnum):
    """The three branches of a template (SPEC-1)."""

    TASK = 0
    DAG = 1
    LOOP = 2


class HookEvent(StrEnum):
    """HOOK-1, in the order in which the hooks of one scope are listed."""

    ON_START = "onStart"
    ON_SUCCESS = "onSuccess"
    ON_FAILURE = "onFailure"
    ON_ERROR = "onError"
    ON_SUSPEND = "onSuspend"
    ON_RESUME = "onResume"
    ON_CANCEL = "onCancel"
    ON_EXIT = "onExit"


# --- sources of a value (DATA-1) ---------------------------------------------------------------------------------


class Literal(Struct, array_like=True, tag="L", frozen=True, gc=False):
    """A value that is known now. It has been checked against the type of what it binds to."""

    value: Json


class Templated(Struct, array_like=True, tag="T", frozen=True, gc=False):
    """A value with placeholders in it. `optional`: a sole absent placeholder falls through (DATA-13)."""

    template: Template
    optional: bool


class Reference(Struct, array_like=True, tag="R", frozen=True, gc=False):
    """`valueFrom.parameter`: the value of a name; absent falls through."""

    name: Name


class Computed(Struct, array_like=True, tag="C", frozen=True, gc=False):
    """`valueFrom.expression`."""

    expression: Expression


class SecretRef(Struct, array_like=True, tag="S", frozen=True, gc=False):
    """`valueFrom.secretKeyRef`: travels as a reference (DATA-12)."""

    name: str
    key: str


class ItemField(Struct, array_like=True, tag="I", frozen=True, gc=False):
    """The field of an object item of the enclosing loop (LOOP-7); absent falls through."""

    field: str


Source = Literal | Templated | Reference | Computed | SecretRef | ItemField


class InputBinding(Struct, array_like=True, frozen=True, gc=False):
    """One input of a call: argument sources first, then the declared ones, as DATA-1 ranks them.

    `declared`: the definition names it, so that a missing value is an error. `type` is one of DOC-9 (aliases resolved).
    """

    name: str
    type: str
    declared: bool
    sources: tuple[Source, ...]
    enum: tuple[Json, ...] | None = None


class ArtifactSource(Struct, array_like=True, frozen=True, gc=False):
    """An external source of an artifact (SPEC-6): `type` is a registered artifact source, `config` may have placeholders."""

    type: str
    config: Template


class ArtifactBinding(Struct, array_like=True, frozen=True, gc=False):
    """One input artifact of a call: `path` where it is to lie (None: only passed on); `from_` or `source` gives it."""

    name: str
    path: str | None
    archive: str | None
    from_: Name | None
    source: ArtifactSource | None
    optional: bool = False  # absent is an absent value, no Error


class ArtifactOutput(Struct, array_like=True, frozen=True, gc=False):
    """An output artifact: of a task the file or folder at `path`; of a dag what `from_` names."""

    name: str
    path: str | None
    archive: str | None
    from_: Name | None


class OutputBinding(Struct, array_like=True, frozen=True, gc=False):
    """One declared output. `sources` fill it (of a task: what the executor did not give, on Succeeded).

    `file`: `valueFrom.path` on a script or process task, the file whose text is the value. For a loop, `sources` is empty
    for an output that is the aggregated parameter of its name, and a `Reference` has the aggregated parameter's bare name.
    """

    name: str
    type: str
    sources: tuple[Source, ...]
    enum: tuple[Json, ...] | None = None
    file: str | None = None


# --- policies -----------------------------------------------------------------------------------------------------


class Retry(Struct, array_like=True, frozen=True, gc=False):
    """SPEC-5, SCHED-9. Durations in microseconds."""

    limit: int
    expression: Expression | None = None
    duration_us: int = 1_000_000
    factor: float = 2.0
    max_us: int = 60_000_000
    jitter: float = 0.0


class ContinueOn(Struct, array_like=True, frozen=True, gc=False):
    failed: bool = False
    error: bool = False
    timeout: bool = False


class PhaseConditions(Struct, array_like=True, frozen=True, gc=False):
    succeeded: Expression | None = None
    failed: Expression | None = None
    error: Expression | None = None


class Resources(Struct, array_like=True, frozen=True, gc=False):
    cpu: str | None = None
    memory: str | None = None
    gpu: str | None = None


class LibraryDef(Struct, frozen=True, gc=False):
    """The WorkflowTemplate that a definition came from by `templateRef` (TMPL-1); its `arguments` fill in."""

    name: str
    namespace: str
    parameters: Mapping[str, InputBinding]


# --- definitions and calls ------------------------------------------------------------------------------------------


class TaskDef(Struct, frozen=True, eq=False, gc=False):
    """A task template, or an inline executor (`inline`: its config sees the dag that it stands in, DATA-4)."""

    name: str
    executor_type: str
    config: Template
    inline: bool
    outputs: tuple[OutputBinding, ...]
    artifacts: tuple[ArtifactOutput, ...]
    resources: Resources | None
    library: LibraryDef | None


class DagDef(Struct, frozen=True, eq=False, gc=False):
    """A dag: `tasks` in document order; edges as indices into it.

    Tasks outside of `entrypoints` are no part of it (SCHED-2); `outside` has their names, which are absent values.
    """

    name: str
    tasks: tuple[Call, ...]
    index: Mapping[str, int]
    indegree: tuple[int, ...]
    dependents: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]
    outputs: tuple[OutputBinding, ...]
    artifacts: tuple[ArtifactOutput, ...]
    continue_on: ContinueOn | None
    leaves: int  # tasks whose call is a leaf
    library: LibraryDef | None
    outside: frozenset[str] = frozenset()


class LoopDef(Struct, frozen=True, eq=False, gc=False):
    """A loop. Exactly one of `items` (its text may be one placeholder), `items_from`, `repeat`; `body` is the call of each
    iteration: its arguments are the loop's `arguments`, its name the body template's."""

    name: str
    body: Call
    items: Template | None
    items_from: Template | Expression | None
    repeat: Expression | None
    concurrency: int  # 0 is unlimited
    max_iterations: int | None  # None: not given
    strategy: str  # last | first | list
    parameters: tuple[str, ...] | None  # aggregate.parameters
    body_outputs: tuple[str, ...]  # declared outputs of the body: what `list` names when nothing ran (LOOP-4)
    outputs: tuple[OutputBinding, ...]
    library: LibraryDef | None


Definition = TaskDef | DagDef | LoopDef


class Call(Struct, frozen=True, eq=False, gc=False):
    """A call site joined with its definition: what the scheduler runs. `retry` is None on containers and where none applies.

    `timeout_us`, `retry` and `phase_conditions` are already those that win (SPEC-3); `position` is the index in the dag.
    """

    name: str
    position: int
    kind: Kind
    target: Definition
    inputs: tuple[InputBinding, ...] = ()
    artifacts: tuple[ArtifactBinding, ...] = ()
    dependencies: tuple[int, ...] = ()
    when: Expression | None = None
    continue_on: ContinueOn | None = None  # None: the dag's
    timeout_us: int | None = None
    retry: Retry | None = None
    phase_conditions: PhaseConditions | None = None
    hooks: Mapping[HookEvent, Call] = field(default_factory=lambda: MappingProxyType({}))
    extensions: Mapping[str, Json] | None = None  # EXT-1: the definition's, and by key the call's over them


class Plan(Struct, frozen=True, eq=False, gc=False):
    """A workflow, ready to run. `root` calls the entrypoint; its inputs bind workflow parameters by name (DATA-14)."""

    name: str
    namespace: str
    version: str | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    root: Call
    parameters: tuple[InputBinding, ...]
    timeout_us: int
    priority: int
    hooks: Mapping[HookEvent, Call]
    digest: str  # sha256 of the canonical JSON of `snapshot`
    snapshot: Json  # the resolved documents that this was compiled from: {"workflow": ..., "library": [...]}
    namespaces: frozenset[str] = frozenset()  # those that variable sources injected when this was compiled
    extensions: Mapping[str, Json] | None = None  # EXT-1: those of metadata, and by key those of the spec over them
    folder: str | None = None  # where the document lies; no part of the plan's record, runs and schedules have it
    document_version: int | None = None  # of the stored workflow that was asked for by name; recorded as `folder` is

    @property
    def of_schedule(self) -> bool:
        """Whether this is the workflowSpec of a CronWorkflow."""
        document = self.snapshot.get("workflow") if isinstance(self.snapshot, dict) else None
        return isinstance(document, dict) and document.get("kind") == "CronWorkflow"
