"""Sources of input artifacts (ART-2): raw and git, what may be absent, what failures say, and that a retry gets the same."""

from __future__ import annotations

import asyncio
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine, PortError, Report
from aether_protocol.adapters.artifacts import fetchers
from aether_protocol.adapters.artifacts.fetchers import HttpFetcher, LocalFetcher, RawFetcher
from aether_protocol.adapters.artifacts.git import GitFetcher
from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.execution.staging.stager import LocalStager
from aether_protocol.plan.model import ArtifactOutput
from aether_protocol.ports.artifacts import AbsentError
from aether_protocol.service import client_of

pytestmark = pytest.mark.rule("ART-2")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *who, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "a.txt").write_text("first\n")
    (folder / "run.sh").write_text("echo hi\n")
    (folder / "run.sh").chmod(0o755)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    (folder / "rules" / "a.txt").write_text("second\n")
    git(folder, "commit", "-qam", "two")
    return folder


class TestRaw:
    def test_the_text_as_it_stands(self, tmp_path: Path) -> None:
        RawFetcher().fetch({"text": "ü\r\n"}, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == "ü\r\n".encode()


class TestGit:
    def fetch(self, repository: Path, **config: str) -> tuple[str, Path]:
        target = repository.parent / "got"
        commit = GitFetcher().fetch({"url": f"file://{repository}", **config}, target)
        return commit, target

    def test_the_newest_and_all_of_it(self, repository: Path) -> None:
        commit, target = self.fetch(repository)
        assert commit == git(repository, "rev-parse", "HEAD")
        assert sorted(str(one.relative_to(target)) for one in target.rglob("*")) == ["rules", "rules/a.txt", "run.sh"]
        assert (target / "rules" / "a.txt").read_text() == "second\n"
        assert (target / "run.sh").stat().st_mode & 0o100
        assert sorted(one.name for one in repository.parent.iterdir()) == ["got", "origin"]

    @pytest.mark.parametrize("kind", ["tag", "commit"])
    def test_a_revision_and_a_path(self, repository: Path, kind: str) -> None:
        old = git(repository, "rev-parse", "v1")
        git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
        commit, target = self.fetch(repository, revision="v1" if kind == "tag" else old, path="rules/a.txt")
        assert commit == old
        assert target.read_text() == "first\n"

    def test_what_is_not_there_is_absent(self, repository: Path) -> None:
        for config in ({"revision": "nothing"}, {"path": "nothing"}):
            with pytest.raises(AbsentError):
                self.fetch(repository, **config)
        with pytest.raises(PortError, match="source git"):
            self.fetch(repository.parent / "nowhere")

    @pytest.mark.parametrize(
        "config",
        [
            {"url": "ext::sh -c touch% pwned"},
            {"url": "--upload-pack=touch pwned"},
            {"url": "/etc"},
            {"url": "fd::17"},
            {"revision": "--upload-pack=touch pwned"},
            {"revision": "main:refs/heads/x"},
            {"revision": "a..b"},
            {"path": "../origin"},
            {"path": "/etc/passwd"},
            {"path": ".git/config"},
        ],
    )
    def test_options_commands_and_ways_out_are_refused(self, repository: Path, config: dict[str, str]) -> None:
        with pytest.raises(PortError, match="source git"):
            self.fetch(repository, **config)
        assert sorted(one.name for one in repository.parent.iterdir()) == ["origin"]

    def test_links_that_lead_out_are_refused(self, repository: Path) -> None:
        (repository / "rules" / "l").symlink_to("/etc")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "three")
        with pytest.raises(PortError, match="leads out"):
            self.fetch(repository, path="rules")
        (repository / "m").symlink_to("/etc/passwd")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "four")
        with pytest.raises(PortError, match="no file or folder"):
            self.fetch(repository, path="m")

    def test_credentials_are_not_told(self, tmp_path: Path) -> None:
        with pytest.raises(PortError) as caught:
            GitFetcher().fetch({"url": "https://ada:s3cret@localhost:1/x.git?token=t0ken"}, tmp_path / "f")
        assert "localhost:1/x.git" in caught.value.message
        assert not any(word in caught.value.message for word in ("s3cret", "t0ken"))

    def test_nothing_of_the_repository_is_run(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hooks of a template folder, and a filter that attributes of the repository ask for."""
        hooks = repository.parent / "home" / "hooks"
        hooks.mkdir(parents=True)
        for name in ("post-checkout", "reference-transaction"):
            (hooks / name).write_text("#!/bin/sh\ntouch ../pwned\n")
            (hooks / name).chmod(0o755)
        monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
        self.fetch(repository)
        assert not list(repository.parent.rglob("pwned"))


class _Handler(BaseHTTPRequestHandler):
    answers: list[tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    _Handler.answers = [(200, b"one")]
    made = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


class TestHttpReasons:
    def told(self, url: str, tmp_path: Path) -> str:
        with pytest.raises(PortError) as caught:
            HttpFetcher().fetch({"url": url}, tmp_path / "f")
        assert not (tmp_path / "f").exists()
        return caught.value.message

    def test_refused(self, tmp_path: Path) -> None:
        told = self.told("http://ada:s3cret@127.0.0.1:1/a/b.csv?token=t0ken", tmp_path)
        assert told == "source http: 'http://127.0.0.1:1/a/b.csv' failed: connection refused"

    def test_a_name_that_is_not_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: Any, **__: Any) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        assert self.told("http://nowhere.invalid/x", tmp_path).endswith("the host name is not known (DNS)")

    def test_silence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetchers, "TIMEOUT_S", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as quiet:
            port = quiet.getsockname()[1]
            assert f"'http://127.0.0.1:{port}/x' failed: timeout after" in self.told(f"http://127.0.0.1:{port}/x", tmp_path)

    def test_no_http(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as odd:
            def answer() -> None:
                one, _ = odd.accept()
                one.recv(1000)
                one.sendall(b"SSH-2.0-x\r\n\r\n")
                one.close()

            thread = threading.Thread(target=answer)
            thread.start()
            told = self.told(f"http://127.0.0.1:{odd.getsockname()[1]}/", tmp_path)
            assert told.endswith("the answer is not HTTP, or broke off")
            thread.join()

    def test_a_status_is_told_with_the_path(self, server: HTTPServer, tmp_path: Path) -> None:
        _Handler.answers = [(404, b"")]
        assert "/a?".rstrip("?") + "' answered 404" in self.told(f"http://127.0.0.1:{server.server_port}/a?t=1", tmp_path)


class TestLocal:
    def test_a_relative_path_means_the_documents_folder(self, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "f").write_text("beside")
        LocalFetcher().fetch({"path": "f"}, tmp_path / "got", str(tmp_path / "docs"))
        assert (tmp_path / "got").read_text() == "beside"
        with pytest.raises(AbsentError, match=str(tmp_path / "docs" / "nothing")):
            LocalFetcher().fetch({"path": "nothing"}, tmp_path / "got2", str(tmp_path / "docs"))


class TestModes:
    @pytest.mark.rule("ART-4")
    @pytest.mark.parametrize("archive", [None, "tar", "tar.gz", "zip"])
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o700, 0o755, 0o666])
    def test_nothing_becomes_wider(self, tmp_path: Path, archive: str | None, mode: int) -> None:
        for name in ("a", "b", "scratch"):
            (tmp_path / name).mkdir()
        (tmp_path / "a" / "key").write_text("x")
        (tmp_path / "a" / "key").chmod(mode)
        stager = LocalStager(LocalRepository(tmp_path / "kept"))
        kept = stager.keep([ArtifactOutput("key", "key", archive, None)], tmp_path / "a", tmp_path / "scratch")
        stager.bring({"key": {**kept["key"], "path": "key"}}, tmp_path / "b", tmp_path / "scratch", None)
        assert stat.S_IMODE((tmp_path / "b" / "key").stat().st_mode) == mode & 0o755

    def test_nor_do_folders(self, tmp_path: Path) -> None:
        for name in ("a/tree/in", "b", "scratch"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "a/tree/in").chmod(0o700)
        stager = LocalStager(LocalRepository(tmp_path / "kept"))
        kept = stager.keep([ArtifactOutput("t", "tree", None, None)], tmp_path / "a", tmp_path / "scratch")
        stager.bring({"t": {**kept["t"], "path": "tree"}}, tmp_path / "b", tmp_path / "scratch", None)
        assert stat.S_IMODE((tmp_path / "b/tree/in").stat().st_mode) == 0o700


class TestPlaces:
    @pytest.mark.parametrize("path", ["../out", "a/../../out", ".."])
    def test_a_relative_path_cannot_leave_the_workspace(self, tmp_path: Path, path: str) -> None:
        for name in ("work", "scratch"):
            (tmp_path / name).mkdir()
        (tmp_path / "out").write_text("x")
        stager = LocalStager(LocalRepository(tmp_path / "kept"), [RawFetcher()])
        raw = {"type": "raw", "config": {"text": "y"}}
        with pytest.raises(PortError, match="leads out of the workspace"):
            stager.bring({"in": {"path": path, "source": raw}}, tmp_path / "work", tmp_path / "scratch", None)
        with pytest.raises(PortError, match="leads out of the workspace"):
            stager.keep([ArtifactOutput("o", path, None, None)], tmp_path / "work", tmp_path / "scratch")
        assert (tmp_path / "out").read_text() == "x"


# --- through runs ---


def document(source: dict[str, Any], script: str, **artifact: Any) -> dict[str, Any]:
    task = {
        "name": "main",
        "inputs": {"artifacts": [{"name": "data", "path": "data", "source": source, **artifact}]},
        "executor": {"type": "script", "config": {"runtime": "sh", "source": script}},
        "outputs": {"parameters": [{"name": "stdout"}]},
        "retry": {"limit": 1, "expression": "phase == 'Failed'", "backoff": {"duration": "0s"}},
    }
    head = {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "demo"}}
    return {**head, "spec": {"entrypoint": "main", "templates": [{"task": task}]}}


async def _runs(doc: dict[str, Any], between: Any) -> list[Report]:
    """A run, something `between`, and a retry of it."""
    async with Engine(store="sqlite:a.db") as engine:
        first = await client_of(engine).runs.wait(await engine.submit(doc))
        between()
        return [first, await client_of(engine).runs.wait(await client_of(engine).control.retry(first.run_id))]


class TestARetryGetsTheSame:
    FAILS = 'cat data; test -e "{}"'

    def test_of_http(self, server: HTTPServer, tmp_path: Path) -> None:
        """The attempts of a run, then a retry of the run: the server is asked once, though it would say something else."""
        _Handler.answers = [(200, b"one"), (200, b"two"), (200, b"three")]
        flag = tmp_path / "flag"
        source = {"type": "http", "config": {"url": f"http://127.0.0.1:{server.server_port}/"}}
        first, again = asyncio.run(_runs(document(source, self.FAILS.format(flag)), flag.touch))
        assert (first.phase, again.phase) == ("Failed", "Succeeded")
        assert first.outputs == again.outputs == {"stdout": "one"}
        assert len(_Handler.answers) == 2

    @pytest.mark.parametrize("folder", [False, True])
    def test_what_changed_is_named_where_the_bytes_are_gone(self, tmp_path: Path, folder: bool) -> None:
        place = tmp_path / "data"
        file = place / "f" if folder else place
        place.mkdir() if folder else None
        file.write_text("one")
        flag = tmp_path / "flag"

        def between() -> None:
            flag.touch()
            file.write_text("two")
            for one in tmp_path.rglob("sha256/*/*"):
                one.unlink()

        script = f'cat data{"/f" if folder else ""}; test -e "{flag}"'
        source = {"type": "local", "config": {"path": str(place)}}
        first, again = asyncio.run(_runs(document(source, script), between))
        assert (first.phase, again.phase) == ("Failed", "Error")
        assert "input artifact 'data': source local gives something else than before: sha256:" in again.message

    def test_of_git(self, repository: Path, tmp_path: Path) -> None:
        flag = tmp_path / "flag"
        before = git(repository, "rev-parse", "HEAD")

        def between() -> None:
            flag.touch()
            (repository / "rules" / "a.txt").write_text("third\n")
            git(repository, "commit", "-qam", "three")

        source = {"type": "git", "config": {"url": f"file://{repository}", "path": "rules"}}
        doc = document(source, f'cat data/a.txt; test -e "{flag}"')
        first, again = asyncio.run(_runs(doc, between))
        assert first.outputs == again.outputs == {"stdout": "second"}

        async def recorded() -> Any:
            async with Engine(store="sqlite:a.db") as engine:
                return [one async for one in client_of(engine).runs.events(first.run_id) if one["kind"] == "ArtifactsFetched"]

        told = asyncio.run(recorded())
        assert [one["fetched"]["data"]["commit"] for one in told] == [before]

    def test_a_new_run_takes_it_as_it_is(self, server: HTTPServer) -> None:
        _Handler.answers = [(200, b"one"), (200, b"two")]
        source = {"type": "http", "config": {"url": f"http://127.0.0.1:{server.server_port}/"}}

        async def go() -> list[Report]:
            async with Engine() as engine:
                return [await client_of(engine).runs.wait(await engine.submit(document(source, "cat data"))) for _ in range(2)]

        assert [report.outputs for report in asyncio.run(go())] == [{"stdout": "one"}, {"stdout": "two"}]


class TestOptional:
    def play(self, doc: Any) -> Report:
        async def go() -> Report:
            async with Engine() as engine:
                return await client_of(engine).runs.wait(await engine.submit(doc))

        return asyncio.run(go())

    def test_a_source_that_lacks_it(self, server: HTTPServer) -> None:
        _Handler.answers = [(404, b"")]
        sources = [
            {"type": "local", "config": {"path": "nothing"}},
            {"type": "http", "config": {"url": f"http://127.0.0.1:{server.server_port}/"}},
        ]
        for source in sources:
            report = self.play(document(source, "ls data || true", optional=True))
            assert (report.phase, report.outputs) == ("Succeeded", {"stdout": ""})
            assert self.play(document(source, "true")).phase == "Error"

    def test_a_source_that_does_not_answer_is_an_error_all_the_same(self) -> None:
        source = {"type": "http", "config": {"url": "http://127.0.0.1:1/x"}}
        assert self.play(document(source, "true", optional=True)).phase == "Error"

    @pytest.mark.parametrize("optional", [True, False])
    def test_a_task_that_did_not_make_it(self, optional: bool) -> None:
        use = {"name": "use", "dependencies": ["make"], "template": "use", "arguments": {"artifacts": [
            {"name": "data", "from": "tasks.make.outputs.artifacts.out"},
        ]}}
        make = {"name": "make", "template": "make", "when": "1 == 2"}
        source = {"runtime": "sh", "source": "ls data 2>/dev/null || echo none"}
        doc = {
            "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "demo"},
            "spec": {"entrypoint": "main", "templates": [
                {"dag": {"name": "main", "tasks": [make, use], "outputs": {"parameters": [
                    {"name": "out", "valueFrom": {"parameter": "tasks.use.outputs.parameters.stdout"}},
                ]}}},
                {"task": {"name": "make", "executor": {"type": "script", "config": {"source": "touch out"}},
                          "outputs": {"artifacts": [{"name": "out", "path": "out"}]}}},
                {"task": {"name": "use", "executor": {"type": "script", "config": source},
                          "inputs": {"artifacts": [{"name": "data", "path": "data", "optional": optional}]},
                          "outputs": {"parameters": [{"name": "stdout"}]}}},
            ]},
        }
        report = self.play(doc)
        assert (report.phase, report.outputs) == (("Succeeded", {"out": "none"}) if optional else ("Error", {}))

    def test_nobody_need_give_it(self) -> None:
        doc = document({"type": "raw", "config": {"text": ""}}, 'echo "{{inputs.artifacts.data.path}}"', optional=True)
        del doc["spec"]["templates"][0]["task"]["inputs"]["artifacts"][0]["source"]
        assert self.play(doc).phase == "Error"  # a placeholder that has no value
        doc["spec"]["templates"][0]["task"]["executor"]["config"]["source"] = "true"
        assert self.play(doc).phase == "Succeeded"
