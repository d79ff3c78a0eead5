"""What types an expression can give, as far as that is evident from its text and from the types of its names.

Law: never too few. A set of types holds every type that a value may have; None is any. So what no member of a set fits, no
value fits. An evaluation that fails gives nothing, and counts as no type.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from aether_protocol.expressions.expression import Expression
from aether_protocol.expressions.names import Name
from aether_protocol.expressions.values import Constant, Json, type_name

Kinds = frozenset[str] | None  # of the names that `type_name` gives; None: any

STRING: Final = frozenset({"string"})
INTEGER: Final = frozenset({"integer"})
NUMBER: Final = frozenset({"integer", "number"})
BOOLEAN: Final = frozenset({"boolean"})
ARRAY: Final = frozenset({"array"})
OBJECT: Final = frozenset({"object"})
NULL: Final = frozenset({"null"})

_JOINED: Final = NUMBER | STRING | ARRAY  # what `+` and `*` can give

# What functions give; what is not listed may give anything.
_FUNCTIONS: Final[dict[str, Kinds]] = {
    **dict.fromkeys(("len", "int"), INTEGER),
    **dict.fromkeys(("sum", "abs", "float", "round"), NUMBER),
    **dict.fromkeys(("str", "lower", "upper", "strip", "join", "replace", "tojson", "formattime"), STRING),
    **dict.fromkeys(("bool", "startswith", "endswith", "contains", "matches"), BOOLEAN),
    **dict.fromkeys(("split", "keys", "values", "sorted", "unique", "range"), ARRAY),
}


def kind_of(value: Json) -> Kinds:
    """The type of a value that is known. A number without a fraction fits integer, so it counts as one (DATA-3)."""
    return INTEGER if isinstance(value, float) and value.is_integer() else frozenset({type_name(value)})


def fits(kinds: Kinds, type_: str) -> bool:
    """Whether a value of one of `kinds` can fit the parameter type `type_` (DATA-3)."""
    if kinds is None or type_ == "any":
        return True
    return not kinds.isdisjoint(NUMBER) if type_ in ("integer", "number") else type_ in kinds


def kinds_of(expression: Expression, kinds_of_name: Callable[[Name], Kinds]) -> Kinds:
    """The types that `expression` can give."""
    return _Walk(expression, kinds_of_name).of(expression.code.body)


class _Walk:
    """The types of one expression, node by node; its depth is bounded by the parser."""

    def __init__(self, expression: Expression, kinds_of_name: Callable[[Name], Kinds]) -> None:
        self._leaves = expression.code.leaves
        self._kinds_of_name = kinds_of_name

    def of(self, node: ast.expr) -> Kinds:
        """The types of one node."""
        if isinstance(node, ast.Name):
            return self._leaf(node.id)
        if isinstance(node, ast.UnaryOp):
            return BOOLEAN if isinstance(node.op, ast.Not) else NUMBER
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.Compare):
            return BOOLEAN
        if isinstance(node, ast.BoolOp):
            return _any_of([self.of(one) for one in node.values])
        if isinstance(node, ast.IfExp):
            return _any_of([self.of(node.body), self.of(node.orelse)])
        if isinstance(node, ast.Call):
            return self._call(node)
        return ARRAY if isinstance(node, ast.List) else OBJECT if isinstance(node, ast.Dict) else None

    def _leaf(self, key: str) -> Kinds:
        leaf = self._leaves[key]
        if isinstance(leaf, Constant):
            return kind_of(leaf.value)
        if isinstance(leaf, Name):
            return _any_of([self._kinds_of_name(leaf), NULL])  # what is absent is null
        return STRING

    def _arithmetic(self, node: ast.BinOp) -> Kinds:
        if not isinstance(node.op, ast.Add | ast.Mult):
            return NUMBER
        left, right = self.of(node.left), self.of(node.right)
        if isinstance(node.op, ast.Add) and left is not None and right is not None:
            numeric = NUMBER if left & NUMBER and right & NUMBER else frozenset()
            return (left & right & _JOINED) | numeric or None  # both are of one kind, or it fails
        return _JOINED

    def _call(self, node: ast.Call) -> Kinds:
        name = getattr(node.func, "id", "")
        given = node.args
        if name == "default":
            first, second = self.of(given[0]), self.of(given[1])
            return None if first is None or second is None else (first - NULL) | second
        if name in ("min", "max") and len(given) > 1:
            return _any_of([self.of(one) for one in given])
        return _FUNCTIONS.get(name)


def _any_of(several: list[Kinds]) -> Kinds:
    found: frozenset[str] = frozenset()
    for kinds in several:
        if kinds is None:
            return None
        found |= kinds
    return found
