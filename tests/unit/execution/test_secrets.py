"""DATA-12: providers are asked off the event loop, within bounds, and what they give is checked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from aether_protocol.execution import secrets as secrets_module
from aether_protocol.execution.secrets import AT_ONCE, SecretBook
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.service import client_of
from aether_protocol.testing.harness import EngineWorld, run_on, succeed
from tests.unit.engine.plans import dag, plan, secret, task

pytestmark = pytest.mark.rule("DATA-12")

SLACK_S = 60.0  # an Event that is not set within this never will be


class Vault:
    """A provider that answers when it is let to, and knows in which threads it was asked."""

    def __init__(self, text: Any = "hunter2") -> None:
        self.text = text
        self.open = threading.Event()
        self.threads: list[int] = []

    def get(self, name: str, key: str) -> str | None:
        self.threads.append(threading.get_ident())
        assert self.open.wait(SLACK_S)
        return self.text  # type: ignore[no-any-return]


def with_vault(vault: Any, function: Callable[..., TaskResult], mode: Any = "inline") -> EngineWorld:
    world = EngineWorld({"x": (mode, function)}, secrets={})
    world.broker.secrets.providers = (vault,)
    return world


@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_a_provider_that_blocks_does_not_hold_up_other_runs(mode: str) -> None:
    vault = Vault()
    seen: list[str] = []

    def look(given: TaskAssignment, context: Any) -> TaskResult:
        seen.append(given.inputs.get("p", "no secret"))
        if "p" not in given.inputs:
            vault.open.set()
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        waits = await world.engine.submit(plan(dag(task("waits", "x", None, secret("p", "db", "p")))))
        free = await world.engine.submit(plan(dag(task("free", "x"))))
        reports = [await client_of(world.engine).runs.wait(run) for run in (free, waits)]
        assert [(report.phase, report.message) for report in reports] == [("Succeeded", "")] * 2

    run_on(with_vault(vault, look, mode), body)
    assert seen == ["no secret", "hunter2"]
    assert threading.get_ident() not in vault.threads


def test_a_provider_that_never_answers_is_an_error_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_module, "ASK_S", 0.01)
    vault = Vault()

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "db", "p")))))
        report = await client_of(world.engine).runs.wait(run)
        told = "secret 'db', key 'p', cannot be read: no secret provider answered within 0.01 s"
        assert (report.tasks[1].phase, report.tasks[1].message) == ("Error", told)

    run_on(with_vault(vault, lambda given, context: succeed(given)), body)
    vault.open.set()


def test_few_threads_ask_at_once() -> None:
    vault = Vault()
    running: list[int] = []
    lock = threading.Lock()
    most = 0

    class Counted:
        def get(self, name: str, key: str) -> str | None:
            nonlocal most
            with lock:
                running.append(1)
                most = max(most, len(running))
            if len(running) == AT_ONCE:
                vault.open.set()
            assert vault.open.wait(SLACK_S)
            time.sleep(0)
            with lock:
                running.pop()
            return "text"

    async def body(world: EngineWorld) -> None:
        tasks = [task(f"t{number}", "x", None, secret("p", "db", f"k{number}")) for number in range(3 * AT_ONCE)]
        assert (await client_of(world.engine).runs.wait(await world.engine.submit(plan(dag(*tasks))))).phase == "Succeeded"

    run_on(with_vault(Counted(), lambda given, context: succeed(given)), body)
    assert most == AT_ONCE


@pytest.mark.rule("RT-91")
@pytest.mark.parametrize(("text", "told"), [("ab\ud800", "half of a surrogate pair"), (b"ab", "is of type bytes, not text")])
def test_what_a_foreign_provider_gives_is_checked(text: Any, told: str) -> None:
    vault = Vault(text)
    vault.open.set()

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "db", "p")))))
        report = await client_of(world.engine).runs.wait(run)
        assert report.tasks[1].phase == "Error"
        assert report.tasks[1].message.startswith("secret 'db', key 'p', ")
        assert told in report.tasks[1].message

    run_on(with_vault(vault, lambda given, context: succeed(given)), body)


def suspended(given: TaskAssignment, context: Any) -> TaskResult:
    return TaskResult(given.ref, 0 if given.payloads else 1)


def test_an_answer_is_masked_while_the_vault_of_the_engine_answers_slowly() -> None:
    """The engine asks only when there is something to mask, and drives other runs meanwhile."""
    vault = Vault()

    async def body(world: EngineWorld) -> None:
        world.engine._driver.outside._book.providers = (vault,)
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "db", "p")))))
        await world.engine.driven.join(run, or_suspended=True)
        asked = asyncio.create_task(client_of(world.engine).control.resume(run, "main.a", {"say": "it is hunter2"}))
        other = await world.engine.submit(plan(dag(task("b", "noop"))))
        assert (await client_of(world.engine).runs.wait(other)).phase == "Succeeded"
        assert not asked.done()
        vault.open.set()
        await asked
        await client_of(world.engine).runs.wait(run)
        assert world.engine.driven.state(run).nodes[1].payloads == ({"say": "it is ***"},)

    run_on(EngineWorld({"x": ("inline", suspended)}, secrets={"db": {"p": "hunter2"}}), body)
    assert threading.get_ident() not in vault.threads


def test_an_answer_that_waits_for_a_vault_is_refused_when_the_engine_closes() -> None:
    vault = Vault()
    told: list[BaseException] = []

    async def body(world: EngineWorld) -> None:
        world.engine._driver.outside._book.providers = (vault,)
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "db", "p")))))
        await world.engine.driven.join(run, or_suspended=True)
        asked = asyncio.create_task(client_of(world.engine).control.resume(run, "main.a", {}))
        await asyncio.sleep(0)
        await world.engine.close()
        told.extend(error for error in await asyncio.gather(asked, return_exceptions=True) if error is not None)

    async def go(world: EngineWorld) -> None:
        async with world.engine:
            await body(world)

    asyncio.run(go(EngineWorld({"x": ("inline", suspended)}, secrets={"db": {"p": "hunter2"}})))
    assert [str(error) for error in told] == ["the engine was closed"]
    vault.open.set()


@pytest.mark.rule("RT-119")
def test_a_cancel_waits_for_no_vault_and_its_reason_is_masked_or_withheld() -> None:
    """No thread is asked: what is not at hand cannot be masked, and nothing unmasked is recorded."""
    vault = Vault()

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "x", None, secret("p", "db", "p")))))
        await world.engine.driven.join(run, or_suspended=True)
        world.engine._driver.outside._book.providers = (vault,)
        await client_of(world.engine).control.cancel(run, reason="hunter2 was seen in a log")
        report = await client_of(world.engine).runs.wait(run)
        assert (report.phase, report.message) == ("Cancelled", "cancelled: *** was seen in a log"), "it is known by then"

    run_on(EngineWorld({"x": ("inline", suspended)}, secrets={"db": {"p": "hunter2"}}), body)
    assert SecretBook([vault]).mask_at_once("run", "default", [("db", "p")], "hunter2 was seen in a log") == "***"
    assert vault.threads == []
