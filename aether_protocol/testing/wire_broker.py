"""A broker that carries everything as bytes: what a broker to other machines sees of assignments and results, and no more.

Tests use it to show that the wire carries all that a worker needs, and that nothing on it holds the text of a secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.expressions.values import Json
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.wire import AttemptRef, StartedMessage, StopMessage, TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import (
    decode_assignment,
    decode_result,
    decode_started,
    decode_stop,
    encode_assignment,
    encode_result,
    encode_started,
    encode_stop,
)

_M = TypeVar("_M")


class WireBroker(LocalBroker):
    """A local broker between which and the engine lies a wire. `seen`: every message that went over it, as bytes."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.seen: list[bytes] = []

    def start(self, sink: ResultSink) -> None:
        super().start(_WireSink(sink, self))

    def dispatch(self, assignments: Sequence[TaskAssignment]) -> None:
        super().dispatch([self.carry(one, encode_assignment, decode_assignment) for one in assignments])

    def stop(self, ref: AttemptRef) -> None:
        super().stop(self.carry(StopMessage(ref), encode_stop, decode_stop).ref)

    def carry(self, value: _M, encode: Callable[[_M], Json], decode: Callable[[Json], _M]) -> _M:
        """What arrives of `value` at the other end."""
        data = json.dumps(encode(value), ensure_ascii=False, allow_nan=False).encode()
        self.seen.append(data)
        return decode(json.loads(data))


class _WireSink:
    """The engine's sink, with the wire before it."""

    def __init__(self, sink: ResultSink, broker: WireBroker) -> None:
        self._sink = sink
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def started(self, ref: AttemptRef) -> None:
        self._sink.started(self._broker.carry(StartedMessage(ref), encode_started, decode_started).ref)

    def finished(self, result: TaskResult, *more: Any) -> None:
        self._sink.finished(self._broker.carry(result, encode_result, decode_result), *more)
