"""Every route, with every role, in one's own namespace and in a foreign one. A route that is new is covered by itself.

The routes are those of the application. Path parameters are filled from PARAMETERS, bodies from `body_of`; where a route
needs another parameter or body to get anywhere, add it there. The client of the parts is a trap: only what narrows it to a
caller's namespaces gets through, so a handler that reaches for it past `client_for` fails here too.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import pytest
from litestar import Litestar, Request, get
from litestar.routes import HTTPRoute

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.clock import SystemClock
from aether_protocol.server.access import DECLARED, VIEWER
from aether_protocol.server.app import make_app
from aether_protocol.server.gate import AccessRules
from aether_protocol.server.parts import ServerParts, parts_of
from aether_protocol.service import client_of
from aether_protocol.service.access.administration import AccessAdministration
from aether_protocol.service.access.audit import AuditTrail
from aether_protocol.service.access.caller import ROLES, Caller
from aether_protocol.service.access.scope import NamespaceScope
from aether_protocol.service.client import Client
from aether_protocol.service.local import LocalClient
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear
from tests.documents import submitted

MARK = "foreign-mark"  # in everything that a foreign namespace has
PUBLIC_PATHS = ("/docs", "/openapi.json", "/schema")
PARAMETERS = {  # of paths, by name: what stands for it in a namespace
    "run": "{space}-1",
    "other": "{space}-1",
    "session": "a-session",
    "digest": "0" * 64,
    "name": "{space}-pool",
    "path": "{space}-file",
    "namespace": "{space}",
    "token": "{space}token",
    "document": "{mark}",
    "plan": "{plan}",
    "schedule": "{mark}",
    "below": "{space}-1",
}
OF_THE_WHOLE = ("/metrics", "/v1/pools")  # these speak of all namespaces: a role in some of them is not enough
QUERIES = {
    "/v1/runs": "namespace={space}",
    "/v1/tasks": "namespace={space}",
    "/v1/insights": "namespace={space}",
    "/v1/audit": "namespace={space}",
    "/v1/workflows": "namespace={space}",
    "/v1/documents/{namespace:str}/{document:str}/diff": "before=1",
}
Body = dict[str, Any]


def workflow(space: str, name: str) -> Body:
    task = {"name": "a", "executor": {"type": "noop"}}
    metadata = {"name": name, "namespace": space, "labels": {"team": name}, "annotations": {"said": name}}
    return submitted(task) | {"metadata": metadata}


@cache
def plan_of(space: str, mark: str) -> str:
    return Engine().plan(workflow(space, mark)).digest


def waiting(space: str, name: str) -> Body:
    document = workflow(space, name)
    document["spec"]["templates"][0]["dag"]["tasks"] = [{"name": "ask", "executor": {"type": "await"}}]
    return document


def cron(space: str, name: str) -> Body:
    document = workflow(space, name)
    spec = {"schedule": "0 3 * * *", "workflowSpec": document["spec"]}
    return {**document, "kind": "CronWorkflow", "spec": spec}


def body_of(method: str, path: str, space: str, mark: str) -> Body:
    """A body that is right for a route; {} where none is known."""
    text = json.dumps(workflow(space, mark))
    known: Mapping[str, Body] = {
        "POST /v1/documents": {"documents": [{"name": "a.json", "text": text}]},
        "POST /v1/documents/remove": {"names": [f"{space}/{mark}"]},
        "POST /v1/schedules": {"documents": [{"name": "a.json", "text": json.dumps(cron(space, mark))}]},
        "POST /v1/schedules/suspend": {"names": [f"{space}/{mark}"]},
        "POST /v1/schedules/{namespace:str}/{schedule:str}/backfill": {
            "from": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"
        },
        "POST /v1/runs": {"document": workflow(space, mark)},
        "POST /v1/runs/{run:str}/resume": {"task": "ask"},
        "POST /v1/store/prune": {"namespace": space},
        "POST /v1/validate": {"document": workflow(space, mark)},
        "POST /v1/workers": {"worker": "w", "protocols": [1], "executors": [], "slots": {"tasks": 1}},
        "POST /v1/tokens": {"kind": "person", "name": "p", "roles": {space: "viewer"}},
        "POST /v1/workers/{session:str}/poll": {"poll": 1, "free": 1, "holding": []},
        "POST /v1/workers/{session:str}/beat": {"poll": 1, "holding": []},
        "POST /v1/workers/{session:str}/secrets": {"token": "t", "secrets": []},
    }
    return known.get(f"{method} {path}", {})


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


async def ask(
    app: Litestar, method: str, path: str, headers: Mapping[str, str], body: Body | bytes | None = None
) -> Answer:
    """Call the application, and take what it has answered when it is silent for a while: streams have no end."""
    path, _, query = path.partition("?")
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(content)), **headers}
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(key.encode(), value.encode()) for key, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    messages: asyncio.Queue[Any] = asyncio.Queue()
    asked: list[Any] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    task = asyncio.ensure_future(app(scope, receive, messages.put))  # type: ignore[arg-type]
    status, answered, text = 0, {}, ""
    try:
        while True:
            message = await asyncio.wait_for(messages.get(), 0.5 if status else 10)
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = {key.decode(): value.decode() for key, value in message["headers"]}
            else:
                text += message["body"].decode()
                if not message.get("more_body"):
                    break
    except TimeoutError:
        assert status, f"{method} {path} does not answer"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return Answer(status, answered, text)


class Trap:
    """A client that answers nothing until it is narrowed to a caller."""

    def __init__(self, inner: LocalClient) -> None:
        self._inner = inner

    def within(self, scope: NamespaceScope) -> Client:
        return self._inner.within(scope)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("a handler reached for the client of all callers")


class Known:
    """Callers by their tokens: their role in `ours`."""

    async def caller(self, token: str) -> Caller | None:
        if token == "worker":
            return Caller(name="w", kind="worker", roles={"ours": "worker"}, token="w")
        if token == "peer":
            return Caller(name="server b", kind="peer", roles={"*": "peer"}, token="peer b")
        return Caller(name=f"a {token}", kind="person", roles={"ours": token}, token="t") if token in ROLES else None


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Litestar, LocalClient, MemoryStore]]:
    """A server with a run of each kind in `ours` and in `theirs`."""
    store = MemoryStore()
    broker = WorkerBroker(ManualClock(), b"k" * 32)
    broker.start(Ear())
    async with Engine(store=store) as engine:
        whole = client_of(engine)
        for space, mark in (("ours", "own-mark"), ("theirs", MARK)):
            await whole.runs.wait(await whole.control.submit(workflow(space, mark), run_id=f"{space}-1"))
            await whole.control.submit(waiting(space, mark), run_id=f"{space}-open")
            await whole.runs.wait(f"{space}-open", or_suspended=True)
            await whole.documents.apply(json.dumps(workflow(space, mark)))
            await whole.documents.apply(json.dumps(cron(space, mark)))
        trail = AuditTrail(store.audit, SystemClock())
        parts = ServerParts(
            client=Trap(whole),  # type: ignore[arg-type]
            workers=broker,
            trail=trail,
            administer=lambda caller: AccessAdministration(store, SystemClock(), caller, trail),
            access=AccessRules(authenticator=Known()),
        )
        yield make_app(parts), whole, store


def routes_of(app: Litestar) -> list[tuple[str, str, str | None]]:
    """(method, path, need) of all routes."""
    return sorted(
        (method, route.path, handler.opt.get("needs"))
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(PUBLIC_PATHS)
        for handler in route.route_handlers
        for method in handler.http_methods - {"OPTIONS", "HEAD"}
    )


def filled(path: str, space: str, mark: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1].partition(":")[0]
        assert name in PARAMETERS, f"add the path parameter {name!r} to PARAMETERS"
        return PARAMETERS[name].format(space=space, mark=mark, plan=plan_of(space, mark))

    plain = re.sub(r"{([^}]*)}", value, path)
    query = QUERIES.get(path)
    return plain if query is None else f"{plain}?{query.format(space=space)}"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def includes(role: str, need: str | None) -> bool:
    return need == "nothing" or (role in ROLES and need in ROLES and ROLES.index(role) >= ROLES.index(need))


def play(body: Any) -> None:
    async def go() -> None:
        async with serving() as (app, whole, store):
            await body(app, whole, store)

    asyncio.run(go())


def test_every_route_declares_what_it_needs() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        assert [one for one in routes_of(app) if one[2] not in DECLARED] == []
        assert len(routes_of(app)) > 10

    play(body)


def test_without_a_token_or_with_a_wrong_one_nothing_is_answered() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        for method, path, need in routes_of(app):
            if need == "nothing":
                continue
            for headers in ({}, bearer("unknown"), {"authorization": "Basic admin"}, {"cookie": "aether=unknown"}):
                answer = await ask(app, method, filled(path, "ours", "own-mark"), headers, {})
                refused = 403 if "cookie" in headers and method != "GET" else 401  # it could be forged
                assert (method, path, answer.status) == (method, path, refused)
                assert answer.headers["content-type"] == "application/problem+json"

    play(body)


@pytest.mark.parametrize("role", [*ROLES, "worker", "peer"])
def test_a_role_opens_what_needs_it_and_nothing_else(role: str) -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        for method, path, need in routes_of(app):
            allowed = includes(role, need) or (role == need == "worker") or (role == "peer" and need in ("worker", "peer"))
            answer = await ask(
                app, method, filled(path, "ours", "own-mark"), bearer(role), body_of(method, path, "ours", "own-mark")
            )
            where = (method, path, need, answer.text)
            assert answer.status != 401, where
            assert answer.status < 500, where
            if allowed:
                of_all = need == "admin" or path.startswith(OF_THE_WHOLE)  # an admin of one namespace is not one of all
                assert answer.status != 403 or of_all, where
            else:
                assert answer.status == 403, where

    play(body)


@pytest.mark.parametrize("role", ROLES)
def test_nothing_of_a_foreign_namespace_is_read_or_changed(role: str) -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        before = [(row.run_id, row.phase, row.seq) for row in await whole.runs.list() if row.namespace == "theirs"]
        for method, path, need in routes_of(app):
            if not includes(role, need) or need == "nothing":
                continue
            answer = await ask(app, method, filled(path, "theirs", MARK), bearer(role), body_of(method, path, "theirs", "x"))
            where = (method, path, need, answer)
            assert answer.status < 500, where
            if path == "/v1/store/prune":  # of a namespace that is not there no run fits
                assert answer.text == '{"runs":[]}', where
            elif path == "/v1/validate":  # of what the caller sends itself; see test_guarded for what it refers to
                assert answer.status == 200, where
            elif "{" in path or method != "GET":
                assert answer.status >= 400, where
            if MARK not in filled(path, "theirs", MARK):  # what the caller said itself may come back
                assert MARK not in answer.text, where
            answer = await ask(
                app, method, filled(path, "ours", "own-mark"), bearer(role), body_of(method, path, "ours", "own")
            )
            assert MARK not in answer.text, where
            assert "theirs" not in answer.text, where
        after = [(row.run_id, row.phase, row.seq) for row in await whole.runs.list() if row.namespace == "theirs"]
        assert after == before
        assert {one.namespace for one in await store.audit.read() if one.outcome == "ok"} <= {"ours", ""}

    play(body)


def test_a_handler_that_goes_past_the_client_of_its_caller_is_caught() -> None:
    """The trap works."""

    @get("/v1/leak", opt=VIEWER, sync_to_thread=False)
    def leak(request: Request[Any, Any, Any]) -> dict[str, str]:
        client = parts_of(request.app.state).client
        return {"found": str(client.runs)}  # type: ignore[union-attr]

    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        app.register(leak)
        assert (await ask(app, "GET", "/v1/leak", bearer("viewer"))).status == 500

    play(body)


def test_a_route_that_declares_nothing_is_refused_to_all() -> None:
    @get("/v1/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "open"

    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        app.register(forgotten)
        for role in (*ROLES, "worker"):
            assert (await ask(app, "GET", "/v1/forgotten", bearer(role))).status == 403

    play(body)


def test_the_plans_that_are_asked_for_are_there() -> None:
    async def body(app: Litestar, whole: LocalClient, store: MemoryStore) -> None:
        for space, mark in (("ours", "own-mark"), ("theirs", MARK)):
            assert (await whole.runs.get(f"{space}-1")).digest == plan_of(space, mark)
            status = (await ask(app, "GET", f"/v1/plans/{plan_of(space, mark)}", bearer("viewer"))).status
            assert status == (200 if space == "ours" else 404)

    play(body)
