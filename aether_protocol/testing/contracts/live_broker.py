"""What a broker must keep whose workers are real processes: `RemoteBrokerContract` in real time, with real deaths and outages.

Law: subclass `LiveBrokerContract` and give `make_site`; every test here then holds for that broker. What was carried out is
read from a journal that the attempts write (`testing.probe`), so no broker is taken at its word. Nothing in this file knows a
particular broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec.structs import replace

from aether_protocol.errors import PortError
from aether_protocol.ports.broker import Broker, Holding
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskAssignment
from aether_protocol.testing.contracts.broker import Ear, ref, work
from aether_protocol.testing.probe import ProbeLine, read_journal

PATIENCE_S = 40.0  # for what has to happen on a machine that is busy
LOOK_S = 0.05


class LiveSite(Protocol):
    """A queue and its workers, which have `testing.probe` and outlive the brokers of engines."""

    @property
    def limit(self) -> int | None:
        """How many bytes a message may have; None: what a test has is never too large."""
        ...

    async def connect(self) -> Broker:
        """The broker of one more engine, not started."""
        ...

    async def cut(self) -> None:
        """Let the queue be away."""
        ...

    async def mend(self) -> None:
        """Let the queue be back."""
        ...

    async def close(self) -> None:
        """Stop everything."""
        ...


class LiveScene:
    """A site, the engines before it, and what its workers did."""

    def __init__(self, site: LiveSite, folder: Path, calm_s: float) -> None:
        self.site = site
        self.journal = folder / "journal"
        self.calm_s = calm_s

    def probe(self, node: int, seconds: float = 0.0, *, attempt: int = 1, lines: int = 0, load: str = "") -> TaskAssignment:
        """An attempt that takes a while."""
        config = {"journal": str(self.journal), "seconds": seconds, "lines": lines, "load": load}
        return replace(work(node, "probe", attempt=attempt), config=config)

    def lines(self) -> list[ProbeLine]:
        """What was written down so far."""
        return read_journal(self.journal)

    def times(self, what: str, one: AttemptRef) -> int:
        """How often an attempt began, ended or stopped."""
        return sum(line.what == what and line.ref == one for line in self.lines())

    async def engine(self) -> tuple[Broker, Ear]:
        """One more engine."""
        broker, ear = await self.site.connect(), Ear(acknowledges=False)
        broker.start(ear)
        return broker, ear

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something has happened."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"it did not happen: {what}; there were {self.lines()}"
            await asyncio.sleep(LOOK_S)

    async def begun(self, *refs: AttemptRef) -> None:
        """Wait until these attempts have begun."""
        await self.until(lambda: all(self.times("begins", one) for one in refs), f"{refs} begin")

    async def calm(self) -> None:
        """Wait as long as something that must not happen could take."""
        await asyncio.sleep(self.calm_s)

    async def offered(self, broker: Broker, *tasks: TaskAssignment) -> None:
        """Offer attempts until they are taken, as engines do."""
        left, end = list(tasks), time.monotonic() + PATIENCE_S
        while left:
            try:
                refused = await broker.dispatch(left)
            except PortError:
                refused = {one.ref: "away" for one in left}
            left = [one for one in left if one.ref in refused]
            assert time.monotonic() < end, f"it does not take {left}"
            await asyncio.sleep(LOOK_S if left else 0)

    async def told(self, broker: Broker, *refs: AttemptRef) -> dict[AttemptRef, Holding]:
        """What became of these attempts. A broker that cannot say yet is asked again, as engines do."""
        answers: dict[AttemptRef, Holding] = {}
        end = time.monotonic() + PATIENCE_S
        while len(answers) < len(refs):
            assert time.monotonic() < end, f"it says nothing of {set(refs) - set(answers)}"
            with contextlib.suppress(PortError):
                answers |= await broker.held([one for one in refs if one not in answers])
            await asyncio.sleep(LOOK_S)
        return answers


Body = Callable[[LiveScene], Coroutine[Any, Any, None]]


class LiveBrokerContract:
    """Subclass it as `TestMyBroker`; pytest then collects the tests below.

    `outlives`: attempts live on where an engine goes, and are heard of by the next one; `ranks`: what waits begins by priority.
    `calm_s`: how long something may take that must not happen.
    """

    outlives = True
    ranks = True
    calm_s = 1.5

    async def make_site(self, folder: Path, slots: int) -> LiveSite:
        """A new site whose workers carry so many attempts out at a time."""
        raise AssertionError("a contract needs `make_site`")

    def on_site(self, folder: Path, body: Body, slots: int = 4) -> None:
        """Run `body` before a new site."""

        async def go() -> None:
            site = await self.make_site(folder, slots)
            try:
                await body(LiveScene(site, folder, self.calm_s))
            finally:
                await site.close()

        asyncio.run(go())

    def test_a_batch_comes_back_each_once_under_its_own_name(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            tasks = [scene.probe(number) for number in range(20)]
            await scene.offered(broker, *tasks)
            await scene.until(lambda: len({one.ref for one in ear.results}) == 20, "20 results")
            assert {(one.ref, one.code, one.outputs["key"]) for one in ear.results} == {
                (one.ref, 0, one.idempotency_key) for one in tasks
            }
            assert [scene.times("begins", one.ref) for one in tasks] == [1] * 20
            ear.acknowledge()
            await broker.close()

        self.on_site(tmp_path, body)

    def test_what_waits_begins_by_priority(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(0, 1.0))
            await scene.begun(ref(0))
            tasks = [replace(scene.probe(number), priority=100 * number) for number in range(1, 9)]
            await scene.offered(broker, *sorted(tasks, key=lambda one: -one.priority))
            await scene.until(lambda: len({one.ref for one in ear.results}) == 9, "9 results")
            begun = [line.ref for line in scene.lines() if line.what == "begins"][1:]
            assert begun == [ref(number) for number in range(8, 0, -1)]
            await broker.close()

        if not self.ranks:
            pytest.skip("this broker knows no priority")
        self.on_site(tmp_path, body, slots=1)

    def test_what_is_stopped_ends_and_gives_nothing(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, 60), scene.probe(2, 60))
            await scene.begun(ref(1))
            await broker.stop([ref(1), ref(2), ref(77)])
            await scene.until(lambda: scene.times("stops", ref(1)) == 1, "it stops")
            await scene.offered(broker, scene.probe(3))
            await scene.until(lambda: {one.ref for one in ear.results} == {ref(3)}, "the next one has the slot")
            assert (scene.times("ends", ref(1)), scene.times("ends", ref(2)), ear.losses) == (0, 0, [])
            await broker.close()

        self.on_site(tmp_path, body, slots=1)

    def test_a_later_attempt_begins_when_the_one_before_has_ended(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, 60))
            await scene.begun(ref(1))
            await scene.offered(broker, scene.probe(1, attempt=2))
            await scene.until(lambda: {one.ref for one in ear.results} == {ref(1, 2)}, "the later one ends")
            assert [(line.what, line.ref.attempt) for line in scene.lines()] == [
                ("begins", 1), ("stops", 1), ("begins", 2), ("ends", 2),
            ]  # fmt: skip
            await broker.close()

        self.on_site(tmp_path, body)

    def test_what_comes_again_is_carried_out_once(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, 1.0))
            await scene.offered(broker, scene.probe(1, 1.0))
            await scene.begun(ref(1))
            await scene.offered(broker, scene.probe(1, 1.0))
            await scene.until(lambda: bool(ear.results), "a result")
            await scene.offered(broker, scene.probe(1, 1.0))  # its result waits for its acknowledgement
            await scene.calm()
            assert ({one.ref for one in ear.results}, scene.times("begins", ref(1))) == ({ref(1)}, 1)
            await broker.close()

        self.on_site(tmp_path, body)

    def test_held_is_answered_honestly(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, _ = await scene.engine()
            await scene.offered(broker, scene.probe(1, 60))
            await scene.begun(ref(1))
            told = await scene.told(broker, ref(1), ref(2))
            assert told[ref(1)] == "held"
            assert told[ref(2)] in ("unknown", "lost")
            await broker.stop([ref(1)])
            await broker.close()

        self.on_site(tmp_path, body)

    def test_attempts_outlive_their_engine_and_are_reported_to_the_next_one(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, _ = await scene.engine()
            await scene.offered(broker, scene.probe(1, 2.0), scene.probe(2))
            await scene.begun(ref(1), ref(2))
            await broker.close()
            broker, ear = await scene.engine()
            told = await scene.told(broker, ref(1), ref(2))
            if not self.outlives:
                assert set(told.values()) <= {"unknown", "lost"}
                return
            assert told == {ref(1): "held", ref(2): "held"}
            await scene.until(lambda: {one.ref for one in ear.results} == {ref(1), ref(2)}, "both results")
            assert [scene.times("begins", ref(number)) for number in (1, 2)] == [1, 1]
            ear.acknowledges = True
            ear.acknowledge()
            await scene.calm()
            await broker.close()
            broker, ear = await scene.engine()
            assert set((await scene.told(broker, ref(1), ref(2))).values()) <= {"unknown", "lost"}
            await broker.close()

        self.on_site(tmp_path, body)

    def test_an_outage_is_waited_through(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, 1.0), scene.probe(2))
            await scene.begun(ref(1), ref(2))
            await scene.site.cut()
            try:
                refused = set(await broker.dispatch([scene.probe(3), scene.probe(4)]))
            except PortError:
                refused = {ref(3), ref(4)}
            assert refused in ({ref(3), ref(4)}, set()), "it takes all of them, where they can wait in it, or none"
            await scene.calm()
            await scene.site.mend()
            if refused:
                await scene.offered(broker, scene.probe(3), scene.probe(4))
            await scene.until(lambda: len({one.ref for one in ear.results}) == 4, "all results")
            assert [scene.times("begins", ref(number)) for number in range(1, 5)] == [1] * 4
            assert ear.losses == []
            await broker.close()

        self.on_site(tmp_path, body)

    def test_a_process_that_dies_is_reported_with_its_blame(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, 60), scene.probe(2, 1.0))
            await scene.begun(ref(1), ref(2))
            (pid,) = (line.pid for line in scene.lines() if line.ref == ref(1))
            os.kill(pid, signal.SIGKILL)
            await scene.until(lambda: bool(ear.losses), "the loss is reported")
            ((lost, reason, blamed),) = ear.losses
            assert (lost, bool(reason), blamed) == (ref(1), True, True)
            await scene.offered(broker, scene.probe(1))  # under the same name
            await scene.until(lambda: {one.ref for one in ear.results} == {ref(1), ref(2)}, "both results")
            assert (scene.times("begins", ref(1)), scene.times("begins", ref(2))) == (2, 1)
            await broker.close()

        self.on_site(tmp_path, body)

    def test_logs_come_in_order_and_nothing_is_left_out(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            await scene.offered(broker, scene.probe(1, lines=300))
            await scene.until(lambda: bool(ear.results), "a result")
            text = "".join(f"line {number}\n" for number in range(300))
            await scene.until(lambda: "".join(ear.logs) == text, "the whole log")
            await broker.close()

        self.on_site(tmp_path, body)

    def test_what_is_too_large_is_an_error_that_names_the_limit(self, tmp_path: Path) -> None:
        async def body(scene: LiveScene) -> None:
            broker, ear = await scene.engine()
            limit = scene.site.limit
            size = 2**20 if limit is None else limit + 1
            await scene.offered(broker, scene.probe(1, load="x" * size), scene.probe(2))
            await scene.until(lambda: len({one.ref for one in ear.results}) == 2, "both results")
            large, small = ({one.ref: one for one in ear.results}[ref(number)] for number in (1, 2))
            assert small.code == 0
            if limit is None:
                assert (large.code, large.outputs["load"]) == (0, size)
            else:
                assert (large.code, str(limit) in large.message) == (ERROR, True)
                assert scene.times("begins", ref(1)) == 0
            await broker.close()

        self.on_site(tmp_path, body)
