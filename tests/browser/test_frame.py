"""What all pages share: they find what is looked for, work below a path with no other host, and ask for nothing while nothing
changes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.browser.chromium import browser_page
from tests.browser.test_insight import ASKS, begin, nightly
from tests.documents import script
from tests.e2e.servers import served, wait_for
from tests.e2e.test_ui import gated, pages
from tests.server_process import free_port

PLACES = ("/", "/runs", "/tasks", "/inbox", "/schedules", "/insights", "/workers", "/tokens", "/documents", "/start")


@contextmanager
def proxy(port: int, target: int, below: str) -> Iterator[None]:
    """A reverse proxy that takes `below` away from paths before it passes requests on; anything else it does not know."""

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix(below)
            if path == self.path:
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            upstream = http.client.HTTPConnection("127.0.0.1", target)
            upstream.request(self.command, path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            try:
                while piece := answer.read1(65_536):
                    self.wfile.write(piece)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                pass  # the reader of a stream is gone
            finally:
                self.close_connection = True
                upstream.close()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Passing)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_all_pages_work_below_a_path_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}/ci/aether"
    with served(tmp_path, "--public-url", base) as server, proxy(port, server.port, "/ci/aether"), browser_page() as shown:
        run = server.submit("echo hello")
        server.result(run)
        for place in (*PLACES, f"/runs/{run}?tab=logs"):
            shown.go(base + place)
            shown.page.locator("main h1").wait_for()
        shown.go(f"{base}/insights")
        shown.page.locator(".plot canvas").first.wait_for()
        shown.page.locator("nav.side a", has_text="Runs").click()
        shown.page.wait_for_url(f"{base}/runs")
        shown.page.locator(".runs .row-link").first.click()
        shown.page.wait_for_url(f"{base}/runs/{run}")
        shown.page.reload()
        shown.sees("Succeeded", "h1")
        asks = begin(server, ASKS)
        shown.go(f"{base}/runs/{asks}?task=main.approve")
        shown.page.get_by_role("button", name="Approve", exact=True).click()
        shown.sees("Succeeded", "h1")
        assert not shown.faults
        assert [one for one in shown.requests if not one.startswith(base)] == []


def test_what_is_looked_for_is_found_runs_workflows_and_actions(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        nightly(server)
        run = server.submit("true")
        server.result(run)
        shown.go(f"{server.url}/runs")
        shown.page.locator(".runs .row-link").first.wait_for()
        shown.press("Control+k")
        shown.page.keyboard.type(run[:8])
        shown.sees("Succeeded", ".found li")
        shown.press("Enter")
        shown.page.wait_for_url(f"**/runs/{run}")
        shown.press("Control+k")
        shown.page.keyboard.type("night")
        shown.sees("how it went", ".found li")
        shown.press("ArrowDown", "Enter")
        shown.page.wait_for_url("**/insights?name=nightly&namespace=default")
        shown.sees("No run was made in this time.")
        shown.press("Control+k")
        shown.page.keyboard.type("count again")
        shown.sees("count again", ".found li.on")
        shown.requests.clear()
        shown.press("Enter")
        wait_for(lambda: bool(shown.page.evaluate("1")) and any("/v1/insights" in one for one in shown.requests))
        assert not shown.faults


def test_a_run_that_no_process_drives_is_marked(tmp_path: Path) -> None:
    with pages(tmp_path) as ui, gated(tmp_path) as (process, run), browser_page() as shown:
        shown.go(f"{ui.url}/runs")
        shown.sees("Running", ".runs .tr")
        process.kill()
        process.wait()
        shown.page.reload()
        shown.sees("Undriven", ".runs .tr")
        shown.sees("no process drives it", ".runs .tr")
        shown.go(f"{ui.url}/tasks")
        shown.sees("no process drives its run", ".all-tasks .tr")
        assert run in shown.page.content()
        assert not shown.faults


def test_pages_over_many_runs_ask_for_nothing_while_nothing_changes(tmp_path: Path) -> None:
    with served(tmp_path) as server, browser_page() as shown:
        nightly(server)
        server.result(server.call("POST", "/runs", {"document": script("exit 3")})["runId"])
        for place in ("/tasks", "/insights", "/tokens", "/schedules?schedule=nightly"):
            shown.go(server.url + place)
            shown.page.locator("main h1").wait_for()
            shown.page.wait_for_timeout(1500)  # what it asks for at first
            shown.requests.clear()
            shown.page.wait_for_timeout(2500)
            assert shown.requests == [], place
