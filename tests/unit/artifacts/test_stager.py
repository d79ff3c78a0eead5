"""The stager and the fetchers: artifacts laid down and kept (ART-1, ART-2, SPEC-6)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.artifacts.fetchers import HttpFetcher, LocalFetcher
from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.errors import PortError
from aether_protocol.execution.staging.limits import Limits
from aether_protocol.execution.staging.stager import LocalStager
from aether_protocol.plan.model import ArtifactOutput

LIMITS = Limits(size=100_000, count=50)


@dataclass(frozen=True)
class Staged:
    """A stager and the one workspace that it serves here."""

    stager: LocalStager
    folder: Path
    scratch: Path

    def bring(self, artifacts: dict[str, Any]) -> None:
        self.stager.bring(artifacts, self.folder, self.scratch, None)

    def keep(self, outputs: list[ArtifactOutput]) -> dict[str, Any]:
        return self.stager.keep(outputs, self.folder, self.scratch)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "scratch").mkdir()
    return tmp_path / "work"


@pytest.fixture
def stager(tmp_path: Path, work: Path) -> Staged:
    fetchers = (LocalFetcher(work, LIMITS), HttpFetcher(LIMITS))
    return Staged(LocalStager(LocalRepository(tmp_path / "kept"), fetchers, limits=LIMITS), work, tmp_path / "scratch")


def output(path: str | None, archive: str | None = None) -> ArtifactOutput:
    return ArtifactOutput("out", path, archive, None)


def given(path: str | None, **more: Any) -> dict[str, Any]:
    return {"in": {"name": "in", "path": path, "archive": None, **more}}


def test_what_was_fetched_can_be_counted_as_put_again(work: Path, stager: Staged, tmp_path: Path) -> None:
    (work / "a").write_bytes(b"a")
    source = {"type": "local", "config": {"path": str(work / "a")}}
    fetched = stager.stager.within("team").bring(given("got", source=source), work, stager.scratch, None)
    kept = LocalRepository(tmp_path / "kept").within("team").path_of(fetched["in"]["digest"])
    os.utime(kept, (1, 1))
    stager.stager.renew(fetched)
    assert kept.stat().st_mtime == 1, "that is of another namespace"
    stager.stager.within("team").renew(fetched)
    assert kept.stat().st_mtime > 1


@pytest.mark.rule("ART-1", "ART-2", "ART-3")
@pytest.mark.parametrize("archive", [None, "none", "tar", "tar.gz", "zip"])
def test_a_file_comes_back_as_a_file(work: Path, stager: Staged, archive: str | None) -> None:
    (work / "report.csv").write_bytes(b"a,b")
    kept = stager.keep([output("report.csv", archive)])["out"]
    assert kept["name"] == "out"
    assert kept["digest"].startswith("sha256:")
    assert kept["archive"] == (archive or "none")
    assert kept["size"] == 3 if archive in (None, "none") else kept["size"] > 0
    stager.bring({"in": {**kept, "name": "in", "path": "deep/copy.csv"}})
    assert (work / "deep" / "copy.csv").read_bytes() == b"a,b"
    assert [path.name for path in (work / "deep").iterdir()] == ["copy.csv"]


@pytest.mark.rule("ART-1", "ART-2")
@pytest.mark.parametrize("archive", [None, "tar", "tar.gz", "zip"])
def test_a_folder_comes_back_as_a_folder(work: Path, stager: Staged, archive: str | None) -> None:
    (work / "out" / "sub").mkdir(parents=True)
    (work / "out" / "sub" / "x").write_bytes(b"1")
    kept = stager.keep([output("out", archive)])["out"]
    assert kept["archive"] == (archive or "tar.gz")
    (work / "in" / "sub").mkdir(parents=True)
    (work / "in" / "sub" / "x").write_bytes(b"old")
    (work / "in" / "other").write_bytes(b"stays")
    for _ in range(2):  # a new attempt finds the first one's files
        stager.bring({"in": {**kept, "name": "in", "path": "in"}})
        assert (work / "in" / "sub" / "x").read_bytes() == b"1"
        assert sorted(path.name for path in (work / "in").iterdir()) == ["other", "sub"]
    stager.bring({"in": {**kept, "name": "in", "path": "new/place"}})
    assert (work / "new" / "place" / "sub" / "x").read_bytes() == b"1"


@pytest.mark.rule("ART-1")
def test_what_cannot_be_kept(work: Path, stager: Staged) -> None:
    with pytest.raises(PortError, match=r"output artifact 'out': 'gone' is missing"):
        stager.keep([output("gone")])
    (work / "folder").mkdir()
    with pytest.raises(PortError, match="is a folder"):
        stager.keep([output("folder", "none")])
    with pytest.raises(PortError, match="output artifact 'out'"):
        stager.keep([output("a\x00b")])
    assert stager.keep([output(None)]) == {}


@pytest.mark.rule("ART-2")
def test_an_artifact_is_never_laid_through_a_link_or_over_another_kind(work: Path, stager: Staged, tmp_path: Path) -> None:
    (work / "file").write_bytes(b"new")
    (work / "tree" / "d").mkdir(parents=True)
    (work / "tree" / "d" / "x").write_bytes(b"new")
    file, tree = (stager.keep([output(path)])["out"] for path in ("file", "tree"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"safe")
    (work / "place").mkdir()
    (work / "place" / "d").symlink_to(tmp_path / "outside")
    (work / "link").symlink_to(tmp_path / "outside" / "x")
    for value, path in ((tree, "place"), (tree, "file"), (tree, "link"), (file, "place")):
        with pytest.raises(PortError, match=r"input artifact 'in': .* in the way"):
            stager.bring({"in": {**value, "path": path}})
    stager.bring({"in": {**file, "path": "link"}})
    assert (work / "link").read_bytes() == b"new"
    assert (tmp_path / "outside" / "x").read_bytes() == b"safe"
    assert not list(tmp_path.rglob(".aether-*"))


def test_faults_of_an_input_name_it(stager: Staged, work: Path) -> None:
    for more, message in [
        ({"digest": "sha256:" + "0" * 64, "size": 1}, "not in the repository"),
        ({"source": {"type": "ftp", "config": {}}}, "unknown source type 'ftp'"),
        ({"source": {"type": "local", "config": {}}}, "needs a path"),
        ({"source": {"type": "local", "config": {"path": "nope"}}}, "nothing lies at"),
    ]:
        with pytest.raises(PortError, match=f"input artifact 'in': .*{message}"):
            stager.bring(given("x", **more))
    assert list(work.iterdir()) == []


def test_an_input_without_a_path_is_only_passed_on(stager: Staged, work: Path) -> None:
    stager.bring(given(None, digest="sha256:" + "0" * 64))  # which is not there: it was not looked at
    assert list(work.iterdir()) == []


@pytest.mark.rule("SPEC-6")
def test_local_sources(stager: Staged, work: Path) -> None:
    (work / "src" / "sub").mkdir(parents=True)
    (work / "src" / "sub" / "x").write_bytes(b"1")
    stager.bring(given("a", source={"type": "local", "config": {"path": "src"}}))
    assert (work / "a" / "sub" / "x").read_bytes() == b"1"
    stager.bring(given("b", source={"type": "local", "config": {"path": str(work / "src" / "sub" / "x")}}))
    assert (work / "b").read_bytes() == b"1"
    (work / "big").write_bytes(b"0" * 100_001)
    with pytest.raises(PortError, match="larger than"):
        stager.bring(given("c", source={"type": "local", "config": {"path": "big"}}))
    assert not (work / "c").exists()


# --- http ---------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]] = []
    other = ""

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("X-Token")))
        moved = {"/moved": "/file", "/away": f"{self.other}/file", "/loop": "/loop", "/scheme": "file:///etc/passwd"}
        if self.path in moved:
            self.send_response(302)
            self.send_header("Location", moved[self.path])
            self.end_headers()
            return
        size = {"/file": 3, "/big": 200_000}.get(self.path.partition("?")[0])
        self.send_response(200 if size else 404)
        self.end_headers()
        self.wfile.write(b"x" * (size or 0))

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = [HTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    Handler.seen.clear()
    Handler.other = f"http://127.0.0.1:{servers[1].server_port}"
    yield f"http://127.0.0.1:{servers[0].server_port}"
    for running, thread in zip(servers, threads, strict=True):
        running.shutdown()
        running.server_close()
        thread.join()


def http(url: str, **config: Any) -> dict[str, Any]:
    return given("got", source={"type": "http", "config": {"url": url, **config}})


@pytest.mark.rule("SPEC-6")
def test_http_sources(stager: Staged, work: Path, server: str) -> None:
    stager.bring(http(f"{server}/file", headers={"X-Token": "t", "N": 5}))
    assert (work / "got").read_bytes() == b"xxx"
    stager.bring(http(f"{server}/moved", headers={"X-Token": "t"}))
    assert Handler.seen == [("/file", "t"), ("/moved", "t"), ("/file", "t")]


def test_headers_do_not_go_to_another_origin(stager: Staged, work: Path, server: str) -> None:
    stager.bring(http(f"{server}/away", headers={"X-Token": "t"}))
    assert Handler.seen == [("/away", "t"), ("/file", None)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nope?token=hunter2", "answered 404"),
        ("/big", "larger than"),
        ("/loop", "more than 5 redirects"),
        ("/scheme", "not an http or https address"),
    ],
)
def test_http_faults(stager: Staged, work: Path, server: str, path: str, message: str) -> None:
    with pytest.raises(PortError, match=message) as caught:
        stager.bring(http(server + path))
    assert "hunter2" not in str(caught.value)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["", "nonsense", "file:///etc/passwd", "http://127.0.0.1:1/x", "http://[", "http://u:hunter2@127.0.0.1:1/", 5]
)
def test_http_addresses_that_lead_nowhere(stager: Staged, work: Path, url: Any) -> None:
    with pytest.raises(PortError, match="input artifact 'in'") as caught:
        stager.bring(http(url))
    assert "hunter2" not in str(caught.value)


def test_a_malformed_header_is_not_shown(stager: Staged, server: str) -> None:
    with pytest.raises(PortError) as caught:
        stager.bring(http(f"{server}/file", headers={"X-Token": "hunter2\nX: y"}))
    assert "hunter2" not in str(caught.value)


def test_without_the_extra_there_is_a_hint(stager: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(PortError, match="httpx2") as caught:
        stager.bring(http("http://127.0.0.1/"))
    assert caught.value.hint is not None
    assert "aether-protocol[http]" in caught.value.hint
