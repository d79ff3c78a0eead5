"""The list of runs in a real browser, over a real server: live, filtered, by keyboard, several at once, at any length."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.browser.chromium import browser_page
from tests.documents import script, submitted
from tests.e2e.process import aether
from tests.e2e.servers import served, wait_for
from tests.many_runs import fill, model_of

ASKS = {"name": "approve", "executor": {"type": "await", "config": {"message": "publish?"}}}


def test_runs_appear_and_change_while_they_are_looked_at(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/runs")
        shown.sees("There are no runs yet.")
        gate = tmp_path / "open"
        server.submit(f"until test -e {gate}; do sleep 0.05; done")
        shown.sees("Running", ".runs .tr")
        gate.touch()
        shown.sees("Succeeded", ".runs .tr")
        assert not shown.faults


def test_filters_are_in_the_address(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        server.result(server.submit("exit 3"))
        server.result(
            server.call("POST", "/runs", {"document": submitted({"name": "a", "executor": {"type": "noop"}}, name="other")})[
                "runId"
            ]
        )
        shown.go(f"{server.url}/runs")
        shown.sees("other")
        shown.page.get_by_role("button", name="Failed", exact=True).click()
        shown.page.wait_for_url("**/runs?phase=Failed")
        shown.page.locator(".runs .tr:not(.th)").first.wait_for()
        assert "other" not in shown.text(".runs")
        shown.page.reload()
        shown.sees("one", ".runs .tr")
        assert "other" not in shown.text(".runs")
        shown.page.go_back()
        shown.sees("other", ".runs")


def test_a_hundred_thousand_runs_are_read_page_by_page(tmp_path: Path) -> None:
    model = asyncio.run(model_of(tmp_path / "model.db"))
    asyncio.run(fill(tmp_path / "runs.db", model, 100_000))
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/runs")
        shown.sees("r000099999", ".runs .tr")
        read = sum("/v1/runs?" in url for url in shown.requests)
        assert read == 1
        rows = shown.page.locator(".runs .tr:not(.th)")
        rows.first.hover()
        for _ in range(8):
            shown.page.mouse.wheel(0, 3_000)
            shown.page.wait_for_timeout(100)
        wait_for(lambda: sum("/v1/runs?" in url for url in shown.requests) > read)
        assert rows.count() < 150  # what is not seen is not there
        shown.go(f"{server.url}/runs?namespace=n3&id=r00004200")
        shown.sees("r000042003", ".runs .tr")
        assert rows.count() == 1
        shown.go(f"{server.url}/runs?text=00099998")
        shown.sees("r000099998", ".runs .tr")
        assert rows.count() == 1
        assert not shown.faults


def test_several_runs_are_cancelled_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        for _ in range(3):
            server.call("POST", "/runs", {"document": submitted(ASKS)})
        shown.go(f"{server.url}/runs")
        shown.page.locator(".runs .tr:not(.th)").nth(2).wait_for()
        for box in shown.page.locator(".runs input[type=checkbox]").all()[:2]:
            box.check()
        shown.page.get_by_role("button", name="Cancel 2").click()
        shown.page.locator(".runs .tr", has_text="Cancelled").nth(1).wait_for()
        phases = [run["phase"] for run in server.call("GET", "/runs")["runs"]]
        assert sorted(phases) == ["Cancelled", "Cancelled", "Suspended"]


def test_all_can_be_done_by_keyboard(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        first = server.submit("true")
        server.result(first)
        shown.go(f"{server.url}/runs")
        shown.page.locator(".runs .tr:not(.th)").first.wait_for()
        shown.press("j", "Enter")
        shown.page.wait_for_url(f"**/runs/{first}")
        shown.sees("Succeeded", "h1")
        shown.press("4")
        shown.page.wait_for_url("**tab=logs")
        shown.press("g", "i")
        shown.page.wait_for_url("**/inbox")
        shown.sees("Nothing waits for you.")
        shown.press("?")
        shown.sees("go to Runs", "dialog")
        shown.press("Escape", "Control+k")
        shown.page.keyboard.type("workers")
        shown.press("Enter")
        shown.page.wait_for_url("**/workers")
        assert not shown.faults


def test_a_page_that_is_only_looked_at_asks_for_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        run = server.submit("true")
        server.result(run)
        for address in ("/", "/documents", "/runs", f"/runs/{run}", "/workers", "/schedules"):
            shown.go(server.url + address)
            shown.page.wait_for_load_state("load")
            shown.page.locator("main h1").wait_for()
            shown.page.wait_for_timeout(1500)  # what it asks for at first
            shown.requests.clear()
            shown.page.wait_for_timeout(3000)
            assert shown.requests == [], address


@pytest.mark.parametrize("count", [220])
def test_a_long_list_is_read_by_pages_as_it_is_scrolled(tmp_path: Path, count: int) -> None:
    with served(tmp_path, "--no-workers") as server, browser_page() as shown:
        document = script("true")
        for _ in range(count):
            server.call("POST", "/runs", {"document": document})
        shown.requests.clear()
        shown.go(f"{server.url}/runs")
        shown.page.locator(".runs .tr:not(.th)").first.wait_for()
        assert len([one for one in shown.requests if "/v1/runs?" in one]) == 1
        seen = 0
        while seen < count:
            shown.page.evaluate("document.querySelector('.virtual').scrollTop = 1e9")
            shown.page.wait_for_timeout(50)
            seen = shown.page.evaluate("document.querySelector('.virtual > div').clientHeight / 36")
        assert shown.page.locator(".runs .tr").count() < 120  # only what is seen is in the page
        assert not shown.faults


def test_a_token_is_asked_for_once(tmp_path: Path) -> None:
    words = ("--name", "ada", "--role", "operator", "--all-namespaces", "--store", f"sqlite:{tmp_path}/runs.db")
    made = aether("token", "create", *words)
    assert made.returncode == 0, made.stderr
    text = made.stdout.split()[-1]
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/runs")
        shown.page.get_by_label("Token").fill("nonsense")
        shown.press("Enter")
        shown.sees("unknown, has expired or was revoked")
        shown.page.get_by_label("Token").fill(text)
        shown.press("Enter")
        shown.sees("There are no runs yet.")
        assert text not in shown.page.content()
        shown.page.reload()
        shown.sees("There are no runs yet.")
        assert shown.page.evaluate("document.cookie") == ""  # scripts do not see it
