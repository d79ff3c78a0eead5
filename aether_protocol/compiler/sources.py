"""Where a value comes from: parameters as sources in the order of DATA-1.

Law: literals are fitted to their type here, once; what does not parse was reported before, and is not a source. `value: null`
is not one either.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from aether_protocol.compiler.parsed_texts import Texts
from aether_protocol.documents.models import Artifact, Parameter, ValueFrom
from aether_protocol.expressions import ExpressionError, Name, Template
from aether_protocol.expressions.values import ABSENT, Absent, Json, fit
from aether_protocol.plan.model import (
    ArtifactBinding,
    ArtifactOutput,
    ArtifactSource,
    Computed,
    InputBinding,
    ItemField,
    Literal,
    OutputBinding,
    Reference,
    SecretRef,
    Source,
    Templated,
)

NO_SOURCES: Final[tuple[Source, ...]] = ()


def literal_of(value: Json, texts: Texts) -> Json | Absent:
    """`value` as it will be, or ABSENT where a placeholder stands in it."""
    kind = type(value)
    if kind is not str and kind is not list and kind is not dict:
        return value
    if kind is str and "{{" not in value:
        return value
    template = texts.template(value)
    if isinstance(template, ExpressionError) or not template.literal:
        return ABSENT
    return template.resolve(_no_names)


def _no_names(name: Name) -> Json:
    return None


def value_source(value: Json, type_: str, texts: Texts, *, optional: bool) -> tuple[Source, ...]:
    """The source that a `value` is; none for null."""
    if value is None:
        return NO_SOURCES
    literal = literal_of(value, texts)
    if literal is not ABSENT:
        fitted = fit(literal, type_)
        return (Literal(literal if fitted is ABSENT else fitted),)
    template = texts.template(value)
    return (Templated(template, optional),) if isinstance(template, Template) else NO_SOURCES


def from_source(given: ValueFrom | None, texts: Texts) -> tuple[Source, ...]:
    """The source that a `valueFrom` is; `path` is another spelling of `parameter`."""
    if given is None:
        return NO_SOURCES
    if given.secret_key_ref is not None:
        return (SecretRef(given.secret_key_ref.name, given.secret_key_ref.key),)
    if given.expression is not None:
        expression = texts.expression(given.expression)
        return () if isinstance(expression, ExpressionError) else (Computed(expression),)
    name = texts.name(given.parameter if given.parameter is not None else given.path or "")
    return () if isinstance(name, ExpressionError) else (Reference(name),)


def declared_sources(entry: Parameter, texts: Texts) -> tuple[Source, ...]:
    """Declared `value`, `valueFrom`, `default`."""
    type_ = entry.resolved_type
    return (
        value_source(entry.value, type_, texts, optional=False) + from_source(entry.value_from, texts) + _default(entry, type_)
    )


def _default(entry: Parameter, type_: str) -> tuple[Source, ...]:
    if entry.default_written is UNSET:
        return NO_SOURCES
    fitted = fit(entry.default, type_)
    return (Literal(entry.default if fitted is ABSENT else fitted),)


def argument_sources(entry: Parameter, type_: str, texts: Texts) -> tuple[Source, ...]:
    """Argument `value`, `valueFrom`. An absent sole placeholder falls through (DATA-13)."""
    found = value_source(entry.value, type_, texts, optional=True)
    return found + from_source(entry.value_from, texts) if entry.value_from is not None else found


def bind(declared: Parameter, before: tuple[Source, ...], texts: Texts) -> InputBinding:
    """A declared input with what its call gives."""
    enum = tuple(declared.enum) if declared.enum is not None else None
    return InputBinding(declared.name, declared.resolved_type, True, before + declared_sources(declared, texts), enum)


def item_source(name: str) -> tuple[Source, ...]:
    """The field of an object item (LOOP-7)."""
    return (ItemField(name),)


def output(entry: Parameter, texts: Texts, *, file: bool) -> OutputBinding:
    """A declared output of a task or a dag. `file`: `valueFrom.path` names a file (SPEC-6)."""
    type_ = entry.resolved_type
    enum = tuple(entry.enum) if entry.enum is not None else None
    given = entry.value_from
    if file and given is not None and given.path is not None:
        sources = value_source(entry.value, type_, texts, optional=False) + _default(entry, type_)
        return OutputBinding(entry.name, type_, sources, enum, given.path)
    return OutputBinding(entry.name, type_, declared_sources(entry, texts), enum)


def loop_output(entry: Parameter, texts: Texts) -> OutputBinding:
    """A declared output of a loop: without `valueFrom` it is the aggregated parameter of its name (LOOP-6)."""
    enum = tuple(entry.enum) if entry.enum is not None else None
    return OutputBinding(entry.name, entry.resolved_type, from_source(entry.value_from, texts), enum)


def artifact_binding(entry: Artifact, given: Artifact | None, texts: Texts) -> ArtifactBinding:
    """An input artifact: the call's origin wins over the declared one."""
    origin = given if given is not None and (given.from_ is not None or given.source is not None) else entry
    name = texts.name(origin.from_) if origin.from_ is not None else None
    source = None
    if origin.source is not None:
        config = texts.template(origin.source.config)
        assert isinstance(config, Template)
        source = ArtifactSource(origin.source.type, config)
    archive = entry.archive or origin.archive
    return ArtifactBinding(
        entry.name,
        entry.path,
        archive.type if archive is not None else None,
        name if isinstance(name, Name) else None,
        source,
        entry.optional or (given is not None and given.optional),
    )


def artifact_output(entry: Artifact, texts: Texts) -> ArtifactOutput:
    """A declared output artifact."""
    name = texts.name(entry.from_) if entry.from_ is not None else None
    archive = entry.archive.type if entry.archive is not None else None
    return ArtifactOutput(entry.name, entry.path, archive, name if isinstance(name, Name) else None)
