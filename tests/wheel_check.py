"""Run with the Python of an environment that holds the built wheel alone: does the package work as installed?

Law: nothing of the checkout is imported; the folder of examples given is read as a user's own files would be.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

AETHER = str(Path(sysconfig.get_path("scripts")) / "aether")
EXTRAS = ("httpx2", "pytest")  # what only an extra brings


def aether(*arguments: str) -> str:
    """Run the command; its standard output. Anything but exit 0 ends the check."""
    done = subprocess.run([AETHER, *arguments], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"aether {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main(examples: Path) -> None:
    package = importlib.util.find_spec("aether_protocol")
    assert package is not None
    assert package.origin is not None
    home = Path(package.origin).parent
    assert home.is_relative_to(sys.prefix), f"{home} is not the installed package"
    assert (home / "py.typed").exists(), "the type marker is missing in the wheel"
    for extra in EXTRAS:
        assert importlib.util.find_spec(extra) is None, f"{extra} is installed: this environment is not clean"

    schema = json.loads(aether("schema"))
    assert schema["$schema"].endswith("2020-12/schema"), "the schema is not in the wheel"
    assert aether("--version").strip().endswith(installed_version()), "the version differs from the metadata"
    assert "script" in aether("executors"), "the executors are not found"
    report = json.loads(aether("run", str(examples / "release.yaml"), "--resume", "approve=yes", "--output", "json", "--quiet"))
    assert report["phase"] == "Succeeded", report
    aether("init", "trial")
    aether("validate", "trial")
    aether("test", "trial")
    print(f"the wheel works: {home}")


def installed_version() -> str:
    from importlib.metadata import version

    return version("aether-protocol")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
