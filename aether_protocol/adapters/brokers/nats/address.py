"""Where a NATS server is, and who connects to it: the URL `nats://HOST:PORT`, taken apart.

Law: no text of a password, token or key is in what people see. Files that a URL names are read when a connection is made, so
that they may be replaced while a worker runs.
"""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from aether_protocol.adapters.brokers.nats.credentials import NatsKey, read_key
from aether_protocol.adapters.brokers.nats.subjects import NatsNames
from aether_protocol.errors import UsageError, why

PORT: Final = 4222
LEASE_S: Final = 30.0
_OPTIONS: Final = ("ca", "cert", "credentials", "key", "lease", "prefix", "tls")
_HINT: Final = "like nats://127.0.0.1:4222 or nats://user:password@host/?prefix=team-a&lease=30"


class NatsFiles(Struct, frozen=True):
    """The files that a URL names: the certificate of the authority that signed the server's, a client's own certificate with
    its key, and credentials (`credentials.read_key`). Each is empty where it is not given."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    credentials: str = ""


class NatsUrl(Struct, frozen=True):
    """A URL taken apart: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][?OPTIONS]`. TLS is spoken where the server wants it;
    `tls_first`: before the server says anything."""

    host: str
    port: int
    names: NatsNames
    lease_s: float = LEASE_S
    user: str | None = None
    password: str | None = None
    tls_first: bool = False
    files: NatsFiles = NatsFiles()

    @property
    def place(self) -> str:
        """The address, as people see it."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def login(self) -> dict[str, str]:
        """What of the URL says who connects, by the words of NATS: user and password, or a token."""
        if self.user is None:
            return {}
        return {"token": self.user} if self.password is None else {"user": self.user, "password": self.password}

    def tls(self) -> ssl.SSLContext:
        """How TLS is spoken there. Raises UsageError: a file cannot be read, or is not what it should be."""
        files, at = self.files, "ca"
        try:
            made = ssl.create_default_context(cafile=files.ca or None)
            at = "cert"
            if files.cert:
                made.load_cert_chain(files.cert, files.key or None, password="")  # a locked key is an error, not a question
        except (OSError, ssl.SSLError, ValueError) as error:
            named = files.ca if at == "ca" else " and ".join(filter(None, (files.cert, files.key)))
            raise UsageError(
                f"the broker's option {at!r} cannot be used: {named}: {why(error)}", hint="it names a file in PEM format"
            ) from error
        return made

    def signer(self) -> NatsKey | None:
        """What signs for who connects; None: no credentials are named. Raises UsageError."""
        return read_key(self.files.credentials) if self.files.credentials else None


def read_nats_url(url: str) -> NatsUrl:
    """Take a URL apart.

    Raises:
        UsageError: it says something else.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        lease_s = float(options.get("lease", LEASE_S))
    except ValueError:
        raise UsageError("that is not the URL of a NATS server", hint=_HINT) from None
    if not host:
        raise UsageError("the URL of the broker names no host", hint=_HINT)
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise UsageError(f"the broker {host!r} has no option {unknown[0]!r}", hint=f"there are {', '.join(_OPTIONS)}")
    if parts.path.strip("/"):
        raise UsageError(f"the URL of the broker {host!r} has a path, and NATS has none", hint=_HINT)
    if not 1 <= lease_s <= 86_400:
        raise UsageError(f"the lease of the broker {host!r} is not a number of seconds from 1 to 86400", hint=_HINT)
    prefix = options.get("prefix", "aether")
    if not prefix.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"the prefix {prefix!r} is not letters, digits, - and _", hint=_HINT)
    if options.get("tls", "first") != "first":
        raise UsageError(
            f"the broker {host!r} has tls={options['tls']!r}",
            hint="TLS is spoken where the server wants it; ?tls=first speaks it before the server says anything",
        )
    if bool(options.get("key")) > bool(options.get("cert")):
        raise UsageError(f"the broker {host!r} has a key and no certificate", hint="?cert=FILE&key=FILE")
    return NatsUrl(
        host,
        port,
        NatsNames(prefix),
        lease_s,
        tls_first="tls" in options,
        files=NatsFiles(**{name: options.get(name, "") for name in NatsFiles.__struct_fields__}),
        **_who(parts.username, parts.password),
    )


def _who(user: str | None, password: str | None) -> dict[str, Any]:
    return {
        "user": unquote(user) if user else None,
        "password": None if password is None else unquote(password),
    }
