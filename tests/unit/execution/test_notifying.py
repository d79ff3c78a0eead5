"""Executors notify people by the notifiers of their engine, by name, and without secrets (DATA-12)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aether_protocol import Engine, ExecutorType, UsageError
from aether_protocol.ports.executor import ExecutionContext
from aether_protocol.ports.notifier import Notification
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.service import client_of
from aether_protocol.testing.contracts.executor import RecordingNotifier
from tests.unit.engine.plans import dag, plan, secret, task


class Page:
    """Notifies by the notifier that its config names."""

    mode = "thread"

    def __init__(self, site: str = "worker") -> None:
        self.type = ExecutorType("page", "Pages people.", open_config=True, site=site)  # type: ignore[arg-type]

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        word = task.inputs.get("word", "")
        note = Notification(f"run {word}", f"text {word}", ("ops",), task.run_id, task.path, {"seen": [f"<{word}>"]})
        context.notifier(*task.config["by"]).notify(note)
        return task.succeed()


def report(by: list[str], site: str = "worker", **options: Any) -> Any:
    async def go() -> Any:
        async with Engine(executors=Page(site), secrets={"db": {"pw": "hunter22"}}, **options) as engine:
            run = await engine.submit(plan(dag(task("tell", "page", {"by": by}, secret("word", "db", "pw")))), run_id="r")
            return await client_of(engine).runs.wait(run)

    return asyncio.run(go()).tasks[1]


@pytest.mark.rule("DATA-12")
@pytest.mark.parametrize("site", ["worker", "engine"])
def test_a_notifier_is_asked_for_by_name_and_told_no_secret(site: str) -> None:
    one, other = RecordingNotifier(), RecordingNotifier()
    assert report(["team"], site, notifiers={"default": one, "team": other}).phase == "Succeeded"
    assert report([], site, notifiers={"default": one, "team": other}).phase == "Succeeded"
    assert report([], site, notifiers=one).phase == "Succeeded"
    told = Notification("run ***", "text ***", ("ops",), "r", "main.tell", {"seen": ["<***>"]})
    assert (one.sent, other.sent) == ([told, told], [told])


def test_one_that_is_not_there_or_away_is_an_error_of_the_task() -> None:
    away = RecordingNotifier()
    away.away = "the mail server does not answer"
    assert report([], notifiers=away).message == "the mail server does not answer"
    assert report(["team"], notifiers=away).message == "there is no notifier 'team' (there are 'default')"
    missing = report([])
    assert (missing.phase, missing.message) == ("Error", "there is no notifier 'default' (none is configured)")


def test_what_is_not_a_notifier_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a notifier: it lacks notify"):
        Engine(notifiers={"team": object()})  # type: ignore[dict-item]
