"""What expressions mean (DATA-7, DATA-8): one table of texts against values, one of texts against reasons and offsets."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.expressions import ExpressionError, Name, get_path, parse_expression
from aether_protocol.expressions.values import ABSENT, SecretValue

WORLD: dict[str, Any] = {
    "tasks": {
        "fetch-data": {"phase": "Succeeded", "outputs": {"parameters": {"rows": [{"id": 1}, {"id": 2}], "n": 5}}},
        "import": {"x": 3},
        "if": {"class": {"not": "yes"}},
    },
    "inputs": {"parameters": {"name": "Ada", "empty": "", "none": None, "odd key": 7, "flag": True, "größe": 4}},
    "iterator": {"index": 1, "item": ["a", "b"]},
    "loop_iter": {"index": 2},
    "values": {"min": 9},
    "phase": "Failed",
    "_x": 1,
}


def lookup(name: Name) -> Any:
    return get_path(WORLD, name.segments)


def value(text: str) -> Any:
    return parse_expression(text).evaluate(lookup)


VALUES: list[tuple[str, Any]] = [
    # literals
    ("1", 1),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("0", 0),
    ("'a'", "a"),
    ('"a\\"b"', 'a"b'),
    (r"'\u00e9\n'", "é\n"),
    (r"'\ud83d\ude00'", "😀"),
    (r"'\d'", r"\d"),
    ("[true, True, false, False, null, None]", [True, True, False, False, None, None]),
    ("{'a': 1, 'b': [2]}", {"a": 1, "b": [2]}),
    ("[]", []),
    ("{}", {}),
    ("[1, 2,]", [1, 2]),
    # names
    ("tasks.fetch-data.phase", "Succeeded"),
    ("tasks.import.x", 3),
    ("tasks.if.class.not", "yes"),
    ("_x", 1),
    ("tasks.fetch-data.outputs.parameters.rows[0].id", 1),
    ("tasks.fetch-data.outputs.parameters.rows[-1].id", 2),
    ("tasks.fetch-data.outputs.parameters.rows[iterator.index].id", 2),
    ("inputs.parameters.größe", 4),
    ("inputs.parameters['odd key']", 7),
    ('inputs.parameters["name"]', "Ada"),
    ("inputs.parameters.name[0]", "A"),
    ("{{tasks.import.x}} + 1", 4),
    ("{{ tasks.import.x }}==3", True),
    ("{'a': {{tasks.import.x}}}", {"a": 3}),
    ("values.min", 9),
    ("values.min + 0", 9),
    ("phase == 'Failed'", True),
    ("tasks.import.x - 1", 2),
    ("tasks.import.x -1", 2),
    ("tasks.import.x- 1", 2),
    ("tasks.import.x-1", None),
    # absent is null
    ("tasks.nope.outputs.parameters.x", None),
    ("tasks.nope == null", True),
    ("default(tasks.nope.x, 4)", 4),
    ("tasks.fetch-data.outputs.parameters.rows[7].id", None),
    ("[1, 2][5]", None),
    ("{'a': 1}['b']", None),
    ("null[0]", None),
    ("{'a': {'b': 2}}.a.b", 2),
    ("fromjson('[{\"k\": 5}]')[0].k", 5),
    ("(1).real", None),
    # operators
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("7 // 2", 3),
    ("-7 // 2", -4),
    ("7 % 3", 1),
    ("7 / 2", 3.5),
    ("2 ** 10", 1024),
    ("2 ** -1", 0.5),
    ("-2 ** 2", -4),
    ("+3", 3),
    ("- -3", 3),
    ("1 - -1", 2),
    ("'a' + 'b'", "ab"),
    ("[1] + [2]", [1, 2]),
    ("'ab' * 2", "abab"),
    ("2 * [0]", [0, 0]),
    ("'a' * -1", ""),
    ("(-1) ** 1000000001", -1),
    ("1 == 1.0", True),
    ("1 != 2", True),
    ("1 < 2 < 3", True),
    ("1 < 3 < 2", False),
    ("'a' < 'b'", True),
    ("[1, 2] < [1, 3]", True),
    ("[1] < [1, 2]", True),
    ("2 in [1, 2]", True),
    ("'b' in 'abc'", True),
    ("'a' in {'a': 1}", True),
    ("1 in {'a': 1}", False),
    ("3 not in [1, 2]", True),
    ("2 in[1]", False),
    ("[1] in [[1]]", True),
    ("true and false", False),
    ("true && !false", True),
    ("false || true", True),
    ("not 0", True),
    ("!true", False),
    ("!!true", True),
    ("0 or 'x'", "x"),
    ("1 and 'x'", "x"),
    ("1 if true else 2", 1),
    ("1 if 0 else 2 if 0 else 3", 3),
    ("'&& || !' == '&& || !'", True),
    # booleans are no numbers
    ("true == 1", False),
    ("1 == true", False),
    ("true != 1", True),
    ("0 == false", False),
    ("1 in [true]", False),
    ("[1] == [true]", False),
    ("{'a': 0} == {'a': false}", False),
    ("true == true", True),
    ("true in [0, true]", True),
    # laziness
    ("false and 1/0", False),
    ("true or 1/0", True),
    ("1 if true else 1/0", 1),
    # quoted text with a placeholder holds the value as text
    ("'{{tasks.import.x}}' == '3'", True),
    ("'x={{inputs.parameters.name}}!'", "x=Ada!"),
    ("'{{other.x}}'", "{{other.x}}"),
    ("'{{{{tasks.x}}'", "{{tasks.x}}"),
    ("'{{tasks.nope}}'", "null"),
    (" \n1\t+\n2 ", 3),
]


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_value(text: str, expected: Any) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


FAULTS: list[tuple[str, int, str]] = [
    # the text is none
    ("", 0, "empty"),
    ("  ", 0, "empty"),
    ("1 +", 3, "ends too early"),
    ("1 + ", 3, "ends too early"),
    ("* 1", 0, "value is missing"),
    ("1 2", 2, "operator is missing"),
    ("'a' 'b'", 4, "operator is missing"),
    ("(1", 0, "never closed"),
    ("1)", 1, "closes nothing"),
    ("[1)", 2, "closes nothing"),
    ("'abc", 0, "never closed"),
    ("a = 1", 2, "=="),
    ("a & b", 2, "&&"),
    ("a := 1", 3, "=="),
    ("tasks..x", 5, "field is missing"),
    ("tasks.", 5, "field is missing"),
    ("(1).", 3, "field is missing"),
    ("a.b.c()", 0, "cannot be called"),
    ("foo(1)", 0, "unknown function 'foo'"),
    ("'a'.upper()", 3, "unexpected '.'"),
    ("(1)(2)", 3, "only functions"),
    ("len()", 0, "does not take 0 arguments"),
    ("len(1, 2)", 0, "does not take 2"),
    ("default(1)", 0, "1 argument"),
    ("1_000", 0, "not a number"),
    ("0x10", 0, "not a number"),
    ("007", 0, "not a number"),
    ("1.2.3", 0, "not a number"),
    ("1e999", 0, "too large"),
    ("1j", 0, "not a number"),
    ("²", 0, "not a number"),
    ("@", 0, "unexpected '@'"),
    ("a;b", 1, "unexpected ';'"),
    ("`a`", 0, "unexpected"),
    ("[x for x in y]", 3, "operator is missing"),
    ("lambda: 1", 6, "unexpected ':'"),
    ("{1, 2}", 0, "key: value"),
    ("(1, 2)", 0, "brackets"),
    ("()", 0, "brackets"),
    ("x[1:2]", 2, "slices"),
    ("len(*x)", 4, "value is missing"),
    ("{**x}", 1, "value is missing"),
    ("f'{x}'", 1, "operator is missing"),
    ("x if y", 0, "else"),
    ("a == !b", 5, "brackets"),
    ("a is b", 2, "operator is missing"),
    ("{{a", 0, "placeholder"),
    ("{{a b}}", 0, "placeholder"),
    ("'{{tasks..x}}'", 1, "malformed placeholder"),
    (r"'\ud800'", 0, "surrogate"),
    ("len(x=1)", 5, "=="),
    ("len x", 4, "operator is missing"),
    ("1 not 2", 6, "unexpected '2'"),
    ("a.\x00", 1, "field is missing"),
    ("é é", 2, "operator is missing"),
    # the values do not fit
    ("1/0", 1, "division by zero"),
    ("1 // 0", 2, "division by zero"),
    ("1 % 0", 2, "division by zero"),
    ("0 ** -1", 2, "division by zero"),
    ("1 + 'a'", 2, "+ does not work on integer and string"),
    ("'a' - 1", 4, "- does not work"),
    ("'%s' % 1", 5, "% does not work"),
    ("'a' + null", 4, "string and null"),
    ("true + 1", 5, "boolean and integer"),
    ("-true", 0, "boolean"),
    ("true < 2", 5, "boolean"),
    ("null > 3", 5, "null and integer"),
    ("1 < 'a'", 2, "integer and string"),
    ("{} < {}", 3, "object and object"),
    ("1 in 5", 2, "integer"),
    ("1 in 'a'", 2, "text in text"),
    ("1 in null", 2, "null"),
    ("[1][true]", 4, "index"),
    ("[1][null]", 4, "index"),
    ("{1: 2}", 1, "key"),
    ("(-8) ** 0.5", 5, "no real result"),
    ("len(5)", 0, "len() needs"),
    ("1 + len(null)", 4, "len() needs"),
    ("max([])", 0, "of nothing"),
    ("max(1, 'a')", 0, "max()"),
    ("sum(['a'])", 0, "sum() needs"),
    ("sum([true])", 0, "boolean"),
    ("int('x')", 0, "cannot read 'x'"),
    ("int('1_0')", 0, "cannot read"),
    ("float('nan')", 0, "cannot read"),
    ("split('a', '')", 0, "separator"),
    ("fromjson('{')", 0, "cannot read"),
    ("fromjson('NaN')", 0, "NaN"),
    ("fromjson('1e999')", 0, "not finite"),
    ("lower(1)", 0, "lower() needs text, not integer"),
    ("('abc' + tasks.nope) == 1", 7, "string and null"),
    ("(1) < ((null))", 4, "null"),
    ("[1, 2, 1 // (0)]", 9, "division"),
    ("{{tasks.import.x}} + 'a'", 19, "+ does not work"),
    ("'é' + 1", 4, "+ does not work"),
]


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize(("text", "offset", "reason"), FAULTS)
def test_fault(text: str, offset: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert reason in caught.value.reason
    assert caught.value.offset == offset


LARGE = [
    "9**9**9",
    "4000000**4000000",
    "2**5000",
    "9" * 2000,
    "'a' * 1000001",
    "[0] * 1000001",
    "'ab' * 10**9",
    "10**1000 * 10**1000",
    "[[0] * 1000] * 1001",
    "replace('a' * 1000, '', 'b' * 10000)",
    "replace('a' * 1000000, 'a', 'bb')",
    "join('x' * 900000, [1, 2, 3])",
    "join(['x' * 900000] * 2)",
    "tojson(['x' * 600000, 'y' * 600000])",
    "str([[0] * 1000] * 1001)",
    "'a' * 600000 + 'b' * 600000",
    "[0] * 600000 + [0] * 600000",
    "1e308 * 10",
    "2.0 ** 100000",
    "10**400 / 3",
    "float('9' * 400)",
    "round(5, -1000000000)",
    "split('a' * 1000000, 'a')",
    "[" * 5000,
    "(" * 5000 + ")" * 5000,
    "-" * 9000 + "1",
    "not " * 2000 + "1",
    "1" + "+1" * 4000,
    "1" + "**1" * 3000,
    "1" + " if 1 else 1" * 800,
    "[" + "1," * 4000 + "]",
    "x" * 10001,
    "{'a':" * 1500 + "1" + "}" * 1500,
    "len(" * 2000 + ")" * 2000,
    "fromjson('" + "[" * 4000 + "]" * 4000 + "')",
    "fromjson('" + "9" * 5000 + "')",
    "a" + "[0]" * 3000 + "(",
    "a" + "['k']" * 1900 + " b",
    "[" + ",".join(["'a' * 1000000"] * 120) + "]",
    "[" + " == ".join(["[0] * 900000"] * 60) + "]",
    "int('" + "9" * 5000 + "')",
    "upper('ß' * 1000000)",
    "max([[0] * 900000] * 9 + [1])",
    "'a' * 1000000 in ['b' * 1000000] * 900000 + ['c'] * 900000",
    "sum([10**1233] * 900000) * sum([1] * 900000) * sum([1] * 900000) * sum([1] * 900000) * sum([1] * 900000)",
]


@pytest.mark.rule("DATA-7")
@pytest.mark.parametrize("text", LARGE, ids=range(len(LARGE)))
def test_bounds_hold(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    assert len(caught.value.reason) < 200


def test_what_is_just_within_bounds() -> None:
    assert value("len('a' * 1000000)") == 1_000_000
    assert value("len(str(9 ** 1000))") == 955
    assert value("'" + "a" * 9998 + "'") == "a" * 9998
    assert value("(" * 60 + "1" + ")" * 60) == 1
    assert value("[" + "1," * 398 + "1]") == [1] * 399
    assert value(" or ".join(["0"] * 399)) == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**2000])
def test_a_number_from_outside_is_bounded_too(number: float) -> None:
    for text in ("x", "x + 1", "x == 1", "[x]", "{'a': y}", "y[0]", "str(y)"):
        with pytest.raises(ExpressionError):
            parse_expression(text).evaluate(lambda name: number if name.text == "x" else [number])


def test_data_nested_deeper_than_the_stack_is_an_error() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for text in ("x", "x == x", "tojson(x)", "[x]", "str(x)", "x in [x]", "x < [x]", "join(x)"):
        with pytest.raises(ExpressionError, match="nested too deeply"):
            parse_expression(text).evaluate(lambda name: deep)


@pytest.mark.rule("DATA-12")
@pytest.mark.parametrize(
    "text",
    [
        "s",
        "s == 'a'",
        "s and 1",
        "len(s)",
        "default(s, 1)",
        "[s]",
        "str(s)",
        "'x{{inputs.s}}'",
        "n",
        "tojson(n)",
        "n == 1 or n == [1]",
        "join(n)",
        "values(o)",
        "o.k",
        "o['k']",
        "n[0]",
        "[n[i]]",
        "1 in n",
        "not (o == {'k': 1})",
        "max(n)",
        "sum(n)",
        "'{{inputs.n}}'",
    ],
)
def test_secrets_cannot_be_used(text: str) -> None:
    secret = SecretValue((("db", "password"),))
    world = {"s": secret, "n": [secret], "o": {"k": secret}, "i": 0}

    def look(name: Name) -> Any:
        return get_path(world, name.segments[1:] if name.root == "inputs" else name.segments)

    with pytest.raises(ExpressionError) as caught:
        parse_expression(text).evaluate(look)
    assert "secret" in caught.value.reason or "not string" in caught.value.reason
    assert "password" not in caught.value.reason


def test_names_are_listed_once_with_their_first_offset() -> None:
    expression = parse_expression("a.b > 1 and {{c}} and a.b < '{{tasks.t.phase}}' and d[0].e-f['x y']")
    assert [name.text for name in expression.names] == ["a.b", "c", "tasks.t.phase", "d[0].e-f['x y']"]
    assert [name.segments for name in expression.names][-1] == ("d", 0, "e-f", "x y")
    assert expression.offsets == (0, 12, 28, 52)
    assert expression.text.startswith("a.b > 1")


def test_a_placeholder_in_quotes_is_filled_in_under_known_namespaces_alone() -> None:
    text = "'{{deploy.cluster}} {{other.x}}'"
    assert parse_expression(text, frozenset({"deploy"})).evaluate(lambda name: "east") == "east {{other.x}}"
    assert parse_expression(text).evaluate(lambda name: "east") == "{{deploy.cluster}} {{other.x}}"
    assert parse_expression("other.x", frozenset()).evaluate(lambda name: 1) == 1


def test_names_are_looked_up_only_when_needed() -> None:
    asked: list[str] = []

    def look(name: Name) -> Any:
        asked.append(name.text)
        return False

    assert parse_expression("a and b.c").evaluate(look) is False
    assert asked == ["a"]


def test_an_error_of_the_lookup_gets_the_place_of_the_name() -> None:
    def look(name: Name) -> Any:
        raise ExpressionError(f"unknown {name.text}")

    with pytest.raises(ExpressionError, match="unknown b") as caught:
        parse_expression("1 + b").evaluate(look)
    assert caught.value.offset == 4


CONDITIONS = [("true", True), ("false", False), ("'true'", True), ("'false'", False), ("1 == 1", True), ("a", True)]


@pytest.mark.rule("DATA-8")
@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
def test_condition(text: str, expected: bool) -> None:
    assert parse_expression(text).condition(lambda name: "true") is expected


@pytest.mark.rule("DATA-8")
@pytest.mark.parametrize("text", ["1", "0", "null", "'True'", "'yes'", "''", "[]", "a", "1/0"])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text).condition(lambda name: ABSENT)
