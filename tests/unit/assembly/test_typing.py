"""The package is typed (py.typed), and the types are those that a user's code needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).with_name("typed_client.py")


def test_a_typed_client_is_accepted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(CLIENT)],
        cwd=CLIENT.parents[3], capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout
