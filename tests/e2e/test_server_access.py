"""A server that knows its callers, as processes: tokens by the command, over HTTP, and for workers."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.documents import script
from tests.e2e.process import AETHER, environment
from tests.e2e.servers import PATIENCE_S, Served, served, wait_for, working


def aether(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*AETHER, *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S)


def token(folder: Path, *words: str) -> str:
    made = aether(folder, "token", "create", "--store", f"sqlite:{folder / 'runs.db'}", *words)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() not in made.stderr
    return made.stdout.strip()


def call(server: Served, method: str, path: str, text: str, body: Any = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {text}"}
    return httpx.request(method, f"{server.url}/v1{path}", json=body, headers=headers, timeout=PATIENCE_S)


def test_tenants_of_one_server(tmp_path: Path) -> None:
    admin = token(tmp_path, "--name", "root", "--role", "admin", "--all-namespaces")
    ours = token(tmp_path, "--name", "alice", "--role", "operator", "-n", "ours")
    theirs = token(tmp_path, "--name", "bob", "--role", "operator", "-n", "theirs")
    store = ("--store", f"sqlite:{tmp_path / 'runs.db'}")
    with served(tmp_path) as server:
        assert "authentication is off" not in server.said
        assert httpx.get(f"{server.url}/v1/runs").status_code == 401
        document = script("echo a word of ours")
        document["metadata"]["namespace"] = "ours"
        run = call(server, "POST", "/runs", ours, {"document": document}).json()["runId"]
        result = call(server, "GET", f"/runs/{run}/result?wait=30s", ours)
        assert (result.status_code, result.json()["phase"]) == (200, "Succeeded")
        for path in ("", "/report", "/logs", "/events", "/result?wait=1s"):
            foreign = call(server, "GET", f"/runs/{run}{path}", theirs)
            assert (path, foreign.status_code, "word" in foreign.text) == (path, 404, False), foreign.text
        assert call(server, "POST", "/runs", theirs, {"document": document}).status_code == 403
        made = call(server, "POST", "/tokens", admin, {"kind": "person", "name": "eve", "roles": {"ours": "viewer"}}).json()
        assert call(server, "GET", "/runs", made["token"]).json()["runs"][0]["runId"] == run
        assert call(server, "POST", f"/runs/{run}/retry", made["token"], {}).status_code == 403
        assert call(server, "DELETE", f"/tokens/{made['id']}", admin).json()["id"] == made["id"]
        assert aether(tmp_path, "token", "revoke", theirs.split("_")[1], *store).returncode == 0
        # a server believes a token for 2 s without a look
        wait_for(lambda: call(server, "GET", "/runs", made["token"]).status_code == 401, 5)
        wait_for(lambda: call(server, "GET", "/runs", theirs).status_code == 401, 5)
        assert call(server, "PUT", "/namespaces/other", admin, {"limit": 1}).status_code == 200
        wait_for(lambda: call(server, "POST", "/runs", ours, {"document": document}).status_code == 400, 5)
        assert "not declared" in call(server, "POST", "/runs", ours, {"document": document}).text
        records = call(server, "GET", "/audit?limit=1000", admin).json()["records"]
        _, said = server.end()
    assert ("alice", "control.submit", "ours", run, "ok") in [
        (one["actor"], one["action"], one["namespace"], one["target"], one["outcome"]) for one in records
    ]
    assert ("bob", "control.submit", "forbidden") in [(one["actor"], one["action"], one["outcome"]) for one in records]
    listed = json.loads(aether(tmp_path, "token", "ls", "-o", "json", *store).stdout)
    assert {one["name"] for one in listed if one["usedAt"]} == {"root", "alice", "bob", "eve"}
    for text in (admin, ours, theirs, made["token"]):
        assert text not in said
        assert text.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))


def test_a_token_of_a_worker_is_for_its_namespaces_and_pools(tmp_path: Path) -> None:
    worker = token(tmp_path, "--name", "w", "--kind", "worker", "-n", "ours", "--pool", "gpu")
    other = token(tmp_path, "--name", "o", "--kind", "worker", "-n", "ours")
    admin = token(tmp_path, "--name", "root", "--role", "admin", "--all-namespaces")
    hello = {"worker": "w", "protocols": [1], "executors": [{"name": "script"}], "slots": {"tasks": 4}, "pool": "gpu"}
    with served(tmp_path, "--no-workers") as server:
        assert call(server, "GET", "/runs", worker).status_code == 403
        assert call(server, "POST", "/workers", worker, {**hello, "pool": ""}).status_code == 403
        session = call(server, "POST", "/workers", worker, hello).json()["session"]
        assert call(server, "POST", f"/workers/{session}/beat", other, {"poll": 0, "holding": []}).status_code == 410
        runs = {}
        for space in ("theirs", "ours"):
            document = script("echo 1")
            document["metadata"]["namespace"] = space
            runs[space] = call(server, "POST", "/runs", admin, {"document": document}).json()["runId"]
        session = call(server, "POST", "/workers", other, {**hello, "pool": ""}).json()["session"]
        poll = {"poll": 1, "free": 4, "holding": []}
        work = call(server, "POST", f"/workers/{session}/poll", other, poll).json()["work"]
        assert [one["assignment"]["workflowRunId"] for one in work] == [runs["ours"]]
        rows = call(server, "GET", "/runs", admin).json()["runs"]
        assert {row["runId"] for row in rows} == set(runs.values())


@pytest.mark.parametrize("words", [["--host", "0.0.0.0"], ["--cors", "https://a.example"], ["--token", "short"]])
def test_a_server_that_would_be_open_does_not_start(tmp_path: Path, words: list[str]) -> None:
    refused = aether(tmp_path, "serve", "--http-port", "0", *words)
    assert refused.returncode == 2, refused.stderr
    assert "hint:" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_token_closes_a_server_of_this_machine(tmp_path: Path) -> None:
    text = "a-token-that-is-long-enough"
    with served(tmp_path, AETHER_SERVER_TOKEN=text) as server:
        assert httpx.get(f"{server.url}/v1/runs").status_code == 401
        assert call(server, "GET", "/runs", text).status_code == 200
        assert text not in server.end()[1]
    with served(tmp_path) as server:
        assert "authentication is off" in server.said
        assert httpx.get(f"{server.url}/v1/runs").status_code == 200
        assert httpx.get(f"{server.url}/v1/runs", headers={"host": "evil.example"}).status_code == 403


def test_a_server_is_administered_by_the_same_commands_with_the_same_output(tmp_path: Path) -> None:
    """Over a store and over a server, row by row; what is refused, too."""
    admin = token(tmp_path, "--name", "root", "--role", "admin", "--all-namespaces")
    viewer = token(tmp_path, "--name", "eve", "--role", "viewer", "-n", "ours")

    def remote(bearer: str, *words: str) -> subprocess.CompletedProcess[str]:
        command, said = [*AETHER, *words, "--server", server.url], environment() | {"AETHER_TOKEN": bearer}
        return subprocess.run(command, cwd=tmp_path, env=said, capture_output=True, text=True, timeout=PATIENCE_S)

    def local(*words: str) -> subprocess.CompletedProcess[str]:
        return aether(tmp_path, *words, "--store", f"sqlite:{tmp_path / 'runs.db'}")

    with served(tmp_path) as server:
        made = remote(admin, "token", "create", "--name", "ci", "--kind", "service", "--role", "operator", "-n", "ours",
                      "--expires", "90d")
        assert (made.returncode, made.stdout.startswith("aeth_")) == (0, True), made.stderr
        known = made.stdout.strip().split("_")[1]
        assert known in made.stderr
        assert made.stdout.strip() not in made.stderr
        declared = remote(admin, "namespace", "create", "ours", "--weight", "3", "--most", "5", "-o", "json")
        assert json.loads(declared.stdout) == {"name": "ours", "weight": 3, "most": 5, "isNew": True}
        assert remote(admin, "namespace", "create", "gone").stdout == "namespace gone was declared\n"
        assert remote(admin, "namespace", "rm", "gone").stdout == "namespace gone is not declared any more\n"
        assert remote(admin, "token", "revoke", known).stdout == f"{known} (ci) is revoked\n"
        pages = (["namespace", "ls"], ["namespace", "ls", "-o", "json"], ["audit"], ["audit", "-o", "json", "--limit", "2"])
        for words in pages:
            there, here = remote(admin, *words), local(*words)
            assert (there.returncode, there.stdout, there.stderr) == (0, here.stdout, here.stderr), words
            assert "ours" in there.stdout or "gone" in there.stdout
        rows, others = json.loads(remote(admin, "token", "ls", "-o", "json").stdout), local("token", "ls", "-o", "json")
        for one in (rows, told := json.loads(others.stdout)):
            assert [row.pop("usedAt", None) is not None for row in one][2] is False  # when it was used is written later
        assert rows == told
        for words in (["token", "revoke", known], ["namespace", "rm", "gone"], ["token", "revoke", "unknown"]):
            there, here = remote(admin, *words), local(*words)
            assert (there.returncode, there.stderr) == (here.returncode, here.stderr)
            assert there.returncode == 2
        refused = remote(viewer, "audit")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "may not do this" in refused.stderr


CREDENTIALS = ("AETHER_TOKEN", "AETHER_SERVER_TOKEN", "AETHER_OIDC_CLIENT_SECRET", "AETHER_SECRET_A_B")


@pytest.mark.parametrize("embedded", [True, False], ids=["a server's own worker", "another worker"])
def test_programs_do_not_get_the_credentials_of_what_carries_them_out(tmp_path: Path, embedded: bool) -> None:
    token = "a-token-that-is-long-enough"
    given = {**dict.fromkeys(CREDENTIALS, token), "KEPT": "kept"}
    shown = "env; tr '\\0' '\\n' < /proc/$PPID/environ; true"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(served(tmp_path, *([] if embedded else ["--no-workers"]), **given))
        if not embedded:
            stack.enter_context(working(server.url, **given)).connected()
        headers = {"authorization": f"Bearer {token}"}
        begun = httpx.post(f"{server.url}/v1/runs", json={"document": script(shown), "runId": "r"}, headers=headers)
        assert begun.status_code == 201, begun.text
        ended = httpx.get(f"{server.url}/v1/runs/r/result?wait=30s", headers=headers, timeout=60)
        assert ended.json()["phase"] == "Succeeded", ended.text
        logs = httpx.get(f"{server.url}/v1/runs/r/logs?limit=1000", headers=headers).text
    assert "KEPT=kept" in logs
    assert not [name for name in CREDENTIALS if name in logs]
