"""What a SQLite store keeps of runs as text: plans, headers, steps, and how they are read again.

Law: this is loaded when the first run is written or opened. Who lists runs needs none of it, and pays for none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.database import Execute
from aether_protocol.adapters.stores.sqlite.sums import damaged
from aether_protocol.errors import AetherError, PortError
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.codec import decode_header, encode_entry, encode_header
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader

_PLANS_KNOWN: Final = 8


class Records:
    """Writes and reads them; `path` names the file in what is raised."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._digests: dict[int, tuple[Plan, str]] = {}  # of plans seen lately, by identity

    def header(self, header: RunHeader) -> str:
        return encode_header(header)

    def steps(self, steps: Sequence[LogEntry]) -> str:
        """A line for each."""
        return encode_entry(steps[0]) if len(steps) == 1 else "\n".join([encode_entry(step) for step in steps])

    def keep_plan(self, execute: Execute, plan: Plan) -> int:
        """The number of the row of `plan`, which is made if there is none with its digest."""
        seen = self._digests.get(id(plan))
        text = "" if seen is not None else encode_plan(plan)
        digest = seen[1] if seen is not None else sha256(text.encode()).hexdigest()
        if seen is None:
            if len(self._digests) >= _PLANS_KNOWN:
                del self._digests[next(iter(self._digests))]
            self._digests[id(plan)] = (plan, digest)
        found = execute("SELECT number FROM plans WHERE digest = ?", (digest,)).fetchone()
        if found is None:
            values = (digest, text or encode_plan(plan))
            number = execute("INSERT INTO plans (digest, text) VALUES (?, ?)", values).lastrowid
        else:
            number = found[0]
        assert number is not None
        return number

    def read_plan(self, found: Sequence[Any] | None, whose: str) -> Plan:
        """The plan of `whose` from its digest and text. Raises PortError where there is none, or it does not fit its digest."""
        digest, text = found or (None, None)
        if text is not None and (not isinstance(text, str) or sha256(text.encode()).hexdigest() != digest):
            raise damaged(f"the plan of {whose}")
        try:
            return decode_plan(text or "")
        except AetherError as error:
            raise self._unreadable(whose, error) from error

    def read_header(self, text: str | None, whose: str) -> RunHeader:
        """Raises PortError like `read_plan`."""
        try:
            return decode_header(text or "")
        except AetherError as error:
            raise self._unreadable(whose, error) from error

    def _unreadable(self, whose: str, error: AetherError) -> PortError:
        hint = error.hint or "`aether db check` tells more"
        return PortError(f"{whose} cannot be read from {self._path!r}: {error.message}", hint=hint)
