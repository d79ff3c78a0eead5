"""When the state of a run is recorded as a whole: beside a log, and instead of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aether_protocol.engine.recovery import rebuild
from aether_protocol.engine.snapshots import SnapshotPolicy, Snapshots, snapshots_of
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, StoredRun
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import Phase
from aether_protocol.service import client_of
from aether_protocol.testing.contracts.store.tools import new_run, row, tiny_plan
from aether_protocol.testing.harness import Cluster, run_on
from tests.unit.engine.plans import dag, plan, task

POLICY = SnapshotPolicy(steps=10, share=4, saved_steps=10, saved_us=5_000)


class Root:
    def __init__(self, phase: Phase) -> None:
        self.phase = phase


def taken(
    snapshots: Snapshots, seq: int, *, known: int = 0, now: int = 0, closed: bool = False, phase: Phase | None = None
) -> bool:
    state = RunState(tiny_plan())
    state.seq, state.leaves_known, state.now, state.closed = seq, known, now, closed
    state.root = None if phase is None else Root(phase)  # type: ignore[assignment]
    return snapshots.take(state)


def test_a_log_gets_one_after_many_steps() -> None:
    snapshots = Snapshots(POLICY, STATE_ACTION_LOG)
    found = [seq for seq in range(1, 40) if taken(snapshots, seq)]
    assert found == [11, 22, 33]
    assert not taken(snapshots, 40, closed=True), "few steps after the last one need none"


def test_a_log_of_a_large_run_gets_one_after_a_share_of_its_size_or_at_its_end() -> None:
    snapshots = Snapshots(POLICY, STATE_ACTION_LOG)
    assert not taken(snapshots, 20, known=80)
    assert taken(snapshots, 21, known=80)
    assert not taken(snapshots, 35, known=80)
    assert taken(snapshots, 36, known=80, closed=True)


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ({"seq": 2}, False),
        ({"seq": 2, "closed": True}, True),
        ({"seq": 2, "phase": Phase.SUSPENDED}, True),
        ({"seq": 2, "phase": Phase.RUNNING}, False),
        ({"seq": 11}, False),
        ({"seq": 12}, True),
        ({"seq": 12, "known": 11}, False),
        ({"seq": 2, "now": 4_999}, False),
        ({"seq": 2, "now": 5_000}, True),
        ({"seq": 2, "now": 5_000, "known": 20}, False),
        ({"seq": 3, "now": 5_000, "known": 20}, True),
    ],
)
def test_without_a_log_one_is_due(said: dict[str, Any], due: bool) -> None:
    snapshots = Snapshots(POLICY, SNAPSHOT)
    assert taken(snapshots, 1), "the first step: from then on deadlines stay what they are"
    assert taken(snapshots, **said) == due


def test_a_run_that_goes_on_waiting_is_saved_once() -> None:
    snapshots = Snapshots(POLICY, SNAPSHOT)
    waits = [taken(snapshots, seq, phase=Phase.SUSPENDED) for seq in (1, 2, 3)]
    assert waits == [True, False, False]
    assert not taken(snapshots, 4, phase=Phase.RUNNING)


@pytest.mark.parametrize(("snapshot", "first"), [("state", 16), (None, 11)])
def test_a_recovered_run_counts_from_its_last_snapshot(snapshot: str | None, first: int) -> None:
    header = new_run("a").header
    lines = ["line"] * (3 if snapshot else 8)
    stored = StoredRun(row("a", seq=8, tier=STATE_ACTION_LOG), tiny_plan(), header, snapshot, lines)
    snapshots = snapshots_of(stored, POLICY)
    assert next(seq for seq in range(9, 40) if taken(snapshots, seq)) == first


@pytest.mark.parametrize("tier", [SNAPSHOT, STATE_ACTION_LOG])
def test_the_engine_gives_the_store_what_is_due(tmp_path: Path, tier: str) -> None:
    """A chain of tasks, on a store that keeps no steps and on one that does: what is loaded is where the run was."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        engine._snapshots = POLICY
        tasks = [task(f"t{n}", after=(n - 1,) if n else ()) for n in range(30)]
        run = await engine.submit(plan(dag(*tasks)))
        await client_of(engine).runs.wait(run)
        stored = await engine._store.runs.load(run)
        assert stored.snapshot is not None
        assert (len(stored.lines) <= 11, stored.row.phase, stored.row.closed) == (True, "Succeeded", True)
        assert rebuild(stored).fingerprint() == (await engine.driven.load(run)).fingerprint()

    run_on(Cluster(tmp_path, tier=tier), body)
