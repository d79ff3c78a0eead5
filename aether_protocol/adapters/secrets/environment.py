"""Secrets from environment variables: name `db`, key `password` is `AETHER_SECRET_DB_PASSWORD`.

Law: a variable is read when it is asked for and kept nowhere. An empty variable is a secret with an empty text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from aether_protocol.adapters.secrets.naming import PREFIX, flat_name


class EnvironmentSecrets:
    """A SecretProvider over `environ` (default: the process's own)."""

    def __init__(self, environ: Mapping[str, str] | None = None, prefix: str = PREFIX) -> None:
        self._environ = os.environ if environ is None else environ
        self._prefix = prefix

    def get(self, name: str, key: str) -> str | None:
        """The variable's value, or None where it is not set."""
        return self._environ.get(self._prefix + flat_name(name, key))
