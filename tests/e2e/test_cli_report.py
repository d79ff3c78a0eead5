"""`aether report`: a run as one page, of a store and of a server, with what untrusted text is in it, and what is left of one
that is broken."""

from __future__ import annotations

import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.e2e.process import aether
from tests.e2e.servers import served
from tests.e2e.store_cli import Cli, make_cli
from tests.e2e.test_cli_broken import set_aside

EVIL = "</pre></title><script>alert(1)</script><img src=x onerror=alert(2)>"
SECRET = "hunter2-of-the-page"
DOCUMENT = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: load }
spec:
  entrypoint: main
  arguments: { parameters: [{ name: evil, type: string }] }
  hooks: { onExit: { template: tell } }
  templates:
    - dag:
        name: main
        tasks:
          - name: load
            retry: { limit: 1, backoff: { duration: 10ms }, expression: "phase != 'Succeeded'" }
            inputs:
              parameters:
                - { name: evil, value: "{{workflow.parameters.evil}}" }
                - { name: key, valueFrom: { secretKeyRef: { name: store, key: password } } }
            outputs: { parameters: [{ name: said, type: string }] }
            executor:
              type: script
              config:
                runtime: sh
                source: |
                  i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i + 1)); done
                  echo "$AETHER_INPUT_EVIL $AETHER_INPUT_KEY"
                  printf '\\033[31mred\\033[0m %s' "$AETHER_INPUT_EVIL" >&2
                  echo "said=$AETHER_INPUT_EVIL" >> "$AETHER_OUTPUTS"
                  exit 3
          - { name: after, dependencies: [load], executor: { type: noop } }
    - task: { name: tell, executor: { type: noop } }
"""


class Elements(HTMLParser):
    """Which elements a page has, with their attributes; those that have no end are not counted."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def failed(cli: Cli, folder: Path, *more: str) -> None:
    (folder / "load.yaml").write_text(DOCUMENT, "utf-8")
    (folder / "keys.env").write_text(f"STORE_PASSWORD={SECRET}\n", "utf-8")
    arguments = ("run", "load.yaml", "-p", f"evil={EVIL}", "--run-id", "r1", "--quiet", "--secrets-file", "keys.env", *more)
    assert cli(*arguments).code == 1


def timeless(page: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*|[\d.]+s\b", "TIME", page)


def check_inert(page: str) -> None:
    """Nothing in it runs, or is asked for elsewhere."""
    elements = Elements(page)
    assert elements.open == [], "well formed, whatever the texts are"
    assert {"script", "img", "iframe", "link", "object", "form"}.isdisjoint(name for name, _ in elements.found)
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style")]
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(http" not in page
    assert "@import" not in page
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_page_has_all_of_a_run_and_no_more(cli: Cli, tmp_path: Path) -> None:
    failed(cli, tmp_path)
    told = cli("report", "r1", "--to", "page.html")
    assert (told.code, told.out, told.err) == (0, "", "")
    page = (tmp_path / "page.html").read_text("utf-8")
    check_inert(page)
    assert SECRET not in page
    assert "***" in page
    for text in ("What went wrong", "Graph", "Timeline", "Inputs and outputs", "workflow onExit", "did not run", "main.after",
                 "waits for a retry", 'href="#task-1"', '<details class="task" id="task-1" open>', "#2",
                 "Failed</span>: exit code 3"):
        assert text in page
    assert "line 299" in page
    assert "line 90<" not in page
    assert "earlier lines left out" in page
    assert page.count('<span class="err">red ') == 1, "colours of a terminal are left out, and the last attempt fills the log"
    assert "log:" not in cli("report", "r1", "--log-lines", "0").out
    assert "line 299" not in cli("report", "r1", "--log-lines", "0").out
    assert timeless(cli("report", "latest").out) == timeless(page), "standard output has the same"
    unknown = cli("report", "nothing-like-that", "--to", "none.html")
    assert (unknown.code, (tmp_path / "none.html").exists()) == (2, False)


def test_a_page_of_a_server_is_that_of_its_store(cli: Cli, tmp_path: Path) -> None:
    failed(cli, tmp_path, "--store", "sqlite:runs.db")
    here = cli("report", "r1", "--store", "sqlite:runs.db").out
    with served(tmp_path) as server:
        there = aether("report", "r1", "--server", server.url, cwd=tmp_path)
    assert (there.returncode, timeless(there.stdout)) == (0, timeless(here))


def test_a_run_that_was_set_aside_has_a_page(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_aside(tmp_path)
    monkeypatch.setenv("AETHER_STORE", f"sqlite:{tmp_path / 'cluster.db'}")
    page = cli("report", "bad")
    assert page.code == 0
    assert "Broken" in page.out
    assert "it broke its engine again and again: OverflowError" in page.out
    assert "Timeline" in page.out


def test_what_is_left_of_a_damaged_run_is_shown(cli: Cli, tmp_path: Path) -> None:
    failed(cli, tmp_path, "--store", "sqlite:runs.db")
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("UPDATE plans SET text = substr(text, 2)")
    page = cli("report", "r1", "--store", "sqlite:runs.db")
    assert page.code == 0
    assert "not in the page: its tasks" in page.err
    assert "Not shown: its tasks" in page.out
    assert "load: exit code 3" in page.out


def test_a_run_that_waits_says_for_what(cli: Cli, tmp_path: Path) -> None:
    text = DOCUMENT.replace("type: noop }", "type: await, config: { message: 'may we?' } }", 1).replace("exit 3", "exit 0")
    (tmp_path / "asks.yaml").write_text(text, "utf-8")
    (tmp_path / "keys.env").write_text(f"STORE_PASSWORD={SECRET}\n", "utf-8")
    assert cli("run", "asks.yaml", "-p", "evil=x", "--run-id", "r2", "--quiet", "--secrets-file", "keys.env").code == 7
    page = cli("report", "r2").out
    assert 'class="said Suspended"' in page
    assert "may we?" in page
    assert "by no process" in page
