"""What programs write as outputs (EXEC-3, DATA-9, DOC-10): whole, or reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from aether_protocol.adapters.executors.io_files import OutputsError
from aether_protocol.adapters.executors.outputs import CollectedOutputs, read_outputs, read_stdout
from aether_protocol.adapters.executors.streams import TAIL, Tail
from aether_protocol.plan.model import OutputBinding

pytestmark = pytest.mark.rule("EXEC-3")


def read(text: str, types: Mapping[str, str] | None = None) -> CollectedOutputs:
    found = CollectedOutputs(lambda text: text)
    read_outputs(text, [OutputBinding(name, type_, ()) for name, type_ in (types or {}).items()], found)
    return found


def fault(text: str) -> str:
    with pytest.raises(OutputsError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("a=1\nb = x=y", {"a": 1, "b": " x=y"}),
        ("a<<END\none\ntwo=2\n\nthree\nEND\nb=1", {"a": "one\ntwo=2\n\nthree", "b": 1}),
        ("a<<END\nEND", {"a": ""}),
        ("a<<END\r\none\r\nEND\r\n", {"a": "one\r"}),
        ("a<<E O F=1\nb=2", None),
        ("a<<E\n{\n}\nE", {"a": {}}),
        ("a <<  E\n END\nE", {"a": " END"}),
        ("a=<<E\nb=1", {"a": "<<E", "b": 1}),
        ("a=1\na=2", {"a": 2}),
        ("a==", {"a": "="}),
    ],
)
def test_lines_and_blocks(text: str, values: dict[str, Any] | None) -> None:
    if values is None:
        assert "line 1 of the outputs file is neither" in fault(text)
    else:
        assert read(text).values == values


@pytest.mark.parametrize("line", ["just text", "=1", "http://x/?a=1", "two words=1", "a.b=1", "<<END", "5=x", "x" * 64 + "=1"])
def test_a_line_of_neither_form(line: str) -> None:
    assert fault(f"ok=1\n{line}\n").startswith("line 2 of the outputs file is neither name=value nor")


def test_a_block_without_an_end() -> None:
    text = "the block 'a' that begins in line 2 of the outputs file has no line 'END' as its end"
    assert fault("b=1\na<<END\nx=1\n END\nENDE") == text


def test_what_stands_before_a_fault_is_kept() -> None:
    found = CollectedOutputs(lambda text: text)
    with pytest.raises(OutputsError):
        read_outputs("a=1\nno", [], found)
    assert found.values == {"a": 1}


@pytest.mark.rule("DATA-9")
def test_names_that_are_not_declared_are_told() -> None:
    found = read("labels=app=web\ntier=front", {"labels": "string"})
    advice = "declare it, and write a value of several lines as a block name<<END"
    assert found.values["labels"] == "app=web"
    assert found.warnings == [f"output 'tier' was written and not kept, for want of a declaration: {advice}"]
    found = read('{"total": 1, "b": 2, "c": 3, "d": 4, "e": 5}', {"totals": "any"})
    names = "'total' (did you mean 'totals'?), 'b', 'c' and 2 more"
    assert found.warnings == [f"outputs {names} were written and not kept, for want of a declaration: declare them"]
    assert read("a=1\nb=2").warnings == []  # all are kept where none is declared


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize(
    ("text", "type_", "value", "warned"),
    [
        ("3.10", "string", "3.10", False),
        ("0644", "any", "0644", False),  # JSON has no such number
        ("3.10", "number", 3.1, False),
        ("3.10", "any", "3.10", False),
        ("1e3", "any", "1e3", False),
        ("3.5", "any", 3.5, False),
        (" 7 ", "any", 7, False),
        ("1e999", "any", "1e999", False),
        ('"3.10"', "any", "3.10", False),
    ],
)
def test_spellings_of_numbers(text: str, type_: str, value: object, warned: bool) -> None:
    found = read(f"version={text}", {"version": type_})
    assert (found.values, bool(found.warnings)) == ({"version": value}, warned)
    result = CollectedOutputs(lambda text: text)
    read_stdout(f"{text}\n", 100, [OutputBinding("result", type_, ())], result)
    assert (result.values["result"], bool(result.warnings)) == (value, warned)


@for_all(st.lists(st.text(alphabet="ab\n ", max_size=30), max_size=8), st.integers(1, 40))
def test_a_tail_is_the_last_whole_lines(pieces: list[str], most: int) -> None:
    """Never the end of a line without its beginning, and of all lines that fit, the last ones."""
    tail = Tail(most)
    for piece in pieces:
        tail.add(piece)
    whole = "".join(pieces)
    kept = tail.text() or ""
    assert len(kept) <= most
    lines = whole.splitlines(keepends=True)
    assert any(kept == "".join(lines[start:]) for start in range(len(lines) + 1)) or not kept
    if lines and len(lines[-1]) <= most // 2 and lines[-1].strip() and not whole.endswith("\n"):
        assert kept.endswith(lines[-1])


def test_the_tail_of_much_is_bounded() -> None:
    tail = Tail()
    for number in range(20_000):
        tail.add(f"line {number}\n")
    text = tail.text()
    assert text is not None
    assert TAIL // 2 < len(text) <= TAIL
    assert text.endswith("line 19999\n")
