"""The documents of aether/v1 as typed values: the one source of the field rules (DOC-2..9, SPEC-1..9).

Law: a field stands here or in parts.py once, with its type, default and hover text; the published schema is generated
from it, and the reader's messages follow that schema. Durations and instants stay text. `model_fields_set` tells what a
document wrote.
"""

# No `from __future__ import annotations` here: pydantic would compile each annotation anew, at a third of the start-up time.

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from aether_protocol.documents.fields import (
    Duration,
    Instant,
    Name,
    Namespace,
    Opt,
    Part,
    PlaceholderText,
    Problem,
    RuledPart,
    Schedule,
    SemVer,
    Some,
    Whole,
    Zone,
    doc,
)
from aether_protocol.documents.instants import zone_exists
from aether_protocol.documents.parts import (
    ALIASES,
    Archive,
    Arguments,
    Artifact,
    ArtifactSource,
    Backoff,
    ContinueOn,
    Executor,
    Hook,
    Hooks,
    Inputs,
    Outputs,
    Parameter,
    ParameterType,
    PhaseConditions,
    Resources,
    Retry,
    SecretKeyRef,
    ValueFrom,
    twice,
)

__all__ = [
    "ALIASES",
    "KINDS",
    "Aggregate",
    "Archive",
    "Arguments",
    "Artifact",
    "ArtifactSource",
    "Backoff",
    "ContinueOn",
    "CronWorkflow",
    "CronWorkflowSpec",
    "Dag",
    "Document",
    "Executor",
    "Hook",
    "Hooks",
    "Inputs",
    "Loop",
    "Metadata",
    "Outputs",
    "Parameter",
    "ParameterType",
    "PhaseConditions",
    "Resources",
    "Retry",
    "SecretKeyRef",
    "Task",
    "TaskTemplate",
    "Template",
    "TemplateRef",
    "ValueFrom",
    "Workflow",
    "WorkflowSpec",
    "WorkflowTemplate",
    "WorkflowTemplateRef",
    "WorkflowTemplateSpec",
]


class TemplateRef(Part):
    """One template of a WorkflowTemplate."""

    name: str = doc("Name of the WorkflowTemplate.")
    namespace: Opt[str] = doc("Namespace of the WorkflowTemplate; that of the workflow unless given.", None)
    template: str = doc("Name of the template inside it.")


class Task(RuledPart):
    """A task: a call inside of a dag, or the definition of a task template."""

    one_of: ClassVar = ("template", "template_ref", "executor")

    name: Name = doc("Name of the task, unique in its dag; of a task template, unique in the document.")
    template: Opt[str] = doc("Name of the dag, loop or task template to run.", None)
    template_ref: Opt[TemplateRef] = doc("Template of a WorkflowTemplate to run.", None)
    executor: Opt[Executor] = doc("What does the work, given on the spot.", None)
    inputs: Opt[Inputs] = doc("What the task takes (with an executor).", None)
    outputs: Opt[Outputs] = doc("What the task gives (with an executor).", None)
    arguments: Opt[Arguments] = doc("What is handed to the template that is called.", None)
    dependencies: list[str] = doc("Names of the tasks that must end before this one.", default_factory=list)
    when: Opt[str] = doc("Condition; where it is false the task is Skipped.", None)
    timeout: Opt[Duration] = doc("Longest time that one attempt may take.", None)
    retry: Opt[Retry] = doc("When and how often to try again.", None)
    continue_on: Opt[ContinueOn] = doc("Ends of this task that do not stop its dependents.", None)
    resources: Opt[Resources] = doc("What the task needs of a machine (with an executor).", None)
    phase_conditions: Opt[PhaseConditions] = doc("Expressions that decide the phase instead of the exit code.", None)
    hooks: Opt[Hooks] = doc("Task templates to run at events of this task.", None)


class TaskTemplate(Task):
    """A task template: a definition, so it has its executor."""

    name: Name = doc("Name of the template, unique in the document.")
    executor: Executor = doc("What does the work.")


class Dag(RuledPart):
    """Tasks and what they wait for."""

    name: Name = doc("Name of the template, unique in the document.")
    tasks: Some[Task] = doc("The tasks; all that wait for nothing start at once.")
    inputs: Opt[Inputs] = doc("What the dag takes.", None)
    outputs: Opt[Outputs] = doc("What the dag gives, read from its tasks when it ends.", None)
    entrypoints: Opt[list[str] | str] = doc("Run only these tasks and all downstream of them.", None)
    continue_on: Opt[ContinueOn] = doc("Ends that do not stop dependents, for tasks that set none themselves.", None)
    phase_conditions: Opt[PhaseConditions] = doc("Expressions that decide the phase of the dag.", None)
    timeout: Opt[Duration] = doc("Longest time that the dag may take.", None)

    def problems(self) -> Iterator[Problem]:
        yield from twice((task.name for task in self.tasks), "tasks", "task")


class Aggregate(Part):
    """What a loop gives."""

    strategy: Literal["last", "first", "list"] = doc("Outputs of one iteration, or a list of all.", "last")
    parameters: Opt[list[str]] = doc("Take only these outputs of the body.", None)


class Loop(RuledPart):
    """One template, run for every item or until a condition is false."""

    one_of: ClassVar = ("items", "items_from", "repeat_condition")
    needs: ClassVar = {"repeat_condition": ("max_iterations",)}
    excludes: ClassVar = {"repeat_condition": ("concurrency",)}

    name: Name = doc("Name of the template, unique in the document.")
    body: str = doc("Name of the template that each iteration runs.")
    items: Opt[list[Any] | PlaceholderText] = doc("The items: a list, or a text that is one placeholder.", None)
    items_from: Opt[str] = doc("Placeholder or expression that gives the list of items.", None)
    repeat_condition: Opt[str] = doc("Run again while this is true, looked at after each iteration.", None)
    arguments: Opt[Arguments] = doc("What is handed to the body; sees `iterator.item` and `iterator.index`.", None)
    concurrency: Annotated[int, Whole(0)] = doc("Most iterations at a time; 0 sets no limit.", 1)
    max_iterations: Opt[Annotated[int, Whole(1, 10000)]] = doc("Most iterations; needed with `repeatCondition`.", None)
    aggregate: Opt[Aggregate] = doc("How the outputs of the iterations become those of the loop.", None)
    inputs: Opt[Inputs] = doc("What the loop takes.", None)
    outputs: Opt[Outputs] = doc("What the loop gives.", None)
    phase_conditions: Opt[PhaseConditions] = doc("Expressions that decide the phase of the loop.", None)
    timeout: Opt[Duration] = doc("Longest time that the loop may take.", None)

    def problems(self) -> Iterator[Problem]:
        if isinstance(self.items, list) and self.max_iterations is not None and len(self.items) > self.max_iterations:
            yield Problem(
                ("items",),
                "AE132",
                f"{len(self.items)} items exceed maxIterations {self.max_iterations}",
                "raise maxIterations or give fewer items",
            )


class Template(RuledPart):
    """Something that can be run by name: exactly one of a dag, a task or a loop."""

    one_of: ClassVar = ("dag", "task", "loop")

    dag: Opt[Dag] = doc("A dag: tasks, and what each waits for.", None)
    task: Opt[TaskTemplate] = doc("A single task with its executor.", None)
    loop: Opt[Loop] = doc("A loop: one template, run again and again.", None)

    @property
    def content(self) -> Dag | Task | Loop:
        """The branch that is given."""
        found = self.dag or self.task or self.loop
        assert found is not None
        return found


# --- documents ----------------------------------------------------------------------------------------------------


class Metadata(Part):
    """Who a document is."""

    name: Name = doc("Name of the document.")
    namespace: Namespace = doc("Space in which the name is unique.", "default")
    version: Opt[SemVer] = doc("Semantic version of the document.", None)
    labels: dict[str, str] = doc("Short texts to select documents by.", default_factory=dict)
    annotations: dict[str, str] = doc("Free texts about the document.", default_factory=dict)


class WorkflowTemplateRef(Part):
    """A WorkflowTemplate whose spec is taken."""

    name: str = doc("Name of the WorkflowTemplate.")
    namespace: Opt[str] = doc("Namespace of the WorkflowTemplate; that of the workflow unless given.", None)


class _Spec(RuledPart):
    """What a workflow and a WorkflowTemplate have in common."""

    entrypoint: Opt[str] = doc("Name of the template that is run.", None)
    arguments: Opt[Arguments] = doc("Parameters of the workflow, visible everywhere as `workflow.parameters`.", None)
    timeout: Duration = doc("Longest time that a run may take.", "1h")
    priority: Annotated[int, Whole(0, 1000)] = doc("Higher ones are dispatched first.", 500)
    max_nested_depth: Annotated[int, Whole(1, 10)] = doc("Most dags and loops that may stand inside each other.", 3)
    hooks: Opt[Hooks] = doc("Task templates to run at events of the workflow.", None)
    retry: Opt[Retry] = doc("Retry of all tasks that set none themselves.", None)


class WorkflowSpec(_Spec):
    """What a run does."""

    one_of: ClassVar = ("templates", "workflow_template_ref")
    needs: ClassVar = {"templates": ("entrypoint",)}

    templates: Opt[Some[Template]] = doc("The templates of this workflow.", None)
    workflow_template_ref: Opt[WorkflowTemplateRef] = doc("Take the spec of this WorkflowTemplate.", None)

    def problems(self) -> Iterator[Problem]:
        yield from _same_template(self.templates)


class WorkflowTemplateSpec(_Spec):
    """Templates to be used by workflows."""

    templates: Some[Template] = doc("The templates of this library.")
    workflow_template_ref: ClassVar[None] = None

    def problems(self) -> Iterator[Problem]:
        yield from _same_template(self.templates)


class CronWorkflowSpec(RuledPart):
    """A workflow and the times at which it is run."""

    schedule: Schedule = doc("Five cron fields, or one of the @ names.")
    workflow_spec: WorkflowSpec = doc("What each run does.")
    timezone: Zone = doc("IANA time zone of the schedule.", "UTC")
    start_at: Opt[Instant] = doc("Nothing is run before.", None)
    end_at: Opt[Instant] = doc("Nothing is run after.", None)
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = doc("What to do while a run has not ended.", "Allow")
    starting_deadline_seconds: Opt[Annotated[int, Whole(1)]] = doc("A missed run is made up for within this time only.", None)
    successful_jobs_history_limit: Annotated[int, Whole(0)] = doc("Ended runs to keep that Succeeded.", 3)
    failed_jobs_history_limit: Annotated[int, Whole(0)] = doc("Ended runs to keep that did not.", 1)
    suspend: bool = doc("Run nothing for the time being.", False)

    def problems(self) -> Iterator[Problem]:
        instants: list[datetime] = []
        for field, text in (("startAt", self.start_at), ("endAt", self.end_at)):
            if text is None:
                continue
            try:
                instant = datetime.fromisoformat(text.upper())
            except ValueError:
                yield Problem((field,), "AE133", f"{text!r} is no date and time of the calendar")
                continue
            if instant.tzinfo is not None:  # without one it is no instant, which its form has told
                instants.append(instant)
        if len(instants) == 2 and instants[1] <= instants[0]:
            yield Problem(("endAt",), "AE134", f"endAt {self.end_at!r} is not after startAt {self.start_at!r}")
        if not zone_exists(self.timezone):
            hint = "give an IANA name such as Europe/Vienna"
            yield Problem(("timezone",), "AE124", f"{self.timezone!r} is no time zone", hint)


class _Document(Part):
    api_version: Literal["aether/v1"] = doc("Version of the format.")
    metadata: Metadata = doc("Who this document is.")


class Workflow(_Document):
    """A workflow: what one run does."""

    kind: Literal["Workflow"] = doc("Kind of document.")
    spec: WorkflowSpec = doc("What a run does.")


class CronWorkflow(_Document):
    """A workflow on a schedule."""

    kind: Literal["CronWorkflow"] = doc("Kind of document.")
    spec: CronWorkflowSpec = doc("What is run, and when.")


class WorkflowTemplate(_Document):
    """A library of templates."""

    kind: Literal["WorkflowTemplate"] = doc("Kind of document.")
    spec: WorkflowTemplateSpec = doc("The templates.")


def _same_template(templates: list[Template] | None) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, template in enumerate(templates or ()):
        for branch in Template.one_of:
            if (content := getattr(template, branch)) is None:
                continue
            if (first := seen.setdefault(content.name, index)) != index:
                yield Problem(
                    ("templates", index, branch, "name"),
                    "AE130",
                    f"template name {content.name!r} is already taken by templates[{first}]",
                    "give each its own name",
                )


Document = Workflow | CronWorkflow | WorkflowTemplate
KINDS: dict[str, type[Workflow] | type[CronWorkflow] | type[WorkflowTemplate]] = {
    "Workflow": Workflow,
    "CronWorkflow": CronWorkflow,
    "WorkflowTemplate": WorkflowTemplate,
}
PARTS: dict[str, type[Part]] = {
    name: value for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, Part)
}
