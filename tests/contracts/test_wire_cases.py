"""WIRE-1, WIRE-2: every conformance case ends the same where all messages between engine and executors cross as bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.testing.cases import survivors
from aether_protocol.testing.cases.read import read_files
from aether_protocol.testing.cases.run import run_case
from aether_protocol.testing.wire_broker import WireBroker

CASES = Path(__file__).resolve().parents[1] / "conformance"
FOLDERS = sorted(path.name for path in CASES.iterdir() if any(path.glob("*.yaml")))


@pytest.mark.rule("WIRE-1", "WIRE-2", "RT-120")
@pytest.mark.parametrize("folder", FOLDERS)
def test_cases_end_the_same_over_the_wire(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[WireBroker] = []

    class CountedBroker(WireBroker):
        def start(self, sink: object) -> None:
            super().start(sink)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(survivors, "LocalBroker", CountedBroker)
    cases = read_files(sorted((CASES / folder).glob("*.yaml")))
    failed = [result for result in map(run_case, cases) if result.outcome != "passed"]
    assert [(result.case.name, [fault.message for fault in result.faults]) for result in failed] == []
    if any(case.expect.get("tasks") for case in cases):
        assert sum(len(one.seen) for one in made) > 0, "nothing crossed the wire"
