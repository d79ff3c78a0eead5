"""Runs that begin in a real browser, over a real server: a form of what a workflow takes, and a run once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.chromium import browser_page
from tests.browser.test_workflows import apply, flow, named
from tests.documents import script, submitted
from tests.e2e.servers import served

TAKES: list[dict[str, Any]] = [
    {"name": "day", "type": "string", "description": "Which day is imported."},
    {"name": "rows", "type": "integer", "default": 5},
    {"name": "mode", "type": "string", "enum": ["fast", "safe"], "default": "safe"},
    {"name": "checks", "type": "boolean", "default": True},
    {"name": "options", "type": "object", "default": {}},
    {"name": "password", "valueFrom": {"secretKeyRef": {"name": "warehouse", "key": "word"}}},
    {"name": "title", "type": "string", "value": "import of {{workflow.parameters.day}}"},
]
SECRET = {"AETHER_SECRET_WAREHOUSE_WORD": "open-sesame"}


def takes() -> dict[str, Any]:
    return named(script("true"), "import") | {"spec": script("true")["spec"] | {"arguments": {"parameters": TAKES}}}


def test_a_form_is_made_of_what_a_workflow_takes(tmp_path: Path) -> None:
    with served(tmp_path, **SECRET) as server, browser_page() as shown:
        apply(server, takes())
        shown.go(server.url)
        flow(shown, "import").get_by_role("link", name="start import…").click()
        shown.page.wait_for_url("**/start?workflow=default%2Fimport")
        shown.sees("Which day is imported.")
        shown.sees("it is never shown", ".field")
        assert shown.page.get_by_label("password").count() == 0
        shown.page.get_by_role("button", name="Start", exact=True).click()
        shown.sees("a value is needed", ".field")  # and the field that is wrong has the focus
        shown.page.keyboard.type("monday")
        shown.page.get_by_label("day").fill("")
        shown.page.get_by_label("rows").fill("many")
        shown.page.get_by_role("button", name="Start", exact=True).click()  # what the field says moves the button, not away
        shown.sees("a value is needed", ".field:has(#field-day)")
        shown.page.get_by_label("day").fill("monday")
        shown.sees("a whole number", ".field")
        assert shown.page.get_by_label("rows").get_attribute("aria-invalid") == "true"
        shown.page.get_by_label("rows").fill("12345678901234567890")
        shown.page.get_by_label("mode").select_option("fast")
        shown.page.get_by_label("checks").select_option("false")
        shown.page.get_by_label("options").fill("[1]")
        shown.press("Tab")
        shown.sees("this has to be an object", ".field")
        shown.page.get_by_label("options").fill('{"depth": 3}')
        line = shown.text(".command")
        assert "aether run --name import@1 -p day=monday -p rows=12345678901234567890 -p mode=fast" in line
        shown.press("Enter")  # in a field of several lines it begins a line
        shown.page.get_by_role("button", name="Start", exact=True).click()
        shown.page.wait_for_url("**/runs/*")
        shown.sees("Succeeded", "h1")
        run = shown.page.url.rpartition("/")[2]
        parameters = server.call("GET", f"/runs/{run}/overview")["parameters"]
        assert parameters == {
            "day": "monday", "rows": 12345678901234567890, "mode": "fast", "checks": False, "options": {"depth": 3},
            "password": "***", "title": "import of monday",
        }  # fmt: skip
        assert not shown.faults


def test_a_run_is_begun_once_more_with_its_values_or_others(tmp_path: Path) -> None:
    with served(tmp_path, **SECRET) as server, browser_page() as shown:
        given = {"day": "friday", "rows": 7, "options": {"a": [1, 2]}}
        run = server.call("POST", "/runs", {"document": takes(), "parameters": given})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        shown.page.get_by_role("link", name="Run again…").click()
        shown.page.wait_for_url(f"**/start?run={run}")
        rows = shown.page.get_by_label("rows")
        rows.wait_for()
        assert shown.page.get_by_label("options").input_value() == '{"a":[1,2]}', "on one line, where it is short"
        assert [shown.page.get_by_label(name).input_value() for name in ("day", "rows", "mode")] == ["friday", "7", "safe"]
        assert "open-sesame" not in shown.page.content()
        assert "***" not in shown.text("main")
        rows.fill("8")
        rows.press("Enter")
        shown.page.wait_for_url(lambda url: "/runs/" in url and run not in url)
        shown.sees("Succeeded", "h1")
        again = server.call("GET", f"/runs/{shown.page.url.rpartition('/')[2]}/overview")
        assert again["parameters"] | {"rows": 7} == server.call("GET", f"/runs/{run}/overview")["parameters"]
        assert again["parameters"]["rows"] == 8
        assert again["run"]["digest"] == server.call("GET", f"/runs/{run}")["digest"]
        assert not shown.faults


def test_what_the_server_finds_is_said_at_the_field_and_at_its_place(tmp_path: Path) -> None:
    word = {"name": "word", "type": "any", "enum": ["a", "b"]}
    part = {"name": "part", "type": "number", "valueFrom": {"expression": "12 / workflow.parameters.rows"}}
    noop = {"name": "a", "executor": {"type": "noop"}}
    limited = submitted(noop, name="limited", arguments={"parameters": [{"name": "rows", "type": "integer"}, word, part]})
    with served(tmp_path) as server, browser_page() as shown:
        apply(server, limited)
        shown.go(f"{server.url}/start")
        shown.page.get_by_role("link", name="limited").click()
        shown.page.get_by_label("rows").fill("0")
        shown.page.get_by_label("word").select_option("a")
        shown.page.get_by_label("rows").press("Enter")
        shown.sees("division by zero", ".field:has(#field-part) .fault")
        assert server.call("GET", "/runs")["runs"] == []
        shown.go(f"{server.url}/start?workflow=nothing")
        shown.sees("there is no Workflow 'nothing'", "[role=alert]")
        assert not [one for one in shown.faults if "404" not in one and "400" not in one]
