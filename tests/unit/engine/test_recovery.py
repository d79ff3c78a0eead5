"""Runs survive their engine: killed at every single write, before it and after it, a run ends as it would have."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.assembly.documents import load_plan
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.errors import AetherError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.scheduler.machine import START_LIMIT
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on
from aether_protocol.views.report import Report

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: survivor}\nspec:\n"

WORKFLOWS = {
    "loops half expanded": """
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks:
          - {name: batch, template: each}
          - {name: until, template: repeat, dependencies: [batch]}
        outputs: {parameters: [{name: all, valueFrom: {parameter: tasks.batch.outputs.parameters.x}}]}
    - loop:
        name: each
        items: [3, 1, 2, 5, 4]
        concurrency: 2
        body: one
        arguments: {parameters: [{name: x, value: "{{iterator.item}}"}]}
        aggregate: {strategy: list}
    - loop: {name: repeat, repeatCondition: loop_iter.index < 3, maxIterations: 9, body: pair}
    - dag:
        name: pair
        tasks:
          - {name: first, executor: {type: echo, config: {outputs: [{name: big, value: [1, 2, 3]}]}}}
          - name: second
            executor: {type: echo}
            dependencies: [first]
            inputs: {parameters: [{name: big}]}
            arguments: {parameters: [{name: big, valueFrom: {parameter: tasks.first.outputs.parameters.big}}]}
    - task:
        name: one
        executor: {type: echo}
        inputs: {parameters: [{name: x}]}
""",
    "backoff and what fails": """
  entrypoint: main
  retry: {limit: 3, expression: "phase == 'Failed'", backoff: {duration: 10s, jitter: 0.5}}
  templates:
    - dag:
        name: main
        continueOn: {failed: true}
        tasks:
          - {name: shaky, executor: {type: echo, config: {failCount: 2, outputs: [{name: n, value: 1}]}}}
          - {name: bad, executor: {type: echo, config: {failCount: 99}}}
          - {name: slow, executor: {type: sleep, config: {duration: 1m}}, dependencies: [shaky]}
          - {name: never, executor: {type: noop}, when: "1 == 2", dependencies: [bad]}
          - {name: late, executor: {type: sleep, config: {duration: 10m}}, timeout: 30s, continueOn: {timeout: true}}
""",
    "suspended, with hooks": """
  entrypoint: main
  hooks: {onStart: {template: note}, onSuspend: {template: note}, onResume: {template: note}, onExit: {template: slow-note}}
  templates:
    - dag:
        name: main
        tasks:
          - name: ask
            executor: {type: await}
            hooks: {onSuccess: {template: slow-note}, onExit: {template: note}}
          - {name: ask-too, executor: {type: await, config: {message: well}}, dependencies: [ask]}
          - {name: other, executor: {type: sleep, config: {duration: 5s}}}
    - task: {name: note, executor: {type: echo}}
    - task: {name: slow-note, executor: {type: sleep, config: {duration: 2s}}}
""",
    "a time limit": """
  entrypoint: main
  timeout: 20s
  templates:
    - dag:
        name: main
        tasks:
          - {name: a, executor: {type: sleep, config: {duration: 1h}}}
          - {name: inner, template: sub}
          - {name: b, executor: {type: await}}
        outputs: {parameters: [{name: x, valueFrom: {parameter: tasks.a.outputs.parameters.x}}]}
    - dag:
        name: sub
        timeout: 10s
        tasks: [{name: c, executor: {type: sleep, config: {duration: 1h}}}, {name: d, executor: {type: noop}}]
""",
}


async def through(cluster: Cluster, text: str, cleanup: list[asyncio.Future[Any]]) -> Report:
    """Submit, and see the run to its end: suspended tasks are answered, a killed engine is followed by another."""
    engine = await cluster.start()
    run = await engine.submit(load_plan(HEAD + text), run_id="survivor")
    for _ in range(100):
        await cluster.pass_time()
        if cluster.lost:
            await cluster.kill(engine)
            engine = await cluster.start()
            assert await engine.recover() in ([run], [])
            continue
        report = await client_of(engine).runs.report(run)
        if (await client_of(engine).runs.get(run)).closed:
            assert cluster.dispatched  # it ran at all
            return report
        paths, control = suspended_paths(engine.driven.state(run)), client_of(engine).control
        answers = [control.resume(run, path, {"approved": True, "by": path}) for path in paths]
        cleanup += map(asyncio.ensure_future, answers)
    raise AssertionError("the run did not end")


def outcome(report: Report) -> Any:
    """What a run came to, without times."""
    told = report.to_json()
    tasks = [{key: value for key, value in task.items() if not key.endswith("At")} for task in told["tasks"]]
    hooks = sorted((hook["hook"], hook["phase"], hook["message"]) for hook in told["hooks"])
    return told["phase"], told["message"], told["outputs"], told["progress"], told["notRun"], told["warnings"], tasks, hooks


def end_of(folder: Path, text: str, **options: Any) -> tuple[Any, Cluster]:
    """What the run came to, and its cluster."""
    found: list[Any] = []

    async def body(cluster: Cluster) -> None:
        cleanup: list[asyncio.Future[Any]] = []
        found.append(outcome(await through(cluster, text, cleanup)))
        for waiting in cleanup:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, AetherError):
                await waiting

    cluster = run_on(Cluster(folder, **options), body)
    return found[0], cluster


def untimed(told: Any) -> Any:
    """What is the same however long things took: which of two time limits came first is not."""
    phase, message, outputs, progress, not_run, warnings, tasks, _ = told
    ends = [(task["path"], task["phase"], task["retries"], task["inputs"], task["outputs"]) for task in tasks]
    return phase, message, outputs, progress, not_run, warnings, ends


@pytest.mark.parametrize("tier", [STATE_ACTION_LOG, SNAPSHOT])
@pytest.mark.parametrize("name", WORKFLOWS)
def test_killed_at_every_write_it_ends_as_it_would_have(name: str, tier: str, tmp_path: Path) -> None:
    expected, quiet = end_of(tmp_path, WORKFLOWS[name], tier=tier)
    assert quiet.appends > 4
    for last in range(1, quiet.appends + 1):
        for before in (False, True):
            folder = tmp_path / f"{last}-{before}"
            folder.mkdir()
            got, cluster = end_of(folder, WORKFLOWS[name], tier=tier, kill_at=last, kill_before=before)
            if tier == SNAPSHOT:  # hooks may have been fired again; and what is done again takes its time again
                got, wanted = untimed(got), untimed(expected)
            else:
                wanted = expected
                told = [step.seq for step in cluster.steps]
                assert len(told) == len(set(told)), "a step was recorded twice"
            assert got == wanted, f"killed {'before' if before else 'after'} write {last}"


MANY = f"""
  entrypoint: many
  templates:
    - {{loop: {{name: many, body: small, concurrency: 0, items: {list(range(START_LIMIT + 6))}}}}}
    - dag: {{name: small, tasks: [{{name: a, template: work}}, {{name: b, template: work, dependencies: [a]}}]}}
    - task: {{name: work, executor: {{type: noop}}}}
"""


@pytest.mark.parametrize("tier", [STATE_ACTION_LOG, SNAPSHOT])
def test_what_is_still_to_be_started_is_started_where_nothing_is_under_way(tier: str, tmp_path: Path) -> None:
    expected, quiet = end_of(tmp_path, MANY, tier=tier)
    for last in range(1, quiet.appends + 1):  # the first step makes START_LIMIT containers and not one attempt
        for before in (False, True):
            folder = tmp_path / f"{last}-{before}"
            folder.mkdir()
            got, _ = end_of(folder, MANY, tier=tier, kill_at=last, kill_before=before)
            assert untimed(got) == untimed(expected), f"killed {'before' if before else 'after'} write {last}"
