"""The application: routes, errors and bounds put together, for any ASGI server."""

from __future__ import annotations

from typing import Final

from litestar import Litestar, get
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


def make_app(workers: WorkerBroker) -> Litestar:
    """Return the ASGI application of a server.

    Args:
        workers: the broker that gives attempts to the workers that call in.
    """
    return Litestar(
        route_handlers=[healthz, WorkerController],
        state=State({"workers": workers}),
        exception_handlers={Exception: of_error},
        request_max_body_size=MOST_BODY_BYTES,
        openapi_config=OpenAPIConfig(title="Aether Protocol", version=__version__, path="/docs"),
        logging_config=None,
    )
