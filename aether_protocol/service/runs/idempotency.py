"""Submissions that may be repeated: what an idempotency key stands for, and what came of one.

Law: what is the same is decided by the store, in the transaction that records the run (`RunStore.create`); so two requests at
the same moment, and one after a restart, find the same run. A key holds as long as its run is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from aether_protocol.engine.submission import copy_arguments
from aether_protocol.errors import UsageError
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunKey

LONGEST_KEY: Final = 255  # characters


class OnceSubmitted(Struct, frozen=True):
    """The run that a key names; `is_new`: this submission began it."""

    run_id: str
    is_new: bool


def make_run_key(key: str, plan: Plan, arguments: Mapping[str, Json]) -> RunKey:
    """Make the key of a submission: its digest is that of the workflow and of the arguments as they are given.

    Raises UsageError for a key that is empty, too long or not printable text.
    """
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not key.isprintable() or not is_whole(key):
        hint = f"1 to {LONGEST_KEY} printable characters, for example a UUID"
        raise UsageError(f"{key!r} is not an idempotency key", hint=hint)
    given = json.dumps([plan.digest, copy_arguments(arguments)], sort_keys=True, separators=(",", ":"))
    return RunKey(key, sha256(given.encode("ascii")).hexdigest())
