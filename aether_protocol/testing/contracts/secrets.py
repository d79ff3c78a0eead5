"""What every provider of secrets must keep (the SecretProvider port, DATA-12).

Law: subclass `SecretProviderContract` and say in `make` how a provider comes to hold the given secrets; every test here
then holds for it. Override `secrets` where the outside cannot hold one of these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aether_protocol.ports.secrets import SecretProvider

Secrets = Mapping[tuple[str, str], str]

SAMPLE: Secrets = {
    ("db", "password"): "hunter2",
    ("db-main", "api.key"): 'a "quoted" \\ back$lash # no comment',
    ("empty", "text"): "",
    ("lines", "pem"): "-----BEGIN-----\nabc\n-----END-----",
    ("unicode", "k"): "pässwörd→",
}
"""(name, key) and text."""


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

    def test_it_shows_no_secret_of_itself(self, tmp_path: Path) -> None:
        provider = self.make(self.secrets, tmp_path)
        shown = f"{provider!r} {provider!s}"
        assert not any(text in shown for text in self.secrets.values() if text)
