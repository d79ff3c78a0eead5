"""The API describes itself: an OpenAPI document with every route, and a page that needs no network."""

from __future__ import annotations

import re

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


def test_the_page_asks_nothing_of_other_sites() -> None:
    with serving() as client:
        answer = client.get("/docs")
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
        assert re.findall(r"https?://", answer.text) == []
        assert "openapi.json" in answer.text
