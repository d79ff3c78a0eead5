"""Texts for one engine's eyes, on their way through a store: sealed by the sender, opened by the engine in its memory.

Theory of operation. A request that goes through the mailbox lies in the store until the engine that drives the run takes it.
What a person writes there (an answer, a reason) may hold the text of a secret, and only that engine knows which texts are to
be masked (DATA-12). So the sender asks for the engine's key first, and posts the text sealed with it. The private key lives in
the memory of its engine alone and is used for nothing else: the file of the store, a copy or its journal does not reveal
what was sent. It does not protect from a program that can write to the store.

Sealing is HPKE (RFC 9180) as the package `cryptography` has it: X25519, HKDF-SHA256 and ChaCha20-Poly1305. It is imported when
something is sealed or opened, and not before.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from functools import cached_property
from typing import TYPE_CHECKING, Final

from aether_protocol.errors import PortError, UsageError
from aether_protocol.expressions.values import Json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite

_PURPOSE: Final = b"aether-mailbox"  # what was sealed for another purpose is not opened


class SealingKey:
    """The key of one engine; it lives as long as the object, and is made when it is first needed."""

    @cached_property
    def _private(self) -> X25519PrivateKey:
        _suite()
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.generate()

    @cached_property
    def public(self) -> str:
        """What a sender needs. Raises PortError where `cryptography` is not installed."""
        return _text(self._private.public_key().public_bytes_raw())

    def open(self, sealed: str) -> Json:
        """Give what was sealed for this key.

        Raises:
            UsageError: it was sealed for another engine, or is damaged.
            PortError: `cryptography` is not installed.
        """
        suite = _suite()
        from cryptography.exceptions import InvalidTag

        try:
            return json.loads(suite.decrypt(b64decode(sealed, validate=True), self._private, _PURPOSE))
        except InvalidTag:
            raise UsageError("what was sent sealed cannot be opened: it is damaged or sealed for another engine") from None
        except (ValueError, TypeError) as error:
            raise UsageError(f"what was sent sealed cannot be opened: {error}") from None


def seal(public: str, value: Json) -> str:
    """Seal a value for the engine that has this public key.

    Raises:
        UsageError: that is not a key.
        PortError: `cryptography` is not installed.
    """
    suite = _suite()
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        key = X25519PublicKey.from_public_bytes(b64decode(public, validate=True))
        return _text(suite.encrypt(json.dumps(value).encode("ascii"), key, _PURPOSE))
    except (ValueError, TypeError):
        raise UsageError("the engine gave no key to seal with") from None


def _suite() -> Suite:
    try:
        from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
    except ImportError:
        raise PortError(
            "an answer for a run that uses secrets goes sealed through the store, and what seals it is not installed",
            hint="pip install 'cryptography>=47'",
        ) from None
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
