"""What is not a server of this version is said to be that by every command, with what to do, and never with a traceback."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from aether_protocol.cli import main
from tests.web import QuietHandler, serving

FLOW = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: flow }
spec: { entrypoint: main, templates: [{ task: { name: main, executor: { type: noop } } }] }
"""
COMMANDS = (
    *("ls", "show x", "wait x", "logs x", "logs x -f", "events x -f", "replay x", "diff x y", "rm x"),
    *("run flow.yaml", "run flow.yaml --run-id y", "run flow.yaml --detach", "cancel x", "resume x t", "resume x", "retry x"),
    *("apply flow.yaml", "validate flow.yaml", "library ls", "library show f", "library diff f", "library rm f", "template ls"),
    *("cron ls", "cron show n", "cron trigger n", "cron suspend n", "cron history n", "cron next n"),
    *("worker ls", "worker drain w", "token ls", "namespace ls", "audit"),
)
# What answers: status, type and body; the exit code, and what is said.
ODD = {
    "a page": (200, "text/html", b"<html>welcome</html>", 9, "does not fit"),
    "nothing": (200, "application/json", b"", 9, "does not fit"),
    "another program": (200, "application/json", b'{"hello": 1}', 9, "does not fit"),
    "a list": (200, "application/json", b"[]", 9, "does not fit"),
    "a broken proxy": (500, "text/html", b"<html>oops</html>", 9, "not by an Aether server"),
    "a login page": (302, "text/html", b"", 9, "not by an Aether server"),
    "another program's error": (409, "application/json", b'{"detail": "odd"}', 9, "not by an Aether server"),
    "a guard": (403, "text/html", b"<html>forbidden</html>", 2, "refused with status 403"),
}


def odd(status: int, kind: str, body: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "https://login.example.com/")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    return Handler


@pytest.mark.parametrize("answer", ODD)
def test_what_is_not_a_server_is_said_to_be_none(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text(FLOW)
    status, kind, body, code, words = ODD[answer]
    with serving(odd(status, kind, body)) as url:
        for command in COMMANDS:
            found = main([*command.split(), "--server", url])
            out, err = capsys.readouterr()
            assert (found, out) == (code, ""), (command, err)
            assert words in err, command
            assert url in err, command
            assert "hint: " in err, command
            assert "internal error" not in err, command
