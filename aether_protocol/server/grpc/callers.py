"""A call of gRPC: the parts of the server, and whose call it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from aether_protocol.server.access import client_of_caller, unknown_caller
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError
from aether_protocol.server.worker_calls import WorkerCalls, WorkerSupervision
from aether_protocol.service.access.caller import LOCAL, Caller
from aether_protocol.service.client import Client


class GrpcCall(Struct, frozen=True):
    """One call.

    Args:
        parts: those of the server.
        caller: whose call it is.
        context: that of grpcio.
        polled: what the simple workers of this server hold; see `workers`.
    """

    parts: ServerParts
    caller: Caller
    context: Any
    polled: dict[str, Any]

    @property
    def client(self) -> Client:
        """The client of its caller."""
        return client_of_caller(self.parts, self.caller)

    @property
    def worker(self) -> WorkerCalls:
        """What its caller may say as a worker."""
        authorization = authorization_in(self.context.invocation_metadata() or ())
        return WorkerCalls(self.parts, self.caller, authorization=authorization)

    @property
    def supervision(self) -> WorkerSupervision:
        """What its caller may ask of workers. Raises ForbiddenError."""
        return WorkerSupervision(self.parts, self.caller)


def authorization_in(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the header with the token of a call; None where there is none, or several."""
    given = [value for name, value in metadata if name == "authorization" and isinstance(value, str)]
    return given[0] if len(given) == 1 else None


async def find_caller(parts: ServerParts, metadata: Iterable[tuple[str, str | bytes]], *, counts: bool = True) -> Caller:
    """Find whose call it is by the token in its metadata.

    Args:
        parts: those of the server.
        metadata: that of the call.
        counts: whether this is a call, of which each caller has so many in a time.

    Raises:
        ApiError: 401 for a caller that is not known, 429 for one that asks too often.
        PortError: the tokens cannot be read.
    """
    authenticator = parts.access.authenticator
    if authenticator is None:
        return LOCAL
    given = [value for name, value in metadata if name == "authorization" and isinstance(value, str)]
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    token = token.strip() if scheme.lower() == "bearer" else ""
    caller = await authenticator.caller(token) if token else None
    limiter = parts.access.limiter
    if counts and limiter is not None and (caller is None or caller.kind not in ("worker", "peer")):
        key = "grpc" if caller is None else f"token {caller.token}"
        after = limiter.take(key, is_known=caller is not None)
        if after is not None:
            raise ApiError(429, "too-many-requests", "too many requests", hint=f"try again in {after} s")
    if caller is None:
        raise unknown_caller(has_credentials=bool(given))
    return caller
