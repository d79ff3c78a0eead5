"""People log in at a provider of OpenID Connect, on the loopback; what is not whole and right lets nobody in (RT-143)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from joserfc.jwk import RSAKey

from aether_protocol.errors import UsageError
from aether_protocol.server.oidc.provider import OidcSettings
from aether_protocol.server.oidc.roles import read_roles, roles_of
from tests.documents import script
from tests.e2e.oidc_provider import CLIENT, SECRET, Provider, provider, shared_key
from tests.e2e.process import aether
from tests.e2e.servers import Served, served

pytestmark = pytest.mark.rule("RT-143")

ROLES = """
[auth.roles]
dev = ["operator@team-a", "viewer@team-b"]
ops = "admin"
"""


@contextmanager
def with_login(folder: Path, at: Provider, *options: str, roles: str = ROLES, **more: str) -> Iterator[Served]:
    file = folder / "aether.toml"
    file.write_text(f'[oidc]\nissuer = "{at.issuer}"\nclient_id = "{CLIENT}"\n{roles}')
    variables = {"AETHER_CONFIG": str(file), "AETHER_OIDC_CLIENT_SECRET": SECRET, **more}
    with served(folder, "--no-workers", *options, **variables) as server:
        yield server


def log_in(server: Served, browser: httpx.Client, path: str = "/v1/login/oidc?next=/docs") -> httpx.Response:
    """Go to the provider and back, as a browser does."""
    there = browser.get(f"{server.url}{path}")
    assert there.status_code == 302, there.text
    back = browser.get(there.headers["location"])
    assert back.status_code == 302, back.text
    return browser.get(back.headers["location"])


def test_a_person_logs_in_and_may_do_what_their_groups_may(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as browser:
        assert browser.get(f"{server.url}/v1/runs").status_code == 401, "authentication is on"
        page = log_in(server, browser)
        assert page.status_code == 200, page.text
        assert '<meta http-equiv="refresh" content="0;url=/docs">' in page.text
        session = next(one for one in page.headers.get_list("set-cookie") if one.startswith("aether="))
        assert "HttpOnly" in session
        assert re.search(r"samesite=strict", session, re.IGNORECASE)
        me = browser.get(f"{server.url}/v1/me").json()
        assert (me["name"], me["kind"]) == ("ann@example.com", "person")
        assert me["roles"] == {"team-a": "operator", "team-b": "viewer"}
        flow = script("true")
        for namespace, status in (("team-a", 201), ("team-b", 403), ("team-c", 403)):
            flow["metadata"]["namespace"] = namespace
            headers = {"x-aether-csrf": me["csrf"]}
            assert browser.post(f"{server.url}/v1/runs", json={"document": flow}, headers=headers).status_code == status
        assert browser.post(f"{server.url}/v1/runs", json={"document": flow}).status_code == 403, "without the header"
        assert browser.post(f"{server.url}/v1/logout", headers={"x-aether-csrf": me["csrf"]}).status_code == 204
        assert browser.get(f"{server.url}/v1/runs").status_code == 401
        asked = at.seen[0]
        assert (asked["response_type"], asked["code_challenge_method"], asked["realm"]) == ("code", "S256", "x")
        assert asked["scope"].split()[0] == "openid"
        _, said = server.end()
        assert SECRET not in said


def test_the_login_is_audited_and_ends_by_itself(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as browser:
        at.groups = ["ops"]
        log_in(server, browser)
        (one,) = [one for one in browser.get(f"{server.url}/v1/tokens").json()["tokens"] if one["name"] == "ann@example.com"]
        assert one["roles"] == {"*": "admin"}
        assert one["expiresAt"] is not None
        actions = [record["action"] for record in browser.get(f"{server.url}/v1/audit").json()["records"]]
        assert "login.oidc" in actions


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"claims": {"nonce": "of another login"}}, "cannot be believed"),
        ({"claims": {"aud": "another client"}}, "cannot be believed"),
        ({"claims": {"aud": [CLIENT, "another"], "azp": "another"}}, "cannot be believed"),
        ({"claims": {"iss": "https://evil.example"}}, "cannot be believed"),
        ({"claims": {"exp": int(time.time()) - 600}}, "cannot be believed"),
        ({"claims": {"nbf": int(time.time()) + 6000}}, "cannot be believed"),
        ({"claims": {"at_hash": "wrong"}}, "cannot be believed"),
        ({"signs_with": RSAKey.generate_key(2048)}, "cannot be believed"),
        ({"signs_with": shared_key(), "algorithm": "HS256"}, "cannot be believed"),
        ({"denies": "access_denied"}, "did not let this person in: access_denied"),
        ({"groups": ["sales"]}, "has no role here"),
        ({"groups": []}, "has no role here"),
        ({"methods": ["client_secret_post"]}, None),
        ({"claims": {"groups": "dev"}}, None),
        ({"claims": {"aud": [CLIENT, "another"], "azp": CLIENT}}, None),
    ],
)
def test_what_a_provider_says_counts_once_all_of_it_is_checked(fault: dict[str, Any], told: str | None, tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as browser:
        for name, value in fault.items():
            setattr(at, name, value)
        answer = log_in(server, browser)
        assert answer.status_code == (200 if told is None else 403), answer.text
        if told is not None:
            assert told in answer.json()["detail"]
            assert browser.get(f"{server.url}/v1/runs").status_code == 401


def test_only_the_browser_that_began_a_login_ends_it(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as victim, httpx.Client() as other:
        there = other.get(f"{server.url}/v1/login/oidc")
        back = other.get(there.headers["location"]).headers["location"]
        assert victim.get(back).status_code == 403, "a login of someone else is not ended here (login CSRF)"
        victim.get(f"{server.url}/v1/login/oidc")
        assert victim.get(back).status_code == 403, "nor in the place of the own one"
        assert other.get(back).status_code == 200
        assert other.get(back).status_code == 403, "a login ends once"
        stale = httpx.get(f"{server.url}/v1/login/oidc/callback?state=&code=x")
        assert (stale.status_code, stale.json()["code"]) == (403, "login-refused")


def test_a_code_that_was_used_is_refused_without_the_words_of_the_provider(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as browser:
        there = browser.get(f"{server.url}/v1/login/oidc")
        back = browser.get(there.headers["location"]).headers["location"]
        at.codes.clear()
        answer = browser.get(back)
        assert answer.status_code == 403
        assert "invalid_grant" in answer.text
        assert "script" not in answer.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a b", '/"><script>']
)
def test_a_login_leads_to_a_path_of_this_server(target: str, tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server, httpx.Client() as browser:
        there = browser.get(f"{server.url}/v1/login/oidc", params={"next": target})
        back = browser.get(there.headers["location"])
        page = browser.get(back.headers["location"]).text
        assert "evil" not in page
        assert "<script>" not in page
        assert "javascript" not in page


def test_new_keys_of_a_provider_are_asked_for(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server:
        for _ in range(2):
            with httpx.Client() as browser:
                assert log_in(server, browser).status_code == 200
            at.new_key()


def test_a_provider_that_is_away_or_another_one_is_said(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at) as server:
        at.calls_itself = "https://another.example"
        answer = httpx.get(f"{server.url}/v1/login/oidc")
        assert answer.status_code == 503
        assert "calls itself" in answer.json()["detail"]
        at.shutdown()
        at.server_close()
        at.calls_itself = ""
        answer = httpx.get(f"{server.url}/v1/login/oidc")
        assert answer.status_code == 503, answer.text
        assert "cannot be reached" in answer.json()["detail"]


def test_behind_a_proxy_the_public_address_is_where_one_comes_back(tmp_path: Path) -> None:
    with provider() as at, with_login(tmp_path, at, "--public-url", "https://flows.example.com/") as server:
        there = httpx.get(f"{server.url}/v1/login/oidc")
        asked = parse_qs(urlsplit(there.headers["location"]).query)
        assert asked["redirect_uri"] == ["https://flows.example.com/v1/login/oidc/callback"]
        cookie = there.headers["set-cookie"]
        assert cookie.startswith("__Host-aether-oidc=")
        assert "Secure" in cookie


def test_faulty_settings_are_said_at_the_start_and_the_secret_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "aether.toml"
    common = {"AETHER_CONFIG": str(file), "AETHER_OIDC_CLIENT_SECRET": "t0ps3cret", "cwd": tmp_path}
    for text, told in (
        ('[oidc]\nissuer = "http://id.example.com"\nclient_id = "x"\n[auth.roles]\na = "admin"', "not an address of https"),
        ('[oidc]\nissuer = "https://id.example.com"\n[auth.roles]\na = "admin"', "no client_id"),
        ('[oidc]\nissuer = "https://id.example.com"\nclient_id = "x"', "[auth.roles] gives no group a role"),
        ('[oidc]\nissuer = "https://id.example.com"\nclient_id = "x"\n[auth.roles]\na = "amdin"', "did you mean 'admin'?"),
        ('[oidc]\nissuer = "https://id.example.com"\nclient_id = "x"\n[auth.roles]\na = "admin@a b"', "not a namespace"),
    ):
        file.write_text(text)
        ended = aether("serve", "--db", "x.db", "--http-port", "0", **common)
        assert ended.returncode == 2, ended.stderr
        assert told in ended.stderr
        for form in ("json", "text"):
            assert "t0ps3cret" not in aether("config", "show", "-o", form, **common).stdout
    shown = json.loads(aether("config", "show", "-o", "json", **common).stdout)["settings"]
    assert next(one["value"] for one in shown if one["key"] == "oidc.client_secret") == "***"


def test_without_a_provider_there_is_no_such_route(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers") as server:
        assert httpx.get(f"{server.url}/v1/login/oidc").status_code == 404


def test_the_highest_role_of_all_groups_counts() -> None:
    grants = read_roles({"a": "viewer", "b": ["operator@x", "author@y"], "c": "admin@x", "*": "viewer@z"})
    assert roles_of([], grants) == {"z": "viewer"}
    assert roles_of(["a"], grants) == {"*": "viewer", "z": "viewer"}
    assert roles_of(["c", "b"], grants) == {"x": "admin", "y": "author", "z": "viewer"}
    assert roles_of(["b", "c", "unknown"], grants) == {"x": "admin", "y": "author", "z": "viewer"}


def test_settings_need_what_they_name() -> None:
    with pytest.raises(UsageError, match="not an address of https"):
        OidcSettings(issuer="ftp://x", client_id="a", grants={"a": [("admin", "*")]}).check()
