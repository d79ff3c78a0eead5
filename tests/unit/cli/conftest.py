"""The zone in which text shows times is that of the tests, not of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _zone_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in UTC on which `TZ` is not set; a test may set it."""
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("TZ", "UTC")
        time.tzset()
    monkeypatch.delenv("TZ", raising=False)
    yield
    monkeypatch.undo()
    time.tzset()
