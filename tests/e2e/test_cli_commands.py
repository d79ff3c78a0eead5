"""The other commands as processes, and what holds for all of them: streams, exit codes, no traceback, no colours in pipes."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from aether_protocol.cli import main
from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, RELEASE, ROOT, Terminal, aether, environment

BROKEN = """apiVersion: aether/v1
kind: Workflow
metadata: {name: broken}
spec:
  entrypoint: main
  templates:
    - dag:
        nam: main
        tasks:
          - {name: a, template: fetsh}
          - {name: b, dependencies: [a], when: "tasks.a.phase ==", executor: {type: noop}}
    - task: {name: fetch, executor: {type: noop}}
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN, "utf-8")
    return path


def test_validate_tells_all_faults_of_a_file_together(broken: Path) -> None:
    done = aether("validate", broken)
    assert done.returncode == 3
    assert done.stderr == ""
    for line, words in ((8, "unknown field 'nam'"), (10, "'fetsh'"), (11, "tasks.a.phase ==")):
        assert any(f"{broken}:{line}:" in row and words in row for row in done.stdout.splitlines()), words
    assert "did you mean 'fetch'" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 errors, 0 warnings in 1 file"


def test_every_format_has_every_finding(broken: Path) -> None:
    found = json.loads(aether("validate", broken, "-o", "json").stdout)["diagnostics"]
    assert len(found) == 3
    github = aether("validate", broken, "-o", "github").stdout.splitlines()
    assert [row.startswith(f"::{d['severity']} ") for row, d in zip(github, found, strict=True)] == [True] * 3
    sarif = json.loads(aether("validate", broken, "-o", "sarif").stdout)
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == [d["code"] for d in found]


def test_a_folder_is_searched_for_documents_and_nothing_else(tmp_path: Path, broken: Path) -> None:
    workflow(tmp_path, task("a", "noop"))
    (tmp_path / "other.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n", "utf-8")
    (tmp_path / "my.case.yaml").write_text("case: x\ndocument: {apiVersion: aether/v1}\n", "utf-8")
    (tmp_path / "package.json").write_text("{}", "utf-8")
    done = aether("validate", tmp_path)
    assert done.stdout.splitlines()[-1] == "3 errors, 0 warnings in 2 files"
    assert aether("validate", tmp_path / "other.yaml").returncode == 3, "a file that is named is read whatever it is"


def test_a_folder_without_documents_is_wrong_usage(tmp_path: Path) -> None:
    done = aether("validate", tmp_path)
    assert done.returncode == 2
    assert "no aether document" in done.stderr


def test_what_init_makes_passes_at_once(tmp_path: Path) -> None:
    assert aether("init", "hello", cwd=tmp_path).returncode == 0
    assert aether("validate", "hello", cwd=tmp_path).stdout == "0 errors, 0 warnings in 1 file\n"
    tested = aether("test", "hello", "--junit", "report.xml", cwd=tmp_path)
    assert tested.returncode == 0
    assert ET.parse(tmp_path / "report.xml").getroot().find("testsuite").get("tests") == "2"
    report = json.loads(aether("run", "hello/workflow.yaml", "-p", "name=Ada", "--output", "json", cwd=tmp_path).stdout)
    assert report["outputs"] == {"greeting": "Hello, Ada!", "letters": 8}
    settings = json.loads((tmp_path / "hello" / ".vscode" / "settings.json").read_text("utf-8"))
    assert set(settings["yaml.schemas"]) == {"./aether-v1.schema.json"}
    assert (tmp_path / "hello" / "aether-v1.schema.json").read_text("utf-8") == aether("schema").stdout


@pytest.mark.parametrize("name", ["Hello World", "..", "-x", "a_b"])
def test_init_refuses_what_cannot_be_a_name(tmp_path: Path, name: str) -> None:
    assert aether("init", "--", name, cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("RT-92")
@pytest.mark.parametrize("name", [".", "./"])
def test_init_makes_a_project_of_this_folder(tmp_path: Path, name: str) -> None:
    here = tmp_path / "My Project_2"
    (here / ".git").mkdir(parents=True)
    (here / "notes").write_text("x", "utf-8")
    made = aether("init", name, cwd=here)
    assert made.returncode == 0, made
    assert "aether run workflow.yaml" in made.stdout
    assert "name: my-project-2" in (here / "workflow.yaml").read_text("utf-8")
    assert (here / "notes").read_text("utf-8") == "x"
    assert aether("test", cwd=here).returncode == 0
    again = aether("init", ".", cwd=here)
    assert (again.returncode, again.stderr.splitlines()[0]) == (2, "error: 'workflow.yaml' is there already")


def test_init_names_what_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    made = aether("init", "file/new", cwd=tmp_path)
    assert made.returncode == 9
    assert "cannot write 'file/new/workflow.yaml': Not a directory" in made.stderr
    assert "hint: " in made.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "precious").write_text("x", "utf-8")
    assert aether("init", "here", cwd=tmp_path).returncode == 2
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["precious"]


@pytest.mark.parametrize("kind", ["Workflow", "CronWorkflow", "WorkflowTemplate"])
def test_the_schema_of_one_kind_stands_alone_and_refuses_the_others(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert main(["schema", "--kind", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    document = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "x"},
        "spec": {"entrypoint": "a", "templates": [{"task": {"name": "a", "executor": {"type": "noop"}}}]},
    }
    assert Draft202012Validator(schema).is_valid(document) == (kind == "Workflow")


def test_explain_knows_each_code_and_helps_with_others() -> None:
    assert "unknown template" in aether("explain", "ae204").stdout
    listed = aether("explain").stdout.splitlines()
    assert len(listed) > 40
    unknown = aether("explain", "AE20")
    assert unknown.returncode == 2
    assert "did you mean AE2" in unknown.stderr


def test_executors_are_listed_for_people_and_programs() -> None:
    assert "config.source" in aether("executors", "script").stdout
    names = {one["name"] for one in json.loads(aether("executors", "--output", "json").stdout)}
    assert names >= {"echo", "noop", "sleep", "await", "fail", "script", "process", "function", "http"}
    assert aether("executors", "scirpt").returncode == 2


SIGNS = {
    "text": "│ publish ", "ascii": "| publish ", "html": "<!DOCTYPE html>", "svg": "<svg ", "mermaid": "flowchart TD",
    "dot": "digraph",
}


@pytest.mark.parametrize("format_", SIGNS)
def test_graph_draws_the_example(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    assert main(["graph", str(RELEASE), "-o", format_]) == 0
    assert SIGNS[format_] in capsys.readouterr().out


def test_failing_and_faulty_cases_end_with_1(tmp_path: Path) -> None:
    workflow(tmp_path, task("a", "noop"))
    (tmp_path / "x.case.yaml").write_text(
        "case: wrong\ndocumentFile: flow.yaml\nexpect: {phase: Failed}\n---\ncase: empty\ndocumentFile: flow.yaml\n", "utf-8"
    )
    done = aether("test", tmp_path)
    assert done.returncode == 1
    assert "1 failed, 1 error" in done.stdout
    assert aether("test", tmp_path, "-k", "nothing like it").returncode == 2
    assert "0 passed, 1 failed in" in aether("test", tmp_path, "-k", "wrong").stdout


def test_incomplete_coverage_of_rules_ends_with_1(tmp_path: Path) -> None:
    workflow(tmp_path, task("a", "noop"))
    case = "case: one\nrules: [DAG-1]\ndocumentFile: flow.yaml\nexpect: {phase: Succeeded}\n".replace("DAG-1", "SCHED-1")
    (tmp_path / "x.case.yaml").write_text(case, "utf-8")
    done = aether("test", tmp_path, "--coverage-of-rules", cwd=tmp_path)
    assert done.returncode == 1
    assert "SCHED-1 " in done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("line", ["rnu", "run", "validate", "graph x -o png", "test nowhere", "--nope", "explain x y"])
def test_wrong_usage_ends_with_2_on_standard_error(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err


def test_what_the_outside_refuses_ends_with_9(tmp_path: Path) -> None:
    workflow(tmp_path, task("a", "noop"))
    (tmp_path / "x.case.yaml").write_text("case: one\ndocumentFile: flow.yaml\nexpect: {phase: Succeeded}\n", "utf-8")
    done = aether("test", tmp_path, "--junit", tmp_path / "no" / "folder.xml")
    assert done.returncode == 9
    assert "cannot write" in done.stderr


HOSTILE = {
    "empty": b"",
    "nul": b"\0\0\0",
    "not utf-8": b"\xff\xfe\xfa",
    "deep": b"[" * 100_000,
    "bomb": b"a: &a [x]\n" + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)),
    "number": b"apiVersion: " + b"9" * 100_000,
}


@pytest.mark.rule("DOC-6")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_bytes_make_a_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(HOSTILE[name])
    for command in ("validate", "run", "graph"):
        assert main([command, str(path)]) == 3
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        assert "hostile.yaml" in told.out + told.err


def test_colours_are_for_terminals_and_can_be_turned_off(broken: Path) -> None:
    assert "\x1b" not in aether("validate", broken).stdout
    terminal = Terminal("validate", broken)
    terminal.end()
    assert "\x1b[" in terminal.shown
    plain = Terminal("validate", broken, NO_COLOR="1")
    plain.end()
    assert "\x1b[" not in plain.shown


def test_no_color_holds_for_the_live_view(tmp_path: Path) -> None:
    terminal = Terminal("run", workflow(tmp_path, task("a", "sleep", "{duration: 600ms}")), NO_COLOR="1")
    assert terminal.end() == 0
    assert "\x1b[3" not in terminal.shown
    assert "✓ a" in terminal.shown


def test_a_reader_that_goes_away_is_no_accident() -> None:
    command = f"{' '.join(AETHER)} schema | head -n 1"
    done = subprocess.run(command, shell=True, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_an_unexpected_error_is_told_shortly_and_debugged_on_demand(tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "noop"))
    code = (
        "import sys; from aether_protocol.documents import load\n"
        "def broken(*_): raise RuntimeError('boom')\n"
        "load.parse = broken\n"
        "from aether_protocol.cli import main; sys.exit(main(['validate', sys.argv[1]]))"
    )
    for debug in ("", "1"):
        done = subprocess.run(
            [AETHER[0], "-c", code, str(path)], env=environment(AETHER_DEBUG=debug), capture_output=True, text=True, check=False
        )
        assert done.returncode == 70
        assert "internal error: RuntimeError: boom" in done.stderr
        assert ("Traceback" in done.stderr) == bool(debug)


def test_version_and_help_are_quick_and_complete() -> None:
    assert aether("--version").stdout.startswith("aether ")
    shown = aether("--help").stdout
    for name in ("validate", "run", "graph", "test", "init", "explain", "schema", "executors"):
        assert f"  {name} " in shown
        assert "Example" in aether(name, "--help").stdout


def test_help_and_validate_load_nothing_that_they_do_not_need() -> None:
    code = "import sys; from aether_protocol.cli import main; main(sys.argv[1:]); print([m for m in {} if m in sys.modules])"
    heavy = ["pydantic", "ruamel.yaml", "rich", "asyncio", "aether_protocol.engine"]
    late = ["pydantic", "jsonschema", "rich", "asyncio", "aether_protocol.engine", "aether_protocol.documents.definitions"]
    for arguments, names in ((["--help"], heavy), (["validate", str(RELEASE)], late)):
        done = subprocess.run(
            [AETHER[0], "-c", code.format(names), *arguments], env=environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_folder_of_the_package_is_not_needed(tmp_path: Path) -> None:
    assert ROOT not in tmp_path.parents
    assert aether("explain", "AE204", cwd=tmp_path).returncode == 0
