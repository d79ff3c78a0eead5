"""The application: routes, errors and bounds put together, for any ASGI server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig

from aether_protocol import __version__
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.server.problems import of_error
from aether_protocol.server.workers import WorkerController

MOST_BODY_BYTES: Final = 10 * 2**20


@get("/healthz", tags=["server"], summary="Whether the process is alive", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@get("/readyz", tags=["server"], summary="Whether it takes requests", sync_to_thread=False)
def readyz(state: State) -> Response[dict[str, str]]:
    """Answer 200 once the engine has the store, 503 before and while the server stops."""
    ready: bool = state.is_ready()
    return Response({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)


def make_app(workers: WorkerBroker, *, is_ready: Callable[[], bool] = lambda: True) -> Litestar:
    """Return the ASGI application of a server.

    Args:
        workers: the broker that gives attempts to the workers that call in.
        is_ready: whether requests are taken now.
    """
    return Litestar(
        route_handlers=[healthz, readyz, WorkerController],
        state=State({"workers": workers, "is_ready": is_ready}),
        exception_handlers={Exception: of_error},
        request_max_body_size=MOST_BODY_BYTES,
        openapi_config=OpenAPIConfig(title="Aether Protocol", version=__version__, path="/docs"),
        logging_config=None,
    )
