"""What is sent to begin, steer and delete runs, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.service.wire.runs import RunFilter
from aether_protocol.service.wire.values import Instant

Document = Annotated[
    dict[str, Any] | str,
    Meta(description="A document: an object, or text (YAML or JSON)."),
]
Arguments = Annotated[dict[str, Any], Meta(description="Values of the workflow's parameters, by name.")]
NewRunId = Annotated[str, Meta(description="The id of the new run; one is made where it is left out.")]
Reason = Annotated[str, Meta(description="Why; it is recorded, and shown with the run.", examples=["the source was wrong"])]


class TextBody(Struct, forbid_unknown_fields=True):
    """The text of a file; `name` is how findings call it."""

    name: str
    text: str


class LibraryBody(Struct, forbid_unknown_fields=True):
    """WorkflowTemplates in which references are looked up before those of the server; `name` is how findings call it."""

    name: str
    documents: list[TextBody]


class SubmitBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Begin a run of a document, of a stored workflow by its name, or of the plan of a run that there is. `idempotencyKey`: the
    same key with the same content gives the first run again."""

    document: Document | UnsetType = UNSET
    name: Annotated[str, Meta(description="A stored workflow: NAME or NAMESPACE/NAME.", examples=["ops/nightly"])] | None = None
    version: Annotated[int, Meta(ge=1, description="Of the stored workflow; the newest where it is left out.")] | None = None
    plan: Annotated[str | None, Meta(description="The `digest` of a run: the same workflow once more.")] = None
    file: Annotated[str | None, Meta(description="The name of the document's file, where it is text.")] = None
    workflow: Annotated[str | None, Meta(description="Which of several workflows in it.")] = None
    library: list[LibraryBody] = field(default_factory=list)
    parameters: Arguments = field(default_factory=dict)
    parameter_texts: Annotated[
        dict[str, str], Meta(description="More of them, as people write them: JSON, unless the parameter is a string.")
    ] = field(default_factory=dict)
    parameter_spellings: Annotated[
        dict[str, str], Meta(description="How numbers and booleans of `parameters` were written: kept where it is a string.")
    ] = field(default_factory=dict)
    run_id: NewRunId | None = None
    scheduled_time: Instant | None = None
    idempotency_key: Annotated[
        str | None, Meta(description="1 to 255 printable characters, for example a UUID.", examples=["order-42"])
    ] = None


class WhyBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why something is asked for."""

    reason: Reason = ""


class ResumeBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Answer a suspended task, named by its path or name."""

    task: Annotated[str, Meta(examples=["main.approve", "approve"])]
    payload: Annotated[dict[str, Any] | None, Meta(description="The answer: values by name.")] = None
    reason: Reason = ""


class RetryBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Run again what did not succeed. `from`: the task from which all runs again, by path or name."""

    start: str | None = field(default=None, name="from")
    run_id: NewRunId | None = None
    reason: Reason = ""


class DeleteBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Delete runs: all of them or, if one may not be deleted, none. `force`: also unfinished ones that no engine drives."""

    runs: list[str]
    force: bool = False


class PruneBody(RunFilter, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Delete the ended runs that fit. `dryRun`: only name them."""

    dry_run: bool = False


class DryRunBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """`dryRun`: change nothing, only say what would be."""

    dry_run: bool = False


def read_libraries(bodies: Sequence[LibraryBody]) -> list[LibraryTexts]:
    """Give the libraries that bodies say."""
    return [LibraryTexts(one.name, [DocumentText(text.name, text.text) for text in one.documents]) for one in bodies]


def write_libraries(libraries: Sequence[LibraryTexts]) -> list[dict[str, Any]]:
    """Write libraries."""
    return [
        {"name": one.name, "documents": [{"name": text.name, "text": text.text} for text in one.documents]}
        for one in libraries
    ]
