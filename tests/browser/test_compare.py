"""Two runs beside each other, and what a retry would do, in a real browser over a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aether_protocol.testing.cases.read import read_file
from aether_protocol.testing.cases.run import run_case
from tests.browser.chromium import browser_page
from tests.documents import submitted
from tests.e2e.servers import served


def task(name: str, source: str, *after: str) -> dict[str, Any]:
    return {"name": name, "dependencies": list(after), "executor": {"type": "script", "config": {"source": source}}}


def test_what_a_retry_keeps_is_shown_before_it_begins(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        document = submitted(task("load", "true"), task("check", "exit 3", "load"), task("publish", "true", "check"))
        run = server.call("POST", "/runs", {"document": document})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        shown.page.get_by_role("button", name="Retry", exact=True).click()
        shown.sees("Runs again: 2", "dialog")
        shown.sees("Is kept, with its outputs: 1", "dialog")
        shown.sees("did not run", "dialog")
        shown.sees(f"aether retry {run} --dry-run", "dialog")
        shown.page.locator("dialog").get_by_role("button", name="Leave it").click()
        shown.go(f"{server.url}/runs/{run}?task=main.load")
        shown.page.get_by_role("button", name="Retry from here", exact=True).click()
        shown.sees("Runs again: 3", "dialog")
        shown.page.locator("dialog").get_by_role("button", name="Retry from here").click()
        shown.page.wait_for_url(f"**/runs/{run}.2")
        assert not shown.faults


def test_two_runs_are_chosen_in_the_list_and_compared(tmp_path: Path) -> None:
    parameters = {"parameters": [{"name": "rows", "type": "integer", "value": 1}]}
    with served(tmp_path) as server, browser_page() as shown:
        runs = []
        for rows, code in ((1, 0), (2, 3)):
            document = submitted(task("load", f"sleep 0.{rows}; exit {code}"), arguments=parameters)
            runs.append(server.call("POST", "/runs", {"document": document, "parameters": {"rows": rows}})["runId"])
            server.result(runs[-1])
        shown.go(f"{server.url}/runs")
        for run in runs:
            shown.page.get_by_label(f"choose {run}").check()
        shown.page.get_by_role("button", name="Compare").click()
        shown.page.wait_for_url(f"**/runs/{runs[0]}?with={runs[1]}")
        shown.sees("parameters.rows", ".changes")
        shown.sees("source: sleep 0.2; exit 3", ".diff")
        shown.sees("main.load", ".durations")
        shown.sees(f"aether diff {runs[0]} {runs[1]}", ".actions")
        before, after = (shown.page.locator("tr", has_text="main.load").locator("td").nth(at).inner_text() for at in (2, 3))
        assert ("Succeeded" in before, "Failed" in after) == (True, True)
        shown.page.get_by_role("link", name="Swap").click()
        shown.page.wait_for_url(f"**/runs/{runs[1]}?with={runs[0]}")
        shown.page.get_by_role("button", name="Back to the run").click()
        shown.page.wait_for_url(f"**/runs/{runs[1]}")
        shown.page.get_by_role("button", name="Compare").click()
        shown.page.locator("dialog").get_by_role("button", name=runs[0][:13]).click()
        shown.page.wait_for_url(f"**/runs/{runs[1]}?with={runs[0]}")
        assert not shown.faults


def test_a_run_is_copied_as_a_case_that_passes(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        document = submitted(task("load", "echo 1"), task("check", "exit 3", "load"))
        run = server.call("POST", "/runs", {"document": document})["runId"]
        server.result(run)
        shown.go(f"{server.url}/runs/{run}")
        shown.page.get_by_role("button", name="Copy as case").click()
        shown.sees("path: main.check", "dialog .case")
        shown.sees(f"aether export {run} -o case", "dialog")
        with shown.page.expect_download() as coming:
            shown.page.locator("dialog").get_by_role("link", name="Download").click()
        assert coming.value.suggested_filename == f"{run}.case.yaml"
        text = Path(coming.value.path()).read_text()
        assert text == shown.text("dialog .case")
        assert not shown.faults
    file = tmp_path / "again.yaml"
    file.write_text(text)
    (case,) = read_file(file)
    assert run_case(case).outcome == "passed"
