"""`server.asgi`: the routes of an engine, mounted in an application of another kind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from litestar.types import ASGIApp

from aether_protocol import Engine
from aether_protocol.server import asgi
from aether_protocol.service import artifact_upkeep
from tests.unit.server.serving import until

DOCUMENT = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "one"},
    "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]},
}


def below(path: str, inner: Any) -> Any:
    """An ASGI application that has another one below a path, as frameworks mount one, and says hello elsewhere."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(path):
            await inner({**scope, "root_path": path, "path": scope["path"][len(path) :]}, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app


def test_it_is_mounted_in_any_asgi_application() -> None:
    async def go() -> None:
        async with Engine() as engine:
            mounted: ASGIApp = below("/aether", asgi(engine))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=mounted), base_url="http://127.0.0.1") as client:
                assert (await client.get("/elsewhere")).text == "hello"
                assert (await client.get("/aether/healthz")).json() == {"status": "ok"}
                made = await client.post("/aether/v1/runs", json={"document": DOCUMENT})
                assert made.status_code == 201, made.text
                ended = await client.get(f"/aether/v1/runs/{made.json()['runId']}/result?wait=5s")
                assert ended.json()["phase"] == "Succeeded"
                assert (await client.post("/aether/v1/workers", json={})).status_code == 404, "it takes no workers"

    asyncio.run(go())


def test_without_a_broker_for_workers_it_says_so_to_workers() -> None:
    async def go() -> None:
        engine = Engine()
        transport = httpx.ASGITransport(app=asgi(engine))
        async with engine, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post("/v1/workers", json={})
            assert (answer.status_code, answer.json()["code"]) == (404, "no-workers")
            assert "asgi(engine, workers=BROKER)" in answer.json()["hint"]

    asyncio.run(go())


@pytest.mark.rule("RT-140")
def test_artifacts_of_runs_that_are_deleted_through_it_are_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_upkeep, "PAUSE_S", 0.01)
    monkeypatch.setattr(artifact_upkeep, "LAST_S", 0.2)

    async def go() -> None:
        async with Engine(store=f"sqlite:{tmp_path}/runs.db") as engine:
            transport = httpx.ASGITransport(app=asgi(engine))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                made = await client.post("/v1/runs", json={"document": DOCUMENT})
                run = made.json()["runId"]
                assert (await client.get(f"/v1/runs/{run}/result?wait=5s")).json()["phase"] == "Succeeded"
                (tmp_path / "given").write_text("x")
                digest, _ = engine.artifacts.put(tmp_path / "given")
                place = engine.artifacts.path_of(digest)  # type: ignore[attr-defined]
                assert (await client.delete(f"/v1/runs/{run}")).status_code == 204
                await until(lambda: any("aether-artifacts" in one.get_name() for one in asyncio.all_tasks()))
                assert place.exists(), "it was put within the grace"
                os.utime(place, (0, 0))
                await until(lambda: not place.exists())
                await until(lambda: not any("aether-artifacts" in one.get_name() for one in asyncio.all_tasks()))

    asyncio.run(go())
