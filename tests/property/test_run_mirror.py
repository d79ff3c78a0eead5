"""A mirror made of event records, as they come over a wire, shows the run as its state does: after each step of random runs."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.codec import decode_entry
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.nodes import Container, Node, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.event_feed import step_records
from aether_protocol.views.run_mirror import MirrorRun, MirrorScope, MirrorTask
from aether_protocol.views.summary import make_row
from tests.property.scheduler_world import World
from tests.property.test_scheduler import make_plan

SHOWN = {f.NodeCreated, f.TaskRunning, f.TaskSuspended, f.RetryScheduled, f.NodeEnded, f.HookFired}


def seen(node: Node | MirrorTask) -> dict[str, Any]:
    """What a view shows of a task run."""
    shown = {name: getattr(node, name) for name in ("id", "path", "hook", "index", "depth", "phase", "message", "kind")}
    shown |= {"name": node.call.name, "since": node.started_at, "until": node.ended_at}
    shown["within"] = None if node.parent is None else node.parent.id
    if isinstance(node, Container | MirrorScope):
        shown |= {"total": node.total, "live": node.live, "children": node.children}
    elif isinstance(node, TaskNode | MirrorTask):
        shown |= {"retries": node.retries, "due": node.backoff_due}
    return shown


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_a_mirror_shows_what_the_state_does(seed: int) -> None:
    rng = random.Random(seed)
    world = World(make_plan(rng), rng)
    world.run()
    state = RunState(world.machine.plan)
    mirror: MirrorRun | None = None
    for line in world.steps:
        step = decode_entry(line)
        replay(state, step)
        records = json.loads(json.dumps(list(step_records(state, step))))
        mirror = mirror or MirrorRun(make_row(state))
        if not records:
            continue
        entry = mirror.take(records)
        assert [seen(node) for node in mirror.nodes] == [seen(node) for node in state.nodes]
        ordered = [node.id for node in sorted(state.nodes, key=state.order_key)]
        assert [node.id for node in sorted(mirror.nodes, key=mirror.order_key)] == ordered
        assert (mirror.phase, mirror.leaves_ended) == (state.phase, state.leaves_ended)
        assert mirror.leaves_known <= state.leaves_known
        told = [(type(fact), getattr(fact, "node", None)) for fact in f.unfold(step.facts) if type(fact) in SHOWN]
        assert [(type(fact), fact.node) for fact in entry.facts if type(fact) in SHOWN] == told  # type: ignore[union-attr]
        assert (entry.seq, entry.at, entry.cause) == (step.seq, step.at, step.cause)
    assert mirror is not None
    assert mirror.leaves_known == state.leaves_known


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_a_mirror_of_a_run_whose_first_steps_were_not_kept_follows_the_rest(seed: int) -> None:
    rng = random.Random(seed)
    world = World(make_plan(rng), rng)
    state = world.run()
    mirror = MirrorRun(make_row(state))
    first = rng.randrange(len(world.steps))
    for step in map(decode_entry, world.steps[first:]):
        records = json.loads(json.dumps(list(step_records(state, step))))
        if records:
            mirror.take(records)
    known = {node.path: node.phase for node in state.nodes if node.hook is None}
    assert all(node.phase == known[node.path] for node in mirror.nodes if node.hook is None and node.ended_at is not None)
