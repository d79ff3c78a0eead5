"""A world with a schedule in it: schedulers that come and go around one store, and an operator who changes the schedule.

Law: the scenario alone decides what happens. When it is over every fire was dealt with once, by a run, a skip or as missed;
every run ended; and of the ended runs those are there that the history limits leave.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from aether_protocol.cron.policy import run_name
from aether_protocol.cron.schedule import fire_times
from aether_protocol.cron.settings import FORBID, CronSettings, encode_settings
from aether_protocol.engine.mailbox import resume_question, suspended_paths
from aether_protocol.engine.schedule_runner import ScheduleRunner
from aether_protocol.engine.schedules import ScheduleSpec, apply, change, set_suspended
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, schedules_of
from aether_protocol.ports.store.schedules import STARTED, ScheduleDecision
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.base_world import BaseWorld
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.document_generator import compile_value
from aether_protocol.testing.simulation.loop import QuietLoop
from aether_protocol.testing.simulation.oracles import Record, demand, examine, over, restored
from aether_protocol.testing.simulation.process import Process, ProcessOptions
from aether_protocol.testing.simulation.store import SimMemoryStore
from aether_protocol.testing.simulation.workers import SECOND

NAMESPACE: Final = "default"
NAME: Final = "clockwork"
MINUTE: Final = 60 * SECOND
POLL_S: Final = 7.0
_TEND: Final = 10 * SECOND
_PATIENCE: Final = 5 * MINUTE  # messages were lost: the operator starts all engines anew
_HORIZON: Final = 6 * 60 * MINUTE
_LAST_LOOK: Final = MINUTE  # what a process that died has locked is free by then
_EVERYTHING: Final = 1_000_000


class CronScenario(Struct, frozen=True):
    """What one simulation of a schedule is about. `tasks` of each run; `until`: microseconds for which it fires; `changes`:
    (microseconds from the beginning, the settings from then on)."""

    seed: int
    settings: CronSettings
    tasks: int
    until: int
    changes: tuple[tuple[int, CronSettings], ...] = ()
    strength: float = 0.0
    engines: int = 1
    tier: str = STATE_ACTION_LOG
    survive: bool = False
    without: frozenset[str] = field(default_factory=frozenset)

    def told(self) -> dict[str, Any]:
        """What it is about, as JSON."""
        about = {"engines": self.engines, "tier": self.tier, "workersSurvive": self.survive, "tasks": self.tasks}
        changes = [{"at": at, "settings": encode_settings(settings)} for at, settings in self.changes]
        return {**about, "settings": encode_settings(self.settings), "until": self.until, "changes": changes}


def cron_scenario(seed: int) -> CronScenario:
    """The scenario of a seed."""
    rng = random.Random(seed)
    settings = _settings(rng)
    until = rng.randint(5, 25) * MINUTE
    changes = []
    for _ in range(rng.choice([0, 0, 1, 2])):
        settings_then = replace(_settings(rng), suspend=rng.random() < 0.3)
        changes.append((rng.randint(1, until - 1), settings_then))
    return CronScenario(
        seed,
        settings,
        tasks=rng.randint(1, 3),
        until=until,
        changes=tuple(sorted(changes, key=lambda entry: entry[0])),
        strength=rng.choice([0.3, 1.0, 2.0]),
        engines=rng.choice([1, 2, 2, 3]),
        tier=SNAPSHOT if rng.random() < 0.2 else STATE_ACTION_LOG,
        survive=rng.random() < 0.5,
    )


def _settings(rng: random.Random) -> CronSettings:
    return CronSettings(
        schedule=rng.choice(["* * * * *", "* * * * *", "*/2 * * * *", "*/5 * * * *", "0,1,2,10-40 0 * * *"]),
        timezone=rng.choice(["UTC", "Europe/Berlin"]),
        policy=rng.choice(["Allow", "Forbid", "Replace"]),
        deadline_s=rng.choice([None, None, 20, 90]),
        keep_succeeded=rng.choice([0, 1, 3, 100]),
        keep_failed=rng.choice([0, 1, 100]),
    )


class CronWorld(BaseWorld):
    """Plays one scenario of a schedule."""

    absences = (0, SECOND, 5 * SECOND, 3 * MINUTE)

    def __init__(self, played: CronScenario, loop: QuietLoop) -> None:
        clock = ManualClock()
        store = SimMemoryStore(played.tier, clock.now)
        chaos = Chaos(played.seed, played.strength, played.without)
        machine = ProcessOptions(
            snapshot_steps=5 + played.seed % 20,
            passivate_after_s=(0.0, None)[played.seed % 2],
            appends=(1, 4)[played.seed // 2 % 2],
        )
        super().__init__(clock, store, chaos, played.seed, survive=played.survive, machine=machine)
        self.scenario = played
        self.plan: Plan = compile_value(_document(played.tasks))
        self._loop = loop
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._epochs: list[tuple[CronSettings, int, int]] = []  # settings, and the fires between that they decided
        self._since = self.begin
        self._settings = played.settings
        self._moved = (self.begin, 0)
        self._over = False

    # --- the course of things ---

    async def run(self) -> None:
        """Play it to the end. Raises LawBrokenError."""
        given = ScheduleSpec(NAMESPACE, NAME, self.scenario.settings, "0" * 64, "", self.plan)
        await apply(schedules_of(self.store), given, self.begin)
        for at, settings in self.scenario.changes:
            self.clock.call_at(self.begin + at, lambda settings=settings: self.errand(self._change(settings)))  # type: ignore[misc]
        for _ in range(self.scenario.engines):
            self.bring_up()
        self.clock.call_at(self.begin, self._tick)
        try:
            while not self._over:
                await self._loop.quiet()
                if self.broken:
                    raise self.broken[0]
                await self.bury()
                self.move_on(_HORIZON)
            await self._last_look()
            await self._judge()
        finally:
            await self.end()

    async def live(self, process: Process) -> None:
        await process.start()
        cron = ScheduleRunner(process.engine, process.store, process.clock, poll_s=POLL_S)
        serving = asyncio.ensure_future(cron.serve(asyncio.Event()))
        self._serving[process.number] = serving
        await serving

    async def clear(self, process: Process) -> None:
        serving = self._serving.pop(process.number, None)
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await process.bury()

    # --- people ---

    def _tick(self) -> None:
        self.clock.call_at(self.clock.now() + _TEND, self._tick)
        self.errand(self._tend())

    async def _tend(self) -> None:
        """Answer what waits; start the engines anew where nothing moves; end it when all is done."""
        for process in self.processes:
            for run_id in [] if process.dead else process.engine.driven.ids:
                self.errand(self._answer(process, run_id))
        now = self.clock.now()
        moved = self.counts["steps"] + self.counts["turns"]
        if moved != self._moved[1]:
            self._moved = now, moved
        elif now - self._moved[0] > _PATIENCE and self.chaos.happened and self.store.open_runs():
            self._moved = now, moved
            self.restart()
        schedule = await schedules_of(self.store).get(NAMESPACE, NAME)
        assert schedule is not None
        if now < self.begin + self.scenario.until:
            return
        latest = max((process.clock.now() for process in self.living()), default=now)  # some were set back, and stay behind
        if schedule.next_at is not None and schedule.next_at <= latest:
            return  # a process is still to decide on it
        if not schedule.settings.suspend:
            self._note(schedule.seen)
            await set_suspended(schedules_of(self.store), NAMESPACE, NAME, True, now)
        self._over = not self.store.open_runs()

    async def _answer(self, process: Process, run_id: str) -> None:
        for path in suspended_paths(process.engine.driven.state(run_id)):
            await process.engine.driven.ask(run_id, resume_question(path, {"answer": 1}))

    async def _change(self, settings: CronSettings) -> None:
        schedule = await schedules_of(self.store).get(NAMESPACE, NAME)
        assert schedule is not None
        self._note(schedule.seen)
        now = self.clock.now()
        await change(schedules_of(self.store), schedule, settings, now)
        self.counts["changes"] += 1
        self._settings, self._since = settings, max(now, schedule.seen + 1)

    def _note(self, seen: int) -> None:
        """These settings have decided about every fire up to `seen`."""
        if not self._settings.suspend:
            self._epochs.append((self._settings, self._since, seen))

    def turned(self, process: Process, turn: ScheduleDecision) -> None:
        """A decision was written just now."""
        self.counts["turns"] += 1
        new = {run.row.run_id for run in turn.runs}
        for run in turn.runs:
            at = run.header.scheduled_time
            early = at is None or at > self.clock.now()
            self.watch(lambda early=early, at=at: demand(not early, "nothing is started before its time", f"{at}"))  # type: ignore[misc]
        if new and turn.schedule.settings.policy == FORBID:
            others = [run_id for run_id in self.store.open_runs() if run_id not in new]
            self.watch(lambda: demand(not others, "Forbid starts nothing beside a run", f"{sorted(new)} beside {others}"))

    # --- afterwards ---

    async def _last_look(self) -> None:
        """One more scheduler, to which nothing happens: it finds everything in order."""
        calm = Chaos(0, 0.0)
        self.workers.chaos = calm
        self.bring_up()
        self.clock.call_at(self.clock.now() + _TEND, lambda: None)
        end = self.clock.now() + _LAST_LOOK
        while self.clock.now() < end:
            await self._loop.quiet()
            self.move_on(2 * _HORIZON)
        await self._loop.quiet()

    async def _judge(self) -> None:
        if self.broken:
            raise self.broken[0]
        records = (await schedules_of(self.store).fires(NAMESPACE, NAME, limit=_EVERYTHING))[::-1]
        self.counts.update(Counter(record.kind for record in records))
        dealt = Counter(record.at for record in records)
        law = "a fire is dealt with once"
        demand(not dealt or max(dealt.values()) == 1, law, f"{[at for at, count in dealt.items() if count > 1]}")
        wanted = [at for settings, since, seen in self._epochs for at in _times(settings, since, seen)]
        differ = sorted(set(dealt) ^ set(wanted))
        demand(not differ, "no fire is lost", f"{differ}: {sorted(dealt)} were dealt with, due were {sorted(wanted)}")
        started = {record.run_id: record.at for record in records if record.kind == STARTED}
        for run_id, at in started.items():
            demand(run_id == run_name(NAMESPACE, NAME, at), "a run is named by its fire", f"{run_id} at {at}")
        await self._runs({run_id for run_id in started if run_id is not None})
        self.count_faults()

    async def _runs(self, started: set[str]) -> None:
        rows = await schedules_of(self.store).runs(NAMESPACE, NAME)
        demand({row.run_id for row in rows} <= started, "every run is of a fire", f"{rows}")
        limits = {True: self._settings.keep_succeeded, False: self._settings.keep_failed}
        for succeeded, limit in limits.items():
            kept = [row.run_id for row in rows if (row.phase == "Succeeded") is succeeded]
            demand(len(kept) <= limit, "history limits hold", f"{kept} are kept, {limit} at most")
        for row in rows:
            stored = await self.store.runs.load(row.run_id)
            state = restored(stored)
            over(state)
            examine(state)
            if self.scenario.tier == STATE_ACTION_LOG:
                Record(stored.plan, thorough=False).read(await self.store.runs.lines(row.run_id))
            self.counts["runs"] += 1


def _times(settings: CronSettings, since: int, seen: int) -> list[int]:
    return list(fire_times(settings.schedule, settings.timezone).between(since - 1, seen))


def _document(tasks: int) -> dict[str, Any]:
    calls: list[dict[str, Any]] = [
        {"name": f"t{number}", "executor": {"type": "work"}, "dependencies": [f"t{number - 1}"] if number else []}
        for number in range(tasks)
    ]
    spec = {"entrypoint": "main", "timeout": "20m", "templates": [{"dag": {"name": "main", "tasks": calls}}]}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec}
