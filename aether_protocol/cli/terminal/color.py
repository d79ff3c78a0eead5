"""Whether text is coloured: `--color`, then NO_COLOR, then FORCE_COLOR, then whether a terminal reads it.

Law: decided here alone. `set_color` gives what click wants to know: True, False, or None for "where a terminal is".
"""

from __future__ import annotations

import os
import sys
from typing import Final

COLOR_MODES: Final = ("auto", "always", "never")
_BY_MODE: Final = {"always": True, "never": False}

_decided: bool | None = None


def begin() -> bool | None:
    """Decide by the environment: before a command is parsed."""
    return set_color("auto")


def set_color(mode: str) -> bool | None:
    """Decide by `--color`; "auto" asks the environment."""
    global _decided
    _decided = _BY_MODE[mode] if mode in _BY_MODE else _by_environment()
    return _decided


def decided() -> bool | None:
    """True or False where it does not depend on the stream."""
    return _decided


def colored() -> bool:
    """Whether text on standard output is coloured."""
    return _decided if _decided is not None else sys.stdout.isatty()


def _by_environment() -> bool | None:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None
