"""What a caller has to be to use a route (each declares it in its `opt`), and the client that answers this caller.

Law: declared here and nowhere else; a role includes those before it in ROLES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar.connection import ASGIConnection

from aether_protocol.server.parts import parts_of
from aether_protocol.service.client import Client

ROLES: Final = ("viewer", "operator", "author", "admin")  # of persons and services, in one namespace each

Connection = ASGIConnection[Any, Any, Any, Any]
_Opt = Mapping[str, Any]

PUBLIC: Final[_Opt] = {"needs": "nothing"}  # health: says nothing of what the server keeps
WORKER: Final[_Opt] = {"needs": "worker"}  # the token of a worker; it cannot read runs
VIEWER: Final[_Opt] = {"needs": "viewer"}  # reads
OPERATOR: Final[_Opt] = {"needs": "operator"}  # begins, cancels, resumes and retries runs
AUTHOR: Final[_Opt] = {"needs": "author"}  # applies documents and schedules
ADMIN: Final[_Opt] = {"needs": "admin"}  # tokens, namespaces, workers

DECLARED: Final = frozenset(one["needs"] for one in (PUBLIC, WORKER, VIEWER, OPERATOR, AUTHOR, ADMIN))


def client_for(request: Connection) -> Client:
    """Return the client for this request: what it asks is what its caller may ask.

    Handlers of routes take it as their dependency `client`, and never reach for the parts' own.
    """
    client = parts_of(request.app.state).client
    assert client is not None  # routes that need one are there only where there is one
    return client
