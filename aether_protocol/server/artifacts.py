"""Artifacts by digest, for workers (docs/reference/worker-protocol.md): looked up, received and given out, in pieces.

Law: they are for workers with a live delivery: its session and its token are named in each request, and only digests that its
assignment names are given out. All of it is about the namespace of the delivery: what another one has is not here (RT-140).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

from litestar import Controller, Request, Response, get, head, put
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Stream

from aether_protocol.adapters.artifacts.transfers import ArtifactTransfers, TransferError
from aether_protocol.adapters.brokers.elsewhere import Relay, RelayedAnswer
from aether_protocol.adapters.brokers.workers import WorkerBroker, digests_of
from aether_protocol.errors import PortError
from aether_protocol.fleet.work import WorkerDelivery
from aether_protocol.server.access import WORKER, caller_of
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError, problem
from aether_protocol.server.relay.forwarding import FORWARDED, ForwardedSession
from aether_protocol.server.worker_calls import WorkerCalls

_STATUSES: Final[Mapping[str, int]] = {
    "artifact-offset": 409,
    "artifact-digest": 422,
    "artifact-too-large": 413,
    "artifact-invalid": 400,
    "disk-full": 507,
}
_BYTES: Final = "application/octet-stream"
_PASSED: Final = ("aether-delivery", "content-length", "content-range", "content-type", "range")  # headers of requests
_Any = Request[Any, Any, Any]


class ArtifactController(Controller):
    """What workers fetch for their attempts, and what attempts made."""

    path = "/v1/artifacts"
    opt: ClassVar[dict[str, Any]] = dict(WORKER)  # type: ignore[misc]
    tags: ClassVar[list[str]] = ["workers"]  # type: ignore[misc]

    @head("/{digest:str}", summary="Whether an artifact is there, or how much of it came", responses=answers(problems=(404,)))
    async def look(self, digest: FromPath[str], request: _Any, state: State) -> Response[None]:
        if (passed := await _passed_on(request, state, digest)) is not None:
            async for _ in passed.pieces:  # there are none
                continue
            return Response(None, status_code=passed.status, headers=passed.headers)
        transfers, delivery = _transfers(state), _delivery(request, state)
        offset = _offset(transfers, digest, _sender(delivery))
        size = None if offset is None else await transfers.size(delivery.work.namespace, digest)
        if size is None:
            return Response(None, status_code=404, headers={"upload-offset": str(offset or 0)})
        return Response(None, headers={"artifact-size": str(size)})

    @get(
        "/{digest:str}",
        summary="Get an artifact, or a part of it",
        media_type=_BYTES,
        responses=answers((206, bytes, "A part of it."), problems=(404, 416), media_type=_BYTES),
    )
    async def give(self, digest: FromPath[str], request: _Any, state: State) -> Stream:
        if (passed := await _passed_on(request, state, digest)) is not None:
            return _streamed(passed)
        transfers, delivery = _transfers(state), _delivery(request, state)
        _require_named(delivery, digest)
        namespace = delivery.work.namespace
        size = await transfers.size(namespace, digest)
        if size is None:
            raise ApiError(404, "artifact-absent", f"artifact {digest[:80]} is not here")
        start = _start(request.headers.get("range"), size)
        headers = {"etag": f'"{digest}"', "accept-ranges": "bytes", "content-length": str(size - (start or 0))}
        if start is not None:
            headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
        pieces = transfers.read(namespace, digest, start or 0, size)
        return Stream(pieces, media_type=_BYTES, status_code=200 if start is None else 206, headers=headers)

    @put(
        "/{digest:str}",
        status_code=201,
        summary="Send an artifact, or a part of it",
        request_max_body_size=None,
        responses=answers(
            (201, None, "All of it is here."), (202, None, "A part is here: the rest is awaited."), problems=(409, 422, 507)
        ),
    )
    async def take(self, digest: FromPath[str], request: _Any, state: State) -> Response[Any]:
        if (passed := await _passed_on(request, state, digest, request.stream())) is not None:
            return _streamed(passed)
        transfers, delivery = _transfers(state), _delivery(request, state)
        sender, namespace = _sender(delivery), delivery.work.namespace
        offset, total = _place(request.headers.get("content-range"), request.headers.get("content-length"))
        try:
            size = await transfers.receive(
                digest, sender, request.stream(), namespace=namespace, offset=offset, total=total
            )
        except TransferError as error:
            more = {"hint": error.hint, "offset": error.offset if error.code == "artifact-offset" else None}
            return problem(_STATUSES[error.code], error.code, error.message, **more)
        if size is None:
            return Response(None, status_code=202, headers={"upload-offset": str(transfers.offset(digest, sender))})
        return Response(None, status_code=201, headers={"artifact-size": str(size)})


def _transfers(state: State) -> ArtifactTransfers:
    transfers = parts_of(state).artifacts
    assert transfers is not None  # these routes are there only where there are some
    return transfers


def _sender(delivery: WorkerDelivery) -> str:
    return str(delivery.number)


async def _passed_on(
    request: _Any, state: State, digest: str, body: AsyncIterator[bytes] | None = None
) -> RelayedAnswer | None:
    """The answer of the server that has the session, or that drives the run of the delivery: it looks at all of it; None: that
    is this one. Raises SessionOverError, ApiError."""
    parts, session = parts_of(state), request.headers.get("aether-session", "")
    authorization, was_forwarded = request.headers.get("authorization"), FORWARDED in request.headers
    calls = WorkerCalls(parts, caller_of(request), authorization=authorization, was_forwarded=was_forwarded)
    way: Relay | ForwardedSession | None = calls.away(session) if session else None
    if way is None:
        way = _broker(state).reports.relay(session, _delivery(request, state).work.run_id)
    if way is None:
        return None
    headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
    return await way.artifact(str(request.method), digest, headers, body)


def _streamed(passed: RelayedAnswer) -> Stream:
    headers = {name: value for name, value in passed.headers.items() if name != "content-type"}
    media_type = passed.headers.get("content-type", _BYTES)
    return Stream(passed.pieces, media_type=media_type, status_code=passed.status, headers=headers)


def _broker(state: State) -> WorkerBroker:
    """The broker for workers: without one there are no artifacts."""
    broker = parts_of(state).workers
    assert broker is not None
    return broker


def _require_named(delivery: WorkerDelivery, digest: str) -> None:
    """Raise ApiError where the assignment of a delivery has nothing to do with a digest."""
    if (allowed := digests_of(delivery)) is not None and digest not in allowed:
        raise ApiError(403, "artifact-not-of-delivery", "the assignment of the delivery does not name this artifact")


def _delivery(request: _Any, state: State) -> WorkerDelivery:
    """The delivery for which this is asked. Raises ApiError: it is not a live one."""
    session, token = request.headers.get("aether-session", ""), request.headers.get("aether-delivery", "")
    delivery = _broker(state).live(session, token)
    if delivery is None:
        hint = "the headers aether-session and aether-delivery name a session and a delivery that it has"
        raise ApiError(403, "delivery-not-live", "the delivery is not one of this session, or has ended", hint=hint)
    return delivery


def _offset(transfers: ArtifactTransfers, digest: str, sender: str) -> int | None:
    """How much of it came; None: that is not a digest."""
    try:
        return transfers.offset(digest, sender)
    except PortError:
        return None


def _start(header: str | None, size: int) -> int | None:
    """Where the wanted bytes begin; None: all are wanted. Only `bytes=N-` is understood, other ranges give the whole."""
    match = re.fullmatch(r"bytes=(\d{1,18})-", header or "")
    if match is None:
        return None
    if int(match[1]) >= size:
        raise ApiError(416, "artifact-range", f"the artifact has {size} bytes")
    return int(match[1])


def _place(content_range: str | None, length: str | None) -> tuple[int, int | None]:
    """Where a body belongs, and how many bytes the artifact has."""
    if content_range is None:
        return 0, int(length) if length and length.isdigit() else None
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", content_range)
    if match is None or not int(match[1]) <= int(match[2]) < int(match[3]):
        hint = "like 'bytes 1000-1999/2000'"
        raise ApiError(400, "artifact-invalid", f"{content_range[:100]!r} is not a content range", hint=hint)
    return int(match[1]), int(match[3])
