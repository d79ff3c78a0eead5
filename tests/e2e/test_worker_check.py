"""The judge of workers: the example in JavaScript and our own worker pass it, and each fault that is planted is named."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aether_protocol.testing import worker_check as judge
from aether_protocol.testing.worker_check import CHECKS, Check, CheckOutcome, WorkerToCheck, check_worker
from tests.e2e.node import NODE, needs_node

EXAMPLE = Path(__file__).parents[2] / "examples" / "workers" / "worker.mjs"
SHOUT = {"executor": "shout", "inputs": {"text": "a"}, "slow_inputs": {"seconds": 5}}

FAULTS = [  # what is changed, into what, and the check that names it
    ("if (held.has(token)) return;\n", "", judge.begins_once),
    (
        "outbox.results.push(...sent.results.filter((one) => !recorded.includes(one.token)));",
        "for (const one of sent.results) held.delete(one.token);",
        judge.keeps_results,
    ),
    ("holding: [...held.keys()],\n      results", "holding: [],\n      results", judge.says_hello_again),
    ("results: outbox.results.map((one) => one.token) };", "};", judge.names_results_that_it_keeps),
    ("results: outbox.results.map((one) => one.token) };", "results: [...held.keys()] };", judge.names_results_that_it_keeps),
    ("performance.now() - answeredAt < welcome.leaseMs * 0.73", "true", judge.stops_before_its_lease_ends),
    ("attempt, epoch, code: 0", "attempt: 7, epoch, code: 0", judge.gives_a_result),
    ("poll: lastPoll, holding", "pol: lastPoll, holding", judge.messages_fit),
    ('process.on("SIGTERM", () => { leaving = true; });', 'process.on("SIGTERM", () => {});', None),
]


def judged(worker: WorkerToCheck, checks: Sequence[Check] = CHECKS) -> list[CheckOutcome]:
    async def go() -> list[CheckOutcome]:
        return [outcome async for outcome in check_worker(worker, checks=checks)]

    return asyncio.run(go())


@needs_node
def test_the_example_in_javascript_keeps_the_protocol() -> None:
    outcomes = judged(WorkerToCheck(command=[NODE, str(EXAMPLE), "{server}"], **SHOUT))  # type: ignore[arg-type]
    assert [one for one in outcomes if one.fault] == []
    assert len(outcomes) == len(CHECKS) + 1


def test_our_own_worker_keeps_the_protocol() -> None:
    code = "import os; from aether_protocol.worker import Worker; Worker(os.environ['AETHER_SERVER'], slots={'tasks': 4}).run()"
    outcomes = judged(
        WorkerToCheck(
            command=[sys.executable, "-c", code],
            executor="script",
            config={"source": "echo done"},
            slow_config={"source": "sleep 5"},
        )
    )
    assert [one for one in outcomes if one.fault] == []


@needs_node
@pytest.mark.parametrize(
    ("text", "changed", "check"),
    FAULTS,
    ids=[f"{getattr(fault[2], '__name__', 'leaves')}-{number}" for number, fault in enumerate(FAULTS)],
)
def test_a_worker_with_a_fault_does_not_pass(tmp_path: Path, text: str, changed: str, check: Check | None) -> None:
    source = EXAMPLE.read_text("utf-8")
    assert source.count(text) == 1
    faulty = tmp_path / "worker.mjs"
    faulty.write_text(source.replace(text, changed), "utf-8")
    checks = [judge.says_hello, judge.polls_and_beats, *([check] if check else [])]
    outcomes = judged(WorkerToCheck(command=[NODE, str(faulty), "{server}"], **SHOUT), checks)  # type: ignore[arg-type]
    assert [one.fault is None for one in outcomes] == [True, True, False, True] if check else [True, True, False]
