"""Say which real servers the tests will use; in CI it is an error where one is missing.

    python -m tests.real_servers
"""

from __future__ import annotations

import os
import shutil
import sys

from tests import nats_server, redis_server
from tests.browser import chromium
from tests.postgres import VARIABLE, binaries, described


def main() -> int:
    pool = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    print(f"PostgreSQL: {described()}")
    print(f"PgBouncer: {pool or 'none (Debian: pgbouncer); the refusal of pools is not tested against it'}")
    print(f"NATS: {nats_server.described()}")
    print(f"Redis: {redis_server.described()}")
    print(f"Chromium: {chromium.described()}")
    missing = (not os.environ.get(VARIABLE) and binaries() is None) or nats_server.program() is None
    missing |= shutil.which(redis_server.PROGRAM) is None or chromium.program() is None
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
