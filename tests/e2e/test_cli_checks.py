"""What validation finds before a run does, at the command line (SPEC-3, SPEC-15, DOC-10, DATA-4)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.process import aether

IN_VAIN = """apiVersion: aether/v1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  templates:
    - dag: {name: main, tasks: [{name: a, template: inner, retry: {limit: 2}}]}
    - dag: {name: inner, tasks: [{name: x, executor: {type: TYPE}}]}
"""
SPELT = """apiVersion: aether/v1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  arguments:
    parameters:
      - {name: text, type: string, value: 1.0}
      - {name: loose, value: x}
      - {name: number, type: number, value: 1}
  templates:
    - dag:
        name: main
        tasks: [{name: a, executor: {type: noop}}]
        outputs:
          parameters:
            - {name: text, valueFrom: {parameter: workflow.parameters.text}}
            - {name: loose, valueFrom: {parameter: workflow.parameters.loose}}
            - {name: number, valueFrom: {parameter: workflow.parameters.number}}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_text(IN_VAIN.replace("TYPE", "noop"), "utf-8")
    return path


@pytest.mark.rule("SPEC-3")
def test_strict_makes_an_error_of_a_retry_in_vain(document: Path) -> None:
    assert aether("validate", document).returncode == 0
    done = aether("validate", document, "--strict", "-o", "json")
    assert done.returncode == 3
    found = json.loads(done.stdout)["diagnostics"]
    assert [(one["code"], one["severity"]) for one in found] == [("AE902", "error")]


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize(
    ("type_", "plain", "strict"), [("quantum", 0, 3), ("scriptt", 3, 3), ("noop", 0, 0)], ids=["unknown", "misspelt", "known"]
)
def test_an_executor_type_that_is_not_here(type_: str, plain: int, strict: int, document: Path) -> None:
    document.write_text(IN_VAIN.replace("TYPE", type_).replace(", retry: {limit: 2}", ""), "utf-8")
    assert aether("validate", document).returncode == plain
    assert aether("validate", document, "--strict").returncode == strict
    assert aether("run", document).returncode == strict


def test_a_run_counts_the_warnings_of_its_document(document: Path) -> None:
    done = aether("run", document, "--output", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["phase"] == "Succeeded"
    assert f"note: 1 warning about the document, shown by 'aether validate {document}'" in done.stderr.splitlines()
    assert "warning" not in aether("run", document, "--quiet").stderr


def test_the_checks_of_init_are_strict(tmp_path: Path) -> None:
    assert aether("init", "hello", cwd=tmp_path).returncode == 0
    assert "aether validate . --strict" in (tmp_path / "hello" / ".github" / "workflows" / "workflows.yml").read_text("utf-8")
    assert aether("validate", ".", "--strict", cwd=tmp_path / "hello").returncode == 0


@pytest.mark.rule("DOC-10", "DATA-14")
def test_parameters_keep_their_spelling(tmp_path: Path) -> None:
    flow, given = tmp_path / "flow.yaml", tmp_path / "given.yaml"
    flow.write_text(SPELT, "utf-8")
    given.write_text("text: 3.10\nnumber: 3.10\n", "utf-8")

    def outputs(*arguments: str | Path) -> object:
        return json.loads(aether("run", flow, "--output", "json", *arguments).stdout)["outputs"]

    assert outputs() == {"text": "1.0", "loose": "x", "number": 1}
    assert outputs("-p", "text=0644", "-p", "loose=3.10", "-p", "number=3.10") == {
        "text": "0644",
        "loose": "3.10",
        "number": 3.1,
    }
    assert outputs("-p", "loose=5") == {"text": "1.0", "loose": 5, "number": 1}
    assert outputs("--params-file", given) == {"text": "3.10", "loose": "x", "number": 3.1}
    assert outputs("--params-file", given, "-p", "text=1e3") == {"text": "1e3", "loose": "x", "number": 3.1}


@pytest.mark.rule("DATA-4", "DATA-5")
def test_all_parameters_are_one_object(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        SPELT.replace(
            "{type: noop}", '{type: process, config: {command: [echo, "{{workflow.parameters}}"]}}, inputs: {parameters: []}'
        ),
        "utf-8",
    )
    done = aether("run", flow, "-p", 'text=with " quote', "--output", "json")
    report = json.loads(done.stdout)
    [task] = [one for one in report["tasks"] if one["path"] == "main.a"]
    assert json.loads(task["outputs"]["stdout"]) == {"text": 'with " quote', "loose": "x", "number": 1}
