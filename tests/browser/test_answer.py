"""The answer to a waiting task in a real browser: a form of what it declares; then the critical path of its run."""

from __future__ import annotations

from pathlib import Path

from tests.browser.chromium import browser_page
from tests.documents import submitted
from tests.e2e.servers import served


def test_the_form_is_made_of_the_declared_inputs(tmp_path: Path) -> None:
    document = submitted(
        {"name": "ask", "template": "ask", "arguments": {"parameters": [{"name": "rows", "value": 5}]}},
        {"name": "then", "dependencies": ["ask"], "executor": {"type": "script", "config": {"source": "sleep 0.2"}}},
        {"name": "beside", "executor": {"type": "script", "config": {"source": "true"}}},
    )
    document["spec"]["templates"].append({"task": {
        "name": "ask",
        "inputs": {"parameters": [
            {"name": "approved", "type": "boolean", "value": False},
            {"name": "place", "type": "string", "enum": ["east", "west"], "value": "east"},
            {"name": "rows", "type": "integer"},
        ]},
        "executor": {"type": "await", "config": {"message": "where to?"}},
    }})  # fmt: skip
    with served(tmp_path) as server, browser_page() as shown:
        run = server.call("POST", "/runs", {"document": document})["runId"]
        shown.go(f"{server.url}/runs/{run}?task=main.ask")
        form = shown.page.locator("form.answer")
        shown.sees("integer · default 5", "form.answer")
        assert form.get_by_label("place").locator("option").all_inner_texts() == ["default east", "east", "west"]
        form.get_by_label("rows").fill("many")
        form.get_by_role("button", name="Approve", exact=True).click()
        shown.sees("this has to be a whole number", "form.answer")
        form.get_by_label("rows").fill("7")
        form.get_by_label("place").select_option("west")
        shown.sees(f"aether resume {run} main.ask -p approved=true -p place=west -p rows=7", "form.answer")
        form.get_by_role("button", name="Approve", exact=True).click()
        server.result(run)
        (seen,) = server.call("GET", f"/runs/{run}/tasks?path=main.ask")["tasks"]
        assert seen["inputs"] == {"approved": True, "place": "west", "rows": 7}
        shown.go(f"{server.url}/runs/{run}?tab=timeline")
        shown.sees("the critical path", ".timeline")
        marked = shown.page.locator(".lane.critical .c-name").all_inner_texts()
        assert marked == ["ask", "then"]
        assert not shown.faults
