"""Every document in examples/workflows does what it says, and every one in invalid/ is found out.

Law: a new document needs a row in `RUNS` (or an .expect.yaml beside it); the suite fails without.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from aether_protocol import Engine, Report
from aether_protocol.service import client_of
from tests.web import QuietHandler, serving

EXAMPLES = Path(__file__).parents[2] / "examples" / "workflows"
LIBRARY = EXAMPLES / "library"
DOCUMENTS = sorted(file for file in EXAMPLES.glob("*.yaml") if not file.name.endswith(".cases.yaml"))
INVALID = sorted(file for file in (EXAMPLES / "invalid").glob("*.yaml") if not file.name.endswith(".expect.yaml"))


@dataclass(frozen=True)
class Run:
    """One way to run an example: `answers` are payloads by task path; `hooks` are those that fire, in order."""

    example: str
    outputs: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    phase: str = "Succeeded"
    message: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()


RUNS = [
    Run("artifacts", {"pages": 2, "title": "My site"}),
    Run(
        "cleanup-on-failure",
        {},
        phase="Failed",
        message="verdict: work ended as Failed: exit code 28: the disk is full",
        hooks=("task:main.work:onFailure", "workflow:onFailure"),
    ),
    Run("cleanup-on-failure", {}, {"risk": "none"}, hooks=("workflow:onSuccess",)),
    Run("conditional-branches", {"way": "in one piece", "odd": False}),
    Run("conditional-branches", {"way": "in many pieces", "odd": True}, {"size": 5001}),
    Run("data-pipeline", {"kept": 2, "total": 100}),
    Run("data-pipeline", {"kept": 1, "total": 60}, {"minimum": 50}),
    Run("extensions", {"result": 9}),
    Run(
        "deploy-with-approval",
        {"deployed": "1.4.2 on production, approved by ada"},
        answers={"main.approve": {"approved": True, "by": "ada"}},
    ),
    Run("deploy-with-approval", {"deployed": "1.4.2 on staging, approved by the rules"}, {"environment": "staging"}),
    Run(
        "deploy-with-approval",
        {},
        phase="Failed",
        message="approve: not approved: it is Friday",
        answers={"main.approve": {"approved": False, "reason": "it is Friday"}},
    ),
    Run("exit-codes", {"search": "Succeeded", "check": "Failed"}),
    Run("fan-out-files", {"words": [4, 2, 3, 1], "total": 10}, hooks=("workflow:onExit",)),
    Run("http-check", {"status": 201, "item": 7}, {"url": "SERVER"}),
    Run("many-machines", {"rows": 3, "model": "trained on 3 rows"}),
    Run("map-reduce", {"most": {"word": "the", "times": 3}, "chunks": 3}),
    Run("map-reduce", {"most": {"word": "be", "times": 2}, "chunks": 2}, {"text": "to be or not to be", "parts": 2}),
    Run("nested-dags", {"published": ["app-2.0.1-linux.zip", "app-2.0.1-macos.zip"]}),
    Run("nightly-report", {"net": 100}),
    Run(
        "parameters",
        {"greeting": "Hello, Ada", "memory": 512, "verbose": True, "template": "dear {{name}}"},
        {"name": "Ada", "level": "debug"},
    ),
    Run("poll-until-done", {"state": "done", "progress": 100}),
    Run("retry-with-backoff", {"attempts": 3}),
    Run("secrets", {"login": "app:***", "length": 11}),
    Run("uses-a-namespace", {"lengths": [3, 3, 5]}),
    Run(
        "uses-a-namespace",
        {},
        {"words": ["short", "much-too-long"]},
        phase="Failed",
        message="check: iteration 1: exit code 1: much-too-long is too long",
    ),
    Run("uses-a-library", {"one": "HELLO!", "two": "BYE!!"}),
    Run("uses-a-workflow-template", {"result": "Hello, Ada!"}),
    Run("uses-a-workflow-template", {"result": "Hello, Grace!"}, {"name": "Grace"}),
]
ELSEWHERE = {"release"}  # the README's example has a test of its own


class Service(QuietHandler):
    """What http-check.yaml looks at."""

    REPLIES = {"/health": (200, {"ready": True}), "/items": (201, {"id": 7})}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, value = self.REPLIES.get(self.path, (404, None))
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Service) as url:
        yield url


async def carry_out(run: Run, arguments: Mapping[str, Any]) -> Report:
    secrets = {"database": {"password": "hunter2"}, "registry": {"token": "hunter2"}}
    async with Engine(library=[LIBRARY], secrets=secrets) as engine:
        run_id = await engine.submit(EXAMPLES / f"{run.example}.yaml", arguments)
        for task, payload in run.answers.items():
            await client_of(engine).runs.wait(run_id, or_suspended=True)
            await client_of(engine).control.resume(run_id, task, payload)
        return await client_of(engine).runs.wait(run_id)


@pytest.mark.parametrize("run", RUNS, ids=[f"{run.example}-{index}" for index, run in enumerate(RUNS)])
def test_a_document_does_what_it_says(run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    arguments = {name: server if value == "SERVER" else value for name, value in run.arguments.items()}
    report = asyncio.run(carry_out(run, arguments))
    assert (report.phase, report.message, dict(report.outputs)) == (run.phase, run.message, run.outputs)
    assert tuple(hook.hook for hook in report.hooks) == run.hooks
    assert "hunter2" not in json.dumps(report.to_json())


SHARING = [run for run in RUNS if run.example.startswith("uses-a-")]


@pytest.mark.rule("TMPL-2")
def test_libraries_can_be_a_folder_or_in_the_store(tmp_path: Path) -> None:
    """What the examples with a library say in their first lines, as commands."""
    store = ("--store", f"sqlite:{tmp_path / 'a.db'}")
    code, out = aether("template", "apply", str(LIBRARY), *store)
    assert (code, out.count("created")) == (0, len(list(LIBRARY.iterdir())))
    assert len(SHARING) >= 4
    for run in SHARING:
        given = [f"-p{name}={json.dumps(value) if isinstance(value, list) else value}" for name, value in run.arguments.items()]
        command = ("run", str(EXAMPLES / f"{run.example}.yaml"), "--quiet", "--output", "json", *given)
        for place in (("--library", str(LIBRARY), "--store", "memory"), store):
            report = json.loads(aether(*command, *place)[1])
            assert (report["phase"], report["message"], report["outputs"]) == (run.phase, run.message, run.outputs)
        code, _ = aether(*command, "--store", "memory")
        assert code == 3


def test_every_document_is_run() -> None:
    assert {run.example for run in RUNS} | ELSEWHERE == {file.stem for file in DOCUMENTS}
    assert len(DOCUMENTS) >= 12


def aether(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "aether_protocol.cli", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


def test_no_document_has_a_finding() -> None:
    code, out = aether("validate", "-o", "json", *map(str, DOCUMENTS), str(LIBRARY))
    assert (code, json.loads(out)) == (0, {"valid": True, "diagnostics": []})


def test_their_case_files_pass() -> None:
    code, out = aether("test", str(EXAMPLES))
    assert code == 0, out


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """What validate says of all of them at once."""
    code, out = aether("validate", "-o", "json", *map(str, INVALID))
    assert code == 3
    diagnostics: list[dict[str, Any]] = json.loads(out)["diagnostics"]
    return diagnostics


@pytest.mark.rule("DOC-7")
@pytest.mark.parametrize("file", INVALID, ids=[file.stem for file in INVALID])
def test_an_invalid_document_is_found_out(file: Path, found: list[dict[str, Any]]) -> None:
    """Each expected finding is there, in this order, and there is no error that is not expected."""
    expected = YAML(typ="safe").load(file.with_suffix(".expect.yaml"))
    here = [one for one in found if Path(one["file"]).name == file.name]
    errors = [one["code"] for one in here if one["severity"] == "error"]
    seen = [{key: one[key] for key in ("code", "line", "path")} for one in here]
    assert [one for one in seen if one in expected] == expected
    assert errors == [one["code"] for one in expected if one["code"] in errors]


def test_there_are_enough_of_them() -> None:
    assert len(INVALID) >= 8
    assert {f"{file.stem}.expect.yaml" for file in INVALID} == {
        file.name for file in (EXAMPLES / "invalid").glob("*.expect.yaml")
    }
