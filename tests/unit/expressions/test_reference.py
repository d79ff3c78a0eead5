"""The reference page: its examples hold, and its tables are those of the code. Run as a script it writes the tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.expressions import (
    FUNCTIONS,
    NAMESPACES,
    ExpressionError,
    Name,
    functions_more,
    get_path,
    limits,
    parse_expression,
    parse_template,
)
from aether_protocol.expressions.values import ABSENT, MAX_LEVELS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "expressions.md"
LIMITS = {
    "characters of an expression": limits.MAX_CHARACTERS,
    "operands and operations of an expression": limits.MAX_NODES,
    "depth of an expression": limits.MAX_DEPTH,
    "elements and characters of a value, keys included, counted together": limits.MAX_SIZE,
    "elements looked at in one evaluation": limits.MAX_WORK,
    "digits of an integer, about": limits.MAX_DIGITS,
    "depth of what `fromjson` reads": limits.MAX_JSON_DEPTH,
    "elements that `range` gives": functions_more.MAX_RANGE,
    "characters of a pattern, a query, a format": functions_more.MAX_PATTERN,
    "levels of nesting of a value": MAX_LEVELS,
    "characters that placeholders put into one text": limits.MAX_TEXT,
    "elements and characters of a list or object that placeholders are put into": limits.MAX_TEXT,
}


def tables(page: str) -> str:
    """The page with its two tables made anew."""
    functions = "".join(f"| `{signature}` | {description} |\n" for signature, description in FUNCTIONS.values())
    page = re.sub(
        r"(?s)(<!-- functions:[^\n]*-->\n).*(?=<!-- /functions -->)",
        lambda match: f"{match.group(1)}\n| function | gives |\n|---|---|\n{functions}\n",
        page,
    )
    bounds = "".join(f"| {what} | {format(limit, ',').replace(',', ' ')} |\n" for what, limit in LIMITS.items())
    return re.sub(
        r"(?s)(\| what \| limit \|\n\|---\|---\|\n).*\Z",
        lambda match: match.group(1) + bounds,
        page,
    )


def block(kind: str) -> list[str]:
    return re.findall(rf"(?s)```{kind}\n(.*?)```", PAGE.read_text("utf-8"))


def examples(kind: str) -> list[tuple[str, str, str]]:
    lines = "".join(block(kind)).splitlines()
    return [tuple(re.split(r"\s+(=>|!!) ", line, maxsplit=1)) for line in lines]  # type: ignore[misc]


def lookup(name: Name) -> Any:
    found = get_path(json.loads(block("json values")[0]), name.segments)
    return ABSENT if found is ABSENT else found


def check(run: Any, sign: str, expected: str) -> None:
    if sign == "=>":
        assert json.dumps(run(), ensure_ascii=False) == json.dumps(json.loads(expected), ensure_ascii=False)
    else:
        with pytest.raises(ExpressionError) as caught:
            run()
        assert expected in caught.value.reason


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize(("text", "sign", "expected"), examples("expressions"))
def test_expressions(text: str, sign: str, expected: str) -> None:
    check(lambda: parse_expression(text).evaluate(lookup), sign, expected)


@pytest.mark.rule("DATA-5", "DATA-6")
@pytest.mark.parametrize(("text", "sign", "expected"), examples("placeholders"))
def test_placeholders(text: str, sign: str, expected: str) -> None:
    check(lambda: parse_template(json.loads(text), NAMESPACES).resolve(lookup), sign, expected)


def test_there_are_examples() -> None:
    assert len(examples("expressions")) > 30
    assert len(examples("placeholders")) > 5


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text("utf-8")
    assert tables(page) == page


if __name__ == "__main__":
    PAGE.write_text(tables(PAGE.read_text("utf-8")), "utf-8")
