"""The SecretProvider port (DATA-12)."""

from __future__ import annotations

from typing import Final, Protocol

ENVIRONMENT_PREFIX: Final = "AETHER_SECRET_"  # variables of this name hold secrets, and are for no task to see


class SecretProvider(Protocol):
    """A place where secrets are kept, asked anew for every attempt.

    `get` may block: it is called in a thread, of which there are few, and given up after 30 seconds. A provider that only
    looks into memory may say so with a class attribute `blocking = False`, and is then called on the event loop.
    """

    def get(self, name: str, key: str) -> str | None:
        """The secret's text, or None where this provider does not have it. Raises PortError when it cannot tell."""
        ...
