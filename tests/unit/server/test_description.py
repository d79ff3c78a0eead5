"""The API describes itself: an OpenAPI document with every route, and a page that needs no network."""

from __future__ import annotations

import re

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.clock import SystemClock
from aether_protocol.service.access.administration import AccessAdministration
from aether_protocol.service.access.audit import AuditTrail
from aether_protocol.service.access.caller import LOCAL
from tests.unit.server.serving import serving


def test_every_route_is_described_with_its_answers_and_problems() -> None:
    with serving() as client:
        api = client.get("/openapi.json").json()
        assert api["openapi"].startswith("3.1")
        told = {(method, path): one for path, methods in api["paths"].items() for method, one in methods.items()}
        submit = told["post", "/v1/runs"]
        assert {"200", "201", "400", "409", "413", "422", "503"} <= set(submit["responses"])
        assert list(submit["responses"]["409"]["content"]) == ["application/problem+json"]
        assert list(told["get", "/v1/runs/{run}/events/follow"]["responses"]["200"]["content"]) == ["text/event-stream"]
        assert [key for key, one in told.items() if not one.get("summary")] == []


def test_every_route_says_which_problems_any_request_may_meet() -> None:
    """As problem documents, whatever else it answers; also those of workers and of admins."""
    store, clock = MemoryStore(), SystemClock()
    administration = AccessAdministration(store, clock, LOCAL, AuditTrail(store.audit, clock))
    parts = {"workers": WorkerBroker(clock, b"k" * 32), "administer": lambda _: administration}
    with serving(**parts) as client:
        api = client.get("/openapi.json").json()
        told = {f"{method} {path}": one for path, methods in api["paths"].items() for method, one in methods.items()}
        assert {"post /v1/workers", "get /v1/audit", "get /v1/runs"} <= set(told)
        lacking = {
            (route, status)
            for route, one in told.items()
            for status in ("400", "401", "403", "413", "429")
            if list(one["responses"].get(status, {}).get("content", {})) != ["application/problem+json"]
        }
        assert lacking == set()


def test_the_page_asks_nothing_of_other_sites() -> None:
    with serving() as client:
        answer = client.get("/docs")
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
        assert re.findall(r"https?://", answer.text) == []
        assert "openapi.json" in answer.text
