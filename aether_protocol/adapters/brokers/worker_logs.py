"""The logs that workers report: checked, masked once more, cut to what has not come yet, and acknowledged when they are stored.

Law: what is not acknowledged comes again, from the same worker or at the next server; the store keeps each byte of a delivery
once, and in order: behind a piece that was lost nothing is taken until it comes again. Logs are taken by their token, in any
session of their worker that lives, so they may follow the result of their attempt, and the end of its session.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container
from functools import partial
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.ports.broker import LogPart, ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.wire import cut_known
from aether_protocol.ports.worker import LogReceipt, LogReport

SETTLE_S: Final = 1.0  # how long a report of logs alone waits until they are stored
_SECOND: Final = 1_000_000
Name = tuple[str, Literal["stdout", "stderr"]]  # token, stream


class _Gap(Struct, eq=False):
    """Something of a stream was lost: what comes next has to begin at `wanted`, until all that came before, up to `end`, is
    there again. One piece from `wanted` on is not enough: an old message may come twice."""

    wanted: int
    end: int

    @property
    def is_closed(self) -> bool:
        return self.wanted >= self.end


class _SessionLogs:
    """What is to be acknowledged to one worker: bytes by delivery and stream, and the pieces that are not stored yet.

    Gaps end with the session: to the next one the worker sends all that is not acknowledged, and another server may have stored
    it meanwhile.
    """

    def __init__(self) -> None:
        self.stored: dict[Name, int] = {}
        self.open: set[tuple[Name, int]] = set()
        self.gaps: dict[Name, _Gap] = {}
        self.changed = asyncio.Event()

    def is_behind_gap(self, name: Name, start: int, end: int) -> bool:
        """Whether a piece that comes now may not be taken yet; else what is missing is less by it."""
        gap = self.gaps.get(name)
        if gap is None:
            return False
        if start > gap.wanted:
            gap.end = max(gap.end, end)
            return True
        self._close(name, gap, end)
        return False

    def is_there(self, name: Name, start: int, end: int) -> bool:
        """A piece is stored. Whether nothing before it was lost."""
        gap = self.gaps.get(name)
        if gap is not None and gap.wanted < start:
            return False
        if gap is not None:
            self._close(name, gap, end)
        return True

    def lose(self, name: Name, start: int, end: int) -> None:
        """A piece is lost."""
        gap = self.gaps.setdefault(name, _Gap(start, end))
        gap.wanted, gap.end = min(start, gap.wanted), max(end, gap.end)

    def _close(self, name: Name, gap: _Gap, end: int) -> None:
        gap.wanted = max(gap.wanted, end)
        if gap.is_closed:
            del self.gaps[name]


class WorkerLogs:
    """Takes the logs of all sessions.

    Args:
        clock: the time of waits.
        tokens: reads tokens of deliveries.
        secrets: what runs know of secrets.
    """

    def __init__(self, clock: Clock, tokens: Tokens, secrets: SecretBook) -> None:
        self.sink: ResultSink
        self._clock = clock
        self._tokens = tokens
        self._secrets = secrets
        self._known: dict[int, dict[str, int]] = {}  # by delivery and stream: how many bytes are stored
        self._open = Counter[int]()  # by delivery: pieces of which it is not known yet whether they are stored
        self._sessions: dict[str, _SessionLogs] = {}

    def take(self, session: str, log: LogReport, unknown: list[str]) -> None:
        """Take in a piece; its token goes to `unknown` where no server of this store made it."""
        holding = self._tokens.read(log.token)
        if holding is None:
            unknown.append(log.token)
            return
        logs = self._sessions.setdefault(session, _SessionLogs())
        name: Name = log.token, log.stream
        end = log.offset + len(log.text.encode("utf-8", "replace"))
        if logs.is_behind_gap(name, log.offset, end):
            return  # it comes again with what was lost
        known = self._known.setdefault(holding.number, {}).get(log.stream, 0)
        text = cut_known({log.stream: known}, log.stream, log.text, log.offset)
        if not text:
            _note(logs, name, end)
            return
        start = max(log.offset, known)
        masker = self._secrets.of(holding.ref.run_id).masker
        logs.open.add((name, end))
        self._open[holding.number] += 1
        part = LogPart(
            holding.number,
            end - start,
            stored=partial(self._stored, logs, holding.number, name, (start, end)),
            lost=partial(self._lost, logs, holding.number, name, (start, end)),
        )
        self.sink.logged(holding.ref, log.stream, text if masker is None else masker.text(text), start, part=part)

    def _stored(self, logs: _SessionLogs, number: int, name: Name, place: tuple[int, int]) -> None:
        start, end = place
        self._open[number] -= 1
        logs.open.discard((name, end))
        if not logs.is_there(name, start, end):  # to acknowledge it would be to acknowledge what was lost before it
            logs.changed.set()
            return
        known = self._known.setdefault(number, {})
        known[name[1]] = max(known.get(name[1], 0), end)
        _note(logs, name, end)

    def _lost(self, logs: _SessionLogs, number: int, name: Name, place: tuple[int, int]) -> None:
        start, end = place
        self._open[number] -= 1
        start = max(start, self._known.get(number, {}).get(name[1], 0))
        if start >= end:
            return  # it came twice, and is stored: its worker does not send it again
        logs.lose(name, start, end)
        logs.open.discard((name, end))
        logs.changed.set()

    async def settled(self, session: str) -> None:
        """Wait until all that a session reported is stored, or for SETTLE_S."""
        logs = self._sessions.get(session)
        if logs is None:
            return
        until = self._clock.now() + round(SETTLE_S * _SECOND)
        alarm = self._clock.call_at(until, logs.changed.set)
        try:
            while logs.open and self._clock.now() < until:
                logs.changed.clear()
                await logs.changed.wait()
        finally:
            alarm.cancel()
        if self._clock.now() >= until:
            logs.open.clear()  # their store takes its time: what becomes of them is known later

    def receipts(self, session: str) -> list[LogReceipt]:
        """Return what is to be acknowledged to a session, once."""
        logs = self._sessions.get(session)
        if logs is None:
            return []
        stored, logs.stored = logs.stored, {}
        return [LogReceipt(token=token, stream=stream, stored=end) for (token, stream), end in stored.items()]

    def close(self, session: str) -> None:
        """A session is over."""
        self._sessions.pop(session, None)

    def forget(self, open_ones: Container[int]) -> None:
        """Keep what is known of these deliveries alone: of others the store knows it."""
        self._open = +self._open
        self._known = {
            number: known for number, known in self._known.items() if number in open_ones or number in self._open
        }


def _note(logs: _SessionLogs, name: Name, end: int) -> None:
    logs.stored[name] = max(logs.stored.get(name, 0), end)
    logs.changed.set()
