"""Files of other kinds that are given to commands for documents: one finding that names the right command."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aether_protocol.documents.load import load_bytes, load_value

OTHERS = [
    ("x.cases.yaml", b"# a case\ncase: x\ndocument: {apiVersion: aether/v1}\n", 2, "a case file", "aether test x.cases.yaml"),
    ("two.yaml", b"case: one\nexpect: {}\n---\ncase: two\n", 1, "a case file", "aether test two.yaml"),
    ("aether.toml", b'[store]\nurl = "memory"\n', 1, "settings", "aether config validate aether.toml"),
    ("run.jsonl", b'{"format":"aether-run","version":2}\n{"seq":1}\n', 1, "an exported run", "aether import run.jsonl"),
    ("report.json", b'{\n"runId": "r", "phase": "Failed", "tasks": []}', 1, "the report of a run", "name the document"),
    ("events.jsonl", b'{"v":1,"runId":"r","seq":1,"cause":"x","kind":"K"}\n', 1, "the events of a run", "name the document"),
    ("ls.json", b'{"runs": [], "next": null}', 1, "a list of runs", "aether show RUN"),
    ("found.json", b'{"valid": true, "diagnostics": []}', 1, "findings", "name the document"),
    ("w.zip", b"PK\x03\x04\x00\xff", 1, "a ZIP archive", "unpack it"),
    ("w.tgz", b"\x1f\x8b\x08\x00", 1, "a gzip archive", "unpack it"),
]


@pytest.mark.parametrize(("file", "data", "line", "what", "hint"), OTHERS, ids=[entry[0] for entry in OTHERS])
def test_a_file_of_another_kind_is_one_finding_that_names_its_command(
    file: str, data: bytes, line: int, what: str, hint: str
) -> None:
    loaded = load_bytes(data, file)
    (found,) = loaded.diagnostics
    assert (found.code, found.line, found.severity) == ("AE112", line, "error")
    assert what in found.message
    assert hint in (found.hint or "")
    assert loaded.documents == ()


def test_a_store_is_recognized(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db")) as file:
        file.execute("CREATE TABLE t (x)")
    (found,) = load_bytes((tmp_path / "s.db").read_bytes(), "s.db").diagnostics
    assert "a store" in found.message


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: aether/v1\nkind: Workflow\ncase: x\nmetadata: {name: w}\nspec: {}\n",
        "kind: Workflow\nspec: {}\ncase: x\n",
        "runId: r\n",
        "phase: Failed\n",
        "- case: x\n",
        "",
    ],
)
def test_what_may_be_a_document_is_read_as_one(text: str) -> None:
    codes = [found.code for found in load_bytes(text.encode(), "w.yaml").diagnostics]
    assert codes
    assert "AE112" not in codes


def test_a_value_is_a_document_whatever_its_keys_are() -> None:
    assert "AE112" not in [found.code for found in load_value({"case": "x"}).diagnostics]
