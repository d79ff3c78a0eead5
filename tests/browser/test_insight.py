"""What is seen of many runs at once, in a real browser: tasks over all runs, and how runs went over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.browser.chromium import browser_page
from tests.documents import submitted
from tests.e2e.process import aether
from tests.e2e.servers import Served, served

ASKS: dict[str, Any] = {"name": "approve", "executor": {"type": "await", "config": {"message": "publish?"}}}
FAILS: dict[str, Any] = {"name": "load", "executor": {"type": "fail", "config": {"message": "no luck"}}}
NOOP: dict[str, Any] = {"name": "fine", "executor": {"type": "noop"}}
NOWHERE: dict[str, Any] = {**NOOP, "name": "train", "extensions": {"placement": {"selector": "gpu=a100"}}}


def begin(server: Served, *tasks: dict[str, Any], name: str = "one") -> str:
    run: str = server.call("POST", "/runs", {"document": submitted(*tasks, name=name)})["runId"]
    return run


def test_tasks_of_all_runs_appear_change_and_lead_to_their_run(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/tasks")
        shown.sees("Nothing runs, waits or has failed.")
        server.result(begin(server, NOOP, name="well"))
        server.result(begin(server, NOOP, FAILS, name="bad"))
        asks = begin(server, ASKS, name="asks")
        begin(server, NOWHERE, name="waits")
        shown.sees("no worker has the labels", ".all-tasks .tr")
        shown.sees("publish?", ".all-tasks .tr")
        shown.sees("no luck", ".all-tasks .tr")
        assert "fine" not in shown.text(".all-tasks")
        shown.page.get_by_role("button", name="Suspended").click()
        shown.page.wait_for_url("**/tasks?phase=Suspended")
        shown.page.locator(".all-tasks .tr", has_text="no luck").wait_for(state="detached")
        shown.press("j", "Enter")
        shown.page.wait_for_url(f"**/runs/{asks}?task=main.approve")
        shown.page.go_back()
        shown.sees("publish?", ".all-tasks .tr")
        server.call("POST", f"/runs/{asks}/resume", {"task": "main.approve", "payload": {"approved": True}})
        shown.sees("No task fits.")
        assert not shown.faults


def test_insights_show_what_aether_stats_counts(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/insights")
        shown.sees("No run was made in this time.")
        for number in range(8):
            server.result(begin(server, NOOP, FAILS if number == 3 else {**NOOP, "name": "load"}, name="nightly"))
        server.result(begin(server, NOOP, name="other"))
        told = json.loads(aether("stats", "--server", server.url, "--since", "30d", "-o", "json", cwd=tmp_path).stdout)
        shown.requests.clear()
        shown.page.get_by_role("button", name="Count again").click()
        shown.page.locator(".plot canvas").nth(1).wait_for()
        assert len([one for one in shown.requests if "/v1/" in one]) == 1
        assert shown.text(".figures").split("\n")[1::2] == ["9", "0", "1 (11 %)", str(told["longerCount"])]
        cells = shown.page.locator("[aria-label=workflows] tbody tr").first.locator("th, td").all_inner_texts()
        assert cells[:4] == ["nightly", "8", "1", "13 %"]
        assert [one["failureRate"] for one in told["workflows"]] == [0.125, 0.0]
        shown.page.get_by_text("The same as a table").click()
        [period] = [one for one in told["periods"] if one["runs"]]
        row = shown.page.locator("[aria-label='runs over time'] tbody tr").first.locator("td").all_inner_texts()
        assert row[:5] == [str(period["runs"]), "8", "", "", "1"]
        shown.page.get_by_role("button", name="most failing").click()
        shown.page.wait_for_url("**/insights?sort=failing")
        assert shown.page.locator("[aria-label=tasks] tbody tr th").first.inner_text() == "main.load"
        shown.page.locator("[aria-label=workflows] tbody a", has_text="other").click()
        shown.page.wait_for_url("**name=other**")
        shown.sees("Slowest:")
        assert not shown.faults, "the strict policy of the pages lets charts be drawn"
