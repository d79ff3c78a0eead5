"""What is seen of many runs at once, in a real browser: tasks over all runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.chromium import browser_page
from tests.documents import submitted
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
