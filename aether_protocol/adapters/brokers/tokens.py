"""Tokens name deliveries to workers: what a server must know of one, signed, so that a server that restarted knows it too.

Law: a token that was not made with the key is refused. It holds no secret; who has it may report on that one delivery.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from aether_protocol.fleet.events import Holding
from aether_protocol.fleet.work import Slots
from aether_protocol.ports.wire import AttemptRef

_MAC_BYTES: Final = 16  # 128 bits
_KNOWN: Final = 20_000  # tokens


class _Claims(Struct, array_like=True, gc=False):
    number: int
    run_id: str
    path: str
    attempt: int
    epoch: int
    namespace: str
    slots: Slots


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Claims)


class Tokens:
    """Makes and reads tokens.

    Args:
        key: 32 random bytes that all servers of a store share, and that leave no server.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, Holding] = {}  # what was made or read here: each is read several times

    def make(self, holding: Holding) -> str:
        """Return the token of a delivery."""
        ref = holding.ref
        claims = _Claims(
            holding.number, ref.run_id, ref.path, ref.attempt, epoch=ref.epoch, namespace=holding.namespace, slots=holding.slots
        )
        body = _encoder.encode(claims)
        token = urlsafe_b64encode(self._mac(body) + body).decode().rstrip("=")
        self._note(token, holding)
        return token

    def read(self, token: str) -> Holding | None:
        """Return what a token names; None where no server of this store made it."""
        known = self._known.get(token)
        if known is not None:
            return known
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        if urlsafe_b64encode(raw).decode().rstrip("=") != token:  # of one delivery there is one token
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        try:
            claims = _decoder.decode(body)
        except msgspec.MsgspecError:  # made by a server of another version
            return None
        ref = AttemptRef(claims.run_id, claims.path, claims.attempt, claims.epoch)
        holding = Holding(claims.number, ref, claims.namespace, claims.slots)
        self._note(token, holding)
        return holding

    def read_all(self, tokens: Iterable[str]) -> list[Holding]:
        """Return what tokens name, without those that are none."""
        return [holding for token in tokens if (holding := self.read(token)) is not None]

    def _note(self, token: str, holding: Holding) -> None:
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[token] = holding

    def _mac(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=_MAC_BYTES, key=self._key).digest()
