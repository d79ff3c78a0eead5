"""What a broker reports before a vault has answered: it waits, in order and for so long, and is masked once more (RT-156)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from aether_protocol.engine import outside
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import TaskResult
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import dag, plan, secret, task
from tests.unit.engine.test_delivery import Site, at

pytestmark = pytest.mark.rule("RT-156")


class SlowVault(SecretProvider):
    """It answers once it is let."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0

    def get(self, name: str, key: str) -> str | None:
        self.asked += 1
        assert self.may_answer.wait(30)
        return "hunter2"


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.001)


def behind(vault: SlowVault) -> Site:
    site = Site()
    site.secrets = [vault]  # type: ignore[list-item]
    return site


def test_what_comes_before_the_vault_answers_waits_for_it_in_order_and_is_masked() -> None:
    vault, seen = SlowVault(), list[str]()

    async def body(site: Site) -> None:
        site.engine.log_observers.append(lambda record: seen.append(record.text))
        run = await site.engine.submit(plan(dag(task("a", "any", None, secret("p", "db", "p")), task("b", "any", after=(0,)))))
        await until(lambda: bool(site.depot.at_work))
        ref, sink = site.depot.ref("a"), site.depot.sink
        stored: list[str] = []
        sink.started(ref)
        sink.logged(ref, "stdout", "it is hunter2, ", 0)
        sink.heartbeat(ref, {"at": "hunter2"})
        del site.depot.at_work[ref]
        result = TaskResult(ref, 0, "hunter2!", {"x": ["hunter2"]})
        sink.finished(result, lambda: stored.append("first"))
        sink.finished(result, lambda: stored.append("again"))
        sink.lost(ref, "its worker left", False)
        await until(lambda: vault.asked > 0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert (seen, stored, site.depot.names()) == ([], [], []), "nothing of it is shown, recorded or acknowledged"
        assert site.engine.driven.find(run).open[ref.path].details is None
        vault.may_answer.set()
        await until(lambda: bool(site.depot.at_work))
        node = site.engine.driven.state(run).nodes[1]
        assert (node.message, dict(node.outputs), node.attempt) == ("***!", {"x": ["***"]}, 1)
        await until(lambda: stored == ["first", "again"])
        site.depot.give("b")
        await settled(site.engine)
        assert (seen, site.phase(run), vault.asked) == (["it is ***, "], "Succeeded", 1)

    at(behind(vault), body)


def test_a_vault_that_does_not_answer_holds_reports_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were masked where the attempt ran."""
    monkeypatch.setattr(outside, "HOLD_S", 0.05)
    vault = SlowVault()

    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("a", "any", None, secret("p", "db", "p")))))
        await until(lambda: bool(site.depot.at_work))
        site.depot.give("a")
        await until(lambda: site.phase(run) == "Succeeded")
        vault.may_answer.set()

    at(behind(vault), body)


def test_a_run_that_uses_no_secret_waits_for_no_vault() -> None:
    vault = SlowVault()

    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("a", "any"))))
        await until(lambda: bool(site.depot.at_work))
        site.depot.give("a")
        await until(lambda: site.phase(run) == "Succeeded")
        assert vault.asked == 0

    at(behind(vault), body)


def test_what_is_held_when_the_engine_ends_is_not_acknowledged() -> None:
    """So it comes again to the next one."""
    vault, stored = SlowVault(), list[Any]()

    async def body(site: Site) -> None:
        await site.engine.submit(plan(dag(task("a", "any", None, secret("p", "db", "p")))))
        await until(lambda: bool(site.depot.at_work))
        ref = site.depot.ref("a")
        site.depot.sink.finished(TaskResult(ref, 0, "hunter2"), lambda: stored.append(ref))
        await until(lambda: vault.asked > 0)
        await site.kill()
        vault.may_answer.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert stored == []
        await site.bring_up()

    at(behind(vault), body)
