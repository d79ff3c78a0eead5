"""The application: routes, errors and bounds put together, for any ASGI server."""

from __future__ import annotations

from typing import Final

from litestar import Litestar, Response, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Server
from litestar.types import ControllerRouterHandler

from aether_protocol import __version__
from aether_protocol.server import feeds
from aether_protocol.server.access import PUBLIC, client_for, require, require_known_parameters
from aether_protocol.server.administration import AdministrationController
from aether_protocol.server.answers import answers, openapi, page
from aether_protocol.server.artifacts import ArtifactController
from aether_protocol.server.dashboard.insights import insights
from aether_protocol.server.dashboard.pages import asset
from aether_protocol.server.dashboard.pages import page as dashboard_page
from aether_protocol.server.dashboard.run_view import run_view
from aether_protocol.server.dashboard.tasks import list_tasks
from aether_protocol.server.dashboard.workflows import workflows
from aether_protocol.server.documents import DocumentController, validate
from aether_protocol.server.extracts.routes import ExtractController
from aether_protocol.server.gate import AccessGate
from aether_protocol.server.inspections import InspectionController, PlanController
from aether_protocol.server.login import login, logout, me
from aether_protocol.server.monitoring import get_pool, list_pools, metrics
from aether_protocol.server.parts import ServerParts, parts_of
from aether_protocol.server.problems import of_error
from aether_protocol.server.runs import RunController
from aether_protocol.server.schedules import ScheduleController
from aether_protocol.server.sharing.servers import list_servers
from aether_protocol.server.sse import OpenStreams
from aether_protocol.server.store import StoreController
from aether_protocol.server.workers import WorkerController, hear_offers, look, no_workers, relay_workers, take_work, waiting

_CORS_HEADERS: Final = ["authorization", "content-type", "last-event-id", "idempotency-key"]


@get("/healthz", tags=["server"], summary="Whether the process is alive", sync_to_thread=False, opt=PUBLIC, responses=answers())
def healthz() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@get(
    "/readyz",
    tags=["server"],
    summary="Whether it takes requests",
    sync_to_thread=False,
    opt=PUBLIC,
    responses=answers((503, dict[str, str], "Not yet, or no more.")),
)
def readyz(state: State) -> Response[dict[str, str]]:
    """Answer 200 once the engine has the store, 503 before and while the server stops."""
    ready = parts_of(state).is_ready()
    return Response({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)


def make_app(parts: ServerParts) -> Litestar:
    """Return the ASGI application of a server; it has the routes for which there are parts."""
    routes: list[ControllerRouterHandler] = [openapi, page, healthz, readyz, login, logout, me]
    if parts.client is not None:
        routes += [RunController, InspectionController, ExtractController, PlanController, StoreController, *feeds.ROUTES]
        routes += [dashboard_page, asset, run_view, list_tasks, workflows, insights]
        routes += [DocumentController, ScheduleController, validate]
    if parts.oidc is not None:
        from aether_protocol.server.oidc.login import begin_oidc, end_oidc  # here: few servers have a provider

        routes += [begin_oidc, end_oidc]
    if parts.servers is not None:
        routes.append(list_servers)
    if parts.administer is not None:
        routes.append(AdministrationController)
    if parts.workers is not None:
        routes += [WorkerController, relay_workers, take_work, hear_offers, look, waiting, list_pools, get_pool]
        if parts.artifacts is not None:
            routes.append(ArtifactController)
    else:
        routes.append(no_workers)
    streams = OpenStreams()
    if parts.metrics is not None:
        parts.metrics.streams.append(streams)
        if parts.shows_metrics:
            routes.append(metrics)
    cors = parts.access.cors
    app = Litestar(
        route_handlers=routes,
        guards=[require, require_known_parameters],
        cors_config=CORSConfig(allow_origins=list(cors), allow_headers=_CORS_HEADERS) if cors else None,
        state=State({"parts": parts, "streams": streams, "changes": feeds.SharedChanges()}),
        dependencies={"client": Provide(client_for, sync_to_thread=False)},
        exception_handlers={Exception: of_error},
        request_max_body_size=parts.most_body_bytes,
        openapi_config=OpenAPIConfig(
            title="Aether Protocol", version=__version__, path="/docs/schema",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            servers=[Server(url=parts.public_url or "/")]
        ),
        logging_config=None,
        middleware=[parts.metrics.middleware] if parts.metrics is not None else [],
    )
    app.asgi_handler = AccessGate(app.asgi_handler, parts.access)  # around all of it: also what no route answers
    return app
