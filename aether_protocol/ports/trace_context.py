"""The trace context of W3C: how a span is referred to across processes, as a `traceparent`."""

from __future__ import annotations

import re
from typing import Final, Self

from msgspec import Struct

# Compiled when there is one.
_TRACEPARENT: Final = r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
_SAMPLED: Final = 0x01


class TraceContext(Struct, frozen=True, gc=False):
    """A span as others refer to it, the `traceparent` of W3C: ids in hex, 32 and 16 digits; whether the trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        """Write it as a `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read a `traceparent`; None for what is not one, as W3C asks: who is given a broken one begins a trace."""
        found = None if text is None else re.fullmatch(_TRACEPARENT, text.strip())
        if found is None or (found[1] == "00" and found[5] is not None):
            return None
        return cls(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))
