"""The files of the dashboard, as they are given out.

Law: the same page at each of its addresses, for what it shows is in the address. Only what `index.html` says of where it is
mounted is made here; the other files have a hash in their names and never change.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request, Response, get
from litestar.params import FromPath

from aether_protocol.server.access import PUBLIC
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
PAGES: Final = (
    "/", "/runs", "/start", "/documents", "/inbox", "/schedules", "/workers", "/tasks", "/insights", "/tokens"
)  # fmt: skip
ADDRESSES: Final = (*PAGES, *(f"{page}/{{below:path}}" for page in ("/runs", "/documents", "/schedules")))

_FOR_ALL: Final = "public, max-age=31536000, immutable"
_BASE: Final = '<base href="/"'
_COMPRESSED: Final = frozenset({".css", ".js", ".svg"})

_Any = Request[Any, Any, Any]


@cache
def static_files() -> Mapping[str, tuple[bytes, bytes | None, str]]:
    """Read the built files: by name their bytes, these compressed where that makes them smaller, and their media type."""
    found = {}
    for one in files(__package__).joinpath("static", "assets").iterdir():
        content = one.read_bytes()
        suffix = one.name[one.name.rfind(".") :]
        packed = gzip.compress(content, mtime=0) if suffix in _COMPRESSED else None
        found[one.name] = (content, packed, mimetypes.types_map.get(suffix, "application/octet-stream"))
    return found


@cache
def index(base: str) -> bytes:
    """Give the page, as it is where the server is mounted at `base` (with a slash at its end)."""
    text = files(__package__).joinpath("static", "index.html").read_text("utf-8")
    return text.replace(_BASE, f'<base href="{escape(base)}"', 1).encode()


def base_of(request: _Any) -> str:
    """Say below which path the server is, as browsers see it."""
    public = parts_of(request.app.state).public_url
    below = urlsplit(public).path if public else request.scope.get("root_path", "")
    return f"{below.rstrip('/')}/"


@get(list(ADDRESSES), include_in_schema=False, sync_to_thread=False, opt=PUBLIC)
def page(request: _Any) -> Response[bytes]:
    """Give the page; what it shows it asks for itself, with what the caller may see."""
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
    return Response(index(base_of(request)), media_type="text/html; charset=utf-8", headers=headers)


@get("/assets/{name:str}", include_in_schema=False, sync_to_thread=False, opt=PUBLIC)
def asset(name: FromPath[str], request: _Any) -> Response[bytes]:
    """Give one of the files that the page is made of."""
    known = static_files().get(name)
    if known is None:
        raise ApiError(404, "not-found", f"there is no file {name!r}", hint="load the page anew")
    content, packed, media_type = known
    headers = {"cache-control": _FOR_ALL, "vary": "accept-encoding"}
    if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=media_type, headers={**headers, "content-encoding": "gzip"})
    return Response(content, media_type=media_type, headers=headers)
