"""Runs cases: a whole engine on a virtual clock, with scripted executors, judged by what the case expects.

Law: virtual time moves only when the engine says that nothing real is under way, so a case gives the same on every
machine. At one instant what executors return comes first, then `drive`, then timers. A case that breaks, hangs in real
time or comes to a point where nothing can happen any more does not pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, chdir, nullcontext
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Final

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.adapters.stores.memory import MemoryStore
from aether_protocol.assembly.discovery import local_stager
from aether_protocol.assembly.executors import InstalledExecutors
from aether_protocol.assembly.variables import GivenVariables, SystemVariables
from aether_protocol.engine.api import Engine
from aether_protocol.engine.submission import make_header, read_variables
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.variables import VariableSource
from aether_protocol.ports.wire import TaskResult
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.invariants import check
from aether_protocol.testing.cases import Case, CaseResult, Drive, Fault
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.compare import Comparison, matches, written
from aether_protocol.testing.detail import run_detail
from aether_protocol.testing.expectations import Ran, check_diagnostics, judge
from aether_protocol.testing.known import touches_files
from aether_protocol.testing.prepare import Prepared, prepare, runs
from aether_protocol.testing.scripted import ScriptedExecutor, Scripts
from aether_protocol.testing.watch import Watch, texts

REAL_LIMIT_S: Final = 60.0  # of one case: real programs may run in it
RUN_ID: Final = "case"


def run_cases(cases: Iterable[Case]) -> list[CaseResult]:
    """Run cases one after the other. Never raises for what is in them."""
    return [run_case(case) for case in cases]


def run_case(case: Case, *, real_limit_s: float = REAL_LIMIT_S) -> CaseResult:
    """Run one case. `real_limit_s`: seconds of real time after which it is given up."""
    start = time.perf_counter()
    try:
        result = _run(case, real_limit_s)
    except Exception as error:
        told = case.fault(("case",), f"the case runner broke: {type(error).__name__}: {error}")
        result = CaseResult(case, "error", (told,), traceback.format_exc())
    return CaseResult(case, result.outcome, result.faults, result.detail, time.perf_counter() - start)


def _run(case: Case, real_limit_s: float) -> CaseResult:
    if case.faults:
        return CaseResult(case, "error", case.faults)
    try:
        variables = read_variables(_variables(case))
    except UsageError as error:
        return CaseResult(case, "error", (case.fault(("variables",), error.message),))
    prepared = prepare(case)
    if prepared.faults:
        return CaseResult(case, "error", prepared.faults)
    comparison = Comparison(case)
    check_diagnostics(comparison, case.expect.get("diagnostics", ()), prepared.diagnostics)
    problems = [one.message for one in prepared.errors] or _bind(case, prepared, variables)
    wanted = case.expect.get("valid")
    if wanted is False or not runs(case):
        if wanted is False and not problems:
            comparison.differ(("expect", "valid"), "a document that is refused", "one without errors")
        elif wanted is True and problems:
            comparison.differ(("expect", "valid"), "a document that is accepted", "errors")
        _check_hidden(comparison, case, prepared, problems)
        return _result(comparison, _told(prepared, problems))
    if problems:
        told = case.fault(("expect",), "the document is refused, so nothing ran", "expect valid: false where that is meant")
        return CaseResult(case, "error", (told,), _told(prepared, problems))
    with ExitStack() as stack:
        assert prepared.plan is not None
        stager = None
        if touches_files(prepared.plan, prepared.types):  # what programs write must not stay
            folder = stack.enter_context(TemporaryDirectory(prefix="aether-case-"))
            (work := FilePath(folder, "work")).mkdir()
            stack.enter_context(chdir(work))
            stager = local_stager(FilePath(folder, "artifacts"))
        return asyncio.run(_Play(case, prepared, comparison, stager).run(real_limit_s))


def _bind(case: Case, prepared: Prepared, variables: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """What is wrong with the arguments (DATA-14)."""
    if prepared.plan is None:
        return []
    header = RunHeader(RUN_ID, case.now_us, None, {}, variables, 0)
    try:
        make_header(prepared.plan, case.arguments, header)
    except UsageError as error:
        return [error.message]
    return []


def _check_hidden(comparison: Comparison, case: Case, prepared: Prepared, problems: list[str]) -> None:
    shown = texts([one.to_json() for one in prepared.diagnostics], problems)
    for index, word in enumerate(case.expect.get("hidden", ())):
        if word in shown:
            comparison.fault(("expect", "hidden", index), f"{word!r} can be seen in the diagnostics")


def _told(prepared: Prepared, problems: list[str]) -> str:
    lines = [f"{one.file}:{one.line}:{one.column}: {one.severity} {one.code}: {one.message}" for one in prepared.diagnostics]
    return "\n".join(lines or problems)


def _result(comparison: Comparison, detail: str) -> CaseResult:
    if comparison.faults:
        return CaseResult(comparison.case, "failed", tuple(comparison.faults), detail)
    return CaseResult(comparison.case, "passed")


class _Ids:
    """Ids and seeds that are the same in every run of a case."""

    def run_id(self, now_us: int) -> str:
        return RUN_ID

    def seed(self) -> int:
        return 0


class _Messages(logging.Handler):
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

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Play:
    """One run of one case."""

    def __init__(self, case: Case, prepared: Prepared, comparison: Comparison, stager: Stager | None) -> None:
        assert prepared.plan is not None
        self._case = case
        self._plan = prepared.plan
        self._comparison = comparison
        self._hides = "hidden" in case.expect
        self._watch = Watch()
        self._messages = _Messages()
        self._clock = ManualClock(case.now_us)
        scripts = Scripts(case.scripts)
        executors = [
            ScriptedExecutor(type_, scripts, real=_real(name), listener=self._watch)
            for name, type_ in prepared.types.items()
        ]
        self._engine = Engine(
            store=MemoryStore(),
            broker=LocalBroker(executors, self._clock, concurrency=case.concurrency, stager=stager),
            clock=self._clock,
            ids=_Ids(),
            secrets=[MappingSecrets(dict(case.secrets))],
            variables=_variables(case),
            observers=[self._watch.step],
            log_observers=[self._watch.log],
        )

    async def run(self, real_limit_s: float) -> CaseResult:
        try:
            async with asyncio.timeout(real_limit_s):
                async with self._engine:
                    with self._messages if self._hides else nullcontext():
                        return await self._run()
        except TimeoutError:
            told = self._case.fault(("case",), f"the case took more than {real_limit_s:g} s of real time")
            return CaseResult(self._case, "failed", (told,))
        except _CaseFaultError as error:
            return CaseResult(self._case, "error", (error.fault,))

    async def _run(self) -> CaseResult:
        await self._engine.submit(self._plan, dict(self._case.arguments), run_id=RUN_ID)
        await self._pass_time()
        ran = self._ran()
        judge(self._comparison, self._case.expect, ran)
        return _result(self._comparison, run_detail(ran) if self._comparison.faults else "")

    async def _pass_time(self) -> None:
        """Let time pass until the run is closed and `drive` is through."""
        clock, engine = self._clock, self._engine
        begin = clock.now()
        drives = deque(self._case.drive)
        while True:
            await engine.settled()
            state = engine.run_state(RUN_ID)  # raises what broke the run
            if clock.wake():
                continue
            if drives and begin + drives[0].at_us <= clock.now():
                await self._drive(drives.popleft())
                continue
            if state.closed and not drives:
                return
            if clock.fire():
                continue
            dues = [due for due in (clock.next_due(), begin + drives[0].at_us if drives else None) if due is not None]
            if not dues:
                self._comparison.fault(("case",), f"nothing can happen any more, and the run is {state.phase}")
                return
            clock.advance(min(dues))

    # --- from outside ---

    async def _drive(self, drive: Drive) -> None:
        if drive.action == "duplicate":
            self._engine.deliver(self._last_result(drive))
        elif drive.action == "result":
            self._engine.deliver(self._made_up(drive.argument))
        else:
            await self._ask(drive)

    async def _ask(self, drive: Drive) -> None:
        """A resume or cancel, which may be refused."""
        refused: str | None = None
        try:
            if drive.action == "cancel":
                await self._engine.cancel(RUN_ID)
            else:
                await self._engine.resume(RUN_ID, drive.argument["task"], drive.argument.get("payload", {}))
        except UsageError as error:
            refused = error.message
        path = (*drive.path, "refused")
        if drive.refused is None:
            if refused is not None:
                self._comparison.fault((*drive.path, drive.action), f"it was refused: {refused}")
        elif refused is None:
            self._comparison.differ(path, "a refusal", "none")
        elif drive.refused is not True and not matches(drive.refused, refused):
            self._comparison.differ(path, written(drive.refused), written(refused))

    def _last_result(self, drive: Drive) -> TaskResult:
        node = self._engine.run_state(RUN_ID).find(drive.argument)
        result = self._watch.results.get(node.id) if node is not None else None
        if result is None:
            raise _CaseFaultError(self._case.fault(drive.path, f"task {drive.argument!r} has returned nothing so far"))
        return result

    def _made_up(self, argument: Mapping[str, Json]) -> TaskResult:
        state = self._engine.run_state(RUN_ID)
        node = state.find(argument["task"])
        number = node.id if node is not None else len(state.nodes) + 1_000  # nobody knows this task
        return TaskResult(
            RUN_ID,
            number,
            argument.get("attempt", 1),
            argument.get("code", 0),
            argument.get("message", ""),
            argument.get("outputs", {}),
        )

    # --- afterwards ---

    def _ran(self) -> Ran:
        report = self._engine.get(RUN_ID).to_json()
        state = self._engine.run_state(RUN_ID)
        check(state)
        self._watch.check_record(state)
        visible = ""
        if self._hides:
            visible = texts(report, *self._watch.visible(state), self._messages.lines)
        tasks = {entry["path"]: entry for entry in report["tasks"]}
        return Ran(state, self._watch, report, tasks, visible)


def _variables(case: Case) -> list[VariableSource]:
    """The namespaces that are injected; without a `system` of its own a case sees the machine's."""
    return [SystemVariables(), *(GivenVariables(name, values) for name, values in case.variables.items())]


def _real(type_: str) -> Executor | None:
    try:
        return InstalledExecutors()[type_]
    except KeyError:
        return None
