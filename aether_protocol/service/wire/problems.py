"""Errors as problem documents (RFC 9457), and the classes that they stand for again.

Law: an error that a client gives locally and one that came over a wire are of the same class, with the same message and hint;
of an invalid document with the same findings, each with its place.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct, ValidationError, convert

from aether_protocol.diagnostics import Diagnostic
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
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import KeyTakenError

MEDIA_TYPE: Final = "application/problem+json"

# The class of an error, a status, and what says it to programs. A kind of another class stands before that.
CODES: Final[tuple[tuple[type[AetherError], int, str], ...]] = (
    (DocumentError, 422, "document-invalid"),
    (KeyTakenError, 409, "idempotency-key"),
    (NotFoundError, 404, "not-found"),
    (ForbiddenError, 403, "forbidden"),
    (ConflictError, 409, "conflict"),
    (UsageError, 400, "usage"),
    (BusyError, 409, "busy"),
    (PortError, 503, "unavailable"),
)
_CLASSES: Final = {code: kind for kind, _, code in CODES}


class DiagnosticBody(Struct):
    """One finding in a document. `line` and `column` count from 1; 0: unknown."""

    code: Annotated[str, Meta(description="What it is, as in `aether explain CODE`.", examples=["AE201"])]
    severity: Annotated[str, Meta(description="error or warning")]
    message: str
    path: Annotated[str, Meta(examples=["spec.templates[0].dag.tasks[1]"])]
    file: str
    line: int
    column: int
    hint: str | None


class DigestsBody(Struct):
    """What an idempotency key stood for first, and what it was given for now."""

    first: str
    given: str


class FieldBody(Struct, omit_defaults=True):
    """What is wrong with a part of a request."""

    message: str
    key: str | None = None
    source: str | None = None


class ProblemBody(Struct, rename="camel", omit_defaults=True):
    """An error (RFC 9457). `code` says what it is to programs, `detail` to people, `hint` what to do about it."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(examples=["not-found", "conflict", "document-invalid", "usage", "busy", "unavailable"])]
    detail: str
    hint: str | None = None
    diagnostics: Annotated[list[DiagnosticBody] | None, Meta(description="Of an invalid document: all findings.")] = None
    errors: Annotated[list[FieldBody] | None, Meta(description="Of an invalid request: what is wrong where.")] = None
    digests: Annotated[DigestsBody | None, Meta(description="Of an idempotency key that is taken.")] = None
    run_id: Annotated[str | None, Meta(description="Of an idempotency key that is taken: the run that it names.")] = None


def problem_members(error: AetherError) -> dict[str, Json]:
    """Give what a problem document says of an error besides its class and message."""
    told: dict[str, Json] = {"hint": error.hint}
    if isinstance(error, DocumentError):
        told["diagnostics"] = [one.to_json() for one in error.diagnostics]
    if isinstance(error, KeyTakenError):
        told |= {"runId": error.run_id, "digests": {"first": error.first, "given": error.given}}
    return told


def read_problem(status: int, document: Any, whose: str) -> AetherError:
    """Give the error that an answer stands for.

    Args:
        status: the status of the answer.
        document: its body as JSON; what is not a problem document comes from something in between.
        whose: what was asked, for messages.
    """
    try:
        body = convert(document, ProblemBody)
    except ValidationError:
        return _foreign(status, whose)
    kind = _CLASSES.get(body.code)
    if kind is DocumentError:
        found = [convert(one, Diagnostic) for one in document.get("diagnostics") or ()]
        return DocumentError(body.detail, diagnostics=found, hint=body.hint)
    if kind is KeyTakenError and body.digests is not None:
        taken = KeyTakenError("", body.run_id or "", first=body.digests.first, given=body.digests.given)
        taken.message, taken.args = body.detail, (body.detail,)
        return taken
    if kind is not None:
        return kind(body.detail, hint=body.hint)
    return _other(status, body, whose)


def _other(status: int, body: ProblemBody, whose: str) -> AetherError:
    """What the server says of itself: it is at fault from 500 on, and busy where it says so."""
    told = f"{whose}: {body.detail}"
    if status in (429, 503):
        return BusyError(told, hint=body.hint)
    return (PortError if status >= 500 else UsageError)(told, hint=body.hint)


def _foreign(status: int, whose: str) -> AetherError:
    """What something between client and server, or another server, answered."""
    if status == 404:
        return UsageError(f"{whose} is not there: the answer is not one of an Aether server", hint="check the URL")
    if status in (401, 403, 407):
        return UsageError(f"{whose} was refused with status {status}", hint="by something in between: check the URL")
    hint = "check the URL and what lies in between"
    return PortError(f"{whose} was answered with status {status}, and not by an Aether server", hint=hint)
