"""The definitions of the parts that templates are made of: values, artifacts, policies (SPEC-5, SPEC-6).

Law: as in documents.py, which holds the documents made of them.
"""

# No `from __future__ import annotations` here: pydantic would compile each annotation anew.

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from aether_protocol.documents.definitions.fields import (
    Definition,
    Delay,
    Duration,
    Opt,
    Some,
    ValueName,
    Whole,
    Word,
    doc,
)

ParameterType = Literal["string", "number", "integer", "boolean", "object", "array", "any", "int", "float", "bool"]


# --- values -------------------------------------------------------------------------------------------------------


class SecretKeyRef(Definition):
    """Where a secret is kept."""

    name: Word = doc("Name of the secret, as the secret provider knows it.")
    key: Word = doc("Key inside that secret.")


class ValueFrom(Definition):
    """Where a value comes from: exactly one of the four."""

    one_of: ClassVar = ("parameter", "expression", "path", "secret_key_ref")

    parameter: Opt[str] = doc("Name of another value, such as `tasks.fetch.outputs.parameters.rows`.", None)
    expression: Opt[str] = doc("Expression that computes the value.", None)
    path: Opt[str] = doc("Like `parameter`; on an output of a script or process task the file whose text is the value.", None)
    secret_key_ref: Opt[SecretKeyRef] = doc("Secret to hand to the executor; it is never recorded or shown.", None)


class Parameter(Definition):
    """A named value: an input, an output or an argument."""

    presence: ClassVar = ("type", "value", "default")
    struct: ClassVar = "TypedPart"

    name: ValueName = doc("Name of the parameter, unique in its list.")
    type: ParameterType = doc("Type that a value must have; `int`, `float` and `bool` are short spellings.", "any")
    value: Any = doc("The value, with placeholders such as `{{inputs.parameters.x}}`; null means none.", None)
    default: Any = doc("Value where nothing else gives one.", None)
    description: Opt[str] = doc("What the parameter is for.", None)
    enum: Opt[Some[Any]] = doc("The values that are allowed.", None)
    value_from: Opt[ValueFrom] = doc("Where the value comes from, where `value` does not give it.", None)

class ArchiveSpec(Definition):
    """How a file or folder is packed."""

    type: Literal["tar", "tar.gz", "zip", "none"] = doc("Format of the archive; `none` keeps a file as it is.")


class ArtifactSourceSpec(Definition):
    """A place outside of the run that an artifact is fetched from."""

    type: Word = doc("Kind of source, such as `http` or `local`.")
    config: dict[str, Any] = doc("Settings of that kind of source, with placeholders.", default_factory=dict)


class Artifact(Definition):
    """A named file or folder: an input, an output or an argument."""

    excludes: ClassVar = {"from_": ("source",)}

    name: ValueName = doc("Name of the artifact, unique in its list.")
    from_: Opt[str] = Field(
        None, alias="from", description="The artifact to take, such as `tasks.build.outputs.artifacts.report`."
    )
    source: Opt[ArtifactSourceSpec] = doc("Where to fetch the artifact from.", None)
    archive: Opt[ArchiveSpec] = doc("How the artifact is packed.", None)
    path: Opt[str] = doc("Where the file or folder lies, relative to the workspace.", None)
    optional: bool = doc("On an input or argument: one that is absent is an absent value, not an Error.", False)


class _Lists(Definition):
    """Named values and named files."""

    parameters: list[Parameter] = doc("Named values.", default_factory=list)
    artifacts: list[Artifact] = doc("Named files and folders.", default_factory=list)


class Inputs(_Lists):
    """What a template takes."""


class Outputs(_Lists):
    """What a template gives."""

    presence: ClassVar = ("phase", "code", "msg", "metrics", "progress")

    phase: Any = doc("The engine's own: no effect.", None)
    code: Any = doc("The engine's own: no effect.", None)
    msg: Any = doc("The engine's own: no effect.", None)
    metrics: Any = doc("The engine's own: no effect.", None)
    progress: Any = doc("The engine's own: no effect.", None)


class Arguments(_Lists):
    """What is handed to a template or a workflow."""


# --- policies -----------------------------------------------------------------------------------------------------


class Backoff(Definition):
    """How long to wait before an attempt is repeated."""

    duration: Delay = doc("The first wait.", "1s")
    factor: float = doc("Each wait is this many times the one before.", 2.0, ge=1)
    max_duration: Duration = doc("No wait is longer.", "1m")
    jitter: float = doc("Part of each wait that chance may take away, 0 to 1.", 0.0, ge=0, le=1)


class RetrySpec(Definition):
    """When and how often a task is tried again."""

    presence: ClassVar = ("limit",)

    limit: Annotated[int, Whole(0, 100)] = doc("How many attempts may be added to the first one.", 0)
    expression: Opt[str] = doc("Condition for another attempt; without it only Error and Timeout are repeated.", None)
    backoff: Opt[Backoff] = doc("The waits in between.", None)


class ContinueOnSpec(Definition):
    """Ends of a task that do not stop those that depend on it."""

    failed: bool = doc("Go on although the task Failed.", False)
    error: bool = doc("Go on although the task ended in Error.", False)
    timeout: bool = doc("Go on although the task ended in Timeout.", False)


class PhaseConditionsSpec(Definition):
    """Expressions that decide the phase; the first one that is true wins, in the order given here."""

    succeeded: Opt[str] = doc("Succeeded where this is true.", None)
    failed: Opt[str] = doc("Failed where this is true.", None)
    error: Opt[str] = doc("Error where this is true.", None)


class Hook(Definition):
    """What runs at an event."""

    template: str = doc("Name of a task template.")


class Hooks(Definition):
    """Task templates to run at events; they never change the outcome."""

    on_start: Opt[Hook] = doc("Runs once, at the first start.", None)
    on_success: Opt[Hook] = doc("Runs after Succeeded.", None)
    on_failure: Opt[Hook] = doc("Runs after Failed.", None)
    on_error: Opt[Hook] = doc("Runs after Error and Timeout.", None)
    on_suspend: Opt[Hook] = doc("Runs every time something is suspended.", None)
    on_resume: Opt[Hook] = doc("Runs every time something is resumed.", None)
    on_cancel: Opt[Hook] = doc("Runs after Cancelled.", None)
    on_exit: Opt[Hook] = doc("Runs last, after every end but Skipped.", None)


class ResourcesSpec(Definition):
    """What a task needs of a machine; passed on to what runs it."""

    cpu: Opt[str | float] = doc("Processors, such as `500m` or 2.", None)
    memory: Opt[str | float] = doc("Memory, such as `512Mi`.", None)
    gpu: Opt[str | float] = doc("Graphics processors.", None)


class ExecutorSpec(Definition):
    """What does the work of a task."""

    type: Word = doc("Kind of executor, such as `script`, `http` or `await`.", examples=["script", "process", "http"])
    config: dict[str, Any] = doc("Settings of that kind of executor, with placeholders.", default_factory=dict)
