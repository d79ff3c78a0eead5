"""The definitions of aether/v1: the one source of the field rules (DOC-2..9, SPEC-1..9).

Law: a field stands here or in parts.py once, with its type, default and hover text. The published schema and the structs
that documents are read into are generated from it (generate.py), and the reader's messages follow that schema. Nothing of
this is imported on the way of a document.
"""

# No `from __future__ import annotations` here: pydantic would compile each annotation anew.

from typing import Annotated, Any, ClassVar, Final, Literal

from aether_protocol.documents.definitions.extensions import Extensions
from aether_protocol.documents.definitions.fields import (
    Definition,
    Duration,
    Instant,
    Name,
    Namespace,
    Opt,
    PlaceholderText,
    Schedule,
    SemVer,
    Some,
    Whole,
    Zone,
    doc,
)
from aether_protocol.documents.definitions.parts import (
    Arguments,
    ContinueOnSpec,
    ExecutorSpec,
    Hooks,
    Inputs,
    Outputs,
    PhaseConditionsSpec,
    ResourcesSpec,
    RetrySpec,
)


class TemplateRef(Definition):
    """One template of a WorkflowTemplate."""

    name: str = doc("Name of the WorkflowTemplate.")
    namespace: Opt[str] = doc("Namespace of the WorkflowTemplate; that of the workflow unless given.", None)
    template: str = doc("Name of the template inside it.")


class Task(Definition):
    """A task: a call inside of a dag, or the definition of a task template."""

    one_of: ClassVar = ("template", "template_ref", "executor")

    name: Name = doc("Name of the task, unique in its dag; of a task template, unique in the document.")
    template: Opt[str] = doc("Name of the dag, loop or task template to run.", None)
    template_ref: Opt[TemplateRef] = doc("Template of a WorkflowTemplate to run.", None)
    executor: Opt[ExecutorSpec] = doc("What does the work, given on the spot.", None)
    inputs: Opt[Inputs] = doc("What the task takes (with an executor).", None)
    outputs: Opt[Outputs] = doc("What the task gives (with an executor).", None)
    arguments: Opt[Arguments] = doc("What is handed to the template that is called.", None)
    dependencies: list[str] = doc("Names of the tasks that must end before this one.", default_factory=list)
    when: Opt[str] = doc("Condition; where it is false the task is Skipped.", None)
    timeout: Opt[Duration] = doc("Longest time that one attempt may take.", None)
    retry: Opt[RetrySpec] = doc("When and how often to try again.", None)
    continue_on: Opt[ContinueOnSpec] = doc("Ends of this task that do not stop its dependents.", None)
    resources: Opt[ResourcesSpec] = doc("What the task needs of a machine (with an executor).", None)
    phase_conditions: Opt[PhaseConditionsSpec] = doc("Expressions that decide the phase instead of the exit code.", None)
    hooks: Opt[Hooks] = doc("Task templates to run at events of this task.", None)
    extensions: Opt[Extensions] = doc("What may be ignored without changing a result: limits, cache, placement, notices.", None)


class TaskTemplate(Task):
    """A task template: a definition, so it has its executor."""

    name: Name = doc("Name of the template, unique in the document.")
    executor: ExecutorSpec = doc("What does the work.")


class Dag(Definition):
    """Tasks and what they wait for."""

    name: Name = doc("Name of the template, unique in the document.")
    tasks: Some[Task] = doc("The tasks; all that wait for nothing start at once.")
    inputs: Opt[Inputs] = doc("What the dag takes.", None)
    outputs: Opt[Outputs] = doc("What the dag gives, read from its tasks when it ends.", None)
    entrypoints: Opt[list[str] | str] = doc("Run only these tasks and all downstream of them.", None)
    continue_on: Opt[ContinueOnSpec] = doc("Ends that do not stop dependents, for tasks that set none themselves.", None)
    phase_conditions: Opt[PhaseConditionsSpec] = doc("Expressions that decide the phase of the dag.", None)
    timeout: Opt[Duration] = doc("Longest time that the dag may take.", None)
    extensions: Opt[Extensions] = doc("What may be ignored without changing a result: limits, cache, placement, notices.", None)


class Aggregate(Definition):
    """What a loop gives."""

    strategy: Literal["last", "first", "list"] = doc("Outputs of one iteration, or a list of all.", "last")
    parameters: Opt[list[str]] = doc("Take only these outputs of the body.", None)


class Loop(Definition):
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
    phase_conditions: Opt[PhaseConditionsSpec] = doc("Expressions that decide the phase of the loop.", None)
    timeout: Opt[Duration] = doc("Longest time that the loop may take.", None)
    extensions: Opt[Extensions] = doc("What may be ignored without changing a result: limits, cache, placement, notices.", None)


class TemplateSpec(Definition):
    """Something that can be run by name: exactly one of a dag, a task or a loop."""

    one_of: ClassVar = ("dag", "task", "loop")

    dag: Opt[Dag] = doc("A dag: tasks, and what each waits for.", None)
    task: Opt[TaskTemplate] = doc("A single task with its executor.", None)
    loop: Opt[Loop] = doc("A loop: one template, run again and again.", None)


# --- documents ----------------------------------------------------------------------------------------------------


class Metadata(Definition):
    """Who a document is."""

    name: Name = doc("Name of the document.")
    namespace: Namespace = doc("Space in which the name is unique.", "default")
    version: Opt[SemVer] = doc("Semantic version of the document.", None)
    labels: dict[str, str] = doc("Short texts to select documents by.", default_factory=dict)
    annotations: dict[str, str] = doc("Free texts about the document.", default_factory=dict)
    extensions: Opt[Extensions] = doc("What may be ignored without changing a result: limits, cache, placement, notices.", None)


class WorkflowTemplateRef(Definition):
    """A WorkflowTemplate whose spec is taken."""

    name: str = doc("Name of the WorkflowTemplate.")
    namespace: Opt[str] = doc("Namespace of the WorkflowTemplate; that of the workflow unless given.", None)


class _Spec(Definition):
    """What a workflow and a WorkflowTemplate have in common."""

    presence: ClassVar = ("timeout", "priority", "max_nested_depth")

    entrypoint: Opt[str] = doc("Name of the template that is run.", None)
    arguments: Opt[Arguments] = doc("Parameters of the workflow, visible everywhere as `workflow.parameters`.", None)
    timeout: Duration = doc("Longest time that a run may take.", "1h")
    priority: Annotated[int, Whole(0, 1000)] = doc("Higher ones are dispatched first.", 500)
    max_nested_depth: Annotated[int, Whole(1, 10)] = doc("Most dags and loops that may stand inside each other.", 3)
    hooks: Opt[Hooks] = doc("Task templates to run at events of the workflow.", None)
    retry: Opt[RetrySpec] = doc("Retry of all tasks that set none themselves.", None)
    extensions: Opt[Extensions] = doc("What may be ignored without changing a result: limits, cache, placement, notices.", None)


class WorkflowSpec(_Spec):
    """What a run does."""

    one_of: ClassVar = ("templates", "workflow_template_ref")
    needs: ClassVar = {"templates": ("entrypoint",)}

    templates: Opt[Some[TemplateSpec]] = doc("The templates of this workflow.", None)
    workflow_template_ref: Opt[WorkflowTemplateRef] = doc("Take the spec of this WorkflowTemplate.", None)


class WorkflowTemplateSpec(_Spec):
    """Templates to be used by workflows."""

    templates: Some[TemplateSpec] = doc("The templates of this library.")
    workflow_template_ref: ClassVar[None] = None


class CronWorkflowSpec(Definition):
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


class _Document(Definition):
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


KINDS: Final[dict[str, type[Workflow] | type[CronWorkflow] | type[WorkflowTemplate]]] = {
    "Workflow": Workflow,
    "CronWorkflow": CronWorkflow,
    "WorkflowTemplate": WorkflowTemplate,
}
