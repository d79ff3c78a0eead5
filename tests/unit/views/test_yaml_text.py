"""YAML that is written for people is read back as it was, by the reader of documents."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.documents.load import load_bytes
from aether_protocol.documents.source import DEFAULT, Source
from aether_protocol.documents.yaml_text import read_yaml
from aether_protocol.expressions.values import Json
from aether_protocol.views.yaml_text import to_yaml
from tests.documents import submitted

_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text("ab #:-|>\n\t'\"\\{}[],&*!%@`0.1eE~", max_size=12),
    st.text("aA:/ {}[]$;=<>@%~'\"?!&*|,^\\-.#", max_size=10).map(lambda text: f"a{text}"),
    st.sampled_from(["true", "No", "null", "~", "1", "0x1f", "1e3", ".inf", "2026-01-01", "=", "a: b", "- a", "a #b", ""]),
)
_KEYS = _TEXT.filter(lambda text: text != "<<")  # a key of YAML 1.1 that documents may not have (AE111)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)


def read(text: str) -> Json:
    source = Source("a.yaml", text)
    (tree,) = read_yaml(source, DEFAULT)
    assert not source.faults, source.faults
    return tree.root


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_it_is_read_back_as_it_was(value: dict[str, Json]) -> None:
    assert read(to_yaml(value)) == value


@pytest.mark.parametrize("text", ["one\ntwo\n", "one\n\n  two", "#!/bin/sh\necho a: b\n", " leads\nx", "ends \nx", "a\n\n"])
def test_text_of_several_lines_is_too(text: str) -> None:
    assert read(to_yaml({"a": [text, {"b": text}]})) == {"a": [text, {"b": text}]}


def test_a_program_is_a_block_and_a_document_is_one() -> None:
    program = "set -e\nfor x in a b; do\n  echo $x\ndone\n"
    document = submitted({"name": "a", "executor": {"type": "script", "config": {"runtime": "sh", "source": program}}})
    text = to_yaml(document)
    assert "source: |\n" in text
    assert "  echo $x\n" in text
    loaded = load_bytes(text.encode(), "a.yaml", DEFAULT)
    assert not loaded.diagnostics
    assert loaded.documents[0].kind == "Workflow"
