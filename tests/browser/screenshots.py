"""Pictures of every page of the dashboard in both colour schemes, for the documentation.

    python -m tests.browser.screenshots [FOLDER]

A server with a history of runs is made for them; what they show differs from one making to the next in times and ids alone.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.browser.chromium import Shown, browser_page
from tests.documents import submitted
from tests.e2e.process import ROOT
from tests.e2e.servers import Served, served, wait_for

FOLDER = ROOT / "docs" / "images" / "dashboard"
TOKEN = "a-token-for-pictures-alone"
SETTLED_MS = 700  # of a page, what it asks for and draws


def task(name: str, source: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dependencies": list(after), "executor": {"type": "script", "config": {"source": source}}, **more}


def ingest() -> dict[str, Any]:
    """Extracts, loads five tables two at a time, checks, reports; some days a table fails once, and a check for good."""
    retried = {"limit": 2, "expression": "true", "backoff": {"duration": "300ms"}}
    load = 'sleep 0.1; echo "loaded {{inputs.parameters.item}}"; echo \'{"rows": 1204}\' > "$AETHER_OUTPUTS"'
    tables = {"name": "tables", "value": ["customers", "orders", "items", "refunds", "stock"]}
    document = submitted(
        task("extract", "sleep 0.2; echo 5 tables"),
        {"name": "load", "template": "load", "dependencies": ["extract"], "arguments": {"parameters": [tables]}},
        task("check", "sleep 0.1; test {{workflow.parameters.quality}} -gt 0", "load", retry=retried),
        task("report", "echo sent", "check"),
        task("archive", "sleep 0.1", "load"),
        name="ingest",
    )
    document["spec"]["arguments"] = {"parameters": [
        {"name": "quality", "type": "integer", "value": 5, "description": "Below 1 the check fails"},
        {"name": "target", "type": "string", "value": "staging", "enum": ["staging", "production"]},
    ]}  # fmt: skip
    document["spec"]["templates"] += [
        {"loop": {
            "name": "load", "inputs": {"parameters": [{"name": "tables", "type": "array"}]},
            "itemsFrom": "{{inputs.parameters.tables}}", "concurrency": 2, "body": "one",
            "arguments": {"parameters": [{"name": "item", "value": "{{iterator.item}}"}]},
        }},
        {"task": {
            "name": "one", "inputs": {"parameters": [{"name": "item", "type": "string"}]},
            "executor": {"type": "script", "config": {"source": load}},
            "outputs": {"parameters": [{"name": "rows", "type": "integer"}]},
        }},
    ]  # fmt: skip
    return document


def furnish(server: Served, call: Any) -> dict[str, str]:
    """Make a history; runs by what they are good for."""
    examples = ROOT / "examples" / "workflows"
    stored = [examples / f"{name}.yaml" for name in ("nightly-report", "release", "retry-with-backoff")]
    call("POST", "/documents", {"documents": [{"name": one.name, "text": one.read_text("utf-8")} for one in stored]})
    ended = []
    for number in range(9):
        given = {"quality": 0 if number in (3, 7) else 5}
        ended.append(call("POST", "/runs", {"document": ingest(), "parameters": given})["runId"])
    waiting = call("POST", "/runs", {"document": YAML(typ="safe").load(examples / "release.yaml")})["runId"]
    long = call("POST", "/runs", {"document": submitted(task("train", "sleep 600"), name="train")})["runId"]
    wait_for(lambda: all(call("GET", f"/runs/{run}")["closed"] for run in ended))
    wait_for(lambda: call("GET", f"/runs/{waiting}")["phase"] == "Suspended")
    return {"good": ended[-1], "failed": ended[7], "waiting": waiting, "long": long}


def pages(runs: dict[str, str]) -> dict[str, str]:
    """Addresses by the names of their pictures."""
    tabs = ("graph", "timeline", "tasks", "logs", "data", "artifacts", "events", "document")
    return {
        "workflows": "/",
        "runs": "/runs",
        **{f"run-{tab}": f"/runs/{runs['failed']}?tab={tab}" for tab in tabs},
        "run-waiting": f"/runs/{runs['waiting']}?task=main.approve",
        "run-compared": f"/runs/{runs['failed']}?with={runs['good']}",
        "tasks": "/tasks",
        "inbox": "/inbox",
        "schedules": "/schedules",
        "insights": "/insights",
        "workers": "/workers",
        "start": "/start?workflow=release",
        "documents": "/documents",
        "document": "/documents/default/release?kind=Workflow",
        "tokens": "/tokens",
    }


def log_in(shown: Shown, server: Served) -> None:
    shown.go(server.url)
    shown.page.get_by_label("Token").fill(TOKEN)
    shown.press("Enter")
    shown.page.locator("main h1").wait_for()


def take(folder: Path) -> None:
    """Make the pictures in `folder`."""
    import httpx2 as httpx

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, served(Path(home), "--token", TOKEN, "--concurrency", "4") as server:

        def call(method: str, path: str, body: Any = None) -> Any:
            known = {"authorization": f"Bearer {TOKEN}"}
            answer = httpx.request(method, f"{server.url}/v1{path}", json=body, headers=known, timeout=60)
            assert answer.is_success, answer.text
            return answer.json()

        runs = furnish(server, call)
        for scheme in ("light", "dark"):
            with browser_page(scheme=scheme) as shown:
                log_in(shown, server)
                for name, address in pages(runs).items():
                    shown.go(server.url + address)
                    shown.page.locator("main h1").wait_for()
                    shown.page.wait_for_timeout(SETTLED_MS)
                    shown.page.screenshot(path=folder / f"{name}-{scheme}.png")
                assert not [one for one in shown.faults if "401" not in one], shown.faults  # before the login
        (folder / "README.md").write_text(page(runs), "utf-8")
        with browser_page(width=390, height=780) as shown:
            log_in(shown, server)
            shown.go(f"{server.url}/runs/{runs['failed']}")
            shown.page.wait_for_timeout(SETTLED_MS)
            shown.page.screenshot(path=folder / "phone-light.png")


def page(runs: dict[str, str]) -> str:
    """The page that shows them all (Markdown)."""
    lines = ["# Every page of the dashboard", "", "Made by `python -m tests.browser.screenshots`, of one history of runs.", ""]
    lines += ["| page | light | dark |", "|---|---|---|"]
    for name in pages(runs):
        pictures = " | ".join(f"![{name} ({scheme})]({name}-{scheme}.png)" for scheme in ("light", "dark"))
        lines.append(f"| {name.replace('-', ', ')} | {pictures} |")
    return "\n".join([*lines, "", "A run on a phone:", "", "![a run on a phone](phone-light.png)", ""])


if __name__ == "__main__":
    take(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
