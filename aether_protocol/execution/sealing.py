"""Texts for one engine's eyes, on their way through a store: sealed by the sender, opened by the engine in its memory.

Theory of operation. A request that goes through the mailbox lies in the store until the engine that drives the run takes it.
What a person writes there (an answer, a reason) may hold the text of a secret, and only that engine knows which texts are to
be masked (DATA-12). So the sender asks for the engine's key first, and posts the text sealed with it. Both keys live in the
memory of their processes alone and are used for nothing else: not even who has the file of the store, a copy or its journal
can read what was sent. It does not protect from a program that can write to the store.

The two sides agree on a key by Diffie-Hellman in the 2048-bit group 14 of RFC 3526; the text is combined with a keystream of
SHAKE-256 and authenticated with keyed BLAKE2b. A sender makes a new key for every text, so no keystream is used twice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from base64 import b64decode, b64encode
from functools import cached_property
from typing import Final

from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json

_PRIME: Final = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
_GENERATOR: Final = 2
_EXPONENT_BITS: Final = 256
_SIZE: Final = 256  # bytes of a number of the group
_MAC: Final = 32


class SealingKey:
    """The key of one engine; it lives as long as the object, and is made when it is first needed."""

    @cached_property
    def _secret(self) -> int:
        return _exponent()

    @cached_property
    def public(self) -> str:
        """What a sender needs."""
        return _text(_bytes(pow(_GENERATOR, self._secret, _PRIME)))

    def open(self, sealed: str) -> Json:
        """Give what was sealed for this key. Raises UsageError where it was sealed for another one, or is damaged."""
        try:
            data = b64decode(sealed, validate=True)
            sender, mac, hidden = data[:_SIZE], data[_SIZE : _SIZE + _MAC], data[_SIZE + _MAC :]
            stream, tag = _keys(sender, self._secret)
            if not hmac.compare_digest(mac, _mac(tag, hidden)):
                raise ValueError("it was sealed for another engine")
            return json.loads(_combined(hidden, stream))
        except (ValueError, TypeError) as error:
            raise UsageError(f"what was sent sealed cannot be opened: {error}") from None


def seal(public: str, value: Json) -> str:
    """Seal a value for the engine that has this public key. Raises UsageError for what is not a key."""
    own = _exponent()
    try:
        stream, tag = _keys(b64decode(public, validate=True), own)
    except (ValueError, TypeError):
        raise UsageError("the engine gave no key to seal with") from None
    hidden = _combined(json.dumps(value).encode("ascii"), stream)
    return _text(_bytes(pow(_GENERATOR, own, _PRIME)) + _mac(tag, hidden) + hidden)


def _exponent() -> int:
    return int.from_bytes(os.urandom(_EXPONENT_BITS // 8), "big") | 1 << (_EXPONENT_BITS - 1)


def _keys(public: bytes, secret: int) -> tuple[bytes, bytes]:
    """The keys of the keystream and of the authentication. Raises ValueError for a number outside of the group."""
    other = int.from_bytes(public, "big")
    if len(public) != _SIZE or not 1 < other < _PRIME - 1:
        raise ValueError("its key is damaged")
    shared = hashlib.blake2b(_bytes(pow(other, secret, _PRIME)), digest_size=64, person=b"aether-mailbox").digest()
    return shared[:32], shared[32:]


def _combined(data: bytes, stream: bytes) -> bytes:
    pad = hashlib.shake_256(stream).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


def _mac(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_MAC).digest()


def _bytes(number: int) -> bytes:
    return number.to_bytes(_SIZE, "big")


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
