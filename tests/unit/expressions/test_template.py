"""Placeholders in values (DATA-5, DATA-6, DATA-13) and names on their own."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.expressions import NAMESPACES, ExpressionError, Name, get_path, parse_name, parse_template
from aether_protocol.expressions.values import ABSENT, SecretValue

SECRET = SecretValue((("db", "password"),))
WORLD: dict[str, Any] = {
    "inputs": {
        "parameters": {"n": 5, "s": "{{inputs.parameters.n}}", "list": [1, {"a": None}], "t": True, "f": 1.5, "null": None}
        | {"secret": SECRET, "holds": [SECRET], "a-b": "é"}
    },
    "tasks": {"t": {"phase": None}},
}


def lookup(name: Name) -> Any:
    return get_path(WORLD, name.segments)


def resolve(value: Any) -> Any:
    return parse_template(value, NAMESPACES).resolve(lookup)


RESOLVED: list[tuple[Any, Any]] = [
    ("plain", "plain"),
    (5, 5),
    (None, None),
    ("", ""),
    ({"a": []}, {"a": []}),
    ("{{inputs.parameters.n}}", 5),
    ("{{ inputs.parameters.n }}", 5),
    ("{{\ninputs.parameters.n\t}}", 5),
    ("{{inputs.parameters.list[1].a}}", None),
    ("{{inputs.parameters.list}}", [1, {"a": None}]),
    ("n={{inputs.parameters.n}}", "n=5"),
    (" {{inputs.parameters.n}}", " 5"),
    ("{{inputs.parameters.t}}{{inputs.parameters.f}}", "true1.5"),
    ("<{{inputs.parameters.list}}>", '<[1,{"a":null}]>'),
    ("{{inputs.parameters.a-b}}-", "é-"),
    ("{{inputs.parameters.null}}!", "null!"),
    ("{{tasks.t.phase}}", None),
    ("{{inputs.parameters.s}}", "{{inputs.parameters.n}}"),
    ("x{{inputs.parameters.s}}", "x{{inputs.parameters.n}}"),  # not read again
    ("{{other.x}}", "{{other.x}}"),
    ("{{ .Values.x }} {{}} {{ }} {{-x}}", "{{ .Values.x }} {{}} {{ }} {{-x}}"),
    ("{{message}}", "{{message}}"),
    ("{{{{", "{{"),
    ("{{{{inputs.parameters.n}}", "{{inputs.parameters.n}}"),
    ("{{{{{{{{", "{{{{"),
    ("{", "{"),
    ("}}", "}}"),
    ("{{", "{{"),
    ("{{{", "{{{"),
    ("{{{inputs.parameters.n}}}", "{5}"),
    ("{{other {{inputs.parameters.n}} }}", "{{other 5 }}"),
    ('{"a":{{inputs.parameters.n}}}', '{"a":5}'),
    ({"a": ["{{inputs.parameters.n}}", "x", {"{{inputs.parameters.n}}": 1}]}, {"a": [5, "x", {"{{inputs.parameters.n}}": 1}]}),
    ('{{inputs.parameters["n"]}}', 5),
    (["{{{{"], ["{{"]),
    ({"k": "{{{{"}, {"k": "{{"}),
    ("a{{inputs.parameters.secret}}b", SecretValue(("a", ("db", "password"), "b"))),
    ("{{inputs.parameters.secret}}", SECRET),
    (["{{inputs.parameters.secret}}{{inputs.parameters.n}}!"], [SecretValue((("db", "password"), "5!"))]),
]


@pytest.mark.rule("DATA-5", "DATA-6")
@pytest.mark.parametrize(("value", "expected"), RESOLVED)
def test_resolve(value: Any, expected: Any) -> None:
    result = resolve(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.rule("DATA-6")
@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("{{inputs..x}}", 0),
        ("a {{ tasks.t.phase", 2),
        ("{{tasks.a b}}", 0),
        ("{{code == 1}}", 0),
        ("{{inputs.}}", 0),
        ("{{workflow|upper}}", 0),
    ],
)
def test_malformed(text: str, offset: int) -> None:
    with pytest.raises(ExpressionError, match="malformed placeholder") as caught:
        parse_template({"a": [text]}, NAMESPACES)
    assert caught.value.offset == offset
    assert caught.value.path == ("a", 0)


@pytest.mark.rule("DATA-13")
def test_absent() -> None:
    assert resolve("{{tasks.u.phase}}") is ABSENT
    for value in ("x {{tasks.u.phase}}", ["{{tasks.u.phase}}"], {"a": {"b": "{{tasks.u.phase}}"}}):
        with pytest.raises(ExpressionError, match=r"'tasks.u.phase' has no value"):
            resolve(value)


@pytest.mark.rule("DATA-12")
def test_a_container_with_a_secret_cannot_become_text() -> None:
    assert resolve("{{inputs.parameters.holds}}") == [SECRET]
    with pytest.raises(ExpressionError, match="secret") as caught:
        resolve("x{{inputs.parameters.holds}}")
    assert "password" not in str(caught.value)
    assert repr(SECRET) == "***"


def test_injected_namespaces_are_known_by_being_given() -> None:
    template = parse_template("{{deploy.cluster}} {{other.x}}", NAMESPACES | {"deploy"})
    assert template.resolve(lambda name: "east") == "east {{other.x}}"


def test_literal_sole_and_places() -> None:
    literal = {"a": ["x"]}
    template = parse_template(literal, NAMESPACES)
    assert template.literal
    assert template.resolve(lookup) is literal
    assert template.names == ()
    assert template.sole is None
    sole = parse_template("{{ tasks.t }}", NAMESPACES)
    assert not sole.literal
    assert sole.sole == Name("tasks.t", ("tasks", "t"))
    nested = parse_template({"a": ["x {{tasks.t}}"], "b": "{{tasks.t}} {{code}}"}, NAMESPACES)
    assert nested.sole is None
    assert nested.raw["b"] == "{{tasks.t}} {{code}}"
    assert [name.text for name in nested.names] == ["tasks.t", "code"]
    assert nested.places == ((("a", 0), 2), (("b",), 12))


def test_text_is_bounded() -> None:
    template = parse_template("{{code}}" * 11, NAMESPACES)
    with pytest.raises(ExpressionError, match="too long"):
        template.resolve(lambda name: "x" * 1_000_000)


def test_deep_values_are_errors_and_not_crashes() -> None:
    deep: Any = "{{code}}"
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse_template(deep, NAMESPACES)
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse_template("x{{code}}", NAMESPACES).resolve(lambda name: deep)


def test_an_error_of_the_lookup_gets_its_place() -> None:
    def look(name: Name) -> Any:
        raise ExpressionError("unknown")

    with pytest.raises(ExpressionError) as caught:
        parse_template(["", "ab{{code}}"], NAMESPACES).resolve(look)
    assert (caught.value.offset, caught.value.path) == (2, (1,))


@pytest.mark.rule("DATA-4")
@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("tasks.a-b.outputs", ("tasks", "a-b", "outputs")),
        ("  x ", ("x",)),
        ("a[0][-1].b", ("a", 0, -1, "b")),
        ("a['b c'].0", ("a", "b c", "0")),
        ("2nd.x", ("2nd", "x")),
    ],
)
def test_parse_name(text: str, segments: tuple[str | int, ...]) -> None:
    name = parse_name(text)
    assert name.segments == segments
    assert name.text == text.strip()
    assert name.root == segments[0]


@pytest.mark.parametrize("text", ["", " ", "a..b", ".a", "a.", "a b", "{{a}}", "a[x]", "a[1", "a()", "-a", "a-", "a.b-"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_name(text)


def test_get_path_walks_data_and_nothing_else() -> None:
    assert get_path({"a": [1]}, ("a", 0)) == 1
    assert get_path({"a": None}, ("a",)) is None
    for value, path in [
        ({}, ("a",)),
        ([1], (1,)),
        ([1], ("0",)),
        ({"0": 1}, (0,)),
        ("a", ("upper",)),
        (SECRET, ("parts",)),
        (5, ("real",)),
    ]:
        assert get_path(value, path) is ABSENT
    assert get_path(ABSENT, ("a",)) is ABSENT
