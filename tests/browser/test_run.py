"""The page of a run in a real browser, over a real server: picture, times, tasks, logs, answers, retries, and the past."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.browser.chromium import Shown, browser_page
from tests.documents import script, submitted
from tests.e2e.process import start
from tests.e2e.servers import Served, pages, served, wait_for


def task(name: str, source: str = "true", *after: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dependencies": list(after), "executor": {"type": "script", "config": {"source": source}}, **more}


def begin(server: Served, *tasks: dict[str, Any]) -> str:
    run: str = server.call("POST", "/runs", {"document": submitted(*tasks)})["runId"]
    return run


def box(shown: Shown, path: str, phase: str) -> Any:
    return shown.page.get_by_role("button", name=f"{path}: {phase}", exact=True)


def test_the_picture_follows_the_run_and_an_answer_lets_it_continue(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    asks = {"name": "approve", "dependencies": ["build"], "executor": {"type": "await", "config": {"message": "publish 1.4?"}}}
    with served(tmp_path) as server, browser_page() as shown:
        run = begin(
            server, task("build", f"until test -e {gate}; do sleep 0.05; done"), asks, task("publish", "true", "approve")
        )
        shown.go(f"{server.url}/runs/{run}")
        box(shown, "main.build", "Running").wait_for()
        box(shown, "main.publish", "not begun").wait_for()
        gate.touch()
        box(shown, "main.approve", "Suspended").wait_for()
        shown.sees("publish 1.4?", ".waiting")
        shown.page.get_by_role("button", name="answer").click()
        shown.page.get_by_role("button", name="Approve", exact=True).click()
        box(shown, "main.publish", "Succeeded").wait_for()
        shown.sees("Succeeded", "h1")
        shown.sees("3 of 3", ".run-head")  # tasks that had not begun when the page was loaded are counted once
        assert server.result(run)["phase"] == "Succeeded"
        shown.page.get_by_role("button", name="Cancel", exact=True).wait_for(state="detached")
        shown.page.get_by_role("button", name="Retry from here").wait_for()  # of the task that is open
        assert not shown.faults


def test_a_loop_is_one_box_with_a_bar_and_opens(tmp_path: Path) -> None:
    items = {"name": "each", "template": "each", "arguments": {"parameters": [{"name": "items", "value": list(range(12))}]}}
    document = submitted(items)
    document["spec"]["templates"].append({
        "loop": {
            "name": "each",
            "inputs": {"parameters": [{"name": "items", "type": "array"}]},
            "itemsFrom": "{{inputs.parameters.items}}",
            "body": "one",
        }
    })  # fmt: skip
    document["spec"]["templates"].append({"task": {"name": "one", "executor": {"type": "noop"}}})
    with served(tmp_path) as server, browser_page() as shown:
        answer = server.call("POST", "/validate", {"document": document})
        assert answer["valid"], answer
        run = server.call("POST", "/runs", {"document": document})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        box(shown, "main.each", "12 Succeeded").click()
        shown.page.wait_for_url("**open=main.each")
        box(shown, "main.each[i]", "12 Succeeded").click()
        shown.page.wait_for_url("**tab=tasks**")
        shown.sees("each[11] 11", ".tasks")  # the iteration and its item


def test_what_failed_is_shown_with_its_log_and_tried_again_from_there(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    with served(tmp_path) as server, browser_page() as shown:
        run = begin(
            server,
            task("first", "echo kept"),
            task("second", f"echo '\x1b[31mno\x1b[0m such disk' >&2; test -e {mended}", "first"),
        )
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        box(shown, "main.second", "Failed").click()
        shown.sees("no such disk", ".panel .log")
        assert shown.page.locator(".panel .a-fg-red").inner_text() == "no"
        shown.sees(f"aether retry {run} --from main.second", ".panel")
        mended.touch()
        shown.page.get_by_role("button", name="Retry from here", exact=True).click()
        shown.page.locator("dialog").get_by_role("button", name="Retry from here").click()
        shown.page.wait_for_url(f"**/runs/{run}.2")
        shown.sees("Succeeded", "h1")
        report = server.call("GET", f"/runs/{run}.2/report")
        assert report["phase"] == "Succeeded"


def test_logs_are_followed_searched_and_linked_to(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    source = (
        f"for i in $(seq 1 300); do echo line $i of many; done; until test -e {gate}; do sleep 0.05; done; echo the very end"
    )
    with served(tmp_path) as server, browser_page() as shown:
        run = begin(server, task("writes", source))
        shown.go(f"{server.url}/runs/{run}?tab=logs")
        shown.sees("line 300 of many", ".log")
        gate.touch()
        shown.sees("the very end", ".log")  # the end stays in sight
        shown.page.get_by_label("search in logs").fill("line 17 ")
        shown.press("Enter")
        shown.page.wait_for_url("**search=line+17**")
        shown.page.wait_for_function("document.querySelectorAll('.log .line').length === 1")
        shown.go(f"{server.url}/runs/{run}?tab=logs#L120")
        shown.sees("line 120 of many", ".line.marked")
        assert not shown.faults


def test_the_past_is_shown_as_it_was(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        run = begin(server, task("first"), task("second", "true", "first"))
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        box(shown, "main.second", "Succeeded").wait_for()
        slider = shown.page.get_by_label("the run as it was after an entry of its log")
        slider.focus()
        shown.press("Home")
        shown.page.wait_for_url("**at=1")
        box(shown, "main.second", "not begun").wait_for()
        assert box(shown, "main.first", "Succeeded").count() == 0
        assert "No process drives" not in shown.text("main"), "of a run that has ended"
        assert shown.page.get_by_role("button", name="Cancel").count() == 0, "the past is not changed"
        shown.page.get_by_role("button", name="now").click()
        box(shown, "main.second", "Succeeded").wait_for()
        assert not shown.faults


def test_the_timeline_shows_attempts_and_pauses(tmp_path: Path) -> None:
    flaky = task(
        "flaky",
        f"echo x >> {tmp_path}/n; test $(wc -l < {tmp_path}/n) = 3",
        retry={"limit": 3, "expression": "true", "backoff": {"duration": "100ms"}},
    )
    with served(tmp_path) as server, browser_page() as shown:
        answer = server.call("POST", "/validate", {"document": submitted(flaky)})
        assert answer["valid"], answer
        run = begin(server, flaky)
        assert server.result(run)["phase"] == "Succeeded"
        shown.go(f"{server.url}/runs/{run}?tab=timeline")
        lane = shown.page.locator(".lane", has_text="flaky").locator("svg")
        lane.wait_for()
        said = lane.get_attribute("aria-label")
        assert said is not None
        assert said.count("runs Failed") == 2
        assert said.count("pause") == 2
        assert "runs Succeeded" in said


def test_ten_thousand_tasks_are_drawn_and_listed_soon(tmp_path: Path) -> None:
    document = submitted(*({"name": f"t{number}", "executor": {"type": "noop"}} for number in range(10_000)))
    with served(tmp_path, "--no-workers") as server, browser_page() as shown:
        run = server.call("POST", "/runs", {"document": document})["runId"]
        wait_for(lambda: server.call("GET", f"/runs/{run}")["phase"] == "Ready")
        began = time.monotonic()
        shown.go(f"{server.url}/runs/{run}")
        shown.page.get_by_role("button", name="main: 10000 Ready").wait_for()
        assert time.monotonic() - began < 20  # a bound for machines that do much else; bench/ has the figures
        assert shown.page.locator(".graph svg .box").count() <= 2_000
        shown.press("3")
        shown.sees("t12", ".tasks")
        assert shown.page.locator(".tasks .tr").count() < 150
        assert not shown.faults


def test_a_run_that_is_not_there_is_said_to_be_unknown(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        shown.go(f"{server.url}/runs/nothing")
        shown.sees("run 'nothing' is unknown", "[role=alert]")
        assert "the store holds no run" in shown.text("[role=alert]"), "and the hint"


def test_texts_of_a_run_are_never_markup(tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title=1><script>document.title=2</script>"
    with served(tmp_path) as server, browser_page() as shown:
        run = server.call("POST", "/runs", {"document": script(f"echo '{evil}'; exit 1")})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}?tab=logs")
        shown.sees("onerror", ".log")
        assert shown.page.locator("main img").count() == 0
        assert shown.page.title() not in ("1", "2")


def test_a_run_that_no_process_drives_says_how_it_continues(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(submitted(task("long", "sleep 600"))))
    running = start("run", tmp_path / "flow.json", "--store", f"sqlite:{tmp_path}/runs.db", "--run-id", "left")
    with pages(tmp_path) as ui, browser_page() as shown:
        wait_for(lambda: ui.run("left")["phase"] == "Running" if ui.call("GET", "/runs")["runs"] else False)
        running.kill()
        running.communicate()
        wait_for(lambda: ui.call("GET", "/runs?drivers=true")["runs"][0]["driven"] is False)
        shown.go(f"{ui.url}/runs/left")
        shown.sees("No process drives this run now", ".waiting")
        shown.sees("aether resume left", ".waiting")
        shown.page.get_by_role("button", name="Cancel", exact=True).click()
        shown.page.locator("dialog").get_by_role("button", name="Cancel").last.click()
        shown.sees("Cancelled", "h1")
        assert not shown.faults
