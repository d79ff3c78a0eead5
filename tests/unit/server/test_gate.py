"""Without authentication a server answers this machine, and no page of another site; with tokens, those who have one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from litestar.testing import TestClient

from aether_protocol import Engine
from aether_protocol.errors import UsageError
from aether_protocol.server.app import make_app
from aether_protocol.server.gate import AccessRules, make_rules, why_foreign
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from tests.documents import submitted

TOKEN = "a-token-that-is-long-enough"
HOME = "http://127.0.0.1:7234"
NOOP = {"name": "a", "executor": {"type": "noop"}}
RUN = {"document": submitted(NOOP, name="hello")}


@contextmanager
def serving(rules: AccessRules | None = None, base: str = HOME) -> Iterator[TestClient[Any]]:
    engine = Engine()
    app = make_app(ServerParts(client=client_of(engine), access=rules or AccessRules()))
    app.on_startup.append(engine.__aenter__)
    app.on_shutdown.append(engine.close)
    with TestClient(app, base_url=base) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7234", "localhost", "LOCALHOST:80", "[::1]", "[::1]:7234"])
def test_this_machine_is_answered(host: str) -> None:
    with serving() as client:
        assert client.get("/v1/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7234", "127.0.0.1.evil.example", "localhost.evil.example", "localhost."),
        *("127.0.0.1:7234.evil.example", "evil.example#127.0.0.1", "user@127.0.0.1", "127.0.0.1:x"),
        *("127.0.0.1:999999", "127.0.0.2", "0.0.0.0", "[::]", "2130706433", "0x7f000001", "", "[::1", "::1", "127.1"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/runs", "/healthz", "/docs", "/openapi.json", "/nowhere"])
def test_a_name_that_was_made_to_point_here_is_refused(host: str, path: str) -> None:
    with serving() as client:
        answer = client.get(path, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "host-refused")
        assert answer.headers["content-type"] == "application/problem+json"


def test_two_hosts_or_none_are_refused() -> None:
    assert why_foreign("GET", [(b"host", b"localhost"), (b"host", b"evil.example")]) is not None
    assert why_foreign("GET", []) is not None


@pytest.mark.parametrize(
    "headers",
    [
        *({"origin": one} for one in ("https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1")),
        *({"sec-fetch-site": one} for one in ("cross-site", "same-site", "anything")),
        {"origin": HOME, "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_page_of_another_site_is_refused_and_can_read_nothing(method: str, headers: Mapping[str, str]) -> None:
    with serving() as client:
        answer = client.request(method, "/v1/runs", headers=dict(headers), json=RUN if method == "POST" else None)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert client.get("/v1/runs").json()["runs"] == []


@pytest.mark.parametrize("headers", [{"origin": HOME}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}])
def test_a_page_of_this_server_is_answered(headers: Mapping[str, str]) -> None:
    with serving() as client:
        assert client.post("/v1/runs", headers=dict(headers), json=RUN).status_code == 201


@pytest.mark.parametrize(
    "type_",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None),
        *("text/plain; application/json", "application/jsonx", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("body", [b'{"reason": ""}', b""])
def test_a_form_can_change_nothing(type_: str | None, body: bytes) -> None:
    with serving() as client:
        headers = {} if type_ is None else {"content-type": type_}
        answer = client.post("/v1/runs/latest/cancel", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "json-only")


def test_a_preflight_is_granted_to_no_page() -> None:
    with serving() as client:
        asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        answer = client.options("/v1/runs", headers=asks)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_token_closes_the_server_to_those_who_do_not_have_it() -> None:
    with serving(make_rules("127.0.0.1", token=TOKEN)) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/v1/runs")
        assert (answer.status_code, answer.json()["code"]) == (401, "token-missing")
        assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in (TOKEN[:-1], TOKEN + "x", "", TOKEN.upper(), "é"):
            refused = client.get("/v1/runs", headers=[(b"authorization", b"Bearer " + wrong.encode())])  # type: ignore[arg-type]
            assert refused.status_code == 401
            assert not wrong or wrong not in refused.text
        assert client.get("/v1/runs", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
        twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")]
        assert client.get("/v1/runs", headers=twice).status_code == 401  # type: ignore[arg-type]
        assert client.get("/v1/runs", params={"token": TOKEN}).status_code == 401  # an address is logged everywhere
        assert client.get("/v1/runs", headers=bearer(TOKEN)).status_code == 200
        assert client.get("/v1/runs", headers={**bearer(TOKEN), "host": "aether.example"}).status_code == 200


def test_pages_of_named_origins_may_call_with_a_token() -> None:
    page = "https://dashboard.example"
    with serving(make_rules("127.0.0.1", token=TOKEN, cors=[page])) as client:
        asks = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        answer = client.options("/v1/runs", headers={"origin": page, **asks})
        assert answer.headers["access-control-allow-origin"] == page
        other = client.options("/v1/runs", headers={"origin": "https://evil.example", **asks})
        assert other.headers.get("access-control-allow-origin") is None
        read = client.get("/v1/runs", headers={"origin": page, **bearer(TOKEN)})
        assert read.headers["access-control-allow-origin"] == page
        assert "access-control-allow-credentials" not in read.headers
        assert client.get("/v1/runs", headers={"origin": page}).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "aether.example", "127.0.0.2", ""])
def test_another_host_needs_tokens(host: str) -> None:
    with pytest.raises(UsageError, match="no tokens") as caught:
        make_rules(host)
    assert caught.value.exit_code == 2
    assert "--token" in str(caught.value.hint)
    assert not make_rules(host, token=TOKEN).is_off


def test_cors_needs_tokens_and_origins() -> None:
    with pytest.raises(UsageError, match="no tokens"):
        make_rules("127.0.0.1", cors=["https://dashboard.example"])
    for wrong in ("*", "dashboard.example", "https://", "https://a.example/path", "https://*.example", "ftp://a"):
        with pytest.raises(UsageError, match="not an origin"):
            make_rules("127.0.0.1", token=TOKEN, cors=[wrong])


@pytest.mark.parametrize("token", ["", "short", "with a space in between", "with-a-newline-\n-in-it", "ümlaut-" * 4])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_rules("127.0.0.1", token=token)
    assert not token or token not in str(caught.value)


def test_no_request_waits_for_a_thread() -> None:
    """A guard that is no coroutine would be called in one."""

    class NoThreads(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("a request went through a thread")

    async def go() -> None:
        asyncio.get_running_loop().set_default_executor(NoThreads())
        async with Engine() as engine:
            client = client_of(engine)
            run = await engine.submit(RUN["document"])
            await client.runs.wait(run)
            app: Any = make_app(ServerParts(client=client, access=make_rules("127.0.0.1", token=TOKEN)))
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=HOME, headers=bearer(TOKEN)) as caller:
                assert (await caller.get(f"/v1/runs/{run}")).json()["phase"] == "Succeeded"
                assert (await caller.get("/healthz")).json() == {"status": "ok"}

    asyncio.run(go())
