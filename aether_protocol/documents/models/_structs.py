"""The structs of documents. Generated from documents/definitions: change those, then run generate.py there."""
# No `from __future__ import annotations` here: each process that reads a document would compile each annotation anew.

from typing import Any, ClassVar

from msgspec import UNSET, UnsetType, field

from aether_protocol.documents.models.base import Part, TypedPart


class SecretKeyRef(Part, frozen=True, kw_only=True):
    """Where a secret is kept."""

    name: str
    key: str


class ValueFrom(Part, frozen=True, kw_only=True):
    """Where a value comes from: exactly one of the four."""

    parameter: str | None = None
    expression: str | None = None
    path: str | None = None
    secret_key_ref: SecretKeyRef | None = None


class Parameter(TypedPart, frozen=True, kw_only=True):
    """A named value: an input, an output or an argument."""

    presence: ClassVar = ("type", "value", "default")

    name: str
    type_written: str | UnsetType = field(default=UNSET, name="type")
    value_written: Any = field(default=UNSET, name="value")
    default_written: Any = field(default=UNSET, name="default")
    description: str | None = None
    enum: list[Any] | None = None
    value_from: ValueFrom | None = None

    @property
    def type(self) -> str:
        """As written, else `"any"`."""
        return "any" if self.type_written is UNSET else self.type_written

    @property
    def value(self) -> Any:
        """As written, else `None`."""
        return None if self.value_written is UNSET else self.value_written

    @property
    def default(self) -> Any:
        """As written, else `None`."""
        return None if self.default_written is UNSET else self.default_written


class ArchiveSpec(Part, frozen=True, kw_only=True):
    """How a file or folder is packed."""

    type: str


class ArtifactSourceSpec(Part, frozen=True, kw_only=True):
    """A place outside of the run that an artifact is fetched from."""

    type: str
    config: dict[str, Any] = field(default_factory=dict)


class Artifact(Part, frozen=True, kw_only=True):
    """A named file or folder: an input, an output or an argument."""

    name: str
    from_: str | None = field(default=None, name="from")
    source: ArtifactSourceSpec | None = None
    archive: ArchiveSpec | None = None
    path: str | None = None
    optional: bool = False


class _Lists(Part, frozen=True, kw_only=True):
    """Named values and named files."""

    parameters: list[Parameter] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


class Inputs(_Lists, frozen=True, kw_only=True):
    """What a template takes."""


class Outputs(_Lists, frozen=True, kw_only=True):
    """What a template gives."""

    presence: ClassVar = ("phase", "code", "msg", "metrics", "progress")

    phase_written: Any = field(default=UNSET, name="phase")
    code_written: Any = field(default=UNSET, name="code")
    msg_written: Any = field(default=UNSET, name="msg")
    metrics_written: Any = field(default=UNSET, name="metrics")
    progress_written: Any = field(default=UNSET, name="progress")

    @property
    def phase(self) -> Any:
        """As written, else `None`."""
        return None if self.phase_written is UNSET else self.phase_written

    @property
    def code(self) -> Any:
        """As written, else `None`."""
        return None if self.code_written is UNSET else self.code_written

    @property
    def msg(self) -> Any:
        """As written, else `None`."""
        return None if self.msg_written is UNSET else self.msg_written

    @property
    def metrics(self) -> Any:
        """As written, else `None`."""
        return None if self.metrics_written is UNSET else self.metrics_written

    @property
    def progress(self) -> Any:
        """As written, else `None`."""
        return None if self.progress_written is UNSET else self.progress_written


class Arguments(_Lists, frozen=True, kw_only=True):
    """What is handed to a template or a workflow."""


class Backoff(Part, frozen=True, kw_only=True):
    """How long to wait before an attempt is repeated."""

    duration: str = "1s"
    factor: float = 2.0
    max_duration: str = "1m"
    jitter: float = 0.0


class RetrySpec(Part, frozen=True, kw_only=True):
    """When and how often a task is tried again."""

    presence: ClassVar = ("limit",)

    limit_written: int | UnsetType = field(default=UNSET, name="limit")
    expression: str | None = None
    backoff: Backoff | None = None

    @property
    def limit(self) -> int:
        """As written, else `0`."""
        return 0 if self.limit_written is UNSET else self.limit_written


class ContinueOnSpec(Part, frozen=True, kw_only=True):
    """Ends of a task that do not stop those that depend on it."""

    failed: bool = False
    error: bool = False
    timeout: bool = False


class PhaseConditionsSpec(Part, frozen=True, kw_only=True):
    """Expressions that decide the phase; the first one that is true wins, in the order given here."""

    succeeded: str | None = None
    failed: str | None = None
    error: str | None = None


class Hook(Part, frozen=True, kw_only=True):
    """What runs at an event."""

    template: str


class Hooks(Part, frozen=True, kw_only=True):
    """Task templates to run at events; they never change the outcome."""

    on_start: Hook | None = None
    on_success: Hook | None = None
    on_failure: Hook | None = None
    on_error: Hook | None = None
    on_suspend: Hook | None = None
    on_resume: Hook | None = None
    on_cancel: Hook | None = None
    on_exit: Hook | None = None


class ResourcesSpec(Part, frozen=True, kw_only=True):
    """What a task needs of a machine; passed on to what runs it."""

    cpu: str | float | None = None
    memory: str | float | None = None
    gpu: str | float | None = None


class ExecutorSpec(Part, frozen=True, kw_only=True):
    """What does the work of a task."""

    type: str
    config: dict[str, Any] = field(default_factory=dict)


class TemplateRef(Part, frozen=True, kw_only=True):
    """One template of a WorkflowTemplate."""

    name: str
    namespace: str | None = None
    template: str


class Task(Part, frozen=True, kw_only=True):
    """A task: a call inside of a dag, or the definition of a task template."""

    name: str
    template: str | None = None
    template_ref: TemplateRef | None = None
    executor: ExecutorSpec | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    arguments: Arguments | None = None
    dependencies: list[str] = field(default_factory=list)
    when: str | None = None
    timeout: str | None = None
    retry: RetrySpec | None = None
    continue_on: ContinueOnSpec | None = None
    resources: ResourcesSpec | None = None
    phase_conditions: PhaseConditionsSpec | None = None
    hooks: Hooks | None = None
    extensions: dict[str, Any] | None = None


class TaskTemplate(Task, frozen=True, kw_only=True):
    """A task template: a definition, so it has its executor."""

    name: str
    executor: ExecutorSpec


class Dag(Part, frozen=True, kw_only=True):
    """Tasks and what they wait for."""

    name: str
    tasks: list[Task]
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    entrypoints: list[str] | str | None = None
    continue_on: ContinueOnSpec | None = None
    phase_conditions: PhaseConditionsSpec | None = None
    timeout: str | None = None
    extensions: dict[str, Any] | None = None


class Aggregate(Part, frozen=True, kw_only=True):
    """What a loop gives."""

    strategy: str = "last"
    parameters: list[str] | None = None


class Loop(Part, frozen=True, kw_only=True):
    """One template, run for every item or until a condition is false."""

    name: str
    body: str
    items: list[Any] | str | None = None
    items_from: str | None = None
    repeat_condition: str | None = None
    arguments: Arguments | None = None
    concurrency: int = 1
    max_iterations: int | None = None
    aggregate: Aggregate | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    phase_conditions: PhaseConditionsSpec | None = None
    timeout: str | None = None
    extensions: dict[str, Any] | None = None


class TemplateSpec(Part, frozen=True, kw_only=True):
    """Something that can be run by name: exactly one of a dag, a task or a loop."""

    dag: Dag | None = None
    task: TaskTemplate | None = None
    loop: Loop | None = None


class Metadata(Part, frozen=True, kw_only=True):
    """Who a document is."""

    name: str
    namespace: str = "default"
    version: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] | None = None


class WorkflowTemplateRef(Part, frozen=True, kw_only=True):
    """A WorkflowTemplate whose spec is taken."""

    name: str
    namespace: str | None = None


class _Spec(Part, frozen=True, kw_only=True):
    """What a workflow and a WorkflowTemplate have in common."""

    presence: ClassVar = ("timeout", "priority", "max_nested_depth")

    entrypoint: str | None = None
    arguments: Arguments | None = None
    timeout_written: str | UnsetType = field(default=UNSET, name="timeout")
    priority_written: int | UnsetType = field(default=UNSET, name="priority")
    max_nested_depth_written: int | UnsetType = field(default=UNSET, name="maxNestedDepth")
    hooks: Hooks | None = None
    retry: RetrySpec | None = None
    extensions: dict[str, Any] | None = None

    @property
    def timeout(self) -> str:
        """As written, else `"1h"`."""
        return "1h" if self.timeout_written is UNSET else self.timeout_written

    @property
    def priority(self) -> int:
        """As written, else `500`."""
        return 500 if self.priority_written is UNSET else self.priority_written

    @property
    def max_nested_depth(self) -> int:
        """As written, else `3`."""
        return 3 if self.max_nested_depth_written is UNSET else self.max_nested_depth_written


class WorkflowSpec(_Spec, frozen=True, kw_only=True):
    """What a run does."""

    templates: list[TemplateSpec] | None = None
    workflow_template_ref: WorkflowTemplateRef | None = None


class WorkflowTemplateSpec(_Spec, frozen=True, kw_only=True):
    """Templates to be used by workflows."""

    templates: list[TemplateSpec]
    workflow_template_ref: ClassVar[None] = None


class CronWorkflowSpec(Part, frozen=True, kw_only=True):
    """A workflow and the times at which it is run."""

    schedule: str
    workflow_spec: WorkflowSpec
    timezone: str = "UTC"
    start_at: str | None = None
    end_at: str | None = None
    concurrency_policy: str = "Allow"
    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1
    suspend: bool = False


class _Document(Part, frozen=True, kw_only=True):
    api_version: str
    metadata: Metadata


class Workflow(_Document, frozen=True, kw_only=True):
    """A workflow: what one run does."""

    kind: str
    spec: WorkflowSpec


class CronWorkflow(_Document, frozen=True, kw_only=True):
    """A workflow on a schedule."""

    kind: str
    spec: CronWorkflowSpec


class WorkflowTemplate(_Document, frozen=True, kw_only=True):
    """A library of templates."""

    kind: str
    spec: WorkflowTemplateSpec


Document = Workflow | CronWorkflow | WorkflowTemplate
KINDS: dict[str, type[Workflow] | type[CronWorkflow] | type[WorkflowTemplate]] = {
    "Workflow": Workflow,
    "CronWorkflow": CronWorkflow,
    "WorkflowTemplate": WorkflowTemplate,
}
ONE_OF: dict[str, tuple[str, ...]] = {
    "ValueFrom": ("parameter", "expression", "path", "secretKeyRef"),
    "Task": ("template", "templateRef", "executor"),
    "TaskTemplate": ("template", "templateRef", "executor"),
    "Loop": ("items", "itemsFrom", "repeatCondition"),
    "TemplateSpec": ("dag", "task", "loop"),
    "WorkflowSpec": ("templates", "workflowTemplateRef"),
}
