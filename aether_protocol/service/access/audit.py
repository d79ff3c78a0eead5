"""The trail of what callers changed, or were refused.

Law: nothing that a caller wrote (a reason, an answer, a document) is in it: these may hold secrets. What is not a namespace is
not written down as one, and what was refused writes a few records at the most: else a caller could push those of others out.
A trail that cannot be written stops no work, but is logged as an error: the store is away, or its disk is full.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from aether_protocol.errors import (
    BusyError,
    ConflictError,
    DocumentError,
    ForbiddenError,
    NotFoundError,
    PortError,
    UsageError,
)
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store.access import OK, AuditRecord, AuditStore
from aether_protocol.service.access.caller import NAMESPACE, Caller

_log = logging.getLogger("aether_protocol")

KEPT_DAYS: Final = 90
MOST_RECORDS: Final = 100_000  # of a namespace
MOST_REFUSED: Final = 10  # records of one request that was refused
_SWEPT_EACH: Final = 500  # records
_DAY: Final = 86_400 * 1_000_000
_OUTCOMES: Final = (  # the first that fits
    (ForbiddenError, "forbidden"),
    (NotFoundError, "not-found"),
    (ConflictError, "conflict"),
    (UsageError, "usage"),
    (DocumentError, "document-invalid"),
    (BusyError, "busy"),
    (PortError, "unavailable"),
    (Exception, "error"),
)


def outcome_of(error: BaseException) -> str:
    """Name what became of a call that raised."""
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "cancelled")


class AuditTrail:
    """Writes records, and drops old ones now and then.

    Args:
        store: where they are kept.
        clock: says when.
        kept_days: how long they are kept.
        most: how many are kept of a namespace, and of what was refused to one token.
    """

    def __init__(
        self, store: AuditStore, clock: Clock, *, kept_days: int = KEPT_DAYS, most: int = MOST_RECORDS
    ) -> None:
        self.store = store
        self._clock = clock
        self._kept_us = kept_days * _DAY
        self._most = most
        self._until_swept = 0

    async def write(self, caller: Caller, action: str, targets: Sequence[tuple[str, str]], outcome: str) -> None:
        """Write down that `caller` asked for `action`: a record for each of `targets` (namespace, name), at least one."""
        now = self._clock.wall()
        records = [
            AuditRecord(
                at=now,
                actor=caller.name,
                kind=caller.kind,
                token=caller.token or "",
                action=action,
                namespace=namespace if NAMESPACE.fullmatch(namespace) else "",
                target=target,
                outcome=outcome,
            )
            for namespace, target in (targets if outcome == OK else targets[:MOST_REFUSED]) or [("", "")]
        ]
        try:
            await self.store.write(records)
            self._until_swept -= len(records)
            if self._until_swept <= 0:
                self._until_swept = _SWEPT_EACH
                await self.store.drop(older_than=now - self._kept_us, most=self._most)
        except PortError as error:
            _log.error("the audit of %s by %r was not written: %s", action, caller.name, error.message)
