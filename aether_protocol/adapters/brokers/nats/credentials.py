"""Credentials files of NATS: a key that signs for a user, with or without a JWT that an operator gave out (`nsc`, `nk`).

A file of `nsc` holds both, each between lines of dashes; one of `nk` holds the seed of a key alone. A seed is the Base32 of two
bytes that say what it is for, 32 bytes of an Ed25519 key, and a CRC-16.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.errors import UsageError, why

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_BLOCK: Final = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END [A-Z ]+-{3,}")
_SEED: Final = 18 << 3
_SEED_BYTES: Final = 36


class NatsKey:
    """Who connects. `jwt` is what an operator gave out, None for a key that the server knows; `public` names the key."""

    def __init__(self, seed: str, jwt: str | None) -> None:
        self.jwt = jwt
        self._key, kind = _opened(seed)
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        raw = bytes([kind]) + self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
        self.public = base64.b32encode(checked).decode().rstrip("=")

    def signature(self, nonce: str) -> str:
        """Sign what the server asks to have signed."""
        return base64.b64encode(self._key.sign(nonce.encode())).decode()


def _opened(seed: str) -> tuple[Ed25519PrivateKey, int]:
    """The key of a seed, and the byte that says what it is for. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    if len(raw) != _SEED_BYTES or raw[0] & 0xF8 != _SEED:
        raise ValueError("that is not the seed of a key")
    if binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("the seed of the key is damaged")
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2]), (raw[0] & 7) << 5 | raw[1] >> 3


def read_key(file: str) -> NatsKey:
    """Read a file of credentials.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        text = Path(file).read_text("utf-8")
        blocks = dict(_BLOCK.findall(text))
        seed = next((text for name, text in blocks.items() if "SEED" in name), text.strip())
        return NatsKey(seed, next((text for name, text in blocks.items() if "JWT" in name), None))
    except (OSError, ValueError) as error:  # the error of Base32 is a ValueError, too
        reason = why(error) if isinstance(error, OSError) else "it holds no key of a user"
        hint = "a .creds file of nsc, or the seed of a key (nk -gen user)"
        raise UsageError(f"the credentials of the broker cannot be used: {file}: {reason}", hint=hint) from None


def options_of(key: NatsKey | None, nonce: str) -> dict[str, Any]:
    """What a client says of itself to a server that sent a nonce."""
    if key is None:
        return {}
    return {"sig": key.signature(nonce), **({"nkey": key.public} if key.jwt is None else {"jwt": key.jwt})}
