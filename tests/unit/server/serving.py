"""A server for tests: in memory for single requests, on a port of the loopback for streams, restarts and remote clients."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from litestar.testing import TestClient

from aether_protocol import Engine
from aether_protocol.server.app import make_app
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.sse import end_streams
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client
from tests.server_process import free_port


def workflow(name: str, executor: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": executor}}], **spec},
    }


HELLO = workflow(
    "hello",
    {"type": "script", "config": {"runtime": "sh", "source": "echo hello; echo world"}},
    arguments={"parameters": [{"name": "rows", "type": "integer", "value": 1}]},
)
ASKS = workflow("asks", {"type": "await"})
FAILS = workflow("fails", {"type": "fail", "config": {"message": "no"}})


@contextmanager
def serving(**parts: Any) -> Iterator[TestClient[Any]]:
    """Answer requests without a network, over a store in memory."""
    engine = Engine()
    app = make_app(ServerParts(client=client_of(engine, elsewhere=True), **parts))
    app.on_startup.append(engine.__aenter__)
    app.on_shutdown.append(engine.close)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


class Server:
    """A server on a port of the loopback, which can be stopped and started again at the same port."""

    def __init__(self, engine: Engine, port: int | None = None, client: Client | None = None) -> None:
        self.engine = engine
        self.port = free_port() if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = make_app(ServerParts(client=client or client_of(engine, elsewhere=True)))
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        config = uvicorn.Config(self.app, port=self.port, log_level="warning", timeout_graceful_shutdown=2, lifespan="off")
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._serving = asyncio.create_task(self._server.serve())
        started = self._server
        await until(lambda: started.started)

    async def stop(self) -> None:
        if self._server is not None and self._serving is not None:
            end_streams(self.app)
            self._server.should_exit = True
            await self._serving
            self._server = None


async def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(folder: Path, *, drives: bool = True) -> AsyncIterator[Server]:
    """A server over a SQLite store in a folder, which drives what is submitted, or only records it."""
    url = f"sqlite:{folder}/aether.db"
    async with Engine(store=url) as engine, connect(url) as recording:
        server = Server(engine, client=None if drives else recording)
        await server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(Exception):
                await server.stop()
