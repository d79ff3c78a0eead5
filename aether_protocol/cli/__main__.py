"""`python -m aether_protocol.cli`: the same as `aether`."""

from __future__ import annotations

import sys

from aether_protocol.cli import main

sys.exit(main())
