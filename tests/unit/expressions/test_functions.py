"""The functions of DATA-7, each with what it gives."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.expressions import FUNCTIONS, ExpressionError, parse_expression
from aether_protocol.expressions.values import ABSENT

CALLS: list[tuple[str, Any]] = [
    ("sorted(['b', 'B', 'a'])", ["B", "a", "b"]),
    ("sorted([2, 1.5, -1])", [-1, 1.5, 2]),
    ("sorted([])", []),
    ("unique([1, 1.0, true, 'a', null, 'a', null])", [1, True, "a", None]),
    ("unique([[1], [1.0], {'a': [1]}, {'a': [1.0]}, [true]])", [[1], {"a": [1]}, [True]]),
    ("range(0)", []),
    ("range(-3)", []),
    ("range(1, 4)", [1, 2, 3]),
    ("range(1, 10, 4)", [1, 5, 9]),
    ("range(9, 1, -4)", [9, 5]),
    ("len(range(100000))", 100_000),
    ("range(-(2 ** 4000), 2 ** 4000, 2 ** 3999)[3]", 2**3999),
    ("matches('caf\u00e9', '^.{4}$')", True),
    ("matches('a\\nb', '^b')", False),
    ("matches('', '')", True),
    ("matches('xay', 'a')", True),
    ("matches('A', '(?i)a')", True),
    ("query([{'a': 2}, {'a': 1}], 'sort_by(@, &a)[].a')", [1, 2]),
    ("query({'a': {'b': [1, 2]}}, 'a.b[1]')", 2),
    ("query(null, 'a')", None),
    ("formattime(0, '%Y-%m-%dT%H:%M:%S%:z')", "1970-01-01T00:00:00+00:00"),
    ("formattime(1.25, '%s.%f')", "1.250000"),
    ("formattime('2026-03-29T02:30:00+01:00', '%H:%M %z', 'Europe/Vienna')", "03:30 +0200"),
    ("formattime('2026-01-01t00:00:00.123456789z', '%f %I %p %y %j %a %u')", "123456 12 AM 26 001 Thu 4"),
    ("formattime(0, '%H:%M', '-05:30')", "18:30"),
    ("formattime(0, '100%%d')", "100%d"),
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
        "fromjson tojson keys values default sorted unique range matches query formattime"
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


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sorted([1, 'a'])", "numbers or of texts"),
        ("sorted([true, false])", "numbers or of texts"),
        ("range(100001)", "at most 100000"),
        ("range(2 ** 4000)", "at most 100000"),
        ("range(0, 1, 0)", "a step that is not 0"),
        ("range(1.5)", "integers, not number"),
        ("matches('a', '(')", "cannot read the pattern"),
        ("matches('a', '(a)\\\\1')", "cannot read the pattern"),
        ("matches('a', '" + "a" * 1001 + "')", "at most 1000 characters"),
        ("matches('a', '((a{100}){100}){100}')", "cannot read the pattern"),
        ("query({}, 'a[')", "cannot read the expression"),
        ("query({}, '')", "cannot read the expression"),
        ("query({'a': 1}, 'length(a)')", "failed: In function length"),
        ("query([1], '" + " | ".join(["[@, @]"] * 30) + "')", "too large"),
        ("query([1], '" + " | ".join(["[@, @]"] * 19) + " | to_string(@)')", "too large"),
        ("formattime('2026-13-01T00:00:00Z', '%Y')", "needs an instant such as"),
        ("formattime(1e18, '%Y')", "the years 1 to 9999"),
        ("formattime(-62135596800, '%Y', '-01:00')", "the years 1 to 9999"),
        ("formattime(0, '%Q')", "knows no '%Q'"),
        ("formattime(0, 'x%')", "knows no '%'"),
        ("formattime(0, '%Y', '../../etc/passwd')", "knows no time zone"),
        ("formattime(0, '%Y', 'Europe')", "knows no time zone"),
        ("formattime(true, '%Y')", "not boolean"),
    ],
)
def test_bounds_and_misfits_of_aethers_own_functions(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text).evaluate(lambda name: None)
    assert reason in caught.value.reason


@pytest.mark.rule("DATA-7")
def test_a_pattern_takes_linear_time() -> None:
    """Backtracking would take longer than the universe is old; a step more for each character is far below the time limit."""
    text = "a" * 200_000
    assert parse_expression("matches(x, '^(a|a?)+(a*)*b$')").evaluate(lambda name: text) is False
