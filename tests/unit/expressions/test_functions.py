"""The functions of DATA-7, each with what it gives."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.expressions import FUNCTIONS, ExpressionError, parse_expression
from aether_protocol.expressions.values import ABSENT

CALLS: list[tuple[str, Any]] = [
    ("len('abc')", 3),
    ("len([1])", 1),
    ("len({'a': 1})", 1),
    ("len('')", 0),
    ("min(3, 1, 2)", 1),
    ("min([2, 1.5])", 1.5),
    ("max('a', 'b')", "b"),
    ("max([5])", 5),
    ("sum([1, 2, 3.5])", 6.5),
    ("sum([])", 0),
    ("abs(-3)", 3),
    ("abs(2.5)", 2.5),
    ("round(2.5)", 2),
    ("round(3.5)", 4),
    ("round(2.345, 1)", 2.3),
    ("round(1234, -2)", 1200),
    ("round(7)", 7),
    ("int(3.9)", 3),
    ("int(-3.9)", -3),
    ("int(' 42 ')", 42),
    ("int('-7')", -7),
    ("int(true)", 1),
    ("float('1.5')", 1.5),
    ("float(2)", 2.0),
    ("float('1e3')", 1000.0),
    ("float(false)", 0.0),
    ("str(1)", "1"),
    ("str('a')", "a"),
    ("str(null)", "null"),
    ("str(true)", "true"),
    ("str([1, 'a'])", '[1,"a"]'),
    ("str(1.0)", "1.0"),
    ("bool('false')", False),
    ("bool('true')", True),
    ("bool('x')", True),
    ("bool('')", False),
    ("bool(0)", False),
    ("bool([])", False),
    ("bool(null)", False),
    ("bool({'a': 1})", True),
    ("lower('AbC')", "abc"),
    ("upper('AbC')", "ABC"),
    ("strip('  a ')", "a"),
    ("strip('xxaxx', 'x')", "a"),
    ("split(' a  b ')", ["a", "b"]),
    ("split('a,b,', ',')", ["a", "b", ""]),
    ("join(['a', 1, true, null], '-')", "a-1-true-null"),
    ("join('-', ['a', 'b'])", "a-b"),
    ("join(['a', 'b'])", "ab"),
    ("join([], ',')", ""),
    ("startswith('abc', 'ab')", True),
    ("endswith('abc', 'bc')", True),
    ("startswith('abc', 'bc')", False),
    ("contains('abc', 'b')", True),
    ("contains([1, 2], 2)", True),
    ("contains({'a': 1}, 'a')", True),
    ("contains([1], true)", False),
    ("replace('aba', 'a', 'x')", "xbx"),
    ("replace('ab', '', '-')", "-a-b-"),
    ("fromjson('{\"a\": [1, 2.5, null]}')", {"a": [1, 2.5, None]}),
    ("fromjson('\"x\"')", "x"),
    ("tojson({'a': [1, 'b']})", '{"a":[1,"b"]}'),
    ("tojson('a')", '"a"'),
    ("tojson('é')", '"é"'),
    ("fromjson(tojson([1, {}]))", [1, {}]),
    ("keys({'b': 1, 'a': 2})", ["b", "a"]),
    ("values({'b': 1, 'a': 2})", [1, 2]),
    ("default(null, 1)", 1),
    ("default(0, 1)", 0),
    ("default('', 1)", ""),
    ("default(absent.x, 'y')", "y"),
    ("len (  'ab' )", 2),
    ("max(min([1, 2]), len('abc'))", 3),
]


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize(("text", "expected"), CALLS)
def test_call(text: str, expected: Any) -> None:
    result = parse_expression(text).evaluate(lambda name: ABSENT)
    assert result == expected
    assert type(result) is type(expected)


def test_the_list_is_fixed() -> None:
    listed = (
        "len min max sum abs round int float str bool lower upper strip split join startswith endswith contains replace "
        "fromjson tojson keys values default"
    )
    assert list(FUNCTIONS) == listed.split()
    assert all(any(text.startswith(f"{name}(") for text, _ in CALLS) for name in FUNCTIONS)


@pytest.mark.parametrize(("name", "hint"), [("length", "len()"), ("toJSON", "tojson()"), ("xyz", "the functions are len, min")])
def test_an_unknown_function_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ExpressionError, match=f"unknown function '{name}'") as caught:
        parse_expression(f"{name}(1)")
    assert hint in (caught.value.hint or "")


def test_a_function_s_name_alone_is_a_name() -> None:
    assert [name.text for name in parse_expression("len + values.x").names] == ["len", "values.x"]
