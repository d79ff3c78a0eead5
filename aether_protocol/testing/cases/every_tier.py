"""Every case on every tier, and on the durable ones with the engine lost after every single write of its steps.

Law: what a case expects holds whatever the store and wherever the engine is lost. Tier `snapshot` repeats what came after the
last snapshot, so there how often something was done may differ; how long it took may differ wherever an attempt was repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final

from msgspec.structs import replace

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import MEMORY, SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.testing.cases.model import Case, CaseResult
from aether_protocol.testing.cases.prepare import runs
from aether_protocol.testing.cases.run import run_case

_TIMES: Final = frozenset({"elapsed", "startedAt", "endedAt"})  # a repeated attempt has its whole timeout again
_REPEATED: Final = frozenset({"dispatched", "hooks", "maxParallel", "assignment"})  # on tier snapshot


def run_everywhere(case: Case) -> CaseResult:
    """Run a case on all three tiers and through every loss of its engine; the first result that is not a pass."""
    first = run_case(case)
    seconds, losses = first.seconds, first.losses
    if first.outcome != "passed" or not runs(case):
        return first
    for tier in (MEMORY, SNAPSHOT, STATE_ACTION_LOG):
        for after in count() if tier != MEMORY else (0,):
            if tier == MEMORY and (case.cron is not None or any(drive.action == "crash" for drive in case.drive)):
                break
            result = run_case(on_tier(case, tier, lost=after > 0), lose_after=after or None)
            seconds += result.seconds
            if result.outcome != "passed":
                where = f"on tier {tier}" + (f", its engine lost after write {after} of its steps" if after else "")
                return replace(result, detail=f"{where}\n{result.detail}", seconds=seconds)
            if after and result.losses == _own(case):
                break  # it was over before
            losses += result.losses
    return replace(first, seconds=seconds, losses=losses)


def on_tier(case: Case, tier: str, *, lost: bool = False) -> Case:
    """The case with another store, and with what still must hold there."""
    crashes = lost or any(drive.action == "crash" for drive in case.drive)
    if not crashes:
        return replace(case, store=tier)
    gone = _TIMES | _REPEATED if tier == SNAPSHOT else _TIMES
    expect = _without(gone, case.expect)
    if "tasks" in expect:
        expect["tasks"] = {path: _without(gone, wanted) for path, wanted in expect["tasks"].items()}
    if "hooks" in expect:
        expect["hooks"] = [_without(gone, entry) if isinstance(entry, dict) else entry for entry in expect["hooks"]]
    return replace(case, store=tier, expect=expect)


def _without(gone: frozenset[str], expected: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in expected.items() if name not in gone}


def _own(case: Case) -> int:
    """How often the case itself crashes the engine."""
    return sum(drive.action == "crash" for drive in case.drive)

