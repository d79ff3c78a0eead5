"""What a server's URL may be, for clients and workers alike: where secrets go over the network they are encrypted; and why a
server was not reached.

Law: one place judges these URLs, before anything is sent.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from aether_protocol.errors import UsageError


def check_server_url(url: str, secret: str | None) -> str:
    """Return a server's URL without a slash at its end.

    Args:
        url: `http://HOST:PORT` or `https://HOST`, with a path where the server stands below one.
        secret: what is sent to it and that others must not read, such as a token; None: nothing.

    Raises:
        UsageError: it is another kind of URL, or `secret` would go over a network in clear.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        hint = "like http://127.0.0.1:7234 or https://aether.example.com"
        raise UsageError(f"{url!r} is not the address of a server", hint=hint)
    if parts.username or parts.password:
        raise UsageError("the address of a server has no user and no password", hint="give a token: AETHER_TOKEN")
    if secret is not None and parts.scheme == "http" and not is_loopback(parts.hostname):
        hint = "use https://, or a tunnel whose end is on this machine"
        raise UsageError(f"{url!r} would carry {secret} in clear over the network", hint=hint)
    return url.rstrip("/")


def bearer(token: str) -> str:
    """Return the header with which a token is shown.

    Raises:
        UsageError: it is none that a header can carry. Its text is not in the message.
    """
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        hint = "a line break at its end? a copy that is not whole?"
        raise UsageError("the token (AETHER_TOKEN or --token) has characters that no token has", hint=hint)
    return f"Bearer {token}"


def may_turn_to(url: str, named_by: str) -> bool:
    """Whether a worker that was given one server may call, with its token, another one that this one names.

    Args:
        url: of the other server. Its own machine is another one than this where `named_by` is not on this machine.
        named_by: the address at which the worker reached the server that named it.
    """
    try:
        check_server_url(url, "secrets")
    except UsageError:
        return False
    return not is_loopback(urlsplit(url).hostname or "") or is_loopback(urlsplit(named_by).hostname or "")


def why_unreachable(url: str, error: Exception) -> tuple[str, str | None]:
    """Say why a server was not reached, and what to do about it, if that is known.

    Args:
        url: of the server.
        error: what the HTTP library raised; a timeout is known by its class.
    """
    text = str(error)
    if "timeout" in type(error).__name__.lower():
        return "it does not answer in time", None
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        if "mismatch" in reason:
            return f"its certificate is for another name: {reason}", "call it by a name that is in the certificate"
        return f"its certificate is not trusted: {reason}", "SSL_CERT_FILE=FILE names the certificates that are (PEM)"
    if url.startswith("https:") and ("WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text):
        return "what answers there does not speak TLS", "is it http://...?"
    if url.startswith("http:") and "disconnected without" in text:
        return "it ends the connection without an answer", "does it speak TLS? then it is https://..."
    return text[:1].lower() + text[1:] or type(error).__name__, None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
