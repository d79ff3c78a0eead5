"""What is seen of many runs at once, in a real browser: tasks over all runs, how runs went over time, and tokens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.browser.chromium import Shown, browser_page
from tests.documents import submitted
from tests.e2e.process import aether
from tests.e2e.servers import Served, served, wait_for

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


def made_token(folder: Path, name: str, *words: str) -> str:
    made = aether("token", "create", "--name", name, *words, "--store", f"sqlite:{folder}/runs.db")
    assert made.returncode == 0, made.stderr
    return made.stdout.split()[-1]


def log_in(shown: Shown, server: Served, token: str, place: str = "/tokens") -> None:
    shown.go(server.url + place)
    shown.page.get_by_label("Token").fill(token)
    shown.press("Enter")
    shown.page.locator("nav.side").wait_for()


def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(tmp_path: Path) -> None:
    root = made_token(tmp_path, "root", "--role", "admin", "--all-namespaces")
    with served(tmp_path) as server, browser_page() as shown:
        log_in(shown, server, root)
        shown.sees("admin in all namespaces")
        shown.press("n")
        shown.page.wait_for_url("**/tokens?new=1")
        shown.page.get_by_label("Name", exact=True).fill("ada")
        shown.page.get_by_label("Namespace").fill("team-a")
        shown.page.get_by_label("Role").select_option("operator")
        shown.sees("aether token create --name ada --role operator -n team-a --expires 90d")
        shown.page.get_by_role("button", name="Make it").click()
        text = shown.page.locator(".secret code").inner_text()
        seen = httpx.get(f"{server.url}/v1/me", headers={"authorization": f"Bearer {text}"}).json()
        assert (seen["name"], seen["roles"]) == ("ada", {"team-a": "operator"})
        shown.page.get_by_role("button", name="I have it").click()
        shown.sees("operator in team-a", "tbody tr")
        assert text not in shown.page.content()
        shown.page.get_by_role("button", name="revoke the token of ada").click()
        shown.page.get_by_role("button", name="Revoke it").click()
        shown.page.locator("tbody tr", has_text="ada").wait_for(state="detached")
        shown.page.get_by_role("button", name="also 1 that count no longer").click()
        shown.sees("revoked", "tbody tr")
        wait_for(lambda: httpx.get(f"{server.url}/v1/me", headers={"authorization": f"Bearer {text}"}).status_code == 401)
    with served(tmp_path) as server, browser_page() as shown:
        log_in(shown, server, made_token(tmp_path, "eve", "--role", "author", "-n", "team-a"))
        shown.sees("There is no such page")
        assert "Tokens" not in shown.text("nav.side")


def nightly(server: Served, **spec: Any) -> None:
    config = {"source": "echo $DAY", "env": {"DAY": "{{workflow.parameters.day}}"}}
    task = {"name": "load", "executor": {"type": "script", "config": config}}
    workflow = submitted(task, arguments={"parameters": [{"name": "day", "type": "string", "value": "monday"}]})
    document = {
        **workflow, "kind": "CronWorkflow", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", **spec, "workflowSpec": workflow["spec"]},
    }  # fmt: skip
    server.call("POST", "/schedules", {"documents": [{"name": "nightly.json", "text": json.dumps(document)}]})


def test_a_schedule_is_run_with_parameters_filled_in_and_suspended(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        nightly(server)
        shown.go(f"{server.url}/schedules")
        shown.sees("Europe/Berlin", ".card")
        shown.page.get_by_text("With parameters…").click()
        shown.page.wait_for_url("**/start?schedule=default%2Fnightly")
        shown.page.get_by_label("day").fill("friday")
        shown.sees("aether cron trigger default/nightly -p day=friday")
        shown.page.get_by_role("button", name="Start", exact=True).click()
        shown.page.wait_for_url("**/runs/*")
        run = shown.page.url.rpartition("/")[2]
        assert server.result(run)["phase"] == "Succeeded"
        assert server.call("GET", f"/runs/{run}/overview")["parameters"] == {"day": "friday"}
        shown.go(f"{server.url}/schedules?schedule=nightly&backfill=1&from=2026-10-24T00:00&until=2026-10-26T12:00")
        shown.sees("triggered", ".card")
        shown.page.get_by_role("button", name="Show the fires").click()
        shown.sees("3 fires: 3 to run, 0 left out.")
        assert "03:00" in shown.text(".fires"), "of each day in the zone of the schedule, also where the clocks change"
        assert {one.split(", ")[1] for one in shown.text(".fires").splitlines()} == {"03:00"}
        shown.page.get_by_role("button", name="Begin 3 runs").click()
        shown.sees("3 runs begin")
        shown.page.locator(".card .marks a").nth(3).wait_for()
        shown.sees("backfilled", ".card")
        shown.page.get_by_role("button", name="Suspend").click()
        shown.sees("suspended", ".card")
        shown.page.get_by_role("button", name="Continue").click()
        shown.page.locator(".state.active").wait_for()
        assert not shown.faults


def test_a_schedule_that_nothing_fires_is_overdue(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        nightly(server)
        shown.go(f"{server.url}/schedules")
        shown.sees("Next fire", ".card")
        shown.page.clock.install(time=datetime.now(UTC) + timedelta(days=3))  # as where no scheduler ran for three days
        shown.go(f"{server.url}/schedules")
        shown.sees("Due since", ".card")
        shown.sees("aether cron run", ".card .late")
        shown.go(server.url)
        shown.sees("Overdue", ".flow")
        shown.go(f"{server.url}/workers")
        shown.sees(f"--server {server.url}", ".command")  # a command that works as it is copied
        assert not shown.faults
