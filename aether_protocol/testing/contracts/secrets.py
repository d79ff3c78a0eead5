"""What every provider of secrets must keep (the SecretProvider port, DATA-12; of several namespaces, RT-138).

Law: subclass `SecretProviderContract` and say in `make` how a provider comes to hold the given secrets, and in
`make_by_namespace` those of several namespaces, where it can; every test here then holds for it. Override `secrets` where the
outside cannot hold one of these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import cast

import pytest

from aether_protocol.ports.secrets import NamespacedSecretProvider, SecretProvider

Secrets = Mapping[tuple[str, str], str]

SAMPLE: Secrets = {
    ("db", "password"): "hunter2",
    ("db-main", "api.key"): 'a "quoted" \\ back$lash # no comment',
    ("empty", "text"): "",
    ("lines", "pem"): "-----BEGIN-----\nabc\n-----END-----",
    ("unicode", "k"): "pässwörd→",
}
"""(name, key) and text."""

NamespacedSecrets = Mapping[tuple[str, str, str], str]

TENANTS: NamespacedSecrets = {
    ("default", "db", "password"): "of-default",
    ("default", "team", "token"): "of-default-too",
    ("team", "a-db", "password"): "of-team",
    ("team-a", "db", "password"): "of-team-a",
    ("team-a", "only", "here"): "of-team-a-alone",
    ("a", "db", "password"): "of-a",
}
"""(namespace, name, key) and text: namespaces, names and keys that look like one another."""

_STRANGERS = (
    "", ".", "..", "Team-A", "TEAM-A", "team_a", "team.a", "team--a", "-team-a", "team-a-", "team-a/db", "other",
    "db", "..data", "..2026_11_30",
)  # fmt: skip
_TRICKS = (
    "db", "a-db", "team", "team-a", "a", "default", "team-a/db", "/team-a/db", "../team-a/db", "../db", "./db", "team-a//db",
    "a/db", "default/db", "_TEAM_A__DB", "-team-a--db", ".team.a..db", "_A__DB", "__A__DB", "AETHER_SECRET__TEAM_A__DB",
    "AETHER_SECRET_DB", "team-a.db", "", "..", "db.password", "only",
    "..data", "..2026_11_30", "..data/db", "..data/team-a", "..",
)  # fmt: skip
_KEYS = (
    "password", "db_password", "db/password", "../db/password", "../../team-a/db/password", "a_db_password", "_DB_PASSWORD",
    "db.password", "", "token", "here", "_password",
    "..data", "..data/password", "..data/token",
)  # fmt: skip


class SecretProviderContract:
    """Subclass it as `TestMySecrets`; pytest then collects the tests below."""

    secrets: Secrets = SAMPLE

    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        """A provider that holds `secrets`; `folder` is empty and its own."""
        raise AssertionError("a contract needs `make`")

    def test_it_gives_each_text_exactly(self, tmp_path: Path) -> None:
        provider = self.make(self.secrets, tmp_path)
        for (name, key), text in self.secrets.items():
            assert provider.get(name, key) == text

    def test_it_gives_none_for_what_it_does_not_have(self, tmp_path: Path) -> None:
        provider = self.make(self.secrets, tmp_path)
        assert provider.get("db", "user") is None
        assert provider.get("other", "password") is None
        assert self.make({}, tmp_path).get("nothing", "at-all") is None

    def test_names_and_keys_are_never_paths(self, tmp_path: Path) -> None:
        provider = self.make(self.secrets, tmp_path)
        for name, key in (("..", "x"), ("db", "../db/password"), ("db/password", ""), ("", ""), ("/", "/"), ("a\0b", "c")):
            assert provider.get(name, key) is None

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider | None:
        """A provider that holds the secrets of several namespaces; None: it has those of `default` alone."""
        return None

    def test_a_secret_is_given_in_its_own_namespace_and_in_no_other(self, tmp_path: Path) -> None:
        made = self.make_by_namespace(TENANTS, tmp_path)
        if made is None:
            pytest.skip("it has the secrets of `default` alone")
        provider = cast("NamespacedSecretProvider", made)
        assert provider.by_namespace
        for (namespace, name, key), text in TENANTS.items():
            assert provider.get(name, key, namespace) == text
        namespaces = [*dict.fromkeys(one for one, _, _ in TENANTS), *_STRANGERS]
        for namespace, name, key in product(namespaces, _TRICKS, _KEYS):
            own = {None, *(text for (space, _, _), text in TENANTS.items() if space == namespace)}
            assert provider.get(name, key, namespace) in own, (namespace, name, key)
            if namespace == "default":
                assert provider.get(name, key) in own, (name, key)

    def test_it_shows_no_secret_of_itself(self, tmp_path: Path) -> None:
        provider = self.make(self.secrets, tmp_path)
        shown = f"{provider!r} {provider!s}"
        assert not any(text in shown for text in self.secrets.values() if text)
