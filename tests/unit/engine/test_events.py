"""Event records: one for each change, complete, in order, JSON."""

from __future__ import annotations

import json
from typing import get_args

from aether_protocol.plan.model import HookEvent
from aether_protocol.scheduler.facts import Fact, unfold
from aether_protocol.service import client_of
from aether_protocol.testing.harness import EngineWorld, run_on
from aether_protocol.views.event_feed import _FIELDS
from tests.unit.engine.plans import dag, plan, retry, task, value


def test_every_kind_of_fact_has_its_row() -> None:
    assert set(_FIELDS) == set(get_args(Fact))


def test_records_come_once_in_order_and_end_with_the_run() -> None:
    async def body(world: EngineWorld) -> None:
        hooks = {HookEvent.ON_EXIT: task("bye")}
        run = await world.engine.submit(
            plan(dag(task("a", "echo", None, value("x", 1)), task("b", "await", retry=retry(1), after=(0,)), hooks=hooks))
        )
        early = client_of(world.engine).runs.events(run, follow=True)
        first = await anext(early)
        assert first == {
            "v": 1,
            "runId": run,
            "seq": 1,
            "index": 0,
            "at": "2026-01-01T00:00:00Z",
            "cause": "api:Submitted",
            "kind": "RunCreated",
            "workflow": {"name": "demo", "namespace": "default", "version": None},
            "parameters": {},
            "scheduledTime": None,
            "retryOf": None,
            "submittedBy": None,
        }
        await client_of(world.engine).runs.wait(run, or_suspended=True)
        middle = client_of(world.engine).runs.events(run, follow=True)
        await client_of(world.engine).control.resume(run, "main.b", {"approved": True})
        await client_of(world.engine).runs.wait(run)
        late = [record async for record in client_of(world.engine).runs.events(run, follow=True)]
        assert [first] + [record async for record in early] == late
        assert [record async for record in middle] == late
        assert json.loads(json.dumps(late)) == late
        places = [(record["seq"], record["index"]) for record in late]
        assert places == sorted(set(places))
        assert len(late) == sum(len(list(unfold(step.facts))) for step in world.steps)
        assert late[-1]["kind"] == "RunClosed"
        ended = [record for record in late if record["kind"] == "NodeEnded"]
        assert [(one["path"], one["phase"]) for one in ended] == [
            ("main.a", "Succeeded"),
            ("main.b", "Succeeded"),
            ("main", "Succeeded"),
        ] + [("main", "Succeeded")] * (len(ended) - 3)
        assert world.engine.driven.get(run).streams == []

    run_on(EngineWorld(), body)


def test_a_watcher_may_leave() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "await"))))
        stream = client_of(world.engine).runs.events(run, follow=True)
        await anext(stream)
        await stream.aclose()
        assert world.engine.driven.get(run).streams == []

    run_on(EngineWorld(), body)
