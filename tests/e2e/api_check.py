"""The API held against its own description by schemathesis: `python -m tests.e2e.api_check ST`, where ST is that command.

Law: nothing answers 500 or above, and each answer has a status, a content type and a body that the description declares.
schemathesis is in an environment of its own (`nox -s api`): what it needs does not bind what the project needs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.e2e.process import AETHER

SECONDS: Final = 30
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
WAITING: Final = r"follow$|/poll$|^/v1/changes$"  # these answer late by intention; the tests of feeds and workers call them


def judge(command: str, url: str, folder: Path, seed: str) -> int:
    """Call every route with what its description allows, and with what it does not. The exit code of schemathesis."""
    options = ["--workers", "2", "--max-examples", "5", "--max-time", str(SECONDS), "--seed", seed, "--request-timeout", "20"]
    options += ["--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS), "--exclude-path-regex", WAITING]
    options += ["--continue-on-failure", "--no-shrink", "--warnings", "off"]
    return subprocess.run([command, "run", f"{url}/openapi.json", *options], cwd=folder, check=False).returncode


def main(command: str, seed: str = "1") -> int:
    """Serve a new store on a free port, judge, and end the server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        serve = [*AETHER, "serve", "--http-port", "0", "--db", str(folder / "api.db")]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        with subprocess.Popen(serve, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            try:
                found = next((match for line in server.stderr if (match := re.search(r"http://[\d.]+:\d+", line))), None)
                if found is None:
                    print("the server did not begin", file=sys.stderr)
                    return 1
                return judge(command, found[0], folder, seed)
            finally:
                server.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
