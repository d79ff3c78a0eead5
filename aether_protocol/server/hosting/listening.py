"""Where a server listens, and how: addresses, TLS, and the library that speaks HTTP."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn

from aether_protocol.errors import PortError, UsageError
from aether_protocol.server.bounds import http_protocol


def tls_of(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """The TLS of a port. Raises UsageError where the files are not a certificate and its key."""
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # or the system would ask at the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{key!r} is not the key of the certificate {cert!r}") from None
        hint = "both are PEM files, the key without a passphrase"
        raise UsageError(f"{cert!r} and {key!r} cannot be used as a certificate and its key", hint=hint) from None
    except OSError as error:
        raise UsageError(f"{cert!r} or {key!r} cannot be read: {error.strerror}") from None
    return context


def http_config(app: Any, cert: str | None, key: str | None, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # a warning for each request that is none would fill the log of a server that strangers reach
        access_log=False,
        server_header=False,
        http=http_protocol(),
        ws="none",
        ssl_certfile=cert,
        ssl_keyfile=key,
        **more,
    )


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers: the command has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen_at_one_of(host: str, ports: Sequence[int]) -> socket.socket:
    """Bind the first of these ports that is free. Raises PortError of the last one."""
    for port in ports[:-1]:
        with contextlib.suppress(PortError):
            return listen(host, port)
    return listen(host, ports[-1])


def listen(host: str, port: int) -> socket.socket:
    """Bind the address. Raises PortError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Its protocol is named, or asyncio leaves TCP_NODELAY off: the end of each answer would wait 40 ms for an acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(2048)  # who connects before the application is there waits for it
    except OSError as error:
        made.close()
        reason = (error.strerror or str(error)).lower()
        hint = "another server may run there; --http-port 0 takes a free one" if port else None
        raise PortError(f"cannot listen on {host} port {port}: {reason}", hint=hint) from error
    made.setblocking(False)
    return made
