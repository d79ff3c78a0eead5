"""Expressions against random input: never anything but ExpressionError, the meaning of Python, JSON in and JSON out."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.expressions import (
    FUNCTIONS,
    NAMESPACES,
    ExpressionError,
    Name,
    get_path,
    parse_expression,
    parse_name,
    parse_template,
)
from aether_protocol.expressions.values import ABSENT

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4), max_leaves=12
)
WORDS = """
and or not in if else && || ! == != < <= > >= + - * / // % ** ( ) [ ] { } , : . a.b tasks.x-y.z[0] {{a.b}} {{ }} {{{{
's' "t" 's 1 2.5 0 -1 1e9 99999999999 true false null None lambda for x := = @ ; \\ is __class__ .__class__ #
é 'a{{code}}' 'b{{' \x00
"""
TOKENS = st.sampled_from(
    [*WORDS.split(), " ", "\n", *(f"{name}(" for name in FUNCTIONS), *(f"{name}(x)" for name in FUNCTIONS)]
)
TEXTS = st.text(max_size=60) | st.lists(TOKENS, max_size=25).map(" ".join) | st.lists(TOKENS, max_size=25).map("".join)


def is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) is list:
        return all(map(is_json, value))
    if type(value) is dict:
        return all(type(key) is str and is_json(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, str)


def check_fault(fault: ExpressionError, text: str) -> None:
    assert fault.reason
    assert fault.offset is None or 0 <= fault.offset <= len(text)


@pytest.mark.rule("DATA-7")
@settings(max_examples=600, deadline=2000)
@given(TEXTS, VALUES)
def test_any_text_gives_json_or_an_expression_error(text: str, value: Any) -> None:
    try:
        result = parse_expression(text).evaluate(lambda name: value)
    except ExpressionError as fault:
        check_fault(fault, text)
    else:
        assert is_json(result)
        json.dumps(result)


@pytest.mark.rule("DATA-6")
@settings(max_examples=300, deadline=2000)
@given(TEXTS, VALUES)
def test_any_text_is_a_template_or_an_expression_error(text: str, value: Any) -> None:
    try:
        template = parse_template({"k": [text]}, NAMESPACES)
        result = template.resolve(lambda name: value)
    except ExpressionError as fault:
        check_fault(fault, text)
    else:
        assert is_json(result)
        if "{{" not in text:
            assert result == {"k": [text]}


@settings(max_examples=200)
@given(TEXTS)
def test_any_text_is_a_name_or_an_expression_error(text: str) -> None:
    try:
        name = parse_name(text)
    except ExpressionError:
        return
    assert name.text == text.strip()
    assert [found.segments for found in parse_expression("{{" + text + "}}").names] == [name.segments]


# --- against Python ---------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 50).map(str) | st.floats(0, 50).map(lambda x: f"{x:.3f}")
NUMERIC = st.recursive(
    NUMBERS | st.sampled_from(["world.a-b", "world.c"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
        st.builds("(-{})".format, inner),
        st.builds("(abs({}) ** {})".format, inner, st.integers(-3, 3)),
        st.builds("min({}, {})".format, inner, inner),
        st.builds("[{}, {}][{}]".format, inner, inner, st.integers(-2, 1)),
        st.builds("({} if {} < {} else {})".format, inner, inner, inner, inner),
        st.builds("round({})".format, inner),
    ),
    max_leaves=8,
)
LOGICAL = st.recursive(
    st.builds("({} {} {})".format, NUMERIC, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMERIC)
    | st.builds("({} in [{}, {}])".format, NUMERIC, NUMERIC, NUMERIC),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | st.builds("(not {})".format, inner)
    ),
    max_leaves=5,
)
WORLD = {"world": {"a-b": 7, "c": 2.5}}


@pytest.mark.rule("DATA-7")
@settings(max_examples=400, deadline=2000)
@given(NUMERIC | LOGICAL)
def test_operators_mean_what_they_mean_in_python(text: str) -> None:
    try:
        expected = eval(text.replace("world.a-b", "7").replace("world.c", "2.5"))
    except (ZeroDivisionError, OverflowError):
        expected = None
    try:
        result = parse_expression(text).evaluate(lambda name: get_path(WORLD, name.segments))
    except ExpressionError:
        # Besides Python's own errors, ours are infinite results and what is nested or long beyond the bounds.
        assert expected is None or expected in (math.inf, -math.inf) or expected != expected or len(text) > 300
        return
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.rule("DATA-7")
@settings(max_examples=200)
@given(VALUES, VALUES)
def test_equality_and_json_round_trips(left: Any, right: Any) -> None:
    def lookup(name: Name) -> Any:
        return left if name.text == "l" else right

    def value(text: str) -> Any:
        return parse_expression(text).evaluate(lookup)

    assert value("l == l") is True
    assert value("l == r") is not value("l != r")
    assert value("l == r") is value("r == l")
    assert value("l in [r, l]") is True
    assert value("fromjson(tojson(l)) == l") is True
    assert value("[l, {'k': r}]") == [left, {"k": right}]
    assert value("default(l, r) == (r if l == null else l)") is True
    assert value("str(l)") == (left if isinstance(left, str) else json.dumps(left, ensure_ascii=False, separators=(",", ":")))


@pytest.mark.rule("DATA-5")
@settings(max_examples=200)
@given(VALUES, st.text(max_size=10).filter(lambda text: "{" not in text))
def test_a_sole_placeholder_keeps_the_value_and_text_is_never_read_again(value: Any, around: str) -> None:
    assert parse_template("{{code}}", NAMESPACES).resolve(lambda name: value) == value
    nasty = "{{inputs.x}}{{{{"
    assert parse_template(around + " {{code}}", NAMESPACES).resolve(lambda name: nasty) == f"{around} {nasty}"
    assert parse_template("{{code}}x", NAMESPACES).names[0].text == "code"
    with pytest.raises(ExpressionError):
        parse_template("{{code}}x", NAMESPACES).resolve(lambda name: ABSENT)
