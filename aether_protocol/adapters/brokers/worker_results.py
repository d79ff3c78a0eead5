"""The results that workers report: checked, handed to the engine, and acknowledged once they are recorded.

Law: a result counts by its token alone, also without a session: its attempt has ended, wherever its worker is now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.errors import PortError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.fleet import events as e
from aether_protocol.ports.artifacts import ArtifactRepository, part_of
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_result
from aether_protocol.ports.worker import ResultReport

RECORD_S: Final = 2.0  # how long a report waits for its results to be recorded; what takes longer is sent again
_SECOND: Final = 1_000_000


class Recording:
    """The results of one report on their way into the store, by token; `reported` are all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reported: list[e.Holding] = []
        self.open: dict[str, e.Holding] = {}
        self.recorded: dict[str, e.Holding] = {}
        self._all: asyncio.Future[None] | None = None

    def note(self, token: str) -> None:
        """A result is recorded."""
        holding = self.open.pop(token, None)
        if holding is not None:
            self.recorded[token] = holding
        if self._all is not None and not self.open:
            _set(self._all)

    async def wait(self) -> None:
        """Return when all are recorded, or after RECORD_S."""
        if not self.open:
            return
        done = self._all = asyncio.get_running_loop().create_future()
        due = self._clock.call_at(self._clock.now() + round(RECORD_S * _SECOND), lambda: _set(done))
        try:
            await done
        finally:
            due.cancel()


class WorkerResults:
    """Takes the results of all sessions.

    Args:
        clock: the time of waits.
        tokens: reads tokens of deliveries.
        artifacts: where the artifacts that results name have to be; None: it is not looked at.
    """

    def __init__(self, clock: Clock, tokens: Tokens, artifacts: ArtifactRepository | None) -> None:
        self.sink: ResultSink
        self._clock = clock
        self._tokens = tokens
        self._artifacts = artifacts

    async def absent(self, results: Sequence[ResultReport]) -> Mapping[str, str]:
        """By token, what is wrong with results that name artifacts which their namespace does not have; those that it has count
        as put now. What was fetched and is not there any more is left out: the next attempt fetches it."""
        absent: dict[str, str] = {}
        for one in results:
            holding = self._tokens.read(one.token)
            if self._artifacts is None or holding is None:
                continue
            part = part_of(self._artifacts, holding.namespace)
            for name in await _lacking(part, one.result.get("artifacts")):
                absent[one.token] = clean(f"its worker reported artifact {name!r}, which it has not sent")
            if isinstance(fetched := one.result.get("fetched"), dict):
                for name in await _lacking(part, fetched):
                    del fetched[name]
        return absent

    def take(
        self, results: Sequence[ResultReport], absent: Mapping[str, str], namespaces: frozenset[str] | None, unknown: list[str]
    ) -> Recording:
        """Hand results to the engine. Tokens that no server of this store made, or of a namespace that their worker may not
        serve, go to `unknown`."""
        recording = Recording(self._clock)
        for one in results:
            holding = self._tokens.read(one.token)
            if holding is None or not serves(namespaces, holding):
                unknown.append(one.token)
                continue
            recording.open[one.token] = holding
            recording.reported.append(holding)
            lacking = absent.get(one.token)
            result = TaskResult(holding.ref, ERROR, lacking) if lacking else _result(holding.ref, one.result)
            self.sink.finished(result, partial(recording.note, one.token))
        return recording


def serves(namespaces: frozenset[str] | None, holding: e.Holding) -> bool:
    """Say whether a worker that may serve `namespaces` may have this delivery."""
    return namespaces is None or holding.namespace in namespaces


async def _lacking(part: ArtifactRepository, named: object) -> list[str]:
    """The names of those that are not there; the others count as put now."""
    lacking: list[str] = []
    for name, value in named.items() if isinstance(named, dict) else ():
        digest = value.get("digest") if isinstance(value, dict) else None
        try:
            size = await asyncio.to_thread(part.renew, digest) if isinstance(digest, str) else None
        except PortError:
            size = None
        if size is None:
            lacking.append(name)
    return lacking


def _result(ref: AttemptRef, message: dict[str, object]) -> TaskResult:
    """What a worker says that an attempt gave; where that is not a result of this attempt, an Error."""
    try:
        result = decode_result(message)
    except WireError as error:
        return TaskResult(ref, ERROR, f"its worker reported {error}")
    if result.ref != ref:
        return TaskResult(ref, ERROR, "its worker reported the result of another attempt")
    return result


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
