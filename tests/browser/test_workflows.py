"""The first page in a real browser, over a real server: known workflows, their newest runs as they change, and a start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.browser.chromium import Shown, browser_page
from tests.documents import script, submitted
from tests.e2e.servers import Served, served


def named(document: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    return {**document, "metadata": {"name": name}, **more}


def apply(server: Served, *documents: dict[str, Any]) -> None:
    texts = [{"name": f"{number}.json", "text": json.dumps(one)} for number, one in enumerate(documents)]
    server.call("POST", "/documents", {"documents": texts})


def flow(shown: Shown, name: str) -> Any:
    return shown.page.locator(".flow", has=shown.page.get_by_role("heading", name=name, exact=True))


def test_workflows_appear_with_their_runs_as_they_change(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(server.url)
        shown.sees("There are no workflows yet")
        gate = tmp_path / "open"
        fails = server.submit("exit 3")
        server.result(fails)
        squares = flow(shown, "one").locator(".square")
        shown.page.locator(".square.Failed").wait_for()
        server.submit(f"until test -e {gate}; do sleep 0.05; done")
        shown.page.locator(".square.Running").wait_for()
        assert "Succeeded\n0 of 1" in flow(shown, "one").inner_text()
        gate.touch()
        shown.page.locator(".square.Succeeded").wait_for()
        assert "Succeeded\n1 of 2" in flow(shown, "one").inner_text()
        assert [one.split(" ")[0] for one in labels(squares)] == ["Failed", "Succeeded"], "the newest at the right"
        server.call("DELETE", f"/runs/{fails}")
        shown.page.locator(".square.Failed").wait_for(state="detached")
        assert not shown.faults


def labels(squares: Any) -> list[str]:
    return [str(one.get_attribute("aria-label")) for one in squares.all()]


def test_what_is_stored_or_scheduled_can_be_started(tmp_path: Path) -> None:
    cron = {"schedule": "0 3 * * *", "timezone": "Asia/Tokyo", "workflowSpec": script("true")["spec"]}
    with served(tmp_path) as server, browser_page() as shown:
        apply(server, named(script("echo hello"), "stored"), named(script(""), "nightly", kind="CronWorkflow", spec=cron))
        shown.go(server.url)
        shown.sees("03:00", ".flow")  # in its zone
        told = flow(shown, "nightly").locator("time").get_attribute("title")
        assert told is not None
        assert "18:00:00 UTC" in told, "and in UTC"
        flow(shown, "nightly").get_by_role("link", name="start nightly…").click()
        shown.page.get_by_role("button", name="Start", exact=True).click()
        shown.page.wait_for_url("**/runs/*")
        shown.sees("nightly", "h1")
        shown.press("g", "n")
        listed = shown.page.get_by_role("link", name="nightly", exact=True)  # beside what is stored
        listed.wait_for()
        assert "schedule=default%2Fnightly" in str(listed.get_attribute("href"))
        shown.press("g", "f")
        flow(shown, "nightly").locator(".square").wait_for()
        flow(shown, "stored").get_by_role("link", name="start stored…").click()
        shown.sees("It takes no parameters.")
        shown.page.get_by_role("button", name="Start", exact=True).click()
        shown.page.wait_for_url("**/runs/*")
        shown.sees("stored", "h1")
        assert len(server.call("GET", "/runs")["runs"]) == 2
        assert not shown.faults


def test_it_is_read_by_keyboard_and_filtered(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        noop = {"name": "a", "executor": {"type": "noop"}}
        for name in ("alpha", "beta", "beta"):
            server.result(server.call("POST", "/runs", {"document": submitted(noop, name=name)})["runId"])
        shown.go(server.url)
        flow(shown, "beta").locator(".square").nth(1).wait_for()
        shown.press("j", "j", "Enter")
        shown.page.wait_for_url("**/runs?name=beta&namespace=default")
        shown.page.go_back()
        squares = flow(shown, "beta").locator(".square")
        squares.nth(1).focus()
        shown.press("ArrowLeft", "Enter")
        shown.page.wait_for_url("**/runs/*")
        assert shown.page.url.rpartition("/")[2] in server.call("GET", "/runs?name=beta")["runs"][1]["runId"]
        shown.go(server.url)
        flow(shown, "alpha").wait_for()
        shown.press("/")
        shown.page.keyboard.type("bet")
        flow(shown, "alpha").wait_for(state="detached")
        shown.page.wait_for_url("**/?q=bet")
        assert not shown.faults
