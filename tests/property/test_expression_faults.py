"""Every operator and function on values that Python's own refuse: nothing but ExpressionError comes out, and every result is
JSON that a store can hold (DATA-7)."""

from __future__ import annotations

import json
import math
import re
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.expressions import NAMESPACES, ExpressionError, parse_expression, parse_template
from aether_protocol.expressions.functions import TABLE
from aether_protocol.expressions.operators import BINARY, COMPARE
from aether_protocol.expressions.values import MAX_LEVELS


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


HUGE = 2**4096
NUMBERS: list[Any] = [0, 1, -1, 2, 90, 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, HUGE, -HUGE, HUGE + 1, 10**5000]
FLOATS: list[Any] = [0.0, -0.0, 1.5, -1.5, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan]
TEXTS: list[Any] = ["", "a", "ab" * 10, "1" * 5000, "1e999", "-1", "0x1", "\u0661", "true", "\ud800", "\udc00x"]
LONG: Any = "x" * 1_000_001
JSONS: list[Any] = ["[1,2]", '"\\ud800"', "NaN", "[1e400]", '{"\\udfff": 1}', "9" * 2000, "[" * 500 + "]" * 500]
LISTS: list[Any] = [[], [1], ["a", ""], [[]], [math.nan], ["\ud800"], [10**5000], [1e308, 1e308], [True, 1], [HUGE] * 2]
OBJECTS: list[Any] = [{}, {"a": 1}, {"\ud800": 1}, {"a": {"b": [None]}}, {"": ""}, {1: 2}, nested(190), nested(5000)]
ODD: list[Any] = [None, True, False, *NUMBERS, *FLOATS, *TEXTS, LONG, *JSONS, *LISTS, *OBJECTS]

OPERATIONS = [
    *(f"a {symbol} b" for symbol, _ in (*BINARY.values(), *COMPARE.values())),
    *("-a", "+a", "not a", "(a)[b]", "[a, b]", "{a: b}", "'x{{code}}'", "a and b", "a or b", "a if b else c", "a < b < c"),
    *(f"{name}({', '.join('abc'[:count])})" for name, row in TABLE.items() for count in range(row.least, (row.most or 3) + 1)),
]


def stored(value: Any) -> None:
    """Fails unless `value` is JSON that any store and any reader can hold."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(json.dumps(value)) == value


def told(fault: ExpressionError) -> None:
    assert fault.reason
    assert "\n" not in fault.reason


def check(text: str, values: tuple[Any, ...]) -> None:
    names = dict(zip(("a", "b", "c"), values, strict=False)) | {"code": values[0]}
    try:
        result = parse_expression(text, NAMESPACES).evaluate(lambda name: names[name.text])
    except ExpressionError as fault:
        told(fault)
        return
    stored(result)


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize("text", OPERATIONS)
def test_odd_values_give_json_or_an_expression_error(text: str) -> None:
    """All pairs of them; of three values every third."""
    names = set(re.findall(r"\b[abc]\b", text))
    for values in product(*[ODD if len(names) < 3 else ODD[::3]] * max(len(names), 1)):
        check(text, (*values, 0, 0)[:3])


LEAVES = (
    st.integers(0, len(ODD) - 1).map(lambda place: ODD[place])  # by its place: what is that long has no repr
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.text(alphabet=st.characters(categories=["Cs", "L", "N"]), max_size=4)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5
)


@pytest.mark.rule("DATA-7")
@settings(max_examples=800, deadline=5000)
@given(st.sampled_from(OPERATIONS), VALUES, VALUES, VALUES)
def test_any_values_give_json_or_an_expression_error(text: str, a: Any, b: Any, c: Any) -> None:
    check(text, (a, b, c))


@pytest.mark.rule("DATA-7")
@settings(max_examples=500, deadline=5000)
@given(st.lists(st.sampled_from(OPERATIONS), min_size=2, max_size=4), VALUES, VALUES, VALUES)
def test_operations_within_operations(texts: list[str], a: Any, b: Any, c: Any) -> None:
    whole = texts[0]
    for text in texts[1:]:
        whole = text.replace("a", "\0", 1).replace("\0", f"({whole})") if text.startswith(("a ", "(a)", "[a")) else whole
    check(whole, (a, b, c))


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize("text", ['"" * 9223372036854775808', "[] * 2 ** 64", "2 ** 4000 * ''", "'' * -1", "[] * -(2 ** 64)"])
def test_nothing_repeated_however_often_is_nothing(text: str) -> None:
    assert parse_expression(text).evaluate(lambda name: None) in ("", [])


@pytest.mark.rule("DATA-5")
@settings(max_examples=300, deadline=5000)
@given(VALUES, st.sampled_from(["{{code}}!", "[{{code}}", '{"a": {{code}}}']))
def test_any_value_is_written_into_text_or_refused(value: Any, text: str) -> None:
    try:
        result = parse_template([text], NAMESPACES).resolve(lambda name: value)
    except ExpressionError as fault:
        told(fault)
        return
    stored(result)


@pytest.mark.rule("DATA-5")
@pytest.mark.parametrize(
    ("template", "turns"), [(["{{code}}"], 300), ({"k": {"l": "{{code}}"}}, 300), (["{{code}}"] * 1000, 4)]
)
def test_values_that_grow_from_turn_to_turn_end_in_an_error(template: Any, turns: int) -> None:
    parsed = parse_template(template, NAMESPACES)

    def grow(value: Any) -> None:
        for _ in range(turns):
            value = parsed.resolve(lambda name, held=value: held)

    with pytest.raises(ExpressionError, match=r"too deeply|too large"):
        grow(["x"])
    json.dumps(nested(MAX_LEVELS - 1))  # what is allowed can be written
