"""Why a server was not reached, in words that say what to do."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from aether_protocol.assembly.server_urls import why_unreachable

UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"
MISMATCH = (
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
    "Hostname mismatch, certificate is not valid for 'vm'. (_ssl.c:1006)"
)


@pytest.mark.parametrize(
    ("url", "error", "reason", "hint"),
    [
        (
            "https://vm",
            httpx.ConnectError(UNTRUSTED),
            "its certificate is not trusted: unable to get local issuer certificate",
            "SSL_CERT_FILE",
        ),
        (
            "https://vm",
            httpx.ConnectError(MISMATCH),
            "its certificate is for another name: Hostname mismatch, certificate is not valid for 'vm'.",
            "call it by a name",
        ),
        (
            "https://vm",
            httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "what answers there does not speak TLS",
            "is it http://",
        ),
        (
            "http://localhost",
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            "it ends the connection without an answer",
            "does it speak TLS",
        ),
        ("http://vm", httpx.ReadTimeout(""), "it does not answer in time", None),
        ("http://vm", httpx.ConnectTimeout("timed out"), "it does not answer in time", None),
        ("http://vm", httpx.ConnectError("All connection attempts failed"), "all connection attempts failed", None),
        ("http://vm", httpx.ReadError(""), "ReadError", None),
    ],
)
def test_each_reason_has_its_words(url: str, error: Exception, reason: str, hint: str | None) -> None:
    found, said = why_unreachable(url, error)
    assert found == reason
    assert said is None if hint is None else hint in (said or "")
