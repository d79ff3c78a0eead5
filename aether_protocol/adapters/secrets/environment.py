"""Secrets from environment variables: name `db`, key `password` is `AETHER_SECRET_DB_PASSWORD`, of the namespace `team-a` it
is `AETHER_SECRET__TEAM_A__DB_PASSWORD`.

Law: a variable is read when it is asked for and kept nowhere. An empty variable is a secret with an empty text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from aether_protocol.adapters.secrets.naming import PREFIX, flat_name
from aether_protocol.errors import PortError
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE


class EnvironmentSecrets:
    """A NamespacedSecretProvider over `environ` (default: the process's own)."""

    blocking = False
    by_namespace = True

    def __init__(self, environ: Mapping[str, str] | None = None, prefix: str = PREFIX) -> None:
        self._environ = os.environ if environ is None else environ
        self._prefix = prefix

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """The variable's value, or None where it is not set. Raises PortError for bytes that are no UTF-8."""
        flat = flat_name(name, key, namespace)
        if flat is None:
            return None
        variable = self._prefix + flat
        text = self._environ.get(variable)
        if text is not None and not is_whole(text):
            raise PortError(f"environment variable {variable} is not utf-8 text")
        return text


def environment_of_url(url: str) -> EnvironmentSecrets:
    """Make the provider of `environment`, or of `environment:PREFIX_` for variables of another prefix."""
    return EnvironmentSecrets(prefix=url.partition(":")[2] or PREFIX)
