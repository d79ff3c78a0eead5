"""Expressions: parsed once, evaluated many times (DATA-7, DATA-8).

Law: an `Expression` is immutable and knows nothing of tasks; what its names mean is the lookup's affair. Whatever the
text and the data, the only thing that it raises itself is ExpressionError, with a position wherever there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aether_protocol.expressions.names import NAMESPACES, ExpressionError, Name, ResolveName
from aether_protocol.expressions.values import Json, type_name

if TYPE_CHECKING:
    from aether_protocol.expressions.evaluator import Code


class Expression:
    """A parsed expression. `names` are those it mentions, each once; `offsets` where each stands first."""

    __slots__ = ("code", "names", "offsets", "text")

    def __init__(self, text: str, code: Code) -> None:
        self.text = text
        self.names: tuple[Name, ...] = tuple(code.lexer.names)
        self.offsets: tuple[int, ...] = tuple(code.lexer.names.values())
        self.code = code

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, resolve: ResolveName) -> Json:
        """The value. Absent names are null; a secret or any failure is an ExpressionError."""
        try:
            return self.code.evaluate(resolve)
        except RecursionError:
            raise ExpressionError("a value is nested too deeply") from None
        except MemoryError:
            raise ExpressionError("the expression needs too much memory") from None

    def condition(self, resolve: ResolveName) -> bool:
        """The value as a condition: a boolean, or the text `true` or `false` (DATA-8); else ExpressionError."""
        value = self.evaluate(resolve)
        if type(value) is bool:
            return value
        if value == "true" or value == "false":
            return bool(value == "true")
        shown = f" {value[:60]!r}" if type(value) is str else f" {value!r:.60}" if type(value) in (int, float) else ""
        raise ExpressionError(f"a condition gives true or false, not {type_name(value)}{shown}")


def parse_expression(text: str, namespaces: frozenset[str] = NAMESPACES) -> Expression:
    """Parse `text`; every dotted path becomes a name, whatever its root. Raises ExpressionError.

    `namespaces` matters inside of quoted text alone: a placeholder there is filled in if its root is one of them.
    """
    # The evaluator brings simpleeval along, which importing this package alone must not.
    from aether_protocol.expressions.evaluator import parse

    return Expression(text, parse(text, namespaces))
