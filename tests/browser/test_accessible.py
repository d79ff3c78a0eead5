"""Every page is usable by people who do not see it, or see it in the dark, or on a phone (WCAG 2.2 AA, by axe)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import browser_page
from tests.browser.test_insight import nightly
from tests.browser.test_start import takes
from tests.browser.test_workflows import apply
from tests.documents import submitted
from tests.e2e.servers import Served, served

CURRENT_IS_SEEN = """(() => {
  const here = document.querySelector("nav [aria-current]")?.getBoundingClientRect();
  return here === undefined || (here.left >= 0 && here.right <= innerWidth);
})()"""
FITS = "[...document.querySelectorAll('.card')].every(one => one.scrollWidth <= one.clientWidth)"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
TABS = ("graph", "timeline", "tasks", "logs", "data", "artifacts", "events", "document")
DOCUMENT_TABS = ("edit", "diff", "versions")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a run that failed and one that waits for a person."""
    with served(tmp_path_factory.mktemp("pages")) as made:
        made.result(made.submit("echo hello; exit 3"))
        asks = {"name": "approve", "executor": {"type": "await", "config": {"message": "publish?"}}}
        made.call("POST", "/runs", {"document": submitted(asks, name="asks")})
        apply(made, takes())
        nightly(made)
        made.result(made.call("POST", "/schedules/default/nightly/trigger", {})["runId"])
        yield made


def addresses(server: Served) -> list[str]:
    """All pages, with a run in each tab and a task beside it."""
    ended = next(run["runId"] for run in server.call("GET", "/runs?phase=Failed")["runs"])
    waits = next(run["runId"] for run in server.call("GET", "/runs")["runs"] if not run["closed"])
    tabs = [f"/runs/{ended}?tab={tab}&task=main.job" for tab in TABS]
    tabs.append(f"/runs/{ended}?with={waits}")
    plain = ["/", "/runs", "/tasks", "/insights", "/inbox", "/workers", "/start"]
    plain += ["/tokens?new=1", "/schedules?schedule=nightly&backfill=1"]
    plain += ["/documents", "/documents/new", *(f"/documents/default/import?kind=Workflow&tab={tab}" for tab in DOCUMENT_TABS)]
    return [*plain, "/start?workflow=import", f"/start?run={ended}", f"/runs/{waits}?task=main.approve", *tabs]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule_of_accessibility(server: Served, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browser_page(scheme=scheme) as shown:
        for address in addresses(server):
            shown.go(server.url + address)
            shown.page.locator("main h1").wait_for()
            shown.page.wait_for_timeout(300)  # what it asks for is there
            found = axe.run(shown.page, options={"runOnly": LEVELS})
            assert not found.response["violations"], (address, found.generate_report())
            assert shown.page.evaluate(FITS), f"{address}: a card holds more than its width"


def test_no_page_is_wider_than_a_phone(server: Served) -> None:
    with browser_page(width=360, height=740) as shown:
        for address in addresses(server):
            shown.go(server.url + address)
            shown.page.locator("main h1").wait_for()
            shown.page.wait_for_timeout(200)
            assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert shown.page.evaluate("document.querySelector('main').scrollWidth <= innerWidth"), address
            assert shown.page.evaluate(CURRENT_IS_SEEN), f"{address}: where one is, in the navigation"
