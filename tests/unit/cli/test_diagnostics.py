"""Diagnostics in four formats: the same facts in each, the caret under the right character, nothing that drives a terminal."""

from __future__ import annotations

import json

import pytest

from aether_protocol.cli.render.diagnostics import as_github, as_json, as_sarif, show_diagnostics, summary
from aether_protocol.diagnostics import CODES, Diagnostic

CODE = next(iter(CODES))
TEXT = b"apiVersion: aether/v1\nkind: Wrokflow\n"
FOUND = Diagnostic("a/flow.yaml", 2, 7, CODE, "error", "unknown kind 'Wrokflow'", "kind", "did you mean 'Workflow'?")


def shown(capsys: pytest.CaptureFixture[str], diagnostic: Diagnostic, text: bytes) -> list[str]:
    show_diagnostics([diagnostic], {diagnostic.file: text}, err=False)
    return capsys.readouterr().out.splitlines()


@pytest.mark.rule("DOC-7")
def test_text_reads_like_a_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, FOUND, TEXT) == [
        f"a/flow.yaml:2:7: error {CODE}: unknown kind 'Wrokflow'",
        "  2 | kind: Wrokflow",
        "    |       ^",
        "   at: kind",
        " hint: did you mean 'Workflow'?",
    ]


@pytest.mark.parametrize("line", ["\tkind: x", "ключ: x", "鍵鍵鍵: x", "x" * 500])
def test_the_caret_stands_under_the_character(capsys: pytest.CaptureFixture[str], line: str) -> None:
    from aether_protocol.views.text import cells

    for column in (1, len(line) // 2, len(line)):
        found = Diagnostic("f", 1, column, CODE, "error", "m", "")
        out = shown(capsys, found, line.encode())
        prefix = out[2].index("|") + 2
        caret = out[2].index("^") - prefix
        before, width = "", 0
        for char in out[1][prefix:]:
            if width >= caret:
                break
            before, width = before + char, width + cells(char)
        assert width == caret
        clipped = out[1][prefix:][len(before) :]
        assert clipped.startswith(line[column - 1].replace("\t", "    "))


@pytest.mark.parametrize("diagnostic", [
    Diagnostic("f", 0, 0, CODE, "error", "m", ""),
    Diagnostic("f", 99, 1, CODE, "error", "m", ""),
    Diagnostic("f", 1, 999, CODE, "error", "m", ""),
])
def test_positions_outside_of_the_text_do_no_harm(capsys: pytest.CaptureFixture[str], diagnostic: Diagnostic) -> None:
    assert "error" in shown(capsys, diagnostic, b"one line")[0]


def test_control_characters_of_a_document_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = Diagnostic("f\x1b[2J", 1, 1, CODE, "error", "a\x1b]0;title\x07", "p\x1b", "h\x9b")
    out = "\n".join(shown(capsys, evil, "\x1b[31mred\u202e".encode()))
    assert not set(out) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_json_has_all_fields() -> None:
    assert json.loads(as_json([FOUND])) == {"valid": False, "diagnostics": [FOUND.to_json()]}
    assert json.loads(as_json([])) == {"valid": True, "diagnostics": []}


def test_github_escapes_properties_and_text() -> None:
    found = Diagnostic("a,b:c.yaml", 3, 4, CODE, "warning", "50% of\nit", "p", "do")
    assert as_github([found]) == f"::warning file=a%2Cb%3Ac.yaml,title={CODE} p,line=3,col=4::50%25 of%0Ait%0Ahint: do"


def test_sarif_points_to_the_rule_and_the_place() -> None:
    run = json.loads(as_sarif([FOUND]))["runs"][0]
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == CODE
    assert result["level"] == "error"
    region = result["locations"][0]["physicalLocation"]
    assert region == {"artifactLocation": {"uri": "a/flow.yaml"}, "region": {"startLine": 2, "startColumn": 7}}


def test_the_summary_counts() -> None:
    warning = Diagnostic("f", 1, 1, CODE, "warning", "m", "")
    assert summary([FOUND, FOUND, warning], 1) == "2 errors, 1 warning in 1 file"
