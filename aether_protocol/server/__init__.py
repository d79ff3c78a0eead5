"""The server: what the service layer and the fleet can do, over HTTP.

Routes hold no rules. Each reads a message, asks `service.Client` or the broker for workers, and writes the answer; what can be
done here can be done with the Client in Python too. Errors are problem documents (RFC 9457) with our diagnostics inside, made
in one place from the errors by culprit (`problems`).

Every request passes the `gate` first, which says whether it may come from where it comes from, and who asks. What callers may
do is said in two places alone: each route declares which role it needs (`access`), and the client that a route gets answers
for the caller's namespaces only (`service.access`).

`parts` says what a server is made of; `access` has what routes can demand of callers, and gives each request the client of
its caller; `app.make_app` puts routes and parts together. All of it needs the extra `[server]` (Litestar, uvicorn).

`hosting.host` runs a server as a whole: engine, schedules, the embedded worker and HTTP, from the first request to the last
(`aether serve`, `aether ui`). `asgi(engine)` is for programs that have an engine and an ASGI server of their own.

Modules by role:

    put together     app, parts, hosting
    who may ask      gate, access, login, oidc, bounds
    routes           runs, inspections, extracts, feeds, store, documents, schedules, workers, artifacts, administration
    routes to watch  monitoring
    pages            dashboard
    several servers  sharing
    other edges      grpc
    other servers    relay
    for all edges    worker_calls, metrics
    how is answered  answers, problems, sse
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Litestar

    from aether_protocol.adapters.brokers.workers import WorkerBroker
    from aether_protocol.engine.api import RunEngine
    from aether_protocol.errors import AetherError
    from aether_protocol.server.gate import AccessRules

__all__ = ["asgi"]


def asgi(engine: RunEngine, *, workers: WorkerBroker | None = None, access: AccessRules | None = None) -> Litestar:
    """Make an ASGI application that answers for an engine; mount it where you like. Artifacts of runs that are deleted through
    it are freed as by a server.

    Args:
        engine: is open by the first request, in the same event loop.
        workers: the broker of the engine, where workers may call in.
        access: how callers are known (`server.gate.make_rules`); by default it answers this machine alone.
    """
    from aether_protocol.server.app import make_app
    from aether_protocol.server.gate import AccessRules
    from aether_protocol.server.parts import ServerParts
    from aether_protocol.service import client_of

    rules = AccessRules() if access is None else access
    freed: Callable[[], None] | None = None
    if (repository := getattr(engine, "artifacts", None)) is not None:
        from aether_protocol.engine.clock import WallClock
        from aether_protocol.service.artifact_upkeep import ArtifactUpkeep

        freed = ArtifactUpkeep(engine.store, repository, WallClock(), _failed).begin
    client = client_of(engine, elsewhere=True, runs_deleted=freed)
    return make_app(ServerParts(client=client, workers=workers, access=rules))


def _failed(what: str, error: AetherError) -> None:
    import logging

    logging.getLogger("aether_protocol").warning("%s: %s", what, error.message)
