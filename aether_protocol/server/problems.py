"""Errors as problem documents (RFC 9457): one table from our errors to statuses, and no traceback in any answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from aether_protocol.adapters.brokers.workers import SessionOverError
from aether_protocol.errors import (
    AetherError,
    BusyError,
    ConflictError,
    DocumentError,
    ForbiddenError,
    NotFoundError,
    PortError,
    UsageError,
)
from aether_protocol.execution.secrets import MissingSecretError
from aether_protocol.ports.wire_json import WireError

_log = logging.getLogger("aether_protocol")

MEDIA_TYPE: Final = "application/problem+json"
_STATUSES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    SessionOverError: (410, "session-over"),
    MissingSecretError: (503, "secret-missing"),
    WireError: (400, "message-invalid"),
    DocumentError: (422, "document-invalid"),
    NotFoundError: (404, "not-found"),  # before what it is a kind of
    ForbiddenError: (403, "forbidden"),
    ConflictError: (409, "conflict"),
    UsageError: (400, "usage"),
    BusyError: (409, "busy"),
    PortError: (503, "unavailable"),
}
_DETAILS: Final[Mapping[type[Exception], str]] = {SessionOverError: "the session is not known: say hello again"}


class ApiError(UsageError):
    """The caller's fault, with a status of its own."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.headers = headers or {}
        self.status = status
        self.code = code


def problem(status: int, code: str, detail: str, **more: Any) -> Response[dict[str, Any]]:
    """Return a problem document.

    Args:
        status: of the answer.
        code: says what kind of problem it is, to programs.
        detail: says it to people.
        more: further members; those that are None are left out.
    """
    return Response(problem_body(status, code, detail, **more), status_code=status, media_type=MEDIA_TYPE)


def problem_body(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return what a problem document says; see `problem`."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **{name: value for name, value in more.items() if value is not None},
    }


def of_error(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Return the answer to a request that raised: the table's, or that of an internal error, which is logged."""
    if isinstance(error, ApiError):
        answer = problem(error.status, error.code, error.message, hint=error.hint)
        answer.headers.update(error.headers)
        return answer
    for kind, (status, code) in _STATUSES.items():
        if isinstance(error, kind):
            detail = _DETAILS.get(kind) or (error.message if isinstance(error, AetherError) else str(error))
            return problem(status, code, detail, hint=getattr(error, "hint", None), diagnostics=_diagnostics(error))
    if isinstance(error, HTTPException):
        extra = error.extra if isinstance(error.extra, list) else None
        return problem(
            error.status_code, HTTPStatus(error.status_code).name.lower().replace("_", "-"), error.detail, errors=extra
        )
    _log.error("internal error at %s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "internal-error", "internal error; the server's log says more", hint="please report it")


def _diagnostics(error: Exception) -> list[dict[str, Any]] | None:
    return [one.to_json() for one in error.diagnostics] if isinstance(error, DocumentError) else None
