"""The variables that every run sees: `system.*` (DATA-4).

Law: the names are those of the protocol, whatever the machine calls itself.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions.values import Json

_SYSTEMS: Final = {"win32": "windows", "cygwin": "windows"}
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def system_variables() -> dict[str, Json]:
    """`os` (linux, darwin, windows) and `arch` (amd64, arm64) of this machine."""
    machine = platform.machine().lower()
    return {"os": _SYSTEMS.get(sys.platform, sys.platform), "arch": _MACHINES.get(machine, machine)}


class SystemVariables:
    """See `ports.variables.VariableSource`."""

    namespace: str = "system"

    def read(self) -> Mapping[str, Json]:
        return system_variables()


class GivenVariables:
    """A namespace with fixed values."""

    def __init__(self, namespace: str, values: Mapping[str, Json]) -> None:
        self.namespace = namespace
        self._values = values

    def read(self) -> Mapping[str, Json]:
        return self._values
