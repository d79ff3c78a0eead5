"""Errors as problem documents (RFC 9457): one table from our errors to statuses, and no traceback in any answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from traceback import extract_tb
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from aether_protocol.adapters.brokers.workers import SessionOverError
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.execution.secrets import MissingSecretError, SecretsAwayError
from aether_protocol.ports.wire_json import WireError
from aether_protocol.service.wire.problems import CODES, MEDIA_TYPE, problem_members

_log = logging.getLogger("aether_protocol")

_STATUSES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    SessionOverError: (410, "session-over"),
    SecretsAwayError: (503, "secrets-away"),
    MissingSecretError: (404, "secret-missing"),
    WireError: (400, "message-invalid"),
    **{kind: (status, code) for kind, status, code in CODES},
}
_DETAILS: Final[Mapping[type[Exception], str]] = {SessionOverError: "the session is not known: say hello again"}
_ROUTING: Final[Mapping[int, tuple[str, str | None]]] = {  # what the framework says in fewer words
    404: ("there is no such route", "GET /openapi.json lists them all"),
    405: ("this route has no such method", "GET /openapi.json lists them all"),
    413: ("the body is longer than this server takes", None),
}


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
    if isinstance(error, HTTPException):
        return _of_framework(error, getattr(request.app.state.get("parts"), "most_body_bytes", None))
    if isinstance(error, RecursionError):
        return problem(400, "request-invalid", "the request is nested too deeply")
    status, body = describe(error)
    if status == 500:
        _log.error("internal error at %s %s: %s", request.method, request.url.path, _place_of(error))
        _log.debug("internal error at %s %s", request.method, request.url.path, exc_info=error)
    return Response(body, status_code=status, media_type=MEDIA_TYPE)


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """Give the status and the problem document of an error; of one that is not in the table that of an internal error."""
    for kind, (status, code) in _STATUSES.items():
        if isinstance(error, kind):
            detail = _DETAILS.get(kind) or (error.message if isinstance(error, AetherError) else str(error))
            more = problem_members(error) if isinstance(error, AetherError) else {"hint": getattr(error, "hint", None)}
            return status, problem_body(status, code, detail, **more)
    detail, hint = "internal error; the server's log says more", "please report it"
    return 500, problem_body(500, "internal-error", detail, hint=hint)


def _place_of(error: Exception) -> str:
    """What an error is and where it was raised, in one line: what a report of it needs first."""
    steps = extract_tb(error.__traceback__)
    place = f" ({steps[-1].filename}:{steps[-1].lineno})" if steps else ""
    return f"{type(error).__name__}: {error}"[:500] + place


def _of_framework(error: HTTPException, most: int | None) -> Response[dict[str, Any]]:
    """What the framework refuses: no such route or method, a body that is too large, is not JSON, or does not fit."""
    status = error.status_code
    detail, hint = _ROUTING.get(status, (error.detail, None))
    if status == 413 and most is not None:
        detail += f": {most} bytes at most"
    code = HTTPStatus(status).name.lower().replace("_", "-")
    faults = error.extra if isinstance(error.extra, list) else None
    if faults and status == 400:
        code, detail = "request-invalid", f"the request is invalid: {_first(faults)}"
    elif status == 400:
        code = "request-invalid"
    answer = problem(status, code, detail, hint=hint, errors=faults)
    answer.headers.update(error.headers or {})
    return answer


def _first(faults: list[Any]) -> str:
    first = faults[0] if isinstance(faults[0], dict) else {}
    where = ": ".join(str(first[name]) for name in ("key", "message") if first.get(name))
    return where + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
