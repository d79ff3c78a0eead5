"""DOC-1, DOC-6: whatever the bytes, diagnostics come back. Run with ruamel's C parser and with its Python one."""

from __future__ import annotations

import codecs
import json
import time

import pytest

from aether_protocol.documents import yaml_text
from aether_protocol.documents.load import LoadedFile, load_bytes, load_value
from aether_protocol.documents.source import MOST_FAULTS, DocumentLimits


@pytest.fixture(params=["c", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(yaml_text, "CParser", None)
    elif yaml_text.CParser is None:
        pytest.fail("ruamel.yaml.clib is expected in the test environment")
    return str(request.param)


VALID = """\
apiVersion: aether/v1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: t
  templates:
    - task:
        name: t
        executor:
          type: noop
          config: CONFIG
"""


def config(text: str) -> LoadedFile:
    """A workflow whose executor config has `text` as its value `x`."""
    return load_bytes(VALID.replace("CONFIG", "\n            x: " + text).encode(), "f.yaml")


def config_value(text: str) -> object:
    loaded = config(text)
    assert not loaded.diagnostics, loaded.diagnostics
    return loaded.documents[0].tree["spec"]["templates"][0]["task"]["executor"]["config"]["x"]


def found(loaded: LoadedFile) -> list[tuple[str, int, int]]:
    return [(fault.code, fault.line, fault.column) for fault in loaded.diagnostics]


@pytest.mark.rule("DOC-6")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ("AE103", 1, 1)),
        (b"  \n# nothing\n---\n...\n", ("AE103", 1, 1)),
        (b"a: 1\nb: \xff\xfe\n", ("AE102", 2, 4)),
        (codecs.BOM_UTF16_LE + "a: 1".encode("utf-16-le"), ("AE102", 1, 1)),
        (b"a: 1\nb: x\x00y\n", ("AE102", 2, 5)),
        (b"a: \x1b[31m", ("AE102", 1, 4)),
        ("a: \ufeffb".encode(), ("AE102", 1, 4)),
        (b"a: [1, 2\n", ("AE101", 2, 1)),
        (b"a: b: c\n", ("AE101", 1, 5)),
        (b"a:\n\t- b\n", ("AE101", 2, 1)),
        (b"%YAML 1.1\n---\na: 1\n", ("AE108", 1, 1)),
        (b"%TAG ! !x\n---\na: 1\n", ("AE108", 1, 1)),
        (b"a: *nowhere\n", ("AE109", 1, 4)),
        (b"a: &x [*x]\n", ("AE109", 1, 8)),
        (b"? [1, 2]\n: 3\n", ("AE106", 1, 3)),
        (b"1: x\n", ("AE106", 1, 1)),
        (b"true: x\n", ("AE106", 1, 1)),
        (b"~: x\n", ("AE106", 1, 1)),
        (b"a: 1\nb: 2\na: 3\n", ("AE105", 3, 1)),
        (b"a: !!python/object:os.system x\n", ("AE107", 1, 4)),
        (b"a: !mine [x]\n", ("AE107", 1, 4)),
        (b"a: !!int [x]\n", ("AE107", 1, 4)),
        (b"a: !!int x\n", ("AE110", 1, 4)),
        (b"a: .inf\n", ("AE110", 1, 4)),
        (b"a: -.INF\n", ("AE110", 1, 4)),
        (b"a: .nan\n", ("AE110", 1, 4)),
        (b"a: 1e999\n", ("AE110", 1, 4)),
        (b"a: 9223372036854775808\n", ("AE110", 1, 4)),
        (b"a: " + b"9" * 100_000 + b"\n", ("AE110", 1, 4)),
        (b"a: &b 1\nc:\n  <<: *b\n", ("AE111", 3, 3)),
        (b'{"a": 1, "a": 2}', ("AE105", 1, 10)),
        (b'{"a": "\\ud800"}', ("AE110", 1, 7)),
        (b'{"a": 1e999}', ("AE110", 1, 7)),
        (b'{"a": 99999999999999999999}', ("AE110", 1, 7)),
        (b"- a\n", ("AE128", 1, 1)),
        (b"just text", ("AE128", 1, 1)),
    ],
)
def test_odd_files_are_diagnosed(parser: str, data: bytes, expected: tuple[str, int, int]) -> None:
    loaded = load_bytes(data, "f.yaml")
    assert expected in found(loaded), loaded.diagnostics


def test_each_fault_of_a_file_shows(parser: str) -> None:
    text = VALID.replace("CONFIG", "{a: 1, a: 2, 5: x, y: !odd z, i: .inf, j: *none}")
    loaded = load_bytes(text.encode(), "f.yaml")
    assert [fault.code for fault in loaded.diagnostics] == ["AE105", "AE106", "AE107", "AE110", "AE109"]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"- ", b"? ", b"[{a: "])
def test_deep_nesting_is_a_fault(parser: str, opening: bytes) -> None:
    loaded = load_bytes(opening * 100_000, "f.yaml")
    assert {fault.code for fault in loaded.diagnostics} - {"AE106"} == {"AE104"}


def test_nesting_counts_through_aliases(parser: str) -> None:
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300))]
    assert "AE104" in {fault.code for fault in load_bytes("\n".join(lines).encode(), "f.yaml").diagnostics}


def test_an_alias_bomb_is_a_fault_at_once(parser: str) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    begin = time.process_time()
    loaded = load_bytes("\n".join(lines).encode(), "f.yaml")
    assert [fault.code for fault in loaded.diagnostics] == ["AE104"]
    assert time.process_time() - begin < 5


def test_aliases_are_plain_values_otherwise(parser: str) -> None:
    assert config_value("[&v {k: [1]}, *v, &s text, *s]") == [{"k": [1]}, {"k": [1]}, "text", "text"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [(DocumentLimits(bytes=100), VALID), (DocumentLimits(nodes=10), VALID), (DocumentLimits(nesting=3), VALID)],
)
def test_limits_can_be_set(parser: str, limits: DocumentLimits, text: str) -> None:
    assert [fault.code for fault in load_bytes(text.encode(), "f.yaml", limits).diagnostics] == ["AE104"]


def test_the_default_of_ten_mebibytes() -> None:
    assert found(load_bytes(b"#" * (10 * 1024 * 1024 + 1), "f.yaml")) == [("AE104", 1, 1)]


def test_two_million_values_are_the_most() -> None:
    loaded = load_bytes(b"[" + b"1," * 2_000_001 + b"1]", "f.json")
    assert [fault.code for fault in loaded.diagnostics] == ["AE104"]


@pytest.mark.parametrize("line", [b"a: 1\n", b"5: 1\n", b"x: .nan\n", b"- - - 5\n", b"a: *b\n", b"- !x y\n"])
def test_faults_without_end_are_cut_short(line: bytes) -> None:
    loaded = load_bytes(line * 200_000, "f.yaml")
    assert 0 < len(loaded.diagnostics) <= MOST_FAULTS


def test_faulty_fields_without_end_are_cut_short() -> None:
    text = VALID.replace("    - task", "    - 5\n" * 20_000 + "    - task")
    loaded = load_bytes(text.encode(), "f.yaml")
    assert len(loaded.diagnostics) == MOST_FAULTS
    assert "only the first" in str(loaded.diagnostics[-1].hint)


@pytest.mark.rule("DOC-1")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0b101", "0b101"),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("+5", 5),
        ("-9223372036854775808", -(2**63)),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("FALSE", False),
        ("Null", None),
        ("~", None),
        ("'5'", "5"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("!!seq [!!str 1]", ["1"]),
        ("!!map {a: b}", {"a": "b"}),
        ("1:30", "1:30"),
        ("=", "="),
        ("'a\n  b'", "a b"),
        ('"\\u00e9\\0"', "\u00e9\0"),
        ("\u00fc\U0001f600", "\u00fc\U0001f600"),
    ],
)
def test_scalars_follow_the_core_schema(parser: str, text: str, value: object) -> None:
    found_value = config_value(text)
    assert found_value == value
    assert type(found_value) is type(value)


@pytest.mark.rule("DOC-1")
def test_json_is_read_as_json() -> None:
    document = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {
            "entrypoint": "t",
            "templates": [
                {
                    "task": {
                        "name": "t",
                        "executor": {"type": "noop", "config": {"k" * 2000: ["\U0001f600", "a/b\u2028", 1.5, -0.0]}},
                    }
                }
            ],
        },
    }
    for indent in (None, 2, "\t"):
        for text in (json.dumps(document, indent=indent), json.dumps(document, indent=indent).replace("/", "\\/")):
            for end in ("", "\r\n"):
                loaded = load_bytes(codecs.BOM_UTF8 + text.encode() + end.encode(), "f.json")
                assert not loaded.diagnostics
                assert loaded.documents[0].tree == document


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('{\n\t"a": 1,\n\t"b" 2}', 3, 6, "expected ':'"),
        ('{"a": [1, 2}', 1, 12, "expected ',' or a closing bracket"),
        ('{"a": "x', 1, 7, "unterminated string"),
        ('{"a": 1} x', 1, 10, "expected"),
        ('{"a": ', 1, 7, "found the end of the file"),
        ('{"a" "b"}', 1, 6, "expected ':'"),
    ],
)
def test_a_file_named_json_gets_messages_about_json(text: str, line: int, column: int, message: str) -> None:
    (fault,) = [fault for fault in load_bytes(text.encode(), "f.json").diagnostics if fault.code == "AE101"]
    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message


@pytest.mark.rule("DOC-1")
def test_braces_may_be_yaml_too(parser: str) -> None:
    flow = (
        "{apiVersion: aether/v1, kind: Workflow, metadata: {name: NAME}, spec: {entrypoint: t, templates: ["
        "{task: {name: t, executor: {type: noop}}}]}} # comment\n"
    )
    loaded = load_bytes((flow.replace("NAME", "a") + "---\n" + flow.replace("NAME", "b")).encode(), "f.yaml")
    assert not loaded.diagnostics
    assert [document.name for document in loaded.documents] == ["a", "b"]


@pytest.mark.rule("DOC-1")
def test_empty_documents_between_separators_do_not_count(parser: str) -> None:
    text = VALID.replace("CONFIG", "{}")
    loaded = load_bytes(
        f"---\n---\n{text}---\n# nothing\n---\n{text.replace('name: w', 'name: v')}...\n---\n".encode(), "f.yaml"
    )
    assert not loaded.diagnostics
    assert [(document.index, document.name) for document in loaded.documents] == [(0, "w"), (1, "v")]


def test_what_stands_before_a_broken_place_is_still_checked(parser: str) -> None:
    text = VALID.replace("CONFIG", "{}").replace("entrypoint", "entrypont") + "---\na: [\n"
    assert [fault.code for fault in load_bytes(text.encode(), "f.yaml").diagnostics] == ["AE120", "AE101"]


def test_values_that_are_no_json() -> None:
    loop: list[object] = []
    loop.append(loop)
    for value in (
        loop,
        {1: 2},
        {"a": {1, 2}},
        {"a": float("nan")},
        {"a": 2**80},
        {"a": "\ud800"},
        {"a": object()},
        5,
        None,
        "x",
        [],
    ):
        assert load_value(value).diagnostics
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert [fault.code for fault in load_value({"a": deep}).diagnostics] == ["AE104"]


def test_ten_megabytes_of_anything_end(parser: str) -> None:
    if parser == "python":
        return  # minutes, by its nature; the limits are the same code
    for text in (
        b"a" * 10_000_000,
        b"- " * 5_000_000,
        b"[]," * 3_000_000,
        b"? " * 5_000_000,
        b'"' * 9_999_999,
        b"\n" * 10_000_000,
    ):
        assert load_bytes(text, "f.yaml").diagnostics


def test_a_raised_limit_of_nesting_is_no_way_to_a_traceback() -> None:
    text = VALID.replace("CONFIG", "{}").replace("entrypoint", "entrypont") + "x: " + "[" * 5_000 + "]" * 5_000
    deep = DocumentLimits(nesting=1_000_000)
    assert load_bytes(text.encode(), "f.yaml", deep).diagnostics
    inside = VALID.replace("entrypoint", "entrypont").replace("CONFIG", "\n            x: " + "[" * 5_000 + "]" * 5_000)
    assert "AE104" in {fault.code for fault in load_bytes(inside.encode(), "f.yaml", deep).diagnostics}
