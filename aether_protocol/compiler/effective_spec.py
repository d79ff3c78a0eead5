"""The spec that is run: a document's own, or a WorkflowTemplate's with the workflow's fields over it (TMPL-1, DOC-1).

Law: every setting knows the document that it comes from, so that a fault in it is reported there.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from aether_protocol.compiler.findings import Origin, Path
from aether_protocol.compiler.spelling import Spellings
from aether_protocol.compiler.symbols import SymbolTable, Unit
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import (
    Arguments,
    Artifact,
    CronWorkflow,
    Hooks,
    Parameter,
    RetrySpec,
    WorkflowSpec,
    WorkflowTemplate,
    WorkflowTemplateSpec,
)
from aether_protocol.expressions.values import Json

_VALUES: Final = ("value", "value_from", "default")
_ABOUT: Final = ("type", "description", "enum")

Spec = WorkflowSpec | WorkflowTemplateSpec


class From(Struct, frozen=True):
    """Where a setting stands."""

    origin: Origin
    path: Path


class EffectiveSpec(Struct):
    """The fields of the effective spec. `unit` has its templates; `own` is the workflow, `library` the document of its
    workflowTemplateRef."""

    unit: Unit
    own: Origin
    entrypoint: str | None
    entrypoint_at: From
    timeout: str
    timeout_given: bool
    priority: int
    max_nested_depth: int
    hooks: Hooks | None
    hooks_at: From
    retry: RetrySpec | None
    retry_at: From
    library: LoadedDocument | None
    extensions: dict[str, Json] | None
    extensions_at: From
    parameters: dict[str, Parameter] = field(default_factory=dict)
    parameters_at: dict[str, From] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    artifacts_at: dict[str, From] = field(default_factory=dict)


def effective_spec_of(document: LoadedDocument, table: SymbolTable, spellings: Spellings) -> EffectiveSpec | None:
    """The effective spec of `document`; None where the WorkflowTemplate that it takes is not to be had (reported)."""
    model = document.model
    assert model is not None
    spec: Spec = model.spec.workflow_spec if isinstance(model, CronWorkflow) else model.spec
    own = Origin(document, ("spec", "workflowSpec") if isinstance(model, CronWorkflow) else ("spec",))
    layers: list[tuple[Spec, Origin]] = [(spec, own)]
    library = None
    if spec.workflow_template_ref is not None and not spec.templates:
        ref = spec.workflow_template_ref
        library = table.find_library(own, ref.name, ref.namespace, (*own.base, "workflowTemplateRef", "name"))
        if library is None:
            return None
        assert isinstance(library.model, WorkflowTemplate)
        layers.append((library.model.spec, Origin(library, ("spec",))))
    return _merged(layers, library, spellings)


def _merged(layers: list[tuple[Spec, Origin]], library: LoadedDocument | None, spellings: Spellings) -> EffectiveSpec:
    below, templates_at = layers[-1]

    def pick(name: str) -> tuple[Spec, Origin]:
        return next((layer for layer in layers if layer[0].wrote(name)), layers[-1])

    def at(origin: Origin, name: str) -> From:
        return From(origin, (*origin.base, name))

    entry, entry_at = pick("entrypoint")
    hooks, hooks_at = pick("hooks")
    retry, retry_at = pick("retry")
    timeout, _ = pick("timeout")
    extensions, extensions_at = pick("extensions")
    unit = Unit(templates_at, False, {})
    settings = EffectiveSpec(
        unit=unit,
        own=layers[0][1],
        entrypoint=entry.entrypoint,
        entrypoint_at=at(entry_at, "entrypoint"),
        timeout=timeout.timeout,
        timeout_given=timeout.wrote("timeout"),
        priority=pick("priority")[0].priority,
        max_nested_depth=pick("max_nested_depth")[0].max_nested_depth,
        hooks=hooks.hooks,
        hooks_at=at(hooks_at, "hooks"),
        retry=retry.retry,
        retry_at=at(retry_at, "retry"),
        library=library,
        extensions=extensions.extensions,
        extensions_at=at(extensions_at, "extensions"),
    )
    for spec, origin in reversed(layers):
        if spec.arguments is not None:
            _merge_arguments(settings, spec.arguments, origin, spellings)
    unit.parameters = settings.parameters
    unit.take_in(below.templates)
    return settings


def _merge_arguments(settings: EffectiveSpec, given: Arguments, origin: Origin, spellings: Spellings) -> None:
    base = (*origin.base, "arguments")
    for index, written in enumerate(given.parameters):
        path = (*base, "parameters", index)
        below = settings.parameters.get(written.name)
        typed = written if below is None or written.wrote("type") else below
        entry = spellings.parameter(written, typed.resolved_type, origin, path)
        settings.parameters[entry.name] = entry if below is None else _over(entry, below)
        settings.parameters_at[entry.name] = From(origin, path)
    for index, artifact in enumerate(given.artifacts):
        settings.artifacts[artifact.name] = artifact
        settings.artifacts_at[artifact.name] = From(origin, (*base, "artifacts", index))


def _over(entry: Parameter, below: Parameter) -> Parameter:
    """The workflow's argument over the template's: what it says wins, a value of its own over every value below."""
    given = any(map(entry.wrote, _VALUES))
    fields = (*_ABOUT, *(() if given else _VALUES))
    return entry.changed(**{name: getattr(below, name) for name in fields if below.wrote(name) and not entry.wrote(name)})
