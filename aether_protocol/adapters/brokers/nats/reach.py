"""Whether a NATS server is there, and takes this client: asked before anything is begun.

Law: what is away may come, and workers wait for it; what refuses, or is not NATS, does not change by itself. The client of
the library would try again for ever, and say nothing.
"""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import ExitStack
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.nats.address import NatsUrl
from aether_protocol.adapters.brokers.nats.credentials import options_of
from aether_protocol.errors import PortError

REACH_S: Final = 5.0
_MOST_LINE: Final = 2**20
_JS: Final = "nats-server -js"
_WHO: Final = (
    "user and password are in the URL: nats://USER:PASSWORD@HOST, or its token: nats://TOKEN@HOST; a file of credentials is "
    "named there: ?credentials=FILE"
)
_ENDED: Final = "it ended the connection"
_CERTIFICATE: Final = "certificates that it wants are named in the URL: nats://HOST?ca=FILE, and ?cert=FILE&key=FILE"

_log = logging.getLogger("aether_protocol")


class NatsAwayError(PortError):
    """Nothing answers there now."""


class _Info(Struct):
    """What a server says first."""

    jetstream: bool = False
    tls_required: bool = False
    nonce: str = ""


def require_reachable(url: NatsUrl) -> None:
    """See whether a server can be used.

    Raises:
        NatsAwayError: nothing answers there.
        PortError: it refuses, or is something else.
        UsageError: a file that the URL names cannot be used.
    """
    where = f"NATS at {url.place}"
    try:
        said, refused = _met(url)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or (error.reason or str(error)).replace("_", " ").lower()
        raise PortError(f"{where} cannot be used by TLS: {reason}", hint=_CERTIFICATE) from error
    except (msgspec.MsgspecError, UnicodeError):
        hint = f"is {_JS} running there? One that speaks TLS before all else is nats://HOST?tls=first"
        raise PortError(f"what answers at {url.place} is not NATS", hint=hint) from None
    except OSError as error:
        hint = f"is nats-server running there, with JetStream ({_JS})?"
        reason = (error.strerror or str(error)).lower()
        raise NatsAwayError(f"{where} cannot be reached: {reason}", hint=hint) from error
    if refused:
        raise PortError(f"{where} refuses: {refused}", hint=_CERTIFICATE if "tls" in refused else _WHO)
    if not said.jetstream:  # another server of its cluster may have it
        _log.warning("%s has no JetStream: where no server of its cluster has it, no task begins (%s)", where, _JS)


def _met(url: NatsUrl) -> tuple[_Info, str]:
    """Connect once. Returns what the server says of itself, and why it refuses, or nothing."""
    tls, key = url.tls(), url.signer()
    with ExitStack() as open_:
        link: socket.socket = open_.enter_context(socket.create_connection((url.host, url.port), REACH_S))
        if url.tls_first:
            link = open_.enter_context(tls.wrap_socket(link, server_hostname=url.host))
        said = msgspec.json.decode(_line(link).removeprefix(b"INFO "), type=_Info)
        if said.tls_required and not url.tls_first:
            link = open_.enter_context(tls.wrap_socket(link, server_hostname=url.host))
        login = {_WORDS[name]: text for name, text in url.login.items()} | options_of(key, said.nonce)
        hello = {"verbose": False, "pedantic": False, "lang": "python3", "version": "0", **login}
        link.sendall(b"CONNECT " + msgspec.json.encode(hello) + b"\r\nPING\r\n")
        with link.makefile("rb") as lines:
            return said, _refusal(lines)


_WORDS: Final = {"user": "user", "password": "pass", "token": "auth_token"}


def _line(link: socket.socket) -> bytes:
    """The first line, and nothing that follows it: what follows may be TLS."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MOST_LINE and (more := link.recv(1)):
        line += more
    if not line:
        raise ConnectionResetError(_ENDED)
    return line


def _refusal(lines: BinaryIO) -> str:
    """Why the server refuses, or nothing."""
    while line := lines.readline(_MOST_LINE):
        if line.startswith(b"-ERR"):
            return line[4:].decode("utf-8", "replace").strip(" '\r\n").lower()
        if line.startswith(b"PONG"):
            return ""
    raise ConnectionResetError(_ENDED)
