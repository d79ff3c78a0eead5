"""Whose token a text is.

Law: the text of a token is compared in constant time, and never logged, stored or shown.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

from aether_protocol.errors import UsageError
from aether_protocol.service.access.caller import EVERYWHERE, Caller

SHORTEST_TOKEN: Final = 16  # characters of a token that is given by hand


class Authenticator(Protocol):
    """Turns the token of a request into its caller."""

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is; None: of no caller (any more)."""
        ...


class GivenToken:
    """One token that the server was given at its start: its bearer is an admin everywhere.

    Args:
        token: its text. Raises UsageError for one that can be guessed by trying.
    """

    def __init__(self, token: str) -> None:
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(
                f"the server's token is not {SHORTEST_TOKEN} or more visible ASCII characters without spaces",
                hint='make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        self._digest = sha256(token.encode()).digest()

    async def caller(self, token: str) -> Caller | None:
        given = sha256(token.encode(errors="replace")).digest()
        if not hmac.compare_digest(given, self._digest):
            return None
        return Caller(name="server token", kind="person", roles={EVERYWHERE: "admin"}, token="server")


class FirstOf:
    """Asks several, and takes the first that knows the token."""

    def __init__(self, several: Sequence[Authenticator]) -> None:
        self._several = several

    async def caller(self, token: str) -> Caller | None:
        for one in self._several:
            found = await one.caller(token)
            if found is not None:
                return found
        return None
