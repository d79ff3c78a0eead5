"""Logs that are on their way to be stored, by this server or another one: none overtakes an earlier piece that was lost.

Law: a worker sends a stream in order, and again from the last acknowledged byte where it hears nothing for a while. Where a
piece did not arrive, or the way changed while pieces were on it, later ones are left out until that byte comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final

from msgspec import Struct

from aether_protocol.ports.worker import LogReceipt, LogReport

_MOST: Final = 10_000  # streams; beyond that the oldest is forgotten
Way = Hashable


class _Flying(Struct, eq=False):
    """Bytes of a stream: acknowledged up to `acked`, sent up to `sent`. `wanted`: what comes next has to begin there, for some
    of what was sent did not arrive; so it is until all that was sent is there again, since an old message may come twice."""

    way: Way
    acked: int
    sent: int
    wanted: int | None = None


class LogGate:
    """Knows the streams of which something was sent, the last _MOST. One of which all is acknowledged stays known: of an old
    message that comes twice it would be taken for new, and waited for from a byte that its worker sends no more."""

    def __init__(self) -> None:
        self._flying: dict[tuple[str, str, str], _Flying] = {}

    def admit(self, session: str, logs: Iterable[LogReport], way_of: Callable[[str], Way]) -> list[LogReport]:
        """Return those pieces of a session that may go the way that their delivery has now."""
        admitted: list[LogReport] = []
        for log in logs:
            key, way = (session, log.token, log.stream), way_of(log.token)
            one = self._flying.pop(key, None) or _Flying(way, log.offset, log.offset)
            self._flying[key] = one  # the last one
            if one.way != way:
                one.way, one.wanted = way, one.acked
            end = log.offset + len(log.text.encode("utf-8", "replace"))
            if one.wanted is not None:
                if log.offset > one.wanted:
                    continue
                one.wanted = max(one.wanted, end) if end < one.sent else None
            one.sent = max(one.sent, end)
            admitted.append(log)
        while len(self._flying) > _MOST:
            del self._flying[next(iter(self._flying))]
        return admitted

    def failed(self, session: str, logs: Iterable[LogReport]) -> None:
        """These did not arrive, as far as is known."""
        for log in logs:
            one = self._flying.get((session, log.token, log.stream))
            if one is not None:
                one.wanted = one.acked

    def stored(self, session: str, receipts: Iterable[LogReceipt]) -> None:
        """So much is acknowledged to a session."""
        for receipt in receipts:
            one = self._flying.get((session, receipt.token, receipt.stream))
            if one is not None:
                one.acked = max(one.acked, receipt.stored)
                if one.wanted is not None:  # its worker sends none of that any more
                    one.wanted = max(one.wanted, one.acked)
