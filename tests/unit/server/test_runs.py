"""Routes of runs: what goes in, what comes out, and with which status."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from litestar.testing import TestClient
from msgspec import convert
from msgspec import json as fast_json

from aether_protocol import Engine
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.errors import PortError
from aether_protocol.service.wire.runs import RunBody, RunPage
from tests.unit.server.serving import ASKS, FAILS, HELLO, Server, listening, serving

Client = TestClient[Any]


def begin(client: Client, document: Any = HELLO, **more: Any) -> str:
    made = client.post("/v1/runs", json={"document": document, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["runId"])


def ended(client: Client, run: str, **more: str) -> dict[str, Any]:
    answer = client.get(f"/v1/runs/{run}/result", params={"wait": "20s", **more})
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_key_gives_the_first_run_and_other_content_is_refused_with_both_digests(tmp_path: Path) -> None:
    """By the body or the header, also after a restart."""
    body = {"document": HELLO, "parameters": {"rows": 2}}

    async def go() -> None:
        async with listening(tmp_path) as server, httpx.AsyncClient(base_url=server.url) as client:
            first = await client.post("/v1/runs", json={**body, "idempotencyKey": "order-42"})
            again = await client.post("/v1/runs", json=body, headers={"Idempotency-Key": "order-42"})
            assert (first.status_code, again.status_code) == (201, 200)
            assert again.json()["runId"] == first.json()["runId"]
            text = await client.post("/v1/runs", json={**body, "document": json.dumps(HELLO), "idempotencyKey": "order-42"})
            assert text.status_code == 200, "the same workflow, written otherwise"
        async with listening(tmp_path) as server, httpx.AsyncClient(base_url=server.url) as client:
            later = await client.post("/v1/runs", json={**body, "idempotencyKey": "order-42"})
            assert (later.status_code, later.json()["runId"]) == (200, first.json()["runId"])
            for other in ({**body, "document": FAILS, "parameters": {}}, {**body, "parameters": {"rows": 3}}):
                refused = await client.post("/v1/runs", json={**other, "idempotencyKey": "order-42"})
                told = refused.json()
                assert (refused.status_code, told["code"], told["runId"]) == (409, "idempotency-key", first.json()["runId"])
                assert set(told["digests"]) == {"first", "given"}
                assert told["digests"]["first"] != told["digests"]["given"]
            two = await client.post("/v1/runs", json={**body, "idempotencyKey": "a"}, headers={"Idempotency-Key": "b"})
            assert (two.status_code, two.json()["code"]) == (400, "usage")
            assert len((await client.get("/v1/runs")).json()["runs"]) == 1

    asyncio.run(go())


def test_a_change_that_was_made_is_said_to_be_made_where_the_store_is_away_just_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(run_id: str) -> None:
        raise PortError("the disk does not answer")

    async def go() -> None:
        store = MemoryStore()
        async with Engine(store=store) as engine:
            server = Server(engine)
            await server.start()
            client = httpx.AsyncClient(base_url=server.url)
            with monkeypatch.context() as patch:
                patch.setattr(store.runs, "row", away)
                made = await client.post("/v1/runs", json={"document": ASKS, "runId": "asks-1"})
                assert (made.status_code, made.json()["code"]) == (503, "unavailable")
                assert "run 'asks-1' was begun, and cannot be read now: the disk does not answer" in made.json()["detail"]
                assert "need not be asked for again" in made.json()["hint"]
                refused = await client.post("/v1/runs/asks-1/cancel", json={})
                assert refused.status_code == 503
                assert "is cancelled" not in refused.text, "nothing was done"
            assert (await client.get("/v1/runs/asks-1")).json()["phase"] in ("Running", "Suspended")
            await client.aclose()
            await server.stop()

    asyncio.run(go())


def test_two_requests_at_the_same_moment_begin_one_run(tmp_path: Path) -> None:
    async def go() -> None:
        async with listening(tmp_path) as server, httpx.AsyncClient(base_url=server.url) as client:
            body = {"document": ASKS, "idempotencyKey": "order-42"}
            made = await asyncio.gather(*(client.post("/v1/runs", json=body) for _ in range(8)))
            assert sorted(one.status_code for one in made) == [200] * 7 + [201]
            assert len({one.json()["runId"] for one in made}) == 1
            assert len((await client.get("/v1/runs")).json()["runs"]) == 1

    asyncio.run(go())


def test_lists_are_filtered_and_paged() -> None:
    with serving() as client:
        labelled = {**HELLO, "metadata": {"name": "hello", "labels": {"team": "data"}}}
        runs = [begin(client, labelled if number % 2 else ASKS, runId=f"r{number}") for number in range(6)]
        for run in runs[1::2]:
            ended(client, run)

        def ids(**params: Any) -> list[str]:
            answer = client.get("/v1/runs", params=params)
            assert answer.status_code == 200, answer.text
            convert(answer.json(), RunPage)
            return [row["runId"] for row in answer.json()["runs"]]

        assert ids() == ["r5", "r4", "r3", "r2", "r1", "r0"]
        assert ids(name="asks") == ["r4", "r2", "r0"]
        assert ids(label="team=data", phase=["Succeeded", "Failed"]) == ["r5", "r3", "r1"]
        assert ids(closed="true") == ["r5", "r3", "r1"]
        assert ids(closed="false", prefix="r2") == ["r2"]
        assert ids(since="2999-01-01T00:00:00Z") == []
        assert ids(until="2999-01-01T00:00:00Z", namespace="default", limit=1) == ["r5"]
        asked = client.get("/v1/runs", params={"drivers": "true"}).json()["runs"]
        assert [row["driven"] for row in asked] == [None, True] * 3, "asked for, and of open runs"
        assert {row["driven"] for row in client.get("/v1/runs").json()["runs"]} == {None}
        seen, page = [], None
        while True:
            params = {"limit": 4} | ({} if page is None else {"page": page})
            answer = client.get("/v1/runs", params=params).json()
            seen += [row["runId"] for row in answer["runs"]]
            page = answer["next"]
            if page is None:
                break
        assert seen == ids()
        for wrong in ({"since": "yesterday"}, {"page": "x"}, {"label": "team"}, {"limit": 0}, {"limit": "many"}):
            answer = client.get("/v1/runs", params=wrong)
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_run_is_read_in_every_form() -> None:
    with serving() as client:
        run = begin(client, FAILS, runId="fails")
        report = ended(client, run)
        row = client.get(f"/v1/runs/{run}").json()
        assert fast_json.decode(fast_json.encode(row), type=RunBody).run_id == run
        assert client.get("/v1/runs/latest/report").json() == report
        assert client.get("/v1/runs/fail/report", params={"at": 0}).json()["phase"] == "Created"
        assert client.get(f"/v1/runs/{run}/report", params={"at": 99}).status_code == 404
        assert [task["path"] for task in client.get(f"/v1/runs/{run}/tasks").json()["tasks"]] == ["main"]
        assert client.get(f"/v1/runs/{run}/tasks", params={"phase": "Succeeded"}).json()["tasks"] == []
        retried = client.post(f"/v1/runs/{run}/retry", json={"from": "main", "reason": "again"})
        assert (retried.status_code, retried.json()["runId"], retried.json()["retryOf"]) == (201, "fails.2", "fails")
        ended(client, "fails.2")
        assert client.delete("/v1/runs/fails.2").status_code == 204
        assert client.get("/v1/runs/fails.2").status_code == 404


def test_a_suspended_run_is_answered_or_cancelled() -> None:
    with serving() as client:
        first, second = begin(client, ASKS), begin(client, ASKS)
        for run in (first, second):
            assert ended(client, run, orSuspended="true")["phase"] == "Suspended"
            waiting = client.get(f"/v1/runs/{run}/result")
            assert (waiting.status_code, waiting.json()["phase"]) == (202, "Suspended")
        unknown = client.post(f"/v1/runs/{first}/resume", json={"task": "mian"})
        assert (unknown.status_code, "main" in unknown.json()["hint"]) == (404, True)
        assert client.post(f"/v1/runs/{first}/resume", json={"task": "main", "payload": {"ok": True}}).status_code == 202
        assert ended(client, first)["outputs"] == {"ok": True}
        assert client.post(f"/v1/runs/{second}/cancel", json={"reason": "not needed"}).status_code == 202
        assert ended(client, second)["phase"] == "Cancelled"
        assert client.post(f"/v1/runs/{second}/resume", json={"task": "main"}).status_code == 409
        assert client.delete("/v1/runs/latest").status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "request-invalid"),
        (b"[]", 400, "request-invalid"),
        (b'{"document": 3}', 400, "request-invalid"),
        (b'{"dokument": {}}', 400, "request-invalid"),
        (b'{"document": {"kind": "Workflow"}}', 422, "document-invalid"),
        (b'{"document": "a: [", "parameters": {}}', 422, "document-invalid"),
        (b"x" * (11 * 2**20), 413, "request-entity-too-large"),
    ],
)
def test_what_cannot_be_begun_is_a_problem(body: bytes, status: int, said: str) -> None:
    with serving() as client:
        answer = client.post("/v1/runs", content=body, headers={"content-type": "application/json"})
        told = answer.json()
        assert (answer.status_code, told["status"], told["code"]) == (status, status, said)
        assert answer.headers["content-type"] == "application/problem+json"
        if said == "document-invalid":
            assert told["diagnostics"][0]["line"] >= 0
        if body == b'{"dokument": {}}':
            assert "dokument" in told["detail"] or "document" in told["detail"]


def test_unknown_routes_and_methods_are_problems() -> None:
    with serving() as client:
        for method, path, status in (("GET", "/v1/rums", 404), ("PATCH", "/v1/runs", 405), ("DELETE", "/v1/runs", 405)):
            answer = client.request(method, path, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["status"] == status
