"""The sources of a value in their order (DATA-1): the one reader, for inputs, parameters, outputs and previews.

Law: the first source that gives something wins. What names mean, what an item is, and where a secret is noted are the
resolver's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from aether_protocol.expressions import ExpressionError, Name
from aether_protocol.expressions.values import ABSENT, Absent, Json, SecretValue, as_text
from aether_protocol.plan.model import Computed, ItemField, Literal, Reference, SecretRef, Source, Templated

Value = Json | Absent


class SourceResolver(Protocol):
    """What sources are read against; `secret` turns true once something read may hold a secret."""

    secret: bool

    def __call__(self, name: Name) -> Value:
        """The value of a name."""
        ...

    def item_field(self, field: str) -> Value:
        """The field of an object item of the enclosing loop (LOOP-7)."""
        ...


def _literal(source: Literal, resolver: SourceResolver) -> Value:
    return source.value


def _templated(source: Templated, resolver: SourceResolver) -> Value:
    value = source.template.resolve(resolver)
    if value is ABSENT and not source.optional:
        raise ExpressionError(f"{as_text(source.template.raw)} has no value")
    return value


def _reference(source: Reference, resolver: SourceResolver) -> Value:
    return resolver(source.name)


def _computed(source: Computed, resolver: SourceResolver) -> Value:
    return source.expression.evaluate(resolver)


def _secret(source: SecretRef, resolver: SourceResolver) -> Value:
    resolver.secret = True
    return SecretValue(((source.name, source.key),))


def _item_field(source: ItemField, resolver: SourceResolver) -> Value:
    return resolver.item_field(source.field)


_READ: Final[dict[type, Callable[[Any, SourceResolver], Value]]] = {
    Literal: _literal,
    Templated: _templated,
    Reference: _reference,
    Computed: _computed,
    SecretRef: _secret,
    ItemField: _item_field,
}


def read_sources(sources: Iterable[Source], resolver: SourceResolver) -> tuple[Value, Source | None]:
    """The first value that `sources` give, and the source that gave it; ABSENT where none does. Raises ExpressionError."""
    for source in sources:
        value = _READ[type(source)](source, resolver)
        if value is not ABSENT:
            return value, source
    return ABSENT, None
