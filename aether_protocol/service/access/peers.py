"""Servers of one store know each other: each has a token of its own, whose SHA-256 stands in its row of the store.

Law: a token counts for as long as its server lives. It lets a server speak for its workers, and reads no run.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import ServerRow, ServerStore
from aether_protocol.service.access.caller import EVERYWHERE, Caller
from aether_protocol.service.access.tokens import digest_of

_PREFIX: Final = "aethpeer_"  # no other text is looked up
_REMEMBERED_US: Final = 1_000_000  # also that a token is of no server: who tries many asks the store no more often
SPEAKS: Final = "peer"  # in place of a role


def make_peer_token() -> str:
    """Make the token of a server."""
    return _PREFIX + secrets.token_urlsafe(32)


class PeerTokens:
    """See `service.access.authenticator.Authenticator`.

    Args:
        servers: the rows of servers.
        clock: says how long they are believed without a look.
    """

    def __init__(self, servers: ServerStore, clock: Clock) -> None:
        self._servers = servers
        self._clock = clock
        self._rows: Sequence[ServerRow] = ()
        self._looked_at: int | None = None

    async def caller(self, token: str) -> Caller | None:
        if not token.startswith(_PREFIX):
            return None
        now = self._clock.now()
        if self._looked_at is None or now - self._looked_at >= _REMEMBERED_US:
            self._rows, self._looked_at = await self._servers.list(), now
        digest = digest_of(token)
        found = next((row for row in self._rows if row.token and hmac.compare_digest(row.token, digest)), None)
        if found is None:
            return None
        return Caller(name=f"server {found.name}", kind="peer", roles={EVERYWHERE: SPEAKS}, token=f"peer {found.owner}")
