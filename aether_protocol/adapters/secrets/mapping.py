"""Secrets from a mapping {name: {key: text}}: case files, tests, and what `--secrets-file` holds. A name `team-a/db` is `db`
of the namespace `team-a`; one without a slash is of the namespace `default`.

Law: a value is text. A number or a boolean is refused and not written out as text, because it is not known which spelling of
`0123` or `yes` was meant.
"""

from __future__ import annotations

from typing import Any

from aether_protocol.adapters.secrets.naming import split_name
from aether_protocol.errors import PortError
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE


class MappingSecrets:
    """A NamespacedSecretProvider over a mapping, which is checked and copied at once. Raises PortError, naming no text."""

    blocking = False
    by_namespace = True

    def __init__(self, secrets: Any, origin: str = "the secrets") -> None:
        self._secrets: dict[tuple[str, str, str], str] = {}
        if not isinstance(secrets, dict):
            raise PortError(f"{origin}: a mapping of names is expected", hint="write {name: {key: text}}")
        for name, keys in secrets.items():
            if not isinstance(name, str) or not isinstance(keys, dict):
                raise PortError(f"{origin}: {name!r} needs a mapping of keys", hint="write {name: {key: text}}")
            for key, text in keys.items():
                if not isinstance(key, str) or not isinstance(text, str):
                    raise PortError(
                        f"{origin}: {name!r} key {key!r} is not text but {type(text).__name__}",
                        hint="put the value in quotes",
                    )
                if not is_whole(text):
                    raise PortError(f"{origin}: {name!a} key {key!a} holds half of a surrogate pair, which is not a character")
                self._secrets[*split_name(name), key] = text

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """The text, or None where the mapping has none."""
        return self._secrets.get((namespace, name, key))
