"""What an adversary tries against a server as a whole, and what comes of it: nothing. Each kind of hole has a test."""

from __future__ import annotations

import asyncio
import contextlib
import string
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from litestar import Litestar

from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import UsageError
from aether_protocol.execution.secrets import SecretsAwayError
from aether_protocol.ports.worker import (
    ExecutorOffer,
    Hello,
    Poll,
    ResultReport,
    SecretName,
    SecretRequest,
    WorkItem,
    WorkReport,
)
from aether_protocol.server import bounds
from aether_protocol.server.bounds import StreamCounter, network_of
from aether_protocol.server.gate import AccessRules
from aether_protocol.service.access.audit import MOST_REFUSED, AuditTrail
from aether_protocol.service.access.caller import Caller
from aether_protocol.service.local import LocalClient
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, work
from tests.unit.server.serving import ASKS, until
from tests.unit.server.serving import serving as in_memory
from tests.unit.server.test_access import Known, ask, bearer, filled, play, routes_of

DEEP = (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
FOREIGN = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "")  # sent without a preflight


# --- browsers ---


@pytest.mark.rule("RT-129")
def test_a_page_of_another_site_logs_no_browser_in() -> None:
    """In to the account of its own, so that what is typed there is seen by others."""

    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        for path in ("/v1/login", "/v1/logout"):
            for type_ in SIMPLE:
                headers = {**FOREIGN, "content-type": type_}
                answer = await ask(app, "POST", path, headers, b'{"token":"admin","x":"="}')
                assert (path, type_, answer.status) == (path, type_, 403)
                assert "set-cookie" not in answer.headers
                assert '"code": "json-only"' in answer.text
        assert (await ask(app, "POST", "/v1/login", {}, {"token": "admin"})).status == 200

    play(body)


def test_no_answer_is_taken_for_a_page_or_shown_in_another() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        routes = [(method, path) for method, path, _ in routes_of(app)]
        for method, path in [*routes, ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nowhere"), ("PATCH", "/v1/runs")]:
            for headers in (bearer("admin"), {}):
                answer = await ask(app, method, filled(path, "ours", "own-mark"), headers, {})
                found = [answer.headers.get(name) for name in ("x-content-type-options", "x-frame-options", "referrer-policy")]
                assert found == ["nosniff", "DENY", "no-referrer"], (method, path)

    play(body)


# --- bodies ---


def test_what_is_nested_too_deeply_is_the_fault_of_its_sender(caplog: pytest.LogCaptureFixture) -> None:
    """On every route: an internal error writes into the log, and hides those that matter."""

    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        for method, path, _ in routes_of(app):
            for role in ("admin", "worker"):
                for content in DEEP:
                    answer = await ask(app, method, filled(path, "ours", "own-mark"), bearer(role), content)
                    assert answer.status < 500, (method, path, answer.text)
        assert not [one for one in caplog.records if "internal error" in one.message]

    play(body)


@pytest.mark.parametrize("content", DEEP)
def test_answers_and_parameters_that_are_nested_too_deeply_are_refused(content: bytes) -> None:
    with in_memory() as client:
        client.post("/v1/runs", json={"document": ASKS, "runId": "asks"})
        for path, given in (
            ("/v1/runs/asks/resume", b'{"task":"main","payload":{"x":%b}}' % content),
            ("/v1/runs", b'{"document":"x","parameters":{"x":%b}}' % content),
        ):
            answer = client.post(path, content=given, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")


# --- the audit ---


@pytest.mark.rule("RT-129")
def test_the_audit_has_no_text_of_a_caller_and_is_not_flooded_by_refusals() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        escape = "\x1b[2J" + "x" * 1000
        many = {f"n{number}": "viewer" for number in range(5_000)}
        for roles in ({escape: "viewer"}, {"a\nforged line": "viewer"}, many, {**many, "ours": "viewer"}):
            given = {"kind": "person", "name": "p", "roles": roles}
            assert (await ask(app, "POST", "/v1/tokens", bearer("admin"), given)).status in (400, 403)
        records = await store.audit.read(limit=1_000)
        assert {one.namespace for one in records} <= {"", "ours", *many}
        assert len(records) <= 4 * MOST_REFUSED
        assert {one.outcome for one in records} == {"forbidden"}
        everywhere = AuditTrail(store.audit, SystemClock())
        caller = Caller(name="a", kind="person", roles={"*": "admin"}, token="t")
        await everywhere.write(caller, "control.delete", [("ours", str(number)) for number in range(50)], "ok")
        assert len(await store.audit.read(limit=1_000)) == len(records) + 50, "what was done is all there"

    play(body)


def test_a_token_is_for_some_namespaces_or_for_all() -> None:
    from aether_protocol.service.access.tokens import make_token

    make_token("person", "p", {f"n{number}": "viewer" for number in range(100)}, 1)
    with pytest.raises(UsageError, match="100 namespaces at most"):
        make_token("person", "p", {f"n{number}": "viewer" for number in range(101)}, 1)


# --- how much ---


def test_an_owner_of_many_addresses_is_one() -> None:
    same = [network_of(one) for one in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::1%eth0")]
    assert len(set(same)) == 1
    others = ["2001:db8:1:3::1", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "testclient", ""]
    assert len({network_of(one) for one in others} | set(same)) == 7


def test_a_caller_follows_a_bounded_number_of_streams() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        gate: Any = app.asgi_handler
        followers = StreamCounter(2)
        gate._rules = AccessRules(authenticator=Known(), followers=followers)
        path = "/v1/changes/follow"
        open_ones = [asyncio.ensure_future(_hold(app, path, bearer("viewer"))) for _ in range(2)]
        await until(lambda: list(followers._open.values()) == [2])
        answer = await ask(app, "GET", path, bearer("viewer"))
        assert (answer.status, '"too-many-streams"' in answer.text) == (429, True)
        assert (await ask(app, "GET", "/v1/changes", bearer("viewer"))).status == 200, "it may ask all else"
        for one in open_ones:
            one.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        assert (await ask(app, "GET", path, bearer("viewer"))).status == 200
        assert gate._rules.followers._open == {}

    play(body)


async def _hold(app: Litestar, path: str, headers: dict[str, str]) -> None:
    """Open a stream, and read nothing."""
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1), "server": None,
        "headers": [(key.encode(), value.encode()) for key, value in {"host": "127.0.0.1", **headers}.items()], "state": {},
    }  # fmt: skip

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        """It is read by none."""

    await app(scope, receive, send)


def test_a_connection_that_brings_no_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEADERS_S", 1.0)
    asked: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def said(port: int, *pieces: bytes, pause_s: float = 0.1) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces:
                if reader.at_eof():
                    break
                writer.write(piece)
                await asyncio.sleep(pause_s)
            return await asyncio.wait_for(reader.read(), 10)  # until it is closed
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def go() -> None:
        made = bounds.http_protocol()
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=made, timeout_keep_alive=1)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        request = b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n"
        assert await said(port) == b""
        assert await said(port, *[b"GET / HTTP/1.1\r\n", *[b"x: y\r\n"] * 20]) == b"", "a header at a time"
        assert (await said(port, request % b"slow")).endswith(b"ok"), "an answer may take longer"
        assert (await said(port, request % b"one", b"GET /two HT", b"T")).count(b"ok") == 1
        assert (await said(port, request % b"one", request % b"two")).count(b"ok") == 2
        assert asked == ["/slow", "/one", "/one", "/two"]
        server.should_exit = True
        await serving

    asyncio.run(go())


# --- workers ---


def test_a_delivery_has_one_token() -> None:
    """Texts that a lax reader takes for the same are refused: they would be counted and kept apart."""
    from aether_protocol.fleet.events import Holding

    made = Tokens(b"k" * 32)
    token = made.make(Holding(1, work(1).ref, "ours", (("tasks", 1),)))
    reader = Tokens(b"k" * 32)
    assert reader.read(token) is not None
    last = string.ascii_letters + string.digits + "-_"
    forged = [token + extra for extra in ("=", "==", "!", "\n", " ", "A")]
    forged += ["!" + token, token[:20] + "*" + token[20:], token[:-1], token.swapcase(), "", "=", "é"]
    forged += [token[:-1] + one for one in last if one != token[-1]]
    assert [one for one in forged if reader.read(one) is not None] == []


class _Vault:
    blocking = False
    by_namespace = True

    def get(self, name: str, key: str, namespace: str = "default") -> str | None:
        return f"{namespace} {name} {key}"


def test_a_worker_gets_secrets_of_its_live_deliveries_alone(tmp_path: Path) -> None:
    async def go() -> None:
        broker = WorkerBroker(ManualClock(), b"k" * 32, secrets=[_Vault()])
        ear = Ear()
        broker.start(ear)
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 1})
        ours = broker.hello(hello, namespaces=frozenset({"ours"}), holder="a").session
        theirs = broker.hello(hello, namespaces=frozenset({"theirs"}), holder="b").session
        for number, space in ((1, "ours"), (2, "theirs")):
            assignment = work(number, "noop")
            assignment.namespace, assignment.secrets = space, (("db", "password"),)
            await broker.dispatch([assignment])
        [mine] = (await broker.poll(ours, Poll(poll=1, free=1, holding=[]))).work
        [other] = (await broker.poll(theirs, Poll(poll=1, free=1, holding=[]))).work

        async def asked(session: str, token: str, name: str = "db") -> str:
            request = SecretRequest(token=token, secrets=[SecretName(name=name, key="password")])
            try:
                return (await broker.secrets(session, request)).texts[0].text
            except (UsageError, SecretsAwayError) as error:
                return str(error)

        assert await asked(ours, mine.token) == "ours db password"
        assert await asked(theirs, other.token) == "theirs db password"
        not_its_own = "the delivery is not one of this session"
        not_named = "the delivery does not refer to all of these secrets"
        assert await asked(ours, other.token) == not_its_own, "another's delivery, whose token leaked"
        assert await asked(ours, mine.token, "other") == not_named
        assert await asked(ours, mine.token[:-2] + "xx") == not_its_own
        foreign = await broker.report(ours, _result(other, mine), namespaces=frozenset({"ours"}))
        assert (foreign.recorded, foreign.unknown, ear.results) == ([], [other.token], []), "a result for a foreign run"
        await broker.report(ours, _result(mine, other), namespaces=frozenset({"ours"}))
        assert [(one.ref.run_id, one.code) for one in ear.results] == [(work(1).ref.run_id, 3)]
        assert "of another attempt" in ear.results[0].message
        assert await asked(ours, mine.token) == not_its_own, "its delivery has ended"
        await broker.stop([work(2).ref])
        assert await asked(theirs, other.token) == "this attempt is to stop"
        await broker.close()

    asyncio.run(go())


def _result(delivery: WorkItem, of: WorkItem) -> WorkReport:
    """A report under the token of one delivery, of what another one gave."""
    names = ("taskRunId", "workflowRunId", "attempt", "epoch")
    result = {**{name: of.assignment[name] for name in names}, "code": 0}
    return WorkReport(results=[ResultReport(token=delivery.token, result=result)])
