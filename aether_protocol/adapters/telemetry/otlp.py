"""Sends spans to a backend by OTLP over HTTP, with the SDK of OpenTelemetry (the extra `[otel]`).

Theory. `ended` puts a span in a queue; a thread of its own sends what is there, every second or as soon as there is a batch.
The queue is bounded: while the backend is away, spans are lost and nothing else, which is reported once. What the SDK says in
its log about each try is held back. What is not set is read from the variables that every SDK of OpenTelemetry reads:
`OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`.

The batch processor of the SDK is not used, since nothing bounds the time that it takes to end.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.errors import UsageError
from aether_protocol.ports.telemetry import TracerParts, TraceSpan
from aether_protocol.ports.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

MOST_WAITING: Final = 20_000  # spans; of more the oldest go
BATCH: Final = 512
DELAY_S: Final = 1.0  # a span waits for others for so long
LAST_S: Final = 0.2  # for the thread to end, once nothing is sent any more
TRACES: Final = "/v1/traces"

_SDK_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_ALL: Final = 1.0

_log = logging.getLogger("aether_protocol")


def tracer_of_url(url: str, parts: TracerParts) -> OtlpTracer:
    """Make the tracer of `otlp`, or `otlp:http://HOST:PORT`. Raises UsageError where the extra is not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        missing = error.name or "opentelemetry-sdk"
        hint = "pip install 'aether-protocol[otel]', or turn tracing off: enabled = false of [tracing], AETHER_TRACING=false"
        raise UsageError(f"spans are to be sent by OTLP, and {missing} is not installed", hint=hint) from None
    return OtlpTracer(url.partition(":")[2], parts)


class OtlpTracer:
    """See `ports.telemetry.Tracer`.

    Args:
        endpoint: the base URL of the backend, to which `/v1/traces` is added; empty: what the variables say, or else
            `http://localhost:4318`.
        parts: what else is set.
    """

    def __init__(self, endpoint: str, parts: TracerParts) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._below = round((_configured_share() if parts.sample is None else parts.sample) * 2**64)
        at = None if not endpoint else endpoint if endpoint.endswith(TRACES) else endpoint.rstrip("/") + TRACES
        self._endpoint = re.sub(r"(?<=://)[^/@]*@", "", at or _configured_endpoint())  # for people
        self._exporter: Any = OTLPSpanExporter(endpoint=at, headers=dict(parts.headers) or None)
        self._make = _SpanMaker(parts)
        self._waiting: deque[TraceSpan] = deque(maxlen=MOST_WAITING)
        self._wake = threading.Event()
        self._settled = threading.Event()  # all is sent, or the backend is away
        self._closing = threading.Event()
        self._silent = False  # an outage was reported
        self._thread = threading.Thread(target=self._work, name="aether-spans", daemon=True)
        self._quiet = _HeldBack(self._thread, self._away)
        logging.getLogger(_SDK_LOG).addFilter(self._quiet)
        self._thread.start()

    # --- Tracer ---

    def samples(self, trace_id: str) -> bool:
        return int(trace_id[16:], 16) < self._below

    def ended(self, span: TraceSpan) -> None:
        if span.context.sampled and not self._closing.is_set():
            self._waiting.append(span)
            if len(self._waiting) >= BATCH:
                self._wake.set()

    def close(self, timeout_s: float) -> None:
        if self._closing.is_set():
            return
        self._settled.clear()
        self._closing.set()
        self._wake.set()
        self._settled.wait(timeout_s)
        self._exporter.shutdown()  # ends a pause between two tries
        self._thread.join(LAST_S)
        if not self._thread.is_alive():
            logging.getLogger(_SDK_LOG).removeFilter(self._quiet)

    # --- the thread ---

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(DELAY_S)
            self._wake.clear()
            if not self._send() and self._closing.is_set():
                return  # what is left is lost
        self._send()
        self._settled.set()

    def _send(self) -> bool:
        """Send what waits. While the backend is away that is lost; at the end it is not tried to its last span: then False."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                sent = self._exporter.export([self._make.span(one) for one in batch]) is SpanExportResult.SUCCESS
            except Exception as error:  # of a library: nothing that it raises may end the thread
                _log.debug("spans cannot be sent", exc_info=error)
                sent = False
            if sent:
                self._silent = False
                continue
            self._away()
            if self._closing.is_set():
                return False
        return True

    def _away(self) -> None:
        """The backend does not take spans: report it once. A command that ends waits for it no longer."""
        if not self._silent:
            self._silent = True
            _log.warning("spans cannot be sent to %s: they are lost until it answers", self._endpoint)
        if self._closing.is_set():
            self._settled.set()


class _HeldBack(logging.Filter):
    """Holds back what the SDK logs on the thread of a tracer, and reports that a try failed."""

    def __init__(self, thread: threading.Thread, failed: Any) -> None:
        super().__init__()
        self._thread = thread
        self._failed = failed

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.current_thread() is not self._thread:
            return True
        self._failed()
        return False


class _SpanMaker:
    """Makes spans as the SDK has them."""

    def __init__(self, parts: TracerParts) -> None:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = _resource(parts)
        self._scope = InstrumentationScope("aether_protocol", parts.version)

    def span(self, one: TraceSpan) -> ReadableSpan:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        above = None if one.parent is None else _context(TraceContext(one.context.trace_id, one.parent), is_remote=True)
        return ReadableSpan(
            name=one.name,
            context=_context(one.context),
            parent=above,
            resource=self._resource,
            attributes=dict(one.attributes),
            events=[Event(event.name, timestamp=event.at * 1000) for event in one.events],
            links=[Link(_context(link, is_remote=True)) for link in one.links],
            kind=SpanKind[one.kind.upper()],
            status=Status(StatusCode.UNSET) if one.error is None else Status(StatusCode.ERROR, one.error),
            start_time=one.begin * 1000,
            end_time=max(one.end, one.begin) * 1000,
            instrumentation_scope=self._scope,
        )


def _context(one: TraceContext, *, is_remote: bool = False) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED if one.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(one.trace_id, 16), int(one.span_id, 16), is_remote, flags)


def _resource(parts: TracerParts) -> Resource:
    """Whose spans they are: what is known here; the variables win over that, and what is set wins over these."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    host = socket.gethostname()
    known: dict[str, str | int] = {
        "service.name": parts.component,
        "service.version": parts.version,
        "service.instance.id": f"{host}-{os.getpid()}",
        "host.name": host,
        "process.pid": os.getpid(),
        "telemetry.sdk.language": "python",
    }
    resource = Resource(known).merge(OTELResourceDetector().detect())
    return resource if parts.service is None else resource.merge(Resource({"service.name": parts.service}))


def _configured_endpoint() -> str:
    """Where the variables say that spans go, for people."""
    found = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return found or "http://localhost:4318"


def _configured_share() -> float:
    """How many of the traces that begin here are recorded, as OTEL_TRACES_SAMPLER says; all where it says nothing."""
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    if sampler == "always_off":
        return 0.0
    if sampler != "traceidratio":
        return _ALL
    try:
        return min(max(float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "")), 0.0), _ALL)
    except ValueError:
        return _ALL
