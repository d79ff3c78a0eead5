"""A provider of OpenID Connect on the loopback: lets one person in, after the rules of the code flow with PKCE."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT, SECRET = "aether", "a client secret/with: signs"


class Provider(ThreadingHTTPServer):
    """`groups` are those of the person; `claims` are put over those of its ID tokens; with `denies` it lets no one in; `seen`
    are the queries of browsers that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.groups: list[str] = ["dev"]
        self.claims: dict[str, Any] = {}
        self.denies = ""
        self.signs_with: Any = None  # another key than the one that it publishes
        self.algorithm = "RS256"
        self.methods = ["client_secret_basic"]
        self.calls_itself = ""
        self.seen: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.key = self.new_key()

    def new_key(self) -> RSAKey:
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})
        return self.key

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def discovered(self) -> dict[str, Any]:
        at = self.issuer
        return {
            "issuer": self.calls_itself or at,
            "authorization_endpoint": f"{at}/authorize?realm=x",
            "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/keys",
            "token_endpoint_auth_methods_supported": self.methods,
        }

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "1234", "email": "ann@example.com", "groups": self.groups,
            "iat": now, "exp": now + 300, "nonce": asked["nonce"], **self.claims,
        }
        key = self.signs_with or self.key
        header = {"alg": self.algorithm, **({"kid": self.key.kid} if self.signs_with is None else {})}
        return jwt.encode(header, claims, key, algorithms=["RS256", "HS256"])


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:  # the name that http.server calls
        provider, parts = self.server, urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            self._answer(200, provider.discovered())
        elif parts.path == "/keys":
            self._answer(200, KeySet([provider.key]).as_dict(private=False))
        elif parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            provider.seen.append(asked)
            given = {"state": asked["state"]}
            if provider.denies:
                given["error"] = provider.denies
            else:
                given["code"] = secrets.token_hex(8)
                provider.codes[given["code"]] = asked
            self.send_response(302)
            self.send_header("location", f"{asked['redirect_uri']}?{urlencode(given)}")
            self.end_headers()
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        provider = self.server
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = provider.codes.pop(form.get("code", ""), None)
        basic = "Basic " + base64.b64encode(f"{quote_plus(CLIENT)}:{quote_plus(SECRET)}".encode()).decode()
        by_form = form.get("client_id") == CLIENT and form.get("client_secret") == SECRET
        is_known = by_form if provider.methods == ["client_secret_post"] else self.headers["authorization"] == basic
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not is_known:
            self._answer(401, {"error": "invalid_client"})
        elif asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            self._answer(400, {"error": "invalid_grant", "error_description": "<script>alert(1)</script>"})
        else:
            self._answer(200, {"access_token": "at", "token_type": "Bearer", "id_token": provider.token(asked)})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def shared_key() -> OctKey:
    """A key that the client has, too: what it signs proves nothing."""
    return OctKey.import_key(SECRET)


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider for as long as the block runs."""
    there = Provider()
    threading.Thread(target=there.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield there
    finally:
        there.shutdown()
        there.server_close()
