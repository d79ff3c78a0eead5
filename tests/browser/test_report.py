"""The page of `aether report`, as it is opened from a mail or the artifacts of a CI: nothing in it runs or asks for more, it
is usable by keyboard, without seeing it, in the dark and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import browser_page
from tests.browser.test_accessible import LEVELS
from tests.e2e.process import aether
from tests.e2e.test_cli_report import DOCUMENT, EVIL, SECRET


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run that failed, and of its graph."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "load.yaml").write_text(DOCUMENT, "utf-8")
    (folder / "keys.env").write_text(f"STORE_PASSWORD={SECRET}\n", "utf-8")
    run = ("run", "load.yaml", "-p", f"evil={EVIL}", "--run-id", "r1", "--quiet", "--secrets-file", "keys.env")
    assert aether(*run, cwd=folder).returncode == 1
    made = {"report": folder / "report.html", "graph": folder / "graph.html"}
    assert aether("report", "r1", "--to", made["report"], cwd=folder).returncode == 0
    assert aether("graph", "r1", "-o", "html", "--to", made["graph"], cwd=folder).returncode == 0
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_usable_by_everybody_and_runs_nothing(pages: dict[str, Path], scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browser_page(width=width, scheme=scheme) as shown:
        for page in pages.values():
            shown.page.context.set_default_timeout(5_000)
            shown.go(page.as_uri())
            shown.page.locator("main h1").wait_for()
            assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert shown.page.evaluate("document.querySelectorAll('script, img').length") == 0
        assert shown.requests == [page.as_uri() for page in pages.values()], "nothing else is asked for"
        assert shown.faults == []
    with browser_page(width=width, scheme=scheme) as shown:
        for page in pages.values():
            # axe is a script, which the policy of the page refuses: it judges the same page without that.
            text = page.read_text("utf-8").replace('http-equiv="Content-Security-Policy"', 'name="policy"')
            shown.page.set_content(text)
            found = axe.run(shown.page, options={"runOnly": LEVELS})
            assert not found.response["violations"], found.generate_report()


def test_tasks_are_opened_by_the_keyboard(pages: dict[str, Path]) -> None:
    with browser_page() as shown:
        shown.go(pages["report"].as_uri())
        shown.sees("exit code 3")
        first = shown.page.locator("details.task").first
        assert not shown.page.evaluate("document.querySelector('details.task').open")
        first.locator("summary").focus()
        shown.press("Enter")
        first.locator("text=main (dag)").wait_for()
        assert EVIL in shown.page.inner_text("main"), "it is read as it was written"
