"""Parses what stands in documents: expressions, placeholders and names, each text once per compilation.

Law: equal texts give the same parsed object, and checks and the building of the plan share them. A text that does not
parse gives its error, to be reported where it stands.
"""

from __future__ import annotations

from aether_protocol.expressions import (
    NAMESPACES,
    Expression,
    ExpressionError,
    Name,
    Template,
    parse_expression,
    parse_name,
    parse_template,
)
from aether_protocol.expressions.values import Json


class Texts:
    """The cache of one compilation. `namespaces`: roots that variable sources inject beside the protocol's own."""

    def __init__(self, namespaces: frozenset[str]) -> None:
        self.injected = namespaces - NAMESPACES
        self.namespaces = NAMESPACES | namespaces
        self._expressions: dict[str, Expression | ExpressionError] = {}
        self._texts: dict[str, Template | ExpressionError] = {}
        self._values: dict[int, tuple[Json, Template | ExpressionError]] = {}  # by id; the value is kept alive
        self._names: dict[str, Name | ExpressionError] = {}

    def expression(self, text: str) -> Expression | ExpressionError:
        """`text` as an expression."""
        found = self._expressions.get(text)
        if found is None:
            try:
                found = parse_expression(text, self.namespaces)
            except ExpressionError as error:
                found = error
            self._expressions[text] = found
        return found

    def template(self, value: Json) -> Template | ExpressionError:
        """`value` with its placeholders."""
        if isinstance(value, str):
            found = self._texts.get(value)
            if found is None:
                found = self._texts[value] = self._parse(value)
            return found
        known = self._values.get(id(value))
        if known is None:
            known = self._values[id(value)] = (value, self._parse(value))
        return known[1]

    def _parse(self, value: Json) -> Template | ExpressionError:
        try:
            return parse_template(value, self.namespaces)
        except ExpressionError as error:
            return error

    def name(self, text: str) -> Name | ExpressionError:
        """`text` as one name."""
        found = self._names.get(text)
        if found is None:
            try:
                found = parse_name(text)
            except ExpressionError as error:
                found = error
            self._names[text] = found
        return found
