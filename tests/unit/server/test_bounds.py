"""What one caller may ask: how often, how large, how slowly; and a login of a browser."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import get
from litestar.response import ServerSentEvent
from litestar.testing import TestClient

from aether_protocol.cli.render.journal import JournalHandler
from aether_protocol.server import gate
from aether_protocol.server.access import VIEWER
from aether_protocol.server.app import make_app
from aether_protocol.server.bounds import RateBounds, RateLimiter, bounded
from aether_protocol.server.gate import AccessRules, make_rules
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError
from aether_protocol.service.access.caller import Caller
from tests.unit.server.test_gate import HOME, RUN, TOKEN, bearer, serving

RULES = make_rules("127.0.0.1", token=TOKEN)
HOSTED = "https://aether.example"


def test_a_caller_that_asks_too_often_waits_and_others_do_not() -> None:
    now = [0.0]
    limiter = RateLimiter(RateBounds(each_second=2, burst=3, unknown_each_second=1, unknown_burst=1), lambda: now[0])
    assert [limiter.take("a", is_known=True) for _ in range(4)] == [None, None, None, 1]
    assert limiter.take("b", is_known=True) is None
    assert [limiter.take("c", is_known=False) for _ in range(2)] == [None, 1]
    now[0] = 0.5
    assert [limiter.take("a", is_known=True) for _ in range(2)] == [None, 1]
    now[0] = 1000.0
    assert [limiter.take("a", is_known=True) for _ in range(4)] == [None, None, None, 1]


def test_what_is_remembered_of_callers_is_bounded() -> None:
    limiter = RateLimiter(RateBounds())
    for number in range(10_100):
        limiter.take(str(number), is_known=False)
    assert len(limiter._buckets) == 10_000
    assert "10099" in limiter._buckets


def test_too_many_requests_get_a_problem_with_retry_after() -> None:
    rules = AccessRules(authenticator=RULES.authenticator, limiter=RateLimiter(RateBounds(0.001, 2, 0.001, 2)))
    with serving(rules) as client:
        assert [client.get("/v1/runs", headers=bearer(TOKEN)).status_code for _ in range(2)] == [200, 200]
        answer = client.get("/v1/runs", headers=bearer(TOKEN))
        assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests")
        assert 900 < int(answer.headers["retry-after"]) <= 1000
        assert answer.headers["content-type"] == "application/problem+json"
        assert [client.get("/v1/runs", headers=bearer("guess")).status_code for _ in range(3)] == [401, 401, 429]


def test_headers_and_bodies_are_bounded() -> None:
    with serving(RULES) as client:
        large = client.get("/v1/runs", headers={**bearer(TOKEN), "x-large": "x" * 40_000})
        assert (large.status_code, large.json()["code"]) == (431, "headers-too-large")
        body = b'{"document": "' + b"x" * (11 * 2**20) + b'"}'
        head = {**bearer(TOKEN), "content-type": "application/json"}
        refused = client.post("/v1/runs", content=body, headers=head)
        assert refused.status_code == 413
        assert refused.headers["content-type"] == "application/problem+json"
        untold = client.post("/v1/runs", content=(body[at : at + 65_536] for at in range(0, len(body), 65_536)), headers=head)
        assert untold.status_code == 413


def test_a_body_that_does_not_come_ends_the_request() -> None:
    async def go() -> None:
        async def silent() -> Any:
            await asyncio.sleep(3600)

        async def dripping() -> Any:
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": b"x", "more_body": True}

        with pytest.raises(ApiError) as caught:
            await bounded(silent, is_bytes=False, idle_s=0.02)()  # type: ignore[arg-type]
        assert caught.value.status == 408
        slow = bounded(dripping, is_bytes=False, idle_s=1, body_s=0.05)  # type: ignore[arg-type]

        async def all_of_it() -> None:
            for _ in range(100):
                await slow()

        with pytest.raises(ApiError):
            await all_of_it()
        file = bounded(dripping, is_bytes=True, idle_s=1, body_s=0.05)  # type: ignore[arg-type]
        for _ in range(10):
            await file()

    asyncio.run(go())


class Fading:
    """A token that counts for some looks."""

    def __init__(self) -> None:
        self.looks = 0

    async def caller(self, token: str) -> Caller | None:
        self.looks += 1
        return Caller(name="a", kind="person", roles={"*": "viewer"}, token="a") if self.looks < 4 else None


def test_a_stream_ends_soon_after_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WATCH_S", 0.02)
    ended: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "beat"
                await asyncio.sleep(0.01)
        finally:
            ended.append("closed")

    @get("/v1/endless", opt=VIEWER, sync_to_thread=False)
    def stream() -> ServerSentEvent:
        return ServerSentEvent(endless())

    authenticator = Fading()
    app = make_app(ServerParts(access=AccessRules(authenticator=authenticator)))
    app.register(stream)
    with TestClient(app, base_url=HOME) as client:
        answer = client.get("/v1/endless", headers=bearer("a"))
        assert answer.status_code == 200
        assert "beat" in answer.text
        assert client.get("/v1/endless", headers=bearer("a")).status_code == 401
    assert authenticator.looks == 5
    assert ended == ["closed"]


def test_a_person_logs_in_and_out() -> None:
    with serving(RULES, base=HOSTED) as client:
        assert client.post("/v1/login", json={"token": "wrong"}).status_code == 401
        made = client.post("/v1/login", json={"token": TOKEN})
        assert made.status_code == 200
        cookie = made.headers["set-cookie"]
        assert cookie.startswith("__Host-aether=")
        for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert word.lower() in cookie.lower()
        assert "domain" not in cookie.lower()
        assert TOKEN not in made.text
        assert made.headers["cache-control"] == "no-store"
        csrf = {"x-aether-csrf": made.json()["csrf"]}
        assert client.get("/v1/runs").status_code == 200
        assert client.get("/v1/me").json()["csrf"] == made.json()["csrf"]
        for headers in ({}, {"x-aether-csrf": "0" * 64}, {"x-aether-csrf": ""}, {"x-csrf": csrf["x-aether-csrf"]}):
            refused = client.post("/v1/runs", json=RUN, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
        assert client.post("/v1/runs", json=RUN, headers=csrf).status_code == 201
        assert client.post("/v1/logout", json={}, headers=csrf).status_code == 204
        assert client.get("/v1/runs").status_code == 401


def test_without_tls_the_cookie_is_plain_and_without_authentication_there_is_none() -> None:
    with serving(RULES) as client:
        made = client.post("/v1/login", json={"token": TOKEN})
        assert made.headers["set-cookie"].startswith("aether=")
        assert "secure" not in made.headers["set-cookie"].lower()
        assert client.get("/v1/me").json()["roles"] == {"*": "admin"}
    with serving() as client:
        assert client.post("/v1/login", json={"token": TOKEN}).status_code == 409
        assert client.get("/v1/me").json()["name"] == "local"


def test_a_cookie_is_for_people_alone() -> None:
    class Service:
        async def caller(self, token: str) -> Caller | None:
            return Caller(name="ci", kind="service", roles={"*": "viewer"}, token="s")

    with serving(AccessRules(authenticator=Service())) as client:
        assert client.post("/v1/login", json={"token": "x"}).status_code == 403


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/validate", "/v1/documents", "/v1/login"])
def test_a_body_that_is_nested_too_deeply_is_the_callers_fault(path: str) -> None:
    with serving(RULES) as client:
        for text in ("[" * 100_000, '{"document":' * 100_000):
            answer = client.post(path, content=text, headers={**bearer(TOKEN), "content-type": "application/json"})
            assert answer.status_code == 400, answer.text
            assert answer.json()["code"] == "request-invalid"


def test_a_body_that_is_too_large_is_told_the_bound() -> None:
    with serving(RULES) as client:
        headers = {**bearer(TOKEN), "content-type": "application/json"}
        answer = client.post("/v1/runs", content=b" " * 11_000_000, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["detail"] == "the body is longer than this server takes: 10485760 bytes at most"


def test_an_internal_error_is_in_the_servers_log_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    @get("/v1/broken", opt=VIEWER)
    async def broken() -> None:
        raise KeyError("lost")

    handler = JournalHandler(lambda: 0)
    log = logging.getLogger("aether_protocol")
    before, log.handlers = log.handlers, [handler]
    log.propagate = False  # to what others have set up
    try:
        app = make_app(ServerParts(access=RULES))
        app.register(broken)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            answer = client.get("/v1/broken", headers=bearer(TOKEN))
    finally:
        log.handlers, log.propagate = before, True
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "KeyError" not in answer.text
    said = capsys.readouterr().err
    assert "internal error at GET /v1/broken: KeyError: 'lost'" in said
    assert "test_bounds.py:" in said
    assert "Traceback" not in said
