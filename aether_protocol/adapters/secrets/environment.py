"""Secrets from environment variables: name `db`, key `password` is `AETHER_SECRET_DB_PASSWORD`.

Law: a variable is read when it is asked for and kept nowhere. An empty variable is a secret with an empty text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from aether_protocol.adapters.secrets.naming import PREFIX, flat_name
from aether_protocol.errors import PortError
from aether_protocol.expressions.json_copy import is_whole


class EnvironmentSecrets:
    """A SecretProvider over `environ` (default: the process's own)."""

    blocking = False

    def __init__(self, environ: Mapping[str, str] | None = None, prefix: str = PREFIX) -> None:
        self._environ = os.environ if environ is None else environ
        self._prefix = prefix

    def get(self, name: str, key: str) -> str | None:
        """The variable's value, or None where it is not set. Raises PortError for bytes that are no UTF-8."""
        variable = self._prefix + flat_name(name, key)
        text = self._environ.get(variable)
        if text is not None and not is_whole(text):
            raise PortError(f"environment variable {variable} is not utf-8 text")
        return text


def environment_of_url(url: str) -> EnvironmentSecrets:
    """Make the provider of `environment`, or of `environment:PREFIX_` for variables of another prefix."""
    return EnvironmentSecrets(prefix=url.partition(":")[2] or PREFIX)
