"""Expressions and placeholders (DATA-5 to DATA-8): parse once, evaluate many times. Pure; knows nothing of tasks.

Text that a document's author wrote is hostile until it is bounded. The `lexer` turns an expression into Python source that
holds stand-ins, operators and known functions only; `kinds` and `evaluator` see that tree, never the author's text. Every
operation that can grow or walk a value asks `limits` first, so that no text and no data can hang a run or exhaust memory.
Names mean nothing here: the caller passes a `ResolveName`, a function from a `Name` to a value.

The set of functions is closed on purpose, and an engine cannot be given more: the compiler checks types and names against
the same table, a recorded run must evaluate in the same way wherever and whenever it is recovered, and a function of one's
own would be code that runs inside the scheduler, where nothing may block, fail or read the outside. What needs code is a
task.

Importing this package loads nothing; each name is loaded when it is first used, and simpleeval with the first expression
that is parsed.

Modules by role:

    values       values, json_copy, limits, durations, sizes
    names        names, placeholders, template
    expressions  lexer, expression, evaluator, kinds
    operations   operators, functions, functions_more, arguments
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.expressions.expression import Expression, parse_expression
    from aether_protocol.expressions.functions import FUNCTIONS
    from aether_protocol.expressions.names import NAMESPACES, ExpressionError, Name, ResolveName, get_path, parse_name
    from aether_protocol.expressions.template import Template, parse_template

_HOMES = {
    "FUNCTIONS": "functions",
    "NAMESPACES": "names",
    "Expression": "expression",
    "ExpressionError": "names",
    "ResolveName": "names",
    "Name": "names",
    "Template": "template",
    "get_path": "names",
    "parse_expression": "expression",
    "parse_name": "names",
    "parse_template": "template",
}

__all__ = [
    "FUNCTIONS",
    "NAMESPACES",
    "Expression",
    "ExpressionError",
    "Name",
    "ResolveName",
    "Template",
    "get_path",
    "parse_expression",
    "parse_name",
    "parse_template",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
