"""http (EXEC-5), against a real server on the loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.executors import http
from aether_protocol.ports.wire import TaskResult
from aether_protocol.testing.contracts.executor import Sample, assignment, attempt
from tests.web import QuietHandler, serving

pytestmark = pytest.mark.rule("EXEC-5")


class Handler(QuietHandler):
    """One answer for each kind of path, whatever the method."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        kind, _, detail = self.path[1:].partition("/")
        length = int(self.headers.get("content-length", 0))
        sent = self.rfile.read(length).decode()
        replies: dict[str, tuple[int, dict[str, str], bytes]] = {
            "echo": (200, {}, json.dumps([self.command, dict(self.headers.items()), sent]).encode()),
            "text": (200, {"Content-Type": "text/plain; charset=latin-1", "X-Twice": "a"}, "gr\xfc\xdfe".encode("latin-1")),
            "odd": (200, {"Content-Type": "text/plain; charset=no-such"}, b"\xff{"),
            "status": (int(detail or 200), {}, b"{}"),
            "moved": (302, {"Location": "/text"}, b""),
            "large": (200, {}, b"x" * 2_000),
            "late": (200, {}, b""),
        }
        if kind == "silent":
            self.close_connection = True
            self.rfile.read(1)  # until the client has gone
            return
        if kind == "late":
            threading.Event().wait(0.1)  # so that requests run together
        if kind == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, body = replies[kind]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if kind == "text":
            self.send_header("X-Twice", "b")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Handler) as url:
        yield url


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def send(url: str, **config: Any) -> TaskResult:
    task = assignment("http", Sample({"url": url, **config}))
    return asyncio.run(attempt(http.HttpExecutor(), task))


def echoed(url: str, **config: Any) -> tuple[str, dict[str, str], str]:
    given = send(url, **config)
    assert given.code == 0, given.message
    method, headers, sent = given.outputs["json"]
    return method, {name.lower(): value for name, value in headers.items()}, sent


def test_a_plain_get(server: str) -> None:
    given = send(f"{server}/text")
    assert (given.code, given.message) == (0, "")
    outputs = dict(given.outputs)
    headers = outputs.pop("headers")
    assert outputs == {"status": 200, "body": "grüße", "json": None}
    assert (headers["content-type"], headers["x-twice"]) == ("text/plain; charset=latin-1", "a, b")


def test_method_and_headers(server: str) -> None:
    method, headers, _ = echoed(f"{server}/echo", method="DELETE", headers={"X-Count": 5, "X-Text": "ü"})
    assert (method, headers["x-count"]) == ("DELETE", "5")
    assert headers["x-text"].encode("latin-1").decode() == "ü"


def test_a_text_body_goes_as_it_is(server: str) -> None:
    _, headers, sent = echoed(f"{server}/echo", method="POST", body="grüße")
    assert "content-type" not in headers
    assert sent == "grüße"


def test_any_other_body_goes_as_json(server: str) -> None:
    _, headers, sent = echoed(f"{server}/echo", method="PUT", body={"a": [1, None]})
    assert (headers["content-type"], sent) == ("application/json", '{"a":[1,null]}')


def test_a_content_type_of_ones_own(server: str) -> None:
    headers = echoed(f"{server}/echo", method="POST", body=[1], headers={"Content-Type": "x/y"})[1]
    assert headers["content-type"] == "x/y"


def test_head_has_no_body(server: str) -> None:
    given = send(f"{server}/echo", method="HEAD")
    assert (given.code, given.outputs["body"], given.outputs["json"]) == (0, "", None)


def test_an_unknown_charset_is_read_as_utf8(server: str) -> None:
    assert send(f"{server}/odd").outputs["body"] == "\ufffd{"


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "expect", "code"),
        [
            (204, None, 0),
            (500, None, 2),
            (404, 404, 0),
            (200, 404, 2),
            (201, [200, 201], 0),
            (202, [200, 201], 2),
        ],
    )
    def test_what_is_expected(self, server: str, status: int, expect: Any, code: int) -> None:
        given = send(f"{server}/status/{status}", **({} if expect is None else {"expectStatus": expect}))
        assert (given.code, given.outputs["status"]) == (code, status)

    def test_the_message_names_both(self, server: str) -> None:
        assert send(f"{server}/status/503").message == "status 503 Service Unavailable, expected 2xx"
        assert send(f"{server}/status/200", expectStatus=[404, 302]).message == "status 200 OK, expected 302, 404"

    def test_a_redirect_is_an_answer(self, server: str) -> None:
        given = send(f"{server}/moved")
        assert given.message == "status 302 Found, expected 2xx (redirects are not followed: /text)"
        assert send(f"{server}/moved", expectStatus=302).outputs["headers"]["location"] == "/text"

    @pytest.mark.parametrize("expect", [[], "200", 99, 600, True, [200, "x"]])
    def test_what_is_no_status(self, server: str, expect: Any) -> None:
        given = send(f"{server}/text", expectStatus=expect)
        assert (given.code, given.message.startswith("expectStatus must be")) == (3, True)


class TestTrouble:
    def test_nobody_listens(self) -> None:
        given = send("http://127.0.0.1:1/")
        assert (given.code, given.message.startswith("GET http://127.0.0.1:1/: ")) == (3, True)

    def test_the_server_hangs_up(self, server: str) -> None:
        given = send(f"{server}/drop")
        assert (given.code, given.message.startswith(f"GET {server}/drop: ")) == (3, True)

    def test_too_much_comes(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "BODY_LIMIT", 1_000)
        given = send(f"{server}/large")
        text = "the response is larger than 1000 bytes, the limit of a value: fetch it as an artifact (source `http`)"
        assert (given.code, given.message) == (3, text)

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/path", "127.0.0.1", "file:///etc/hosts"])
    def test_no_http_address(self, url: str) -> None:
        given = send(url)
        assert (given.code, given.message) == (3, f"url {url!r} is not an absolute http or https address")

    @pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b/"])
    def test_a_broken_address(self, url: str) -> None:
        assert send(url).code == 3

    @pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"": "x"}, {"ü": "x"}, {"a\n": "x"}])
    def test_a_header_that_cannot_be_sent(self, server: str, headers: dict[str, str]) -> None:
        given = send(f"{server}/text", headers=headers)
        assert (given.code, "cannot be sent" in given.message) == (3, True)

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "httpx2", None)
        given = send("http://127.0.0.1:1/")
        assert (given.code, given.message) == (
            3,
            "the http executor needs httpx2 (pip install 'aether-protocol[http]')",
        )


@pytest.mark.rule("SCHED-10")
def test_a_cancel_ends_the_wait(server: str) -> None:
    async def run() -> None:
        task = assignment("http", Sample({"url": f"{server}/silent"}))
        await asyncio.wait_for(attempt(http.HttpExecutor(), task), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(run())


def test_many_requests_with_few_descriptors(server: str, tmp_path: Path) -> None:
    """That no connection can be made for want of descriptors is waited for."""
    config = {"url": f"{server}/late"}
    templates = [
        {"loop": {"name": "main", "body": "ask", "items": list(range(100)), "concurrency": 0}},
        {"task": {"name": "ask", "executor": {"type": "http", "config": config}}},
    ]
    spec = {"entrypoint": "main", "templates": templates}
    document = {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "ask"}, "spec": spec}
    (tmp_path / "ask.json").write_text(json.dumps(document))
    command = f"ulimit -n 64 && exec {sys.executable} -m aether_protocol.cli run ask.json --quiet"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
