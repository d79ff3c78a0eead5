"""Every case gives the same where its run is passivated whenever it only waits (RT-124)."""

from __future__ import annotations

from pathlib import Path

import pytest

from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.testing.cases.every_tier import on_tier
from aether_protocol.testing.cases.prepare import runs
from aether_protocol.testing.cases.read import find_files, read_files
from aether_protocol.testing.cases.reports import explain
from aether_protocol.testing.cases.run import run_case

CASES = [case for case in read_files(find_files([Path(__file__).parent])) if case.cron is None and runs(case)]


@pytest.mark.rule("RT-124")
@pytest.mark.parametrize("tier", [STATE_ACTION_LOG, SNAPSHOT])
def test_a_case_gives_the_same_where_its_run_is_passivated(tier: str) -> None:
    slept = 0
    for case in CASES:
        result = run_case(on_tier(case, tier), passivates=True)
        assert result.outcome == "passed", f"{case.name}\n{explain(result)}"
        slept += result.sleeps > 0
    assert slept > 50, "else nothing was shown"
