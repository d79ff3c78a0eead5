"""Watches a schedule: engines with a scheduler of schedules each, on a virtual clock, and what its fires and runs come to.

Law: at one instant what executors return comes first, then the times at which schedulers go and come back and changes are
made, then timers, and fires last. A scheduler that is down is lost as by a kill: running attempts outlive it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.documents.load import load_value
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.schedule_runner import ScheduleRunner
from aether_protocol.engine.schedules import apply
from aether_protocol.errors import AetherError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.store import Store, schedules_of
from aether_protocol.ports.store.schedules import MISSED, SKIPPED, STARTED, FireRecord, next_due
from aether_protocol.scheduler.outstanding import under_way
from aether_protocol.service.schedules.check import schedule_spec
from aether_protocol.testing.cases.compare import Comparison, matches, written
from aether_protocol.testing.cases.fields import parse_instant
from aether_protocol.testing.cases.model import Case, CaseResult, Path, SpecChange, Watching
from aether_protocol.testing.cases.play import Messages, real_executor, result_of, variables_of
from aether_protocol.testing.cases.prepare import Prepared
from aether_protocol.testing.cases.recorder import Watch, texts
from aether_protocol.testing.cases.survivors import CaseStore, Sites
from aether_protocol.testing.clock import Course, ManualClock, SequentialIds, follow
from aether_protocol.testing.gate import LossGate, after_writes
from aether_protocol.testing.scripted import ScriptedExecutor, Scripts
from aether_protocol.testing.settling import settled
from aether_protocol.views.report import make_report

_ALL: Final = 1_000_000


class _Scheduler:
    """One engine with its scheduler; None of both while it is down."""

    def __init__(self, gate: LossGate, engine: RunEngine, cron: ScheduleRunner) -> None:
        self.gate = gate
        self.engine = engine
        self.cron = cron


class SchedulePlay(Course):
    """One run of one case with `cron`. `lose_after`: the first scheduler is lost after that many writes, and comes back."""

    def __init__(
        self, case: Case, prepared: Prepared, comparison: Comparison, stager: Stager | None, lose_after: int | None = None
    ) -> None:
        assert case.cron is not None
        assert prepared.plan is not None
        assert prepared.document is not None
        self._case = case
        self._watching: Watching = case.cron
        self._prepared = prepared
        self._plan, self._document = prepared.plan, prepared.document
        self._comparison = comparison
        self._clock = ManualClock(case.now_us)
        self._begin = case.now_us
        self._end = case.now_us + case.cron.until_us
        self._watches: dict[str, Watch] = {}
        self._messages = Messages()
        scripts = Scripts(case.scripts)
        executors = [
            ScriptedExecutor(type_, scripts, real=real_executor(name), listener=Watch())
            for name, type_ in prepared.types.items()
        ]
        secrets = [MappingSecrets(dict(case.secrets))]
        self._sites = Sites(executors, self._clock, concurrency=case.concurrency, stager=stager, secrets=secrets)
        self._store = CaseStore(case.store, self._clock.wall)
        self._ids = SequentialIds()
        self._losses = 0
        self._lose_after = lose_after
        self._up: list[_Scheduler] = []
        self._edges = deque(self._timetable())

    # --- life ---

    def _timetable(self) -> list[tuple[int, SpecChange | bool]]:
        """What happens from outside, in the order of time: changes, and schedulers that come (True) and go (False)."""
        edges: list[tuple[int, SpecChange | bool]] = [(change.at_us, change) for change in self._watching.changes]
        for first, last in self._watching.downtime:
            edges += [(first, False), (last, True)]
        return sorted(edges, key=lambda edge: edge[0])

    async def _start(self) -> None:
        for number in range(self._watching.schedulers):
            await self._open(number)
        await self._go_on()

    async def _open(self, number: int) -> None:
        gate = LossGate(after_writes(self._lose_after if number == 0 else None), shared=True)
        self._lose_after = None
        store = self._store.open(gate)
        broker, site = self._sites.attach(gate)
        engine = RunEngine(
            store=store,
            broker=broker,
            site=site,
            clock=self._clock,
            ids=self._ids,
            secrets=[MappingSecrets(dict(self._case.secrets))],
            variables=variables_of(self._case),
            observers=[lambda run_id, state, step: self._watch(run_id).step(run_id, state, step)],
            log_observers=[lambda record: self._watch(record.run_id).log(record)],
            owner=f"case-{number}",
            lease_s=None,
        )
        await engine.__aenter__()
        self._up.insert(number, _Scheduler(gate, engine, ScheduleRunner(engine, store, self._clock)))

    def _watch(self, run_id: str) -> Watch:
        return self._watches.setdefault(run_id, Watch())

    async def _unfinished(self) -> list[str]:
        """The runs that are open, oldest fire first."""
        rows = await schedules_of(self._store.bare()).runs(closed=False)
        return [row.run_id for row in reversed(rows) if row.broken is None]

    async def _go_on(self) -> None:
        """Take up what was left behind; attempts that no engine waits for any more are stopped."""
        wanted: set[tuple[str, str, int]] = set()
        for run_id in await self._unfinished() if self._up else ():
            if not any(one.engine.drives(run_id) for one in self._up):
                self._watch(run_id).rewind(await self._up[0].engine.driven.load(run_id))
        for one in self._up:
            await one.cron.adopt_orphans()
            for run_id in one.engine.driven.ids:
                wanted |= {(run_id, node.run_path, node.attempt) for node in under_way(one.engine.driven.state(run_id))}
        await self._sites.keep_only(wanted)

    async def _lose(self) -> None:
        while self._up:
            one = self._up.pop()
            one.gate.shut = True
            await one.engine.close()

    # --- the loop ---

    async def run(self, real_limit_s: float) -> CaseResult:
        try:
            async with asyncio.timeout(real_limit_s):
                with self._messages:  # what was missed is logged, too
                    return await self._run()
        except TimeoutError:
            told = self._case.fault(("case",), f"the case took more than {real_limit_s:g} s of real time")
            return CaseResult(self._case, "failed", (told,))
        finally:
            await self._lose()
            await self._sites.close()
            self._store.close()

    async def _run(self) -> CaseResult:
        if refused := await self._apply({}):
            told = self._case.fault(("expect",), f"the schedule was refused: {refused}")
            return CaseResult(self._case, "error", (told,))
        await self._start()
        await follow(self._clock, self, self._end)
        await self._judge()
        return result_of(self._comparison, "", self._losses)

    async def rest(self) -> bool:
        """Come to rest, with other schedulers where an engine was lost."""
        await settled(*(one.engine for one in self._up))
        while any(one.gate.shut for one in self._up):
            self._losses += 1
            await self._lose()
            await self._start()
            await settled(*(one.engine for one in self._up))
        return True

    async def before_timers(self) -> bool:
        if self._edges and self._begin + self._edges[0][0] <= self._clock.now():
            await self._edge(self._edges.popleft()[1])
            return True
        return any([bool(await one.cron.tidy()) for one in self._up if not one.gate.shut])

    async def after_timers(self) -> bool:
        """Let all schedulers look at the same time, where there is something to look at."""
        due = await next_due(schedules_of(self._store.bare()))
        if due is None or due > self._clock.now() or not self._up:
            return False
        await asyncio.gather(*(one.cron.tick() for one in self._up))
        return True

    async def next_due(self) -> int | None:
        edge = self._begin + self._edges[0][0] if self._edges else None
        fire = await next_due(schedules_of(self._store.bare())) if self._up else None
        return min((due for due in (edge, fire) if due is not None), default=None)

    async def _edge(self, what: SpecChange | bool) -> None:
        if what is True:
            await self._start()
        elif what is False:
            await self._lose()
        else:
            await self._change(what)

    # --- what happens to the schedule ---

    async def _apply(self, fields: Mapping[str, Json]) -> str | None:
        """Apply the document with other fields; why that was refused."""
        document, plan, compiler = self._document, self._plan, self._prepared.compiler
        if fields:
            assert compiler is not None
            tree = plan.snapshot["workflow"]
            loaded = load_value({**tree, "spec": {**tree["spec"], **fields}}, document.file)
            document = loaded.documents[0]
            compiled = compiler.compile(document)
            faults = [one.message for one in (*loaded.diagnostics, *compiled.diagnostics) if one.severity == "error"]
            if compiled.plan is None or faults:
                return "; ".join(dict.fromkeys(faults))
            plan = compiled.plan
        try:
            await apply(schedules_of(self._store.bare()), schedule_spec(document, plan, None), self._clock.now())
        except AetherError as error:
            return error.message
        self._document, self._plan = document, plan
        return None

    async def _change(self, change: SpecChange) -> None:
        refused = await self._apply(change.fields)
        path = (*change.path, "refused")
        if change.refused is None:
            if refused is not None:
                self._comparison.fault((*change.path, "set"), f"it was refused: {refused}")
        elif refused is None:
            self._comparison.differ(path, "a refusal", "none")
        elif change.refused is not True and not matches(change.refused, refused):
            self._comparison.differ(path, written(change.refused), written(refused))

    # --- afterwards ---

    async def _judge(self) -> None:
        store = self._store.bare()
        schedule = await schedules_of(store).get(self._plan.namespace, self._plan.name)
        assert schedule is not None
        records = (await schedules_of(store).fires(schedule.namespace, schedule.name, limit=_ALL))[::-1]
        zone = ZoneInfo(schedule.settings.timezone)
        told = _Told(self._comparison, zone, self._case.expect)
        told.fires([one.at for one in records if one.kind == STARTED])
        told.skips([one for one in records if one.kind in (SKIPPED, MISSED)])
        reports = await self._reports(store, records)
        told.runs(reports)
        self._check_hidden(reports, records)

    async def _reports(self, store: Store, records: Sequence[FireRecord]) -> list[tuple[int, dict[str, Any]]]:
        """(time of the fire, report) of the runs that are kept, by that time."""
        if not self._up:
            await self._open(0)
        engine = self._up[0].engine
        begun = [(one.at, one.run_id) for one in records if one.run_id is not None]
        kept = [(at, run_id) for at, run_id in begun if await store.runs.row(run_id) is not None]
        return [(at, make_report(await engine.driven.load(run_id)).to_json()) for at, run_id in sorted(kept)]

    def _check_hidden(self, reports: Sequence[tuple[int, Json]], records: Sequence[FireRecord]) -> None:
        for index, word in enumerate(self._case.expect.get("hidden", ())):
            told = [report for _, report in reports] + [record.reason for record in records] + self._messages.lines
            told += [step for watch in self._watches.values() for step in watch.told()]
            if word in texts(told):
                self._comparison.fault(("expect", "hidden", index), f"{word!r} can be seen")


class _Told:
    """Holds what a schedule came to against `expect`. Times are shown in the schedule's zone."""

    def __init__(self, comparison: Comparison, zone: ZoneInfo, expect: Mapping[str, Json]) -> None:
        self._comparison = comparison
        self._zone = zone
        self._expect = expect

    def _shown(self, at: int) -> str:
        return datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(self._zone).isoformat()

    def fires(self, times: Sequence[int]) -> None:
        if "fires" in self._expect:
            wanted = [self._shown(parse_instant(text)) for text in self._expect["fires"]]
            self._comparison.sequence(("expect", "fires"), wanted, [self._shown(at) for at in times])

    def skips(self, records: Sequence[FireRecord]) -> None:
        if "skips" not in self._expect:
            return
        path: Path = ("expect", "skips")
        wanted = self._expect["skips"]
        times = [self._shown(parse_instant(entry["time"])) for entry in wanted]
        if not self._comparison.sequence(path, times, [self._shown(record.at) for record in records]):
            return
        for index, (entry, record) in enumerate(zip(wanted, records, strict=True)):
            if "reason" in entry:
                self._comparison.same((*path, index, "reason"), entry["reason"], record.reason)

    def runs(self, reports: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        if "runs" not in self._expect:
            return
        path: Path = ("expect", "runs")
        wanted = self._expect["runs"]
        if len(wanted) != len(reports):
            got = ", ".join(f"{self._shown(at)} {report['phase']}" for at, report in reports)
            self._comparison.differ(path, f"{len(wanted)} runs", f"{len(reports)}: {got or 'none'}")
            return
        for index, (entry, (at, report)) in enumerate(zip(wanted, reports, strict=True)):
            for name, value in entry.items():
                self._run((*path, index, name), name, value, (at, report))

    def _run(self, path: Path, name: str, value: Json, found: tuple[int, Mapping[str, Any]]) -> None:
        at, report = found
        if name == "fire":
            self._comparison.same(path, self._shown(parse_instant(value)), self._shown(at))
        elif name == "outputs":
            self._comparison.some(path, value, report["outputs"], "output")
        elif name == "elapsed":
            seconds = report["durationSeconds"]
            self._comparison.instant(path, value, None if seconds is None else round(seconds * 1_000_000))
        elif name == "taskCount":
            self._comparison.same(path, value, len(report["tasks"]))
        else:
            self._comparison.same(path, value, report[name])

