"""What it costs to know who asks: the share of the gate in a request.

    python bench/bench_gate.py [--requests 2000]

GET /v1/runs/ID over SQLite, called as an ASGI server calls it, without a network that would hide it: past the gate
(`server.gate`: host, origin, token, rate), without authentication, and with a token of the store, beside a bare Litestar
route that gives the same bytes. The sides take turns, request by request; CPU, medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from litestar import Litestar, Response, get

from aether_protocol import Engine
from aether_protocol.server.app import make_app
from aether_protocol.server.bounds import RateBounds
from aether_protocol.server.gate import CALLER, NO_CREDENTIALS, TOKEN_USED, AccessGate, AccessRules
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.service.access.caller import LOCAL
from aether_protocol.service.access.tokens import StoredTokens, make_token

LIMIT: Final = 1.5  # times the request past the gate
DOCUMENT: Final[dict[str, Any]] = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "w"},
    "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]},
}
HEADERS: Final = [(b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"user-agent", b"bench"), (b"accept-encoding", b"gzip")]
Headers = list[tuple[bytes, bytes]]


async def ask(app: Any, path: str, headers: Headers) -> bytes:
    """GET a path, as an ASGI server asks for it; the body of the answer."""
    sent: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    about = {"raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1)}
    where = {"method": "GET", "path": path, "http_version": "1.1", "server": ("127.0.0.1", 80), "headers": headers}
    await app({"type": "http", "asgi": {"version": "3.0"}, "state": {}, **about, **where}, receive, send)
    assert sent[0]["status"] == 200, sent
    return b"".join(one.get("body", b"") for one in sent)


def past_the_gate(app: Litestar) -> Litestar:
    """Take the gate off."""
    gate = app.asgi_handler
    assert isinstance(gate, AccessGate)

    async def open_gate(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] |= {CALLER: LOCAL, NO_CREDENTIALS: True, TOKEN_USED: None}
        await gate._app(scope, receive, send)

    app.asgi_handler = open_gate
    return app


def bare(body: bytes) -> Litestar:
    """A route that gives the same bytes."""

    async def answer(name: str) -> Any:
        return Response(body, media_type="application/json")

    return Litestar([get("/v1/runs/{name:str}")(answer)], openapi_config=None, logging_config=None)


async def measure(folder: Path, requests: int) -> bool:
    async with Engine(store=f"sqlite:{folder / 'store.db'}") as engine:
        client = client_of(engine)
        run = await engine.submit(DOCUMENT)
        await client.runs.wait(run)
        text, kept = make_token("person", "bench", {"*": "viewer"}, 1)
        await engine.store.tokens.add(kept)
        tokens = StoredTokens(engine.store.tokens, engine.clock)
        rules = AccessRules(authenticator=tokens, bounds=RateBounds(1e9, 1e9, 1e9, 1e9))
        path = f"/v1/runs/{run}"
        body = await ask(make_app(ServerParts(client=client)), path, HEADERS)
        sides: dict[str, tuple[Litestar, Headers]] = {
            "bare Litestar": (bare(body), HEADERS),
            "past the gate": (past_the_gate(make_app(ServerParts(client=client))), HEADERS),
            "without authentication": (make_app(ServerParts(client=client)), HEADERS),
            "with a token of the store": (
                make_app(ServerParts(client=client, access=rules)),
                [*HEADERS, (b"authorization", f"Bearer {text}".encode())],
            ),
        }
        took: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(requests):
            for name, (app, headers) in sides.items():
                began = time.thread_time()
                await ask(app, path, headers)
                took[name].append((time.thread_time() - began) * 1e6)
    medians = {name: statistics.median(several) for name, several in took.items()}
    past = medians["past the gate"]
    for name, us in medians.items():
        print(f"{name:25} {us:6.0f} us CPU a request, {us / past:.2f} times that past the gate")
    return medians["with a token of the store"] <= LIMIT * past


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measure(Path(folder), given.requests)) else 1


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `aether serve` sets it
    sys.exit(main())
