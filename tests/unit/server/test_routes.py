"""What holds for all routes, and those of runs over a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.server.access import DECLARED
from aether_protocol.server.app import make_app
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock

DOCUMENT = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "hello"},
    "spec": {
        "entrypoint": "main",
        "templates": [{"dag": {"name": "main", "tasks": [{"name": "a", "executor": {"type": "noop"}}]}}],
    },
}


@contextmanager
def serving() -> Iterator[TestClient]:  # type: ignore[type-arg]
    engine = Engine()
    app = make_app(ServerParts(client=client_of(engine)))
    app.on_startup.append(engine.__aenter__)
    app.on_shutdown.append(engine.close)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_every_route_declares_what_it_needs() -> None:
    app = make_app(ServerParts(client=client_of(Engine()), workers=WorkerBroker(ManualClock(), b"k" * 32)))
    undeclared = {
        f"{sorted(handler.http_methods)} {route.path}"
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith("/docs")
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"} and handler.opt.get("needs") not in DECLARED
    }
    assert undeclared == set()


def test_a_run_is_begun_and_read() -> None:
    with serving() as client:
        made = client.post("/v1/runs", json={"document": DOCUMENT})
        assert made.status_code == 201
        run = made.json()["runId"]
        ended = client.get(f"/v1/runs/{run}/result", params={"wait": "10s"})
        assert (ended.status_code, ended.json()["phase"]) == (200, "Succeeded")
        assert [row["runId"] for row in client.get("/v1/runs").json()["runs"]] == [run]


def test_what_is_not_there_and_what_does_not_fit_have_statuses_of_their_own() -> None:
    with serving() as client:
        unknown = client.get("/v1/runs/nothing")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
        run = client.post("/v1/runs", json={"document": DOCUMENT, "runId": "once"}).json()["runId"]
        taken = client.post("/v1/runs", json={"document": DOCUMENT, "runId": "once"})
        assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
        client.get(f"/v1/runs/{run}/result", params={"wait": "10s"})
        ended = client.post(f"/v1/runs/{run}/cancel", json={})
        assert (ended.status_code, ended.json()["code"]) == (409, "conflict")
        assert client.post("/v1/runs", json={"document": DOCUMENT, "runId": "not an id"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "code", "hint"),
    [
        ("/v1/runs?phaze=Failed", 400, "did you mean 'phase'?"),
        ("/v1/runs?ended_before=2026-01-01T00:00:00Z", 400, "did you mean 'endedBefore'?"),
        ("/v1/runs?client=1", 400, "it takes phase, name,"),
        ("/v1/runs/nothing?x=1", 400, "it takes none"),
        ("/v1/runs?phase=Failed&limit=5", 200, ""),
        ("/v1/runs?phase=Faild", 400, "did you mean 'Failed'?"),
        ("/healthz?probe=1", 200, ""),
    ],
)
def test_a_parameter_that_a_route_does_not_have_is_refused(path: str, code: int, hint: str) -> None:
    with serving() as client:
        answer = client.get(path)
        assert (answer.status_code, answer.json().get("hint", "").startswith(hint)) == (code, True), answer.text


def test_a_stored_workflow_is_begun_by_its_name() -> None:
    with serving() as client:
        both = {"document": DOCUMENT, "name": "hello"}
        for wrong in ({}, both, {"document": DOCUMENT, "version": 1}, {"name": "hello", "version": 0}):
            assert client.post("/v1/runs", json=wrong).status_code == 400
        assert client.post("/v1/runs", json={"name": "hello"}).status_code == 404
