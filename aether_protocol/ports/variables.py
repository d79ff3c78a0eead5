"""The VariableSource port (DATA-4): names under a namespace of their own, read once at submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aether_protocol.expressions.values import Json


class VariableSource(Protocol):
    """Variables that documents see everywhere, under a namespace of their own."""

    @property
    def namespace(self) -> str:
        """The first segment of the names, a DNS-1123 label that is none of the protocol's own namespaces."""
        ...

    def read(self) -> Mapping[str, Json]:
        """The values by name. Called once for each run, as it is submitted."""
        ...
