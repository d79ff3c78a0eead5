"""Errors as statuses of gRPC: the same table as over HTTP, and the problem document beside it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import grpc
import msgspec

from aether_protocol.server.problems import ApiError, describe, problem_body

PROBLEM: Final = "aether-problem-bin"  # in the trailing metadata: the problem document, as JSON
CODE: Final = "aether-code"  # and its code alone
_MOST_BYTES: Final = 4_000  # of each of the two: metadata are bounded to 8 KiB by most peers

_CODES: Final[Mapping[int, grpc.StatusCode]] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_log = logging.getLogger("aether_protocol")


def problem_of(error: Exception, method: str) -> tuple[int, dict[str, Any]]:
    """Give the status, as of HTTP, and the problem document of an error; an internal one is logged."""
    if isinstance(error, ApiError):
        return error.status, problem_body(error.status, error.code, error.message, hint=error.hint)
    status, body = describe(error)
    if status == 500:
        _log.error("internal error in %s: %s: %s", method, type(error).__name__, error)
        _log.debug("internal error in %s", method, exc_info=error)
    return status, body


async def abort(context: Any, status: int, body: dict[str, Any]) -> None:
    """End a call with an error. What is too long for the metadata of an answer is left out there, and that is said."""
    detail = str(body["detail"])
    if body.get("hint"):
        detail += f" ({body['hint']})"
    problem = msgspec.json.encode(body)
    if len(problem) > _MOST_BYTES:
        kept = {name: body[name] for name in ("type", "title", "status", "code")}
        problem = msgspec.json.encode({**kept, "detail": "the problem is too long for metadata: ask over HTTP"})
    metadata = ((CODE, str(body["code"])), (PROBLEM, problem))
    if len(quote(detail)) > _MOST_BYTES:  # as it is sent
        detail = f"{body['code']}: what is wrong is too long for the status of a call: ask over HTTP"
    await context.abort(_CODES.get(status, grpc.StatusCode.INTERNAL), detail, metadata)
