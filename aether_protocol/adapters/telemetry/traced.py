"""A broker whose calls are traced.

Law: every call goes through, and raises what the broker raises. An assignment without a trace context gets that of the span in
which it is dispatched, so that a worker continues the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aether_protocol.ports.broker import Broker, Holding, ResultSink
from aether_protocol.ports.telemetry import Tracer
from aether_protocol.ports.wire import AttemptRef, TaskAssignment


class Traced:
    """See `ports.broker.Broker`: another broker, each of whose calls is a span, `broker.METHOD`."""

    def __init__(self, broker: Broker, tracer: Tracer) -> None:
        self.wrapped = broker
        self._tracer = tracer

    def start(self, sink: ResultSink) -> None:
        self.wrapped.start(sink)

    def room(self) -> int | None:
        return self.wrapped.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        with self._tracer.span("broker.dispatch", {"attempts": str(len(batch))}):
            context = self._tracer.current()
            for assignment in batch:
                if assignment.trace_context is None:
                    assignment.trace_context = context
            return await self.wrapped.dispatch(batch)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        with self._tracer.span("broker.stop", {"attempts": str(len(refs))}):
            await self.wrapped.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        with self._tracer.span("broker.release", {"attempts": str(len(refs))}):
            await self.wrapped.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        with self._tracer.span("broker.held", {"attempts": str(len(refs))}):
            return await self.wrapped.held(refs)

    async def close(self) -> None:
        with self._tracer.span("broker.close", {}):
            await self.wrapped.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)  # what a broker has beyond its port: `busy` and `quiet`
