"""`--max` lowers and raises what a document may have (DOC-6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol import DocumentError, load_plan
from aether_protocol.cli import main
from aether_protocol.documents.source import DocumentLimits

DOCUMENT = """apiVersion: aether/v1
kind: Workflow
metadata: { name: small }
spec:
  entrypoint: main
  templates:
    - task: { name: main, executor: { type: noop } }
"""


@pytest.mark.rule("DOC-6")
@pytest.mark.parametrize("command", [["validate"], ["graph"], ["run", "--dry-run"]])
def test_a_lower_limit_refuses_and_a_higher_one_does_not(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(DOCUMENT, encoding="utf-8")
    for limit, code in (("nodes=5", 3), ("bytes=20", 3), ("nesting=2", 3), ("nesting=4000", 0)):
        assert (limit, main([*command, str(path), "--max", limit])) == (limit, code)


@pytest.mark.parametrize("limit", ["nodes", "nodes=", "nodes=x", "nodes=0", "size=5", "=3"])
def test_a_limit_that_is_none_is_wrong_usage(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "small.yaml", "--max", limit]) == 2
    assert "nodes=N" in capsys.readouterr().err


@pytest.mark.rule("DOC-6")
def test_load_plan_takes_limits() -> None:
    assert load_plan(DOCUMENT, limits=DocumentLimits(nodes=1000)).name == "small"
    with pytest.raises(DocumentError) as caught:
        load_plan(DOCUMENT, limits=DocumentLimits(nodes=5))
    assert [one.code for one in caught.value.diagnostics] == ["AE104"]
