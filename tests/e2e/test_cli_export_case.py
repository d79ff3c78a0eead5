"""`aether export -o case`: a run in the terminal becomes a test that `aether test` passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.store_cli import Cli, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def test_a_run_is_written_as_a_case_and_passes(cli: Cli, tmp_path: Path) -> None:
    flow = workflow(tmp_path, task("a", "script", "{runtime: sh, source: 'echo 7; exit 3'}"))
    assert cli("run", flow, "-q", "--run-id", "one").code == 1
    assert cli("export", "one", "-o", "case", "--to", "one.case.yaml").code == 0
    assert cli("export", "one", "-o", "case").out == Path("one.case.yaml").read_text()
    passed = cli("test", "one.case.yaml")
    assert passed.code == 0, passed.out + passed.err
    Path("one.case.yaml").write_text(Path("one.case.yaml").read_text().replace("code: 2", "code: 0"))
    assert cli("test", "one.case.yaml").code == 1
