"""What tests of simulations ask for by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet() -> Iterator[None]:
    """What breaks in a simulation is meant to."""
    log = logging.getLogger("aether_protocol")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)
