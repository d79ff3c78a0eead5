"""Pages that are made from the code are equal to it, and what the README shows works."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from aether_protocol.cli.root import root

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_page_of_the_command_line_is_what_help_says() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "cli_page.py"))["page"]()
    assert (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8") == page, "run python docs/cli_page.py"


def test_the_readme_lists_every_command() -> None:
    assert set(re.findall(r"^\| `aether ([a-z-]+)", README, re.MULTILINE)) == set(root.table)


def test_the_document_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import aether_protocol

    monkeypatch.chdir(tmp_path)
    (document,) = blocks("yaml")
    report = aether_protocol.run(document, {"text": "a b c d"})
    assert (report.phase, report.outputs) == ("Succeeded", {"words": 4})
    assert [task.phase for task in report.tasks] == ["Succeeded"] * 3
    assert aether_protocol.run(document, {"text": "a"}).tasks[-1].phase == "Skipped"


def test_the_python_of_the_readme_says_what_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    claims = re.findall(r"print\(.*\)  # (\w+)", code)
    assert capsys.readouterr().out.split() == claims
