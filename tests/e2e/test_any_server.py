"""What is asked of one of three servers, over HTTP: the same answer at each, and what is to be done reaches the driving one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest

from tests.e2e.servers import PATIENCE_S, Served, script, served, wait_for
from tests.e2e.test_whole_fleet import same, sqlite_url

pytestmark = [pytest.mark.rule("RT-148"), pytest.mark.timeout(240)]

RUN = ("", "/tasks", "/report", "/overview", "/step", "/events", "/logs", "/suspended", "/result", "/driver", "/newest")


def asking() -> dict[str, Any]:
    document = script("true")
    job = {"name": "job", "executor": {"type": "await", "config": {}}}
    document["spec"]["templates"][0]["dag"]["tasks"] = [job]
    return document


def text_of(document: dict[str, Any]) -> dict[str, str]:
    return {"name": "d.json", "text": msgspec.json.encode(document).decode()}


def schedule(name: str) -> dict[str, Any]:
    spec = {"schedule": "0 0 1 1 *", "workflowSpec": script("true")["spec"]}
    return {"apiVersion": "aether/v1", "kind": "CronWorkflow", "metadata": {"name": name}, "spec": spec}


def drives(servers: list[Served], run: str) -> None:
    """Wait until one of them does."""
    wait_for(lambda: bool(servers[0].call("GET", f"/runs/{run}/driver")["driver"]))


def test_any_of_three_servers_answers_and_passes_on(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        servers = [stack.enter_context(served(tmp_path, "--store", url, db="")) for _ in range(3)]
        wait_for(lambda: all(len(one.call("GET", "/servers")["servers"]) == 3 for one in servers))
        first, second, third = servers

        body = {"document": asking(), "idempotencyKey": "once"}
        ready = threading.Barrier(6)

        def submit(server: Served) -> tuple[int, str]:
            ready.wait()
            answer = httpx.post(f"{server.url}/v1/runs", json=body, timeout=PATIENCE_S)
            return answer.status_code, answer.json()["runId"]

        begun = list(threads.map(submit, servers * 2))
        assert sorted(status for status, _ in begun) == [200] * 5 + [201]
        (asked,) = {run for _, run in begun}

        wait_for(lambda: second.call("GET", f"/runs/{asked}/suspended")["suspended"] == ["main.job"])
        for what in RUN:
            same(servers, f"/runs/{asked}{what}", lambda answer: True)
        same(servers, f"/runs/{asked}/question?task=job", lambda answer: True)

        waits = [threads.submit(one.result, asked) for one in servers]
        follows = [
            threads.submit(httpx.get, f"{one.url}/v1/runs/{asked}/{what}/follow", timeout=PATIENCE_S)
            for one in servers
            for what in ("events", "logs")
        ]
        third.call("POST", f"/runs/{asked}/resume", {"task": "job", "payload": {"by": "hand"}})
        reports = [one.result(PATIENCE_S) for one in waits]
        assert all(one == reports[0] for one in reports)
        assert (reports[0]["phase"], reports[0]["tasks"][-1]["outputs"]) == ("Succeeded", {"by": "hand"})
        texts = [one.result(PATIENCE_S).text for one in follows]
        assert texts[0] == texts[2] == texts[4] != ""
        again = httpx.post(f"{first.url}/v1/runs/{asked}/resume", json={"task": "job"}, timeout=PATIENCE_S)
        assert again.is_client_error, again.text

        stuck = [one.call("POST", "/runs", {"document": asking()})["runId"] for one in servers]
        for place, run in enumerate(stuck):
            drives(servers, run)
            servers[(place + 1) % 3].call("POST", f"/runs/{run}/cancel", {"reason": "enough"})
        assert {servers[(place + 2) % 3].result(run)["phase"] for place, run in enumerate(stuck)} == {"Cancelled"}

        broken = first.submit("exit 3")
        assert second.result(broken)["phase"] == "Failed"
        retried = third.call("POST", f"/runs/{broken}/retry", {})["runId"]
        assert first.result(retried)["phase"] == "Failed"
        same(servers, f"/runs/{broken}/compare/{retried}", lambda answer: True)

        applied = first.call("POST", "/schedules", {"documents": [text_of(schedule("nightly"))]})
        assert [one["action"] for one in applied["applied"]] == ["created"]
        name = "default/nightly"
        second.call("POST", "/schedules/suspend", {"names": [name], "suspend": True})
        same(servers, "/schedules/default/nightly", lambda answer: "suspend" in str(answer))
