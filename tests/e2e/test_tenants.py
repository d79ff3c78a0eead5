"""Tenants of one server, as processes: what a run of one namespace may have of another, by every way. Nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.e2e.process import AETHER, environment
from tests.e2e.servers import PATIENCE_S, Served, served, wait_for, working

OURS, THEIRS, DEFAULT = "word-of-ours", "word-of-theirs", "word-of-default"
VARIABLES = {
    "AETHER_SECRET_DB_PASSWORD": DEFAULT,
    "AETHER_SECRET__OURS__DB_PASSWORD": OURS,
    "AETHER_SECRET__THEIRS__DB_PASSWORD": THEIRS,
    "AETHER_SECRET__THEIRS__ONLY_HERE": THEIRS,
}
TRICKS = [  # what a run of `ours` might call a secret of `theirs`, or of `default`
    ("only", "here"),
    ("theirs/db", "password"),
    ("../theirs/db", "password"),
    ("theirs", "db/password"),
    ("theirs", "../theirs/db/password"),
    ("default/db", "password"),
    ("../db", "password"),
    ("-theirs--db", "password"),
    ("_THEIRS__DB", "password"),
    ("AETHER_SECRET__THEIRS__DB", "password"),
    ("filed", "key"),
    ("theirs/filed", "key"),
    ("../theirs/filed", "key"),
    ("/theirs/filed", "key"),
]


class Tenants:
    """A server with an operator of `ours`, one of `theirs` and an admin of all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Served
        self.admin = self.token("--name", "root", "--role", "admin", "--all-namespaces")
        self.ours = self.token("--name", "alice", "--role", "author", "-n", "ours")
        self.theirs = self.token("--name", "bob", "--role", "author", "-n", "theirs")
        self.names = {self.admin: "root", self.ours: "alice", self.theirs: "bob"}

    def token(self, *words: str) -> str:
        command = [*AETHER, "token", "create", "--store", f"sqlite:{self.folder / 'runs.db'}", *words]
        made = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        return made.stdout.strip()

    def ask(self, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.request(method, f"{self.server.url}/v1{path}", json=body, headers=headers, timeout=PATIENCE_S)

    def run(self, token: str, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Submit, and wait for the end; the id and the report."""
        run_id = self.begin(token, document)
        return run_id, self.result(token, run_id)

    def begin(self, token: str, document: dict[str, Any]) -> str:
        begun = self.ask(token, "POST", "/runs", {"document": document})
        assert begun.status_code == 201, begun.text
        run_id: str = begun.json()["runId"]
        return run_id

    def result(self, token: str, run: str) -> dict[str, Any]:
        report: dict[str, Any] = self.ask(token, "GET", f"/runs/{run}/result?wait=30s").json()
        return report

    def logs(self, token: str, run: str) -> str:
        """All that a run wrote."""
        pieces = self.ask(token, "GET", f"/runs/{run}/logs?limit=1000").json()["logs"]
        return "".join(piece["text"] for piece in pieces)


@contextmanager
def tenants(folder: Path, *, remote: bool) -> Iterator[Tenants]:
    """`remote`: with a worker that is another process, in whose environment no secret is."""
    for space in ("ours", "theirs"):
        (folder / "secrets" / space / "filed").mkdir(parents=True)
    (folder / "secrets" / "theirs" / "filed" / "key").write_text(THEIRS)
    made = Tenants(folder)
    (folder / "aether.toml").write_text('[secrets]\nfiles = ["secrets"]\n')
    options = ("--no-workers",) if remote else ()
    given: dict[str, Any] = {"AETHER_CONFIG": str(folder / "aether.toml"), **VARIABLES}
    with served(folder, *options, **given) as made.server:
        if not remote:
            yield made
            return
        worker = made.token("--name", "w", "--kind", "worker", "--all-namespaces")
        with working(made.server.url, AETHER_TOKEN=worker) as process:
            process.connected()
            yield made


def reveals(space: str, name: str, key: str, called: str = "reveals") -> dict[str, Any]:
    """A workflow whose task says a secret backwards, so that no mask hides it."""
    parameter = {"name": "p", "type": "string", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    config = {"runtime": "sh", "env": {"P": "{{inputs.parameters.p}}"}, "source": "X=$(printf %s \"$P\" | rev); echo \"$X\""}
    task = {"name": "main", "inputs": {"parameters": [parameter]}, "executor": {"type": "script", "config": config}}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": called, "namespace": space},
        "spec": {"entrypoint": "main", "templates": [{"task": task}]},
    }


@pytest.mark.rule("RT-138")
@pytest.mark.parametrize("remote", [False, True])
def test_a_run_gets_secrets_of_its_own_namespace_alone(tmp_path: Path, remote: bool) -> None:
    with tenants(tmp_path, remote=remote) as at:
        for token, space, word in ((at.ours, "ours", OURS), (at.theirs, "theirs", THEIRS), (at.admin, "default", DEFAULT)):
            run, report = at.run(token, reveals(space, "db", "password"))
            assert report["phase"] == "Succeeded", report
            created = at.ask(token, "GET", f"/runs/{run}/events?limit=1").json()["entries"][0][0]
            assert (created["kind"], created["submittedBy"]) == ("RunCreated", at.names[token]), created
            assert word[::-1] in at.logs(token, run)
        run, report = at.run(at.theirs, reveals("theirs", "filed", "key"))
        assert report["phase"] == "Succeeded", report
        begun = [(*one, at.begin(at.ours, reveals("ours", *one))) for one in (TRICKS[::4] if remote else TRICKS)]
        for name, key, run in begun:
            report, logs = at.result(at.ours, run), at.logs(at.ours, run)
            assert report["phase"] == "Error", (name, key, report)
            assert f"secret {name!r} of namespace 'ours' has no key {key!r}" in json.dumps(report), (name, key, report)
            assert not any(word[::-1] in logs or word in logs for word in (THEIRS, DEFAULT)), (name, key, logs)


@pytest.mark.rule("RT-138")
def test_a_template_by_name_uses_the_secrets_of_the_run_that_calls_it(tmp_path: Path) -> None:
    with tenants(tmp_path, remote=False) as at:
        for token, space in ((at.theirs, "theirs"), (at.ours, "ours")):
            library = reveals(space, "db", "password", called="words") | {"kind": "WorkflowTemplate"}
            del library["spec"]["entrypoint"]
            applied = at.ask(token, "POST", "/documents", {"documents": [{"name": "t.json", "text": json.dumps(library)}]})
            assert applied.is_success, applied.text
            reference = {"name": "words", "template": "main", "namespace": "theirs"}
            calls: dict[str, Any] = {
                "apiVersion": "aether/v1",
                "kind": "Workflow",
                "metadata": {"name": "calls", "namespace": space},
                "spec": {
                    "entrypoint": "main",
                    "templates": [{"dag": {"name": "main", "tasks": [{"name": "job", "templateRef": reference}]}}],
                },
            }
            if space == "ours":
                refused = at.ask(token, "POST", "/runs", {"document": calls})
                assert (refused.status_code, THEIRS in refused.text) == (422, False), refused.text
            else:
                run, report = at.run(token, calls)
                assert THEIRS[::-1] in at.logs(token, run), report
        both = at.token("--name", "carol", "--role", "operator", "-n", "ours", "-n", "theirs")
        calls["metadata"]["namespace"] = "ours"
        run, report = at.run(both, calls)
        logs = at.logs(both, run)
        assert (OURS[::-1] in logs, THEIRS[::-1] in logs) == (True, False), report


@pytest.mark.rule("RT-138")
def test_a_run_without_a_server_gets_the_same_secrets(tmp_path: Path) -> None:
    for space, word in (("ours", OURS), ("theirs", THEIRS), ("default", DEFAULT)):
        (tmp_path / "x.json").write_text(json.dumps(reveals(space, "db", "password")))
        command = [*AETHER, "run", "x.json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**VARIABLES), capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert (done.returncode, word[::-1] in done.stdout + done.stderr) == (0, True), done.stderr


def makes(space: str, text: str = "content", *, fails: bool = False) -> dict[str, Any]:
    """A workflow that keeps an artifact, and gives it to a second task, which may fail."""
    config = {"runtime": "sh", "source": f"printf %s {text} > made.txt"}
    made = {"name": "made", "path": "made.txt"}
    maker = {"name": "maker", "executor": {"type": "script", "config": config}, "outputs": {"artifacts": [made]}}
    source = "cat got.txt; touch $AETHER_RUN_DIR/left; exit 1" if fails else "cat got.txt"
    reader = {
        "name": "reader",
        "inputs": {"artifacts": [{"name": "got", "path": "got.txt"}]},
        "executor": {"type": "script", "config": {"runtime": "sh", "source": source}},
    }
    given = {"artifacts": [{"name": "got", "from": "tasks.maker.outputs.artifacts.made"}]}
    tasks = [{"name": "maker", "template": "maker"}, {"name": "reader", "template": "reader", "arguments": given,
                                                       "dependencies": ["maker"]}]
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "makes", "namespace": space},
        "spec": {
            "entrypoint": "main",
            "templates": [{"dag": {"name": "main", "tasks": tasks}}, {"task": maker}, {"task": reader}],
        },
    }


def contents(folder: Path) -> list[str]:
    """The artifacts of a store, by their place below its folder."""
    kept = folder / "runs.db-artifacts"
    found = [path.relative_to(kept) for path in kept.rglob("sha256/*/*")]
    return sorted(str(path).partition("sha256")[0] for path in found)


@pytest.mark.rule("RT-140")
@pytest.mark.parametrize("remote", [False, True])
def test_artifacts_of_a_namespace_are_its_own_and_go_with_its_runs(tmp_path: Path, remote: bool) -> None:
    with tenants(tmp_path, remote=remote) as at:
        begun = {space: at.begin(token, makes(space)) for token, space in ((at.ours, "ours"), (at.theirs, "theirs"))}
        begun["failed"] = at.begin(at.ours, makes("ours", "other", fails=True))
        for space, token in (("ours", at.ours), ("theirs", at.theirs)):
            report = at.result(token, begun[space])
            assert (report["phase"], "content" in at.logs(token, begun[space])) == ("Succeeded", True), report
        assert at.result(at.ours, begun["failed"])["phase"] == "Failed"
        assert contents(tmp_path) == ["namespaces/ours/", "namespaces/ours/", "namespaces/theirs/"]
        for path in (tmp_path / "runs.db-artifacts").rglob("sha256/*/*"):
            os.utime(path, (1, 1))  # longer ago than the grace
        folders = [path for path in tmp_path.rglob("*") if path.is_dir() and path.name == begun["failed"]]
        assert remote or folders, "the folder of a run that failed is kept"
        removed = subprocess.run(
            [*AETHER, "rm", begun["ours"], begun["failed"], "--server", at.server.url],
            cwd=tmp_path, env=environment(AETHER_TOKEN=at.ours), capture_output=True, text=True, timeout=PATIENCE_S,
        )
        assert (removed.returncode, removed.stdout) == (0, ""), removed.stderr
        wait_for(lambda: contents(tmp_path) == ["namespaces/theirs/"])
        assert not any(path.exists() for path in folders)
        assert at.ask(at.theirs, "POST", f"/runs/{begun['theirs']}/retry", {}).status_code in (201, 409)
        refused = at.ask(at.ours, "POST", "/store/delete", {"runs": [begun["theirs"]]})
        assert refused.status_code == 404
