"""Faults of what goes between servers and workers; tests notice them."""

from __future__ import annotations

from typing import Final

from tests.mutation.faults import Fault

ARTIFACTS: Final = "tests/unit/server/test_artifacts.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "artifacts by digest",
        "what came is kept, whatever it is",
        "adapters/artifacts/transfers.py",
        "            if found != digest:\n",
        "            if not digest:\n",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a delivery may fetch every artifact of the server",
        "server/artifacts.py",
        "and digest not in allowed",
        "and not allowed",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a result may name an artifact that was never sent",
        "adapters/brokers/workers.py",
        "            if size is None:\n",
        "            if digest is None:\n",
        tests=ARTIFACTS,
    ),
    Fault(
        "artifacts by digest",
        "a worker keeps what came damaged",
        "worker/cache.py",
        "            if found != digest:\n",
        "            if not digest:\n",
        tests="tests/unit/worker/test_cache.py",
    ),
)
