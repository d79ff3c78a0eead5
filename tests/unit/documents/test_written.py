"""A document's own text can be cut out of its file: it reads back as the same document, with its comments."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.documents.load import LoadedDocument, load_bytes, load_value
from aether_protocol.documents.source_texts import document_texts


def body(name: str, value: str = "1") -> str:
    return (
        f"apiVersion: aether/v1\nkind: WorkflowTemplate # of {name}\nmetadata: {{name: {name}}}\nspec:\n"
        f"  templates:\n  - task: {{name: t, executor: {{type: echo, config: {{x: {value}}}}}}}\n"
    )


def document_text(document: LoadedDocument) -> str:
    (text,) = document_texts([document])
    return text


def documents(text: str, file: str = "f.yaml") -> tuple[LoadedDocument, ...]:
    loaded = load_bytes(text.encode(), file)
    assert loaded.diagnostics == ()
    return loaded.documents


@pytest.mark.parametrize(
    "around",
    [
        "%s---\n%s",
        "---\n%s---\n%s",
        "\n\n---\n%s...\n\n---\n%s...\n",
        "%s\n---   \n\n%s\n\n\n",
        "%s...\n# about b\n---\n%s",
        "%s--- # b\n%s---\n---\n",
        "%YAML 1.2\n---\n%s...\n%YAML 1.2\n---\n%s",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_each_document_is_cut_out(around: str, line_end: str) -> None:
    if "%YAML" in around and line_end == "\r":
        line_end = "\n"  # a directive behind a lone CR is not read
    first, second = body("a"), body("b", "'--- x'")
    text = around.replace("%s", "\0").replace("\0", first, 1).replace("\0", second, 1).replace("\n", line_end)
    a, b = documents(text)
    assert "# of a" in document_text(a)
    assert "# of b" not in document_text(a)
    assert "# of b" in document_text(b)
    for one in (a, b):
        (again,) = documents(document_text(one))
        assert again.tree == one.tree
    assert ("# about b" in document_text(b)) == ("# about b" in text)


def test_neighbours_and_blank_lines_do_not_count() -> None:
    alone = document_text(*documents(body("a")))
    assert alone == body("a")
    for text in (f"---\n{body('a')}", f"{body('b')}\n---\n\n{body('a')}\n\n---\n{body('c')}", f"\ufeff{body('a')}"):
        (a,) = (one for one in documents(text) if one.name == "a")
        assert document_text(a) == alone


def test_comments_at_the_top_belong_to_the_first() -> None:
    a, b = documents(f"# about a\n\n---\n{body('a')}---\n{body('b')}")
    assert document_text(a).startswith("# about a\n")
    assert document_text(b) == body("b")


def test_blank_lines_that_are_content_stay() -> None:
    text = body("a") + "  - task:\n      name: u\n      executor:\n        type: echo\n"
    text += "        config:\n          x: |+\n            line\n\n\n"
    (one, _) = documents(text + "---\n" + body("b"))
    assert one.tree["spec"]["templates"][1]["task"]["executor"]["config"]["x"] == "line\n\n\n"
    (again,) = documents(document_text(one))
    assert again.tree == one.tree


def test_json_stays_json_and_what_was_no_text_becomes_it() -> None:
    value = documents(body("a"))[0].tree
    for file in ("f.json", "f.yaml"):
        text = json.dumps(value)
        assert document_text(*documents(text, file)) == text + "\n"
    (one,) = load_value(value).documents
    assert json.loads(document_text(one)) == value


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20) | st.sampled_from(
    ["---", "...", "\n---\n", "# no comment", "%YAML 1.1", "\n...\n", " --- ", "\n\n"]
)
COMMENT = st.sampled_from(["", "# one\n", "\n\n# two\n\n", "   # three\n"])
BETWEEN = st.sampled_from(["---\n", "--- # c\n", "...\n---\n", "...\n# above\n---\n", "---\n# below\n"])


@given(st.lists(st.tuples(COMMENT, TEXTS, BETWEEN, COMMENT), min_size=1, max_size=4))
def test_whatever_stands_in_it_it_reads_back(parts: list[tuple[str, str, str, str]]) -> None:
    text = ""
    for index, (above, content, between, below) in enumerate(parts):
        text += (between if index else "") + above + body(f"d{index}", json.dumps(content, ensure_ascii=False)) + below
    loaded = documents(text)
    assert [one.name for one in loaded] == [f"d{index}" for index in range(len(parts))]
    for one in loaded:
        kept = document_text(one)
        (again,) = documents(kept)
        assert again.tree == one.tree
        assert document_text(again) == kept
        assert f"# of {one.name}" in kept
