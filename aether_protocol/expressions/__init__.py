"""Expressions and placeholders (DATA-5 to DATA-8): parse once, evaluate many. Pure; knows nothing of tasks.

Law: importing this package loads nothing; each name is loaded when it is first used, and simpleeval with the first
expression that is parsed.
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
