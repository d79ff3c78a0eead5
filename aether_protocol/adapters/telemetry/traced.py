"""A broker whose attempts continue the trace of their run.

Law: every call goes through, and raises what the broker raises. An assignment of a run that is in a trace gets the context of
the span of its attempt in place of that of its run; what is not recorded keeps what it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aether_protocol.ports.broker import Broker, Holding, ResultSink
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.views.spans import attempt_context


class Traced:
    """See `ports.broker.Broker`: another broker, whose attempts know the spans that `RunSpans` makes of them."""

    def __init__(self, broker: Broker) -> None:
        self.wrapped = broker

    def start(self, sink: ResultSink) -> None:
        self.wrapped.start(sink)

    def room(self) -> int | None:
        return self.wrapped.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        for assignment in batch:
            if assignment.trace_context is not None:
                above = TraceContext.read(assignment.trace_context)
                if above is not None and above.sampled:
                    assignment.trace_context = str(attempt_context(above, assignment.ref))
        return await self.wrapped.dispatch(batch)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        await self.wrapped.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        await self.wrapped.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return await self.wrapped.held(refs)

    async def close(self) -> None:
        await self.wrapped.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)  # what a broker has beyond its port: `busy` and `quiet`
