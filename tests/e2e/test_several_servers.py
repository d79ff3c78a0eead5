"""Three servers on one PostgreSQL, as processes behind a proxy: who asks need not know which of them drives a run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from aether_protocol.service.remote import RemoteClient
from tests.documents import submitted
from tests.e2e.process import AETHER, environment
from tests.e2e.round_robin import round_robin
from tests.e2e.servers import PATIENCE_S, Served, wait_for
from tests.postgres import database_url

pytestmark = [pytest.mark.rule("RT-148"), pytest.mark.timeout(240)]


def chain(effects: Path, length: int, pause_s: float) -> dict[str, Any]:
    """A workflow of tasks one after the other; each notes its key, once it has paused."""
    source = f'sleep {pause_s}; echo "$AETHER_IDEMPOTENCY_KEY" >> {effects}'
    tasks: list[dict[str, Any]] = []
    for number in range(length):
        task: dict[str, Any] = {"name": f"t{number}", "executor": {"type": "script", "config": {"source": source}}}
        tasks.append(task | ({"dependencies": [f"t{number - 1}"]} if number else {}))
    return submitted(*tasks)


@contextmanager
def three(folder: Path, url: str, *options: str) -> Iterator[list[Served]]:
    servers: list[Served] = []
    try:
        for name in "abc":
            (folder / name).mkdir()
            servers.append(Served(folder / name, "--store", url, *options, db=""))
        yield servers
    finally:
        for one in servers:
            one.process.kill()
            one.process.communicate()


def call(url: str, method: str, path: str, body: Any = None) -> Any:
    """Ask through the proxy, again where the server that was asked died under the question."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = httpx.request(method, f"{url}/v1{path}", json=body, timeout=PATIENCE_S)
        except httpx.TransportError:
            assert method == "GET"
            assert time.monotonic() < until
            continue
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def result(url: str, run: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found: dict[str, Any] = call(url, "GET", f"/runs/{run}/result?wait=5s")
        if "tasks" in found or found.get("phase") in ("Succeeded", "Failed", "Error", "Cancelled"):
            return found
    raise AssertionError(f"run {run} did not end")


class Following:
    """Follows the events of a run through the proxy, at whichever server, from a thread."""

    def __init__(self, url: str, run: str) -> None:
        self.records: list[dict[str, Any]] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, args=(url, run), daemon=True)
        self._thread.start()

    def _follow(self, url: str, run: str) -> None:
        async def go() -> None:
            async with RemoteClient(url) as client:
                async for record in client.runs.events(run, follow=True):
                    self.records.append(record)

        try:
            asyncio.run(go())
        except BaseException as error:
            self.error = error

    def end(self) -> list[tuple[int, int]]:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return [(record["seq"], record["index"]) for record in self.records]


def servers_of(url: str) -> list[dict[str, Any]]:
    with contextlib.suppress(httpx.TransportError):
        found: list[dict[str, Any]] = httpx.get(f"{url}/v1/servers", timeout=PATIENCE_S).json()["servers"]
        return found
    return []


def test_a_server_of_three_is_killed_and_everything_ends_once(tmp_path: Path) -> None:
    url, effects = database_url(), tmp_path / "effects"
    with three(tmp_path, url) as servers, round_robin([one.port for one in servers]) as proxy:
        wait_for(lambda: len(servers_of(proxy.url)) == 3)
        runs = [call(proxy.url, "POST", "/runs", {"document": chain(effects, 6, 0.4)})["runId"] for _ in range(9)]
        endless = submitted({"name": "job", "executor": {"type": "script", "config": {"source": "sleep 300"}}})
        cancelled = [call(proxy.url, "POST", "/runs", {"document": endless})["runId"] for _ in range(3)]
        feeds = [Following(proxy.url, run) for run in runs]
        assert min(one["runs"] for one in servers_of(proxy.url)) > 0, "each begins what it is asked for"
        servers[1].process.send_signal(signal.SIGKILL)
        for run in cancelled:
            until = time.monotonic() + PATIENCE_S
            while httpx.post(f"{servers[0].url}/v1/runs/{run}/cancel", json={}, timeout=PATIENCE_S).is_error:
                assert time.monotonic() < until
        reports = {run: result(proxy.url, run) for run in runs}
        assert {report["phase"] for report in reports.values()} == {"Succeeded"}
        assert {result(proxy.url, run)["phase"] for run in cancelled} == {"Cancelled"}
        for run, feed in zip(runs, feeds, strict=True):
            seen = feed.end()
            stored = [
                (record["seq"], record["index"])
                for entry in call(proxy.url, "GET", f"/runs/{run}/events")["entries"]
                for record in entry
            ]
            assert seen == stored, "nothing is lost, nothing comes twice"
            ends = [record for record in feed.records if record["kind"] == "RunClosed"]
            assert len(ends) == 1
        keys = Counter(effects.read_text().split())
        assert len(keys) == 9 * 6, "each task has one key"
        assert sum(keys.values()) <= 9 * 6 + 3, "what was at the worker of the server that died may be repeated, nothing else"
        wait_for(lambda: len(servers_of(proxy.url)) == 2)
        assert min(proxy.taken.values()) > 0


def test_a_server_that_stops_gives_its_runs_to_the_others_at_once(tmp_path: Path) -> None:
    url = database_url()
    suspended = submitted({"name": "job", "executor": {"type": "await", "config": {}}})
    begun, enough = tmp_path / "begun", tmp_path / "enough"
    with three(tmp_path, url, "--grace", "60") as servers:
        runs = [servers[0].call("POST", "/runs", {"document": suspended})["runId"] for _ in range(30)]

        def shared() -> bool:
            found = servers_of(servers[2].url)
            return sum(one["runs"] for one in found) == 30 and max(one["runs"] for one in found) <= 11

        wait_for(shared, 30)
        slow = servers[0].submit(f"touch {begun}; until [ -e {enough} ]; do sleep 0.1; done")
        wait_for(begun.exists)
        servers[0].process.send_signal(signal.SIGTERM)
        took = wait_for(lambda: sum(one["runs"] for one in servers_of(servers[1].url) if not one["stopping"]) == 30)
        assert took < 10, "they are released, while the task of the server's own worker ends; their lease is 15 s"
        assert servers[0].process.poll() is None
        enough.touch()
        assert servers[0].process.wait(PATIENCE_S) == 0
        assert result(servers[1].url, slow)["phase"] == "Succeeded"
        for run in runs:
            servers[1].call("POST", f"/runs/{run}/resume", {"task": "job"})
        assert {result(servers[2].url, run)["phase"] for run in runs} == {"Succeeded"}


def test_a_client_is_given_several_servers_and_goes_to_the_next_where_one_dies(tmp_path: Path) -> None:
    url, effects = database_url(), tmp_path / "effects"
    with three(tmp_path, url) as servers:
        named = ",".join(one.url for one in servers)
        run = servers[1].call("POST", "/runs", {"document": chain(effects, 8, 0.3)})["runId"]
        command = [*AETHER, "events", run, "--follow", "--server", named]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment(), text=True, **pipes) as following:
            assert following.stdout is not None
            assert following.stderr is not None
            first = [json.loads(following.stdout.readline()) for _ in range(5)]
            servers[0].process.send_signal(signal.SIGKILL)
            rest = following.stdout.read()  # `communicate` would leave out what the line before brought along
            told = following.stderr.read()
        records = [*first, *map(json.loads, rest.splitlines())]
        places = [(record["seq"], record["index"]) for record in records]
        assert following.returncode == 0, told
        assert places == sorted(set(places)), "nothing comes twice, all in order"
        command = [*AETHER, "events", run, "--server", servers[1].url]
        stored = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
        assert records == [json.loads(line) for line in stored.splitlines()], "nothing is lost"
        assert records[-1]["kind"] == "RunClosed"
        command = [*AETHER, "ls", "--server", named]
        listed = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert (listed.returncode, run in listed.stdout) == (0, True), listed.stderr
