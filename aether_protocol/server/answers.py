"""What routes say about their answers, for the OpenAPI document: the body by status, and the problems that there can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec

from aether_protocol.service.wire.problems import MEDIA_TYPE, ProblemBody

EVENT_STREAM: Final = "text/event-stream"

_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The request is wrong: `detail` says what, `errors` where.",
    404: "What was named is not there.",
    409: "It does not fit what is there: an id or a key that is taken, a run that has ended, or has not; or it is busy.",
    413: "The body is too large.",
    422: "The document is invalid: `diagnostics` has all findings.",
    503: "The store, or what the server needs, cannot be used now.",
}
_ALWAYS: Final = (400, 503)  # any request may be misspelt, and any store away


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
    for status in sorted({*_ALWAYS, *problems}):
        told[status] = ResponseSpec(
            ProblemBody, description=_PROBLEMS[status], media_type=MEDIA_TYPE, generate_examples=False
        )
    return told


FOR_EVER: Final = [ResponseHeader(name="Cache-Control", value="public, max-age=31536000, immutable")]
