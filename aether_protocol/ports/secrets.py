"""The SecretProvider port (DATA-12)."""

from __future__ import annotations

from typing import Final, Protocol

ENVIRONMENT_PREFIX: Final = "AETHER_SECRET_"  # variables of this name hold secrets, and are for no task to see


class SecretProvider(Protocol):
    """A place where secrets are kept. Asked anew for every attempt, on the engine's loop: it should be quick."""

    def get(self, name: str, key: str) -> str | None:
        """The secret's text, or None where this provider does not have it. Raises PortError when it cannot tell."""
        ...
