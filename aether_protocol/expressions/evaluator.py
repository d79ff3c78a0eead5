"""The evaluator: a simpleeval evaluator reduced to what DATA-7 allows, over a tree that was checked when it was parsed.

Law: only node types in `NODES` exist; each is handled here by a table or by a bounded operator. Nothing of simpleeval's
defaults (functions, attributes, comprehensions, assignments, its walk over every value) is left reachable.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

import simpleeval  # type: ignore[import-untyped]
from msgspec import Struct

from aether_protocol.expressions import limits
from aether_protocol.expressions.functions import TABLE, write
from aether_protocol.expressions.lexer import Lexer
from aether_protocol.expressions.names import ExpressionError, Name, ResolveName, step_into
from aether_protocol.expressions.operators import BINARY, COMPARE, UNARY
from aether_protocol.expressions.placeholders import SplitText
from aether_protocol.expressions.values import ABSENT, Constant, Json, SecretValue, type_name

# What Python raises where an operation meets values that it cannot work with. Operators and functions give reasons of their
# own; this is the net below them, since an exception out of an expression would stop the engine that evaluates it.
FAULTS: Final = (ExpressionError, ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (MemoryError, "the expression needs too much memory"),
    (RecursionError, "a value is nested too deeply"),
    (OverflowError, "the number is too large"),
    (ZeroDivisionError, "division by zero"),
)


def reason_of(fault: Exception) -> str:
    """Why an operation failed for which Python raised `fault`."""
    known = next((reason for kind, reason in _REASONS if isinstance(fault, kind)), None)
    return known or f"the operation does not work on these values ({fault})"


class Code(Struct, frozen=True):
    """A parsed expression: its checked tree, and what its stand-ins mean."""

    body: ast.expr
    leaves: dict[str, Constant | Name | SplitText]
    lexer: Lexer

    def evaluate(self, resolve: ResolveName) -> Json:
        """The value, checked to be JSON within the bounds. Raises ExpressionError."""
        return Evaluator(self, resolve).run()


def parse(text: str, namespaces: frozenset[str]) -> Code:
    """Read and check `text`. Raises ExpressionError."""
    lexer = Lexer(text, namespaces).run()
    source = lexer.source
    try:
        body = ast.parse(source, mode="eval").body
    except SyntaxError as fault:
        column = (fault.offset or 1) - 1
        at = lexer.original(column)
        shown = text[at:].split(maxsplit=1)[:1]
        reason = f"unexpected {shown[0][:60]!r}" if shown else "the expression ends too early"
        if "'else'" in fault.msg:
            reason = "'if' needs an 'else'"
        raise ExpressionError(reason, at) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("the expression is nested too deeply", 0) from None
    _check(body, lexer)
    return Code(body, {f"_{i}": leaf for i, leaf in enumerate(lexer.leaves)}, lexer)


def _check(body: ast.expr, lexer: Lexer) -> None:
    """Count nodes and depth, level by level, and refuse every node that is not ours."""
    level: list[ast.expr] = [body]
    count = depth = 0
    while level:
        depth += 1
        count += len(level)
        if depth > limits.MAX_DEPTH:
            raise ExpressionError(
                f"the expression is nested too deeply (at most {limits.MAX_DEPTH})", lexer.original(level[0].col_offset)
            )
        if count > limits.MAX_NODES:
            raise ExpressionError(f"the expression has too many parts (at most {limits.MAX_NODES})", 0)
        below: list[ast.expr] = []
        for node in level:
            below.extend(_children(node, lexer))
        level = below


_REFUSED: Final = {
    ast.Tuple: "a list is written with brackets: [a, b]",
    ast.Set: "an object is written {key: value}",
    ast.Slice: "slices are not supported",
    ast.Starred: "unexpected '*'",
}


def _children(node: ast.expr, lexer: Lexer) -> list[ast.expr]:
    at = lexer.original(node.col_offset)
    if type(node) not in NODES:
        raise ExpressionError(_REFUSED.get(type(node), "this is not part of the expression language"), at)
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ExpressionError("an object is written {key: value}", at)
        return [*(key for key in node.keys if key), *node.values]
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in TABLE or node.keywords:
            raise ExpressionError("only functions can be called, with plain arguments", at)
        _check_arguments(node.func.id, len(node.args), at)
        return list(node.args)
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _check_arguments(name: str, given: int, at: int) -> None:
    function = TABLE[name]
    if given < function.least or (function.most is not None and given > function.most):
        raise ExpressionError(f"{function.signature} does not take {given} argument{'' if given == 1 else 's'}", at)


class Evaluator(simpleeval.EvalWithCompoundTypes):  # type: ignore[misc]  # the package has no types
    """Evaluates one parsed expression once. Making one is cheap: its tables are shared by all."""

    def __init__(self, code: Code, resolve: ResolveName) -> None:
        # The base class copies its own tables of functions and operators here; none of them is wanted.
        self.code = code
        self.resolve = resolve
        self.meter = limits.Meter()

    def __del__(self) -> None:
        """The base class breaks its reference cycles here; there are none."""

    def _check_disallowed_items(self, item: Any) -> None:
        """Values are JSON from the lookup or from our own operators: walking each would cost its size at every node."""

    def _eval(self, node: ast.AST) -> Json:
        return NODES[type(node)](self, node)

    def run(self) -> Json:
        """The value, checked to be JSON within the bounds."""
        return limits.check_value(self._eval(self.code.body), self.meter)

    def _failed(self, fault: Exception, column: int) -> ExpressionError:
        """`fault`, placed at `column` of the source unless it has a place."""
        if not isinstance(fault, ExpressionError):
            fault = ExpressionError(reason_of(fault))
        if fault.offset is None:
            fault.offset = self.code.lexer.original(column)
        return fault

    def _between(self, left: ast.expr, right: ast.expr) -> int:
        """The column of the operator between two operands."""
        start = left.end_col_offset or 0
        gap = self.code.lexer.source[start : right.col_offset]
        return start + len(gap) - len(gap.lstrip(" )"))

    def _look_up(self, name: Name, column: int) -> Json:
        try:
            value = self.resolve(name)
            return _usable(value)
        except FAULTS as fault:
            raise self._failed(fault, column) from None

    def _eval_name(self, node: ast.Name) -> Json:
        leaf = self.code.leaves[node.id]
        if type(leaf) is Constant:
            return leaf.value
        if type(leaf) is Name:
            return self._look_up(leaf, node.col_offset)
        return self._eval_text(leaf, node.col_offset)

    def _eval_text(self, text: Any, column: int) -> str:
        """A quoted text with placeholders: the values as text, an absent one as null is."""
        pieces: list[str] = []
        for part in text.parts:
            try:
                pieces.append(part if type(part) is str else write(self._look_up(part, column), self.meter))
                limits.check_length(sum(map(len, pieces)))
            except FAULTS as fault:
                raise self._failed(fault, column) from None
        return "".join(pieces)

    def _eval_unaryop(self, node: ast.UnaryOp) -> Json:
        value = self._eval(node.operand)
        try:
            return UNARY[type(node.op)](value)
        except FAULTS as fault:
            raise self._failed(fault, node.col_offset) from None

    def _eval_binop(self, node: ast.BinOp) -> Json:
        left = self._eval(node.left)
        right = self._eval(node.right)
        try:
            return BINARY[type(node.op)][1](left, right, self.meter)
        except FAULTS as fault:
            raise self._failed(fault, self._between(node.left, node.right)) from None

    def _eval_compare(self, node: ast.Compare) -> Json:
        previous, left = node.left, self._eval(node.left)
        for operator, following in zip(node.ops, node.comparators, strict=True):
            right = self._eval(following)
            try:
                if not COMPARE[type(operator)][1](left, right, self.meter):
                    return False
            except FAULTS as fault:
                raise self._failed(fault, self._between(previous, following)) from None
            previous, left = following, right
        return True

    def _eval_boolop(self, node: ast.BoolOp) -> Json:
        stop = type(node.op) is ast.Or
        value: Json = None
        for operand in node.values:
            value = self._eval(operand)
            if bool(value) is stop:
                break
        return value

    def _eval_ifexp(self, node: ast.IfExp) -> Json:
        return self._eval(node.body if self._eval(node.test) else node.orelse)

    def _eval_call(self, node: ast.Call) -> Json:
        arguments = [self._eval(argument) for argument in node.args]
        try:
            return TABLE[node.func.id].apply(self.meter, arguments)  # type: ignore[attr-defined]  # checked at parse
        except FAULTS as fault:
            raise self._failed(fault, node.col_offset) from None

    def _eval_subscript(self, node: ast.Subscript) -> Json:
        container = self._eval(node.value)
        key = self._eval(node.slice)
        try:
            if type(key) is not str and type(key) is not int:
                raise ExpressionError(f"an index is text or an integer, not {type_name(key)}")
            return _usable(step_into(container, key))
        except FAULTS as fault:
            raise self._failed(fault, node.slice.col_offset) from None

    def _eval_list(self, node: ast.List) -> Json:
        return [self._eval(element) for element in node.elts]

    def _eval_dict(self, node: ast.Dict) -> Json:
        result: dict[str, Json] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            assert key_node is not None  # checked at parse
            key = self._eval(key_node)
            if type(key) is not str:
                fault = ExpressionError(f"a key of an object is text, not {type_name(key)}")
                raise self._failed(fault, key_node.col_offset)
            result[key] = self._eval(value_node)
        return result


def _usable(value: Any) -> Json:
    """What an expression may work with: absent is null, a secret is refused, a number must be finite and bounded."""
    kind = type(value)
    if kind is str or kind is bool:
        return value
    if kind is int or kind is float:
        return limits.check_number(value)
    if kind is SecretValue:
        raise ExpressionError(limits.SECRETS)
    return None if value is ABSENT else value


NODES: Final[dict[type[ast.AST], Callable[[Evaluator, Any], Json]]] = {
    ast.Name: Evaluator._eval_name,
    ast.UnaryOp: Evaluator._eval_unaryop,
    ast.BinOp: Evaluator._eval_binop,
    ast.Compare: Evaluator._eval_compare,
    ast.BoolOp: Evaluator._eval_boolop,
    ast.IfExp: Evaluator._eval_ifexp,
    ast.Call: Evaluator._eval_call,
    ast.Subscript: Evaluator._eval_subscript,
    ast.List: Evaluator._eval_list,
    ast.Dict: Evaluator._eval_dict,
}
