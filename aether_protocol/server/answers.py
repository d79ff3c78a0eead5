"""The API described: what routes say of their answers and problems, the OpenAPI document, and a page that shows it to people
without any network but this server's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec

from aether_protocol.server.access import PUBLIC
from aether_protocol.service.wire.problems import MEDIA_TYPE, ProblemBody

EVENT_STREAM: Final = "text/event-stream"

_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The request is wrong: `detail` says what, `errors` where.",
    401: "The token is missing, unknown, expired or revoked.",
    403: "The caller may not do this, or the request may not come from where it comes from.",
    404: "What was named is not there.",
    408: "The body did not come in time.",
    409: "It does not fit what is there: an id or a key that is taken, a run that has ended, or has not; or it is busy.",
    410: "The session is over: begin another one.",
    413: "The body is too large.",
    416: "The range begins behind the end.",
    422: "The content is invalid; of a document `diagnostics` has all findings.",
    429: "Too many requests: `retry-after` says when to ask again.",
    431: "The headers are too large.",
    503: "The store, or what the server needs, cannot be used now.",
    507: "The disk is full.",
}
_ALWAYS: Final = (400, 401, 403, 408, 413, 429, 431, 503)  # any request may be wrong or too large, and any store away


def answers(
    *bodies: tuple[int, Any, str], problems: Sequence[int] = (), media_type: str = "application/json"
) -> dict[int, ResponseSpec]:
    """Describe the answers of a route.

    Args:
        bodies: status, type of the body and what it is; None: without a body.
        problems: the statuses of its problems, besides those that every route can have.
        media_type: of the bodies.
    """
    told = {
        status: ResponseSpec(body, description=text, media_type=media_type, generate_examples=False)
        for status, body, text in bodies
    }
    for status in sorted({*_ALWAYS, *problems} - {*told}):
        told[status] = ResponseSpec(
            ProblemBody, description=_PROBLEMS[status], media_type=MEDIA_TYPE, generate_examples=False
        )
    return told


# For the caller alone: another one may not read it. What is kept is asked for no more.
FOR_EVER: Final = "private, max-age=31536000, immutable"
NOT_CHANGED: Final = (304, None, "The caller has it.")


def tagged(request: Request[Any, Any, Any], digest: str, body: Any, cache: str) -> Response[Any]:
    """Answer with a body whose ETag is a digest, or 304 where the caller has it."""
    tag = f'"{digest}"'
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    headers = {"etag": tag, "cache-control": cache}
    if tag in known or "*" in known:
        return Response(None, status_code=304, headers=headers)
    return Response(body, headers=headers)


_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Aether Protocol API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color-scheme: light dark }
summary { cursor: pointer; padding: .2rem 0 } code, b { font-family: ui-monospace, monospace }
b { display: inline-block; width: 5rem }
table { border-collapse: collapse; margin: .5rem 0 .5rem 5rem } td { border-top: 1px solid #8884; padding: .2rem .8rem .2rem 0 }
</style>
<h1>Aether Protocol API</h1><p>The document for programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<main>Loading...</main>
<script>
const make = (name, text, ...inside) => {
  const made = document.createElement(name); made.textContent = text; made.append(...inside); return made;
};
const row = (...cells) => make("tr", "", ...cells.map(cell => make("td", cell)));
fetch("openapi.json").then(answer => answer.json()).then(api => {
  const groups = {};
  for (const [path, methods] of Object.entries(api.paths)) for (const [method, route] of Object.entries(methods)) {
    if (!route.responses) continue;
    const rows = (route.parameters || []).map(one => row(one.name, one.in, one.description || ""));
    if (route.requestBody) rows.push(row("body", "JSON", route.requestBody.description || ""));
    for (const [status, one] of Object.entries(route.responses)) rows.push(row(status, "answer", one.description || ""));
    const head = make("summary", "", make("b", method.toUpperCase()), make("code", path), ` ${route.summary || ""}`);
    const item = make("details", "", head, make("table", "", ...rows));
    (groups[(route.tags || ["other"])[0]] ||= []).push(item);
  }
  const main = document.querySelector("main"); main.textContent = "";
  for (const name of Object.keys(groups).sort()) main.append(make("h2", name), ...groups[name]);
});
</script></html>
"""


@get("/openapi.json", include_in_schema=False, sync_to_thread=False, opt=PUBLIC)
def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Give the OpenAPI document of the routes that this server has."""
    return Response(request.app.openapi_schema.to_schema(), media_type="application/json")


@get("/docs", include_in_schema=False, sync_to_thread=False, opt=PUBLIC, media_type="text/html")
def page() -> str:
    """Give the page for people."""
    return _PAGE
