"""A backend for spans on the loopback: takes what comes by OTLP over HTTP, as any real one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


class Received:
    """A span as it arrived; `resource` says whose it is."""

    def __init__(self, span: WireSpan, resource: dict[str, Any]) -> None:
        self.name = span.name
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind = WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.begin, self.end = span.start_time_unix_nano // 1000, span.end_time_unix_nano // 1000
        self.attributes = {one.key: value_of(one.value) for one in span.attributes}
        self.error = span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None
        self.events = [one.name for one in span.events]
        self.links = [f"00-{one.trace_id.hex()}-{one.span_id.hex()}-01" for one in span.links]
        self.resource = resource

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


def value_of(value: Any) -> Any:
    """The value of an attribute."""
    return getattr(value, value.WhichOneof("value"))


class Backend(ThreadingHTTPServer):
    """Keeps what it gets. `headers` are those of the last request; with `broken` it refuses everything, with `hangs` it never
    answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Received] = []
        self.texts = b""
        self.headers: dict[str, str] = {}
        self.broken = False
        self.hangs = False
        self.requests = 0
        self.refused = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.texts += body
        for of_resource in request.resource_spans:
            resource = {one.key: value_of(one.value) for one in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.spans += [Received(span, resource) for span in scope.spans]

    def wait(self, holds: Callable[[list[Received]], bool], seconds: float = 20.0) -> list[Received]:
        """Wait until what has come fits; all of it."""
        until = time.monotonic() + seconds
        while not holds(self.spans):
            assert time.monotonic() < until, [(one.name, one.attributes) for one in self.spans]
            time.sleep(0.02)
        return list(self.spans)

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:  # the name that http.server calls
        backend = self.server
        backend.requests += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        backend.headers = {name.lower(): value for name, value in self.headers.items()}
        if backend.hangs:
            time.sleep(60)
        if self.path != "/v1/traces" or backend.broken:
            self.send_response(400)
            self.end_headers()
            backend.refused += 1
            return
        backend.take(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def backend() -> Iterator[Backend]:
    """A backend for as long as the block runs."""
    there = Backend()
    threading.Thread(target=there.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield there
    finally:
        there.shutdown()
        there.server_close()
