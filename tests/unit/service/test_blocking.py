"""A client without an event loop gives what the client with one gives."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from aether_protocol import Engine
from aether_protocol.errors import PortError, UsageError
from aether_protocol.service import connect_blocking

HELLO = {
    "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "hello"},
    "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]},
}


def drive(url: str) -> None:
    async def go() -> None:
        async with Engine(store=url) as engine:
            for run in await engine.recover():
                await engine.driven.join(run)

    asyncio.run(go())


def test_what_is_submitted_is_waited_for_and_followed(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/aether.db"
    with connect_blocking(url) as client:
        run = client.control.submit(HELLO, run_id="hello-1")
        driving = threading.Thread(target=drive, args=(url,))
        driving.start()
        assert client.runs.wait(run, timeout_s=30).phase == "Succeeded"
        driving.join()
        records = list(client.runs.events(run))
        assert (records[0]["kind"], records[-1]["kind"]) == ("RunCreated", "RunClosed")
        half = records[len(records) // 2]["seq"]
        assert list(client.runs.events(run, after=half)) == [one for one in records if one["seq"] > half]
        (change,) = client.store.changes().changes
        assert (change.run_id, change.row.phase) == (run, "Succeeded")
        assert client.store.changes(change.cursor).changes == []


def test_a_feed_may_be_left_early(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/aether.db"
    with connect_blocking(url) as client:
        client.control.submit(HELLO, run_id="hello-1")
        drive(url)
        first = next(iter(client.runs.events("hello-1")))
        assert first["kind"] == "RunCreated"


def test_errors_are_those_of_the_client(tmp_path: Path) -> None:
    client = connect_blocking(f"sqlite:{tmp_path}/aether.db")
    with pytest.raises(UsageError, match="unknown"):
        client.runs.get("nothing")
    client.close()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.runs.list()
    with pytest.raises((UsageError, PortError)):
        connect_blocking(f"sqlite:{tmp_path}")
