"""What a workflow takes when a run of it begins: what a form is made from (DATA-14).

Law: made from the plan alone. A secret is not among what is said, neither its value nor where it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from aether_protocol.expressions import Name
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Computed, InputBinding, Literal, Plan, Reference, SecretRef, Source, Templated

_OF_WORKFLOW = ("workflow", "parameters")


class DeclaredParameter(Struct, frozen=True, rename="camel"):
    """A parameter of a workflow.

    Attributes:
        name: What it is called.
        type: One of DOC-9, with its aliases resolved.
        description: What the document says of it; None: nothing.
        enum: The values that are allowed; None: any of the type.
        required: Whether a run cannot begin unless it is given.
        default: What it is where it is not given; null where that is none, or is not known before the run begins.
        computed: How it is found where it is not given (a text with placeholders, an expression, a name); None: it is not.
        secret: Where it is not given it is a secret, or made from one.
    """

    name: str
    type: str
    description: str | None
    enum: Sequence[Json] | None
    required: bool
    default: Json
    computed: Json
    secret: bool


class WorkflowParameters(Struct, frozen=True, rename="camel"):
    """What a workflow takes. `version` is that of the stored document that was asked for; None of a plan."""

    name: str
    namespace: str
    digest: str
    version: int | None
    parameters: Sequence[DeclaredParameter]


def parameters_of(plan: Plan) -> WorkflowParameters:
    """Say what the workflow of a plan takes, in the order of its document."""
    said = _descriptions(plan)
    secrets: set[str] = set()
    found = []
    for binding in plan.parameters:
        if any(_is_secret(source, secrets) for source in binding.sources):
            secrets.add(binding.name)
        found.append(_declared(binding, said.get(binding.name), secret=binding.name in secrets))
    return WorkflowParameters(plan.name, plan.namespace, plan.digest, plan.document_version, found)


def _declared(binding: InputBinding, description: str | None, *, secret: bool) -> DeclaredParameter:
    first = binding.sources[0] if binding.sources else None
    return DeclaredParameter(
        name=binding.name,
        type=binding.type,
        description=description,
        enum=None if binding.enum is None else list(binding.enum),
        required=first is None,
        default=first.value if isinstance(first, Literal) and not secret else None,
        computed=None if first is None or secret else _written(first),
        secret=secret,
    )


def _written(source: Source) -> Json:
    """How a value is computed, as the document has it; None of one that is known, and of a secret."""
    if isinstance(source, Templated):
        return source.template.raw
    if isinstance(source, Computed):
        return source.expression.text
    return str(source.name) if isinstance(source, Reference) else None


def _is_secret(source: Source, secrets: set[str]) -> bool:
    """Whether a source is a secret, or reads one of the parameters above that are."""
    return isinstance(source, SecretRef) or any(
        name.segments[:2] == _OF_WORKFLOW and len(name.segments) > 2 and name.segments[2] in secrets for name in _names(source)
    )


def _names(source: Source) -> Sequence[Name]:
    if isinstance(source, Templated):
        return source.template.names
    if isinstance(source, Computed):
        return source.expression.names
    return (source.name,) if isinstance(source, Reference) else ()


def _descriptions(plan: Plan) -> dict[str, str]:
    """What documents say of parameters, by name: the workflow before the template that it takes over."""
    snapshot = plan.snapshot if isinstance(plan.snapshot, dict) else {}
    library = snapshot.get("library")
    documents = [snapshot.get("workflow"), *(library if isinstance(library, list) else ())]
    found: dict[str, str] = {}
    for document in documents:
        for entry in _entries(document):
            name, text = entry.get("name"), entry.get("description")
            if isinstance(name, str) and isinstance(text, str):
                found.setdefault(name, text)
    return found


def _entries(document: Json) -> Iterator[Mapping[str, Json]]:
    """The arguments that a document declares; of a CronWorkflow those of its workflowSpec."""
    spec = document.get("spec") if isinstance(document, dict) else None
    inner = spec.get("workflowSpec", spec) if isinstance(spec, dict) else None
    arguments = inner.get("arguments") if isinstance(inner, dict) else None
    entries = arguments.get("parameters") if isinstance(arguments, dict) else None
    yield from (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))
