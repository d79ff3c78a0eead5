"""The SecretProvider port (DATA-12)."""

from __future__ import annotations

from typing import Final, Protocol

ENVIRONMENT_PREFIX: Final = "AETHER_SECRET_"  # variables of this name hold secrets, and are for no task to see
CREDENTIALS: Final = frozenset(  # variables by which a server or a worker shows who it is: for no program of others to see
    {"AETHER_TOKEN", "AETHER_SERVER_TOKEN", "AETHER_OIDC_CLIENT_SECRET", "AETHER_TRACING_HEADERS"}
)
DEFAULT_NAMESPACE: Final = "default"  # that of a document that names none


class SecretProvider(Protocol):
    """A place where secrets are kept, asked anew for every attempt. What it has belongs to the namespace `default`, and it is
    not asked for those of other ones (RT-138): see `NamespacedSecretProvider`.

    `get` may block: it is called in a thread, of which there are few, and given up after 30 seconds. A provider that only
    looks into memory may say so with a class attribute `blocking = False`, and is then called on the event loop.
    """

    def get(self, name: str, key: str) -> str | None:
        """The secret's text, or None where this provider does not have it. Raises PortError when it cannot tell."""
        ...


class NamespacedSecretProvider(SecretProvider, Protocol):
    """A provider with secrets of several namespaces. Its class attribute `by_namespace = True` says so.

    A run gets the secrets of its own namespace. No name, key or namespace, whatever is in them, may lead to a secret of
    another namespace: names and keys are any text; a namespace is 1 to 63 letters, digits, dots, hyphens and underscores.
    """

    by_namespace: bool

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """The text of a secret of `namespace`, or None where this provider does not have it. Raises PortError when it cannot
        tell."""
        ...
