"""One run of one case: engines on a virtual clock, one after the other where they are lost, and what happens from outside.

Law: virtual time moves only when the engine says that nothing real is running. At one instant what executors return comes
first, then `drive`, then timers. An attempt outlives its engine; what a lost engine had not stored did not happen.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final

from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.assembly.executors import InstalledExecutors
from aether_protocol.assembly.variables import GivenVariables, SystemVariables
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.mailbox import cancel_question, resume_question
from aether_protocol.errors import UsageError
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.store import SNAPSHOT
from aether_protocol.ports.variables import VariableSource
from aether_protocol.ports.wire import AttemptRef, TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.outstanding import under_way
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.runs.retry_header import retry_header
from aether_protocol.testing.cases.compare import Comparison, matches, written
from aether_protocol.testing.cases.expectations import Ran, judge
from aether_protocol.testing.cases.failure_detail import run_detail
from aether_protocol.testing.cases.model import Case, CaseFault, CaseResult, Drive
from aether_protocol.testing.cases.prepare import Prepared
from aether_protocol.testing.cases.recorder import Watch, texts
from aether_protocol.testing.cases.survivors import CaseStore, Sites
from aether_protocol.testing.clock import Course, ManualClock, SequentialIds, follow
from aether_protocol.testing.gate import LossGate, after_writes
from aether_protocol.testing.scripted import ScriptedExecutor, Scripts
from aether_protocol.testing.settling import settled
from aether_protocol.views.report import make_report

RUN_ID: Final = "case"


def result_of(comparison: Comparison, detail: str, losses: int = 0, sleeps: int = 0) -> CaseResult:
    """What a case comes to by the faults that were found."""
    if comparison.faults:
        return CaseResult(comparison.case, "failed", tuple(comparison.faults), detail, losses=losses, sleeps=sleeps)
    return CaseResult(comparison.case, "passed", losses=losses, sleeps=sleeps)


class Messages(logging.Handler):
    """What the package says in the process's own log while a case runs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __enter__(self) -> None:
        logging.getLogger("aether_protocol").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("aether_protocol").removeHandler(self)


class _CaseFaultError(Exception):
    """The case asks for something that cannot be done."""

    def __init__(self, fault: CaseFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Play(Course):
    """One run of one case. `lose_after`: the engine is lost once, after so many writes of steps; another recovers the run."""

    def __init__(
        self,
        case: Case,
        prepared: Prepared,
        comparison: Comparison,
        stager: Stager | None,
        lose_after: int | None = None,
        *,
        passivates: bool = False,
    ) -> None:
        assert prepared.plan is not None
        self._case = case
        self._plan = prepared.plan
        self._comparison = comparison
        self._hides = "hidden" in case.expect
        self._watch = Watch()
        self._messages = Messages()
        self._clock = ManualClock(case.now_us)
        self._begin = case.now_us
        scripts = Scripts(case.scripts)
        executors = [
            ScriptedExecutor(type_, scripts, real=real_executor(name), listener=self._watch)
            for name, type_ in prepared.types.items()
        ]
        secrets = [MappingSecrets(dict(case.secrets))]
        self._sites = Sites(executors, self._clock, concurrency=case.concurrency, stager=stager, secrets=secrets)
        self._store = CaseStore(case.store, self._clock.wall)
        self._run_id = RUN_ID
        self._passivate_after_s = 0.0 if passivates else None
        self._asleep: RunState | None = None  # of a run that is passivated, as it is stored
        self._sleeps = 0
        self._losses = 0
        self._drives = deque(case.drive)
        self._accepted: list[tuple[int, Drive]] = []  # (step before it, what was asked of the run)
        self._gate, self._engine = self._make_engine(lose_after)

    def _make_engine(self, lose_after: int | None = None) -> tuple[LossGate, RunEngine]:
        gate = LossGate(after_writes(lose_after), shared=True)
        broker, site = self._sites.attach(gate)
        engine = RunEngine(
            store=self._store.open(gate),
            broker=broker,
            site=site,
            clock=self._clock,
            ids=SequentialIds(),
            secrets=[MappingSecrets(dict(self._case.secrets))],
            variables=variables_of(self._case),
            observers=[self._watch.step],
            log_observers=[self._watch.log],
            owner="case",
            lease_s=None,
            passivate_after_s=self._passivate_after_s,
        )
        return gate, engine

    async def run(self, real_limit_s: float) -> CaseResult:
        try:
            async with asyncio.timeout(real_limit_s):
                with self._messages if self._hides else nullcontext():
                    return await self._run()
        except TimeoutError:
            told = self._case.fault(("case",), f"the case took more than {real_limit_s:g} s of real time")
            return CaseResult(self._case, "failed", (told,))
        except _CaseFaultError as error:
            return CaseResult(self._case, "error", (error.fault,))
        finally:
            await self._engine.close()
            await self._sites.close()
            self._store.close()

    async def _run(self) -> CaseResult:
        await self._engine.__aenter__()
        await self._engine.submit(self._plan, dict(self._case.arguments), run_id=RUN_ID)
        await follow(self._clock, self)
        if not self._state().closed:
            self._comparison.fault(("case",), f"nothing can happen any more, and the run is {self._state().phase}")
        ran = self._ran()
        judge(self._comparison, self._case.expect, ran)
        return result_of(self._comparison, run_detail(ran) if self._comparison.faults else "", self._losses, self._sleeps)

    # --- the course of time ---

    async def rest(self) -> bool:
        """Come to rest, with another engine where one was lost. False: the run is closed, and `drive` is through."""
        await settled(self._engine)
        while self._gate.shut:
            await self._go_on()
            await settled(self._engine)
        await self._look_for_sleep()
        self._sleeps += self._asleep is not None
        return bool(self._drives) or not self._state().closed

    async def before_timers(self) -> bool:
        due = await self.next_due()
        if due is None or due > self._clock.now():
            return False
        await self._drive(self._drives.popleft())
        return True

    async def next_due(self) -> int | None:
        return self._begin + self._drives[0].at_us if self._drives else None

    async def _look_for_sleep(self) -> None:
        """Read the state of a run that is passivated from the store."""
        driven = self._engine.driven
        sleeps = self._passivate_after_s is not None and self._run_id not in driven.ids
        self._asleep = await driven.load(self._run_id) if sleeps else None

    def _state(self) -> RunState:
        if self._asleep is not None:
            return self._asleep
        return self._engine.driven.state(self._run_id)  # raises what broke the run

    async def _go_on(self) -> None:
        """Replace the lost engine by another one, which recovers the run from what is stored."""
        self._losses += 1
        self._gate.shut = True
        await self._engine.close()
        self._gate, self._engine = self._make_engine()
        await self._engine.__aenter__()
        state = await self._engine.driven.load(self._run_id)
        if self._case.store == SNAPSHOT:
            self._watch.rewind(state)
            again = [drive for seq, drive in self._accepted if seq >= state.seq]
            self._accepted = [entry for entry in self._accepted if entry[0] < state.seq]
            self._drives.extendleft(reversed(again))  # the caller asks again
        else:  # its tasks are dispatched again, and find their attempts as they are
            await self._sites.keep_only({(self._run_id, node.run_path, node.attempt) for node in under_way(state)})
        await self._engine.recover([self._run_id])
        await self._look_for_sleep()

    # --- from outside ---

    async def _drive(self, drive: Drive) -> None:
        if drive.action in ("duplicate", "result"):
            self._accepted.append((self._state().seq, drive))
        if drive.action == "crash":
            if not self._state().closed:
                await self._go_on()
        elif drive.action == "duplicate":
            self._engine.deliver(self._last_result(drive))
        elif drive.action == "result":
            self._engine.deliver(self._made_up(drive.argument))
        else:
            await self._ask(drive)

    async def _ask(self, drive: Drive) -> None:
        """A resume, cancel or retry, which may be refused."""
        refused: str | None = None
        before = self._state().seq
        try:
            if drive.action == "cancel":
                await self._engine.driven.ask(self._run_id, cancel_question())
            elif drive.action == "retry":
                await self._retry(drive.argument.get("from"))
            else:
                question = resume_question(drive.argument["task"], json_copy(drive.argument.get("payload", {})))
                await self._engine.driven.ask(self._run_id, question)
        except UsageError as error:
            refused = error.message
        else:
            if drive.action != "retry":
                self._accepted.append((before, drive))
        path = (*drive.path, "refused")
        if drive.refused is None:
            if refused is not None:
                self._comparison.fault((*drive.path, drive.action), f"it was refused: {refused}")
        elif refused is None:
            self._comparison.differ(path, "a refusal", "none")
        elif drive.refused is not True and not matches(drive.refused, refused):
            self._comparison.differ(path, written(drive.refused), written(refused))

    async def _retry(self, start: str | None) -> None:
        """From now on the case is about the new run (CTRL-4)."""
        state = await self._engine.driven.load(self._run_id)
        new = f"{self._run_id}-again"
        header = retry_header(state, start, new, self._clock.now(), self._engine.ids.seed(new))
        await self._engine.start(state.plan, header)
        self._run_id, self._asleep = new, None
        self._accepted.clear()
        self._watch.forget()

    def _last_result(self, drive: Drive) -> TaskResult:
        node = self._state().find(drive.argument)
        result = self._watch.results.get(node.run_path) if node is not None else None
        if result is None:
            raise _CaseFaultError(self._case.fault(drive.path, f"task {drive.argument!r} has returned nothing so far"))
        return result

    def _made_up(self, argument: Mapping[str, Json]) -> TaskResult:
        epoch = 0 if self._asleep is not None else self._engine.driven.get(self._run_id).epoch
        return TaskResult(
            AttemptRef(self._run_id, argument["task"], argument.get("attempt", 1), epoch),
            argument.get("code", 0),
            argument.get("message", ""),
            argument.get("outputs", {}),
        )

    # --- afterwards ---

    def _ran(self) -> Ran:
        report = make_report(self._state()).to_json()
        state = self._state()
        check(state)
        self._watch.check_record(state)
        visible = ""
        if self._hides:
            visible = texts(report, *self._watch.visible(state), self._messages.lines)
        tasks = {entry["path"]: entry for entry in report["tasks"]}
        return Ran(state, self._watch, report, tasks, visible)


def variables_of(case: Case) -> list[VariableSource]:
    """The namespaces that are injected; without a `system` of its own a case sees the machine's."""
    return [SystemVariables(), *(GivenVariables(name, values) for name, values in case.variables.items())]


def real_executor(type_: str) -> Executor | None:
    """The installed executor of that type, if there is one."""
    try:
        return InstalledExecutors()[type_]
    except KeyError:
        return None
