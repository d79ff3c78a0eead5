"""Laws of the scheduler over random workflows and a bad outside: it ends, keeps every invariant, and replays the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.carry_over import reused
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.testing.simulation.document_generator import DocumentGenerator, compile_value
from tests.property.scheduler_world import World, restored


def make_plan(rng: random.Random) -> Plan:
    return compile_value(DocumentGenerator(rng).document())


@pytest.mark.rule("SCHED-12", "SCHED-13", "WIRE-2")
@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_every_run_ends_keeps_the_laws_and_replays_to_the_same_state(seed: int) -> None:
    rng = random.Random(seed)
    world = World(make_plan(rng), rng)
    state = world.run()
    assert world.replayed().fingerprint() == state.fingerprint()
    assert world.replayed(unfolded=True).fingerprint() == state.fingerprint()


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_the_same_events_give_the_same_steps(seed: int) -> None:
    first, second = (World(make_plan(rng), rng) for rng in (random.Random(seed), random.Random(seed)))
    first.run()
    second.run()
    assert first.steps == second.steps


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_a_plan_runs_the_same_after_a_way_through_json(seed: int) -> None:
    rng = random.Random(seed)
    plan = make_plan(rng)
    record = encode_plan(plan)
    state = rng.getstate()
    first = World(plan, rng)
    first.run()
    rng.setstate(state)
    second = World(decode_plan(record), rng)
    second.run()
    assert first.steps == second.steps
    assert encode_plan(second.machine.plan) == record


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_a_run_survives_the_loss_of_its_engine_after_any_step(seed: int) -> None:
    rng = random.Random(seed)
    world = World(make_plan(rng), rng)
    world.crashes = rng.choice([0.1, 0.5])
    state = world.run()
    assert world.replayed().fingerprint() == state.fingerprint()
    assert restored(state).fingerprint() == state.fingerprint()


@pytest.mark.rule("CTRL-4")
@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_a_retried_run_keeps_what_succeeded_and_runs_the_rest(seed: int) -> None:
    rng = random.Random(seed)
    first = World(make_plan(rng), rng)
    before = first.run()
    leaves = [node.path for node in before.nodes if isinstance(node, TaskNode) and node.hook is None]
    start = rng.choice(leaves) if leaves and rng.random() < 0.5 else None
    keep = reused(before, start)
    assert start not in keep
    assert all(before.find(path).phase in ("Succeeded", "Skipped") for path in keep)  # type: ignore[union-attr]
    second = World(first.machine.plan, rng, keep)
    after = second.run()
    assert not set(second.dispatched) & set(keep)
    assert second.replayed().fingerprint() == after.fingerprint()
    assert restored(after).fingerprint() == after.fingerprint()
    for path, record in keep.items():
        node = after.find(path)
        if node is not None:  # the run may have been cancelled before it came to this
            assert (str(node.phase), node.outputs, node.inputs) == (record["phase"], record["outputs"], record["inputs"])
    if before.phase == "Succeeded" and start is None and all(n.phase == "Succeeded" for n in before.nodes if not n.hook):
        assert not second.dispatched
