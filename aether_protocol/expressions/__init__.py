"""Expressions and placeholders (DATA-5 to DATA-8): parse once, evaluate many. Pure; knows nothing of tasks.

Law: importing this stays light; simpleeval is imported with the first expression that is parsed.
"""

from __future__ import annotations

from aether_protocol.expressions.expression import Expression, parse_expression
from aether_protocol.expressions.functions import FUNCTIONS
from aether_protocol.expressions.names import NAMESPACES, ExpressionError, Lookup, Name, get_path, parse_name
from aether_protocol.expressions.template import Template, parse_template

__all__ = [
    "FUNCTIONS",
    "NAMESPACES",
    "Expression",
    "ExpressionError",
    "Lookup",
    "Name",
    "Template",
    "get_path",
    "parse_expression",
    "parse_name",
    "parse_template",
]
