"""A broker that carries everything as bytes: what a broker to other machines sees of assignments and results, and no more.

Tests use it to show that the wire carries all that a worker needs, and that nothing on it holds the text of a secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.expressions.values import Json
from aether_protocol.ports import wire_json as codec
from aether_protocol.ports.broker import LogPart, ResultSink, Stored
from aether_protocol.ports.wire import (
    AttemptRef,
    HeartbeatMessage,
    LogMessage,
    LostMessage,
    StartedMessage,
    StopMessage,
    Stream,
    TaskAssignment,
    TaskResult,
)

_M = TypeVar("_M")


class Wire:
    """What carries messages as bytes. `seen`: every message that went over it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def carry(self, value: _M, encode: Callable[[_M], Json], decode: Callable[[Json], _M]) -> _M:
        """What arrives of `value` at the other end."""
        data = json.dumps(encode(value), ensure_ascii=False, allow_nan=False).encode()
        self.seen.append(data)
        return decode(json.loads(data))


class WireBroker(LocalBroker):
    """A local broker between which and the engine lies a wire."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.wire = Wire()

    @property
    def seen(self) -> list[bytes]:
        """Every message that went over the wire, as bytes."""
        return self.wire.seen

    def start(self, sink: ResultSink) -> None:
        super().start(WireSink(sink, self.wire))

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        return await super().dispatch([self.wire.carry(one, codec.encode_assignment, codec.decode_assignment) for one in batch])

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        await super().stop([self.wire.carry(StopMessage(ref), codec.encode_stop, codec.decode_stop).ref for ref in refs])


class WireSink:
    """The engine's sink, with the wire before it."""

    def __init__(self, sink: ResultSink, wire: Wire) -> None:
        self._sink = sink
        self._carry = wire.carry

    def started(self, ref: AttemptRef) -> None:
        self._sink.started(self._carry(StartedMessage(ref), codec.encode_started, codec.decode_started).ref)

    def logged(
        self, ref: AttemptRef, stream: Stream, text: str, offset: int | None = None, *, part: LogPart | None = None
    ) -> None:
        piece = self._carry(LogMessage(ref, stream, offset, text), codec.encode_log, codec.decode_log)
        self._sink.logged(piece.ref, piece.stream, piece.text, piece.offset, part=part)

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        beat = self._carry(HeartbeatMessage(ref, details), codec.encode_heartbeat, codec.decode_heartbeat)
        self._sink.heartbeat(beat.ref, beat.details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        loss = self._carry(LostMessage(ref, reason, blamed), codec.encode_lost, codec.decode_lost)
        self._sink.lost(loss.ref, loss.reason, loss.blamed)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        self._sink.finished(self._carry(result, codec.encode_result, codec.decode_result), stored)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        self._sink.brought(ref, unwanted)

    def ready(self) -> None:
        self._sink.ready()
