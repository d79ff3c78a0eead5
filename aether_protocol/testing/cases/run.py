"""Runs cases: a whole engine on a virtual clock, with scripted executors, judged by what the case expects.

Law: virtual time moves only when the engine says that nothing real is running, so a case gives the same on every
machine. At one instant what executors return comes first, then `drive`, then timers. A case that breaks, hangs in real
time or comes to a point where nothing can happen any more does not pass.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, chdir
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace

from aether_protocol.assembly.artifacts import local_stager
from aether_protocol.engine.submission import make_header, read_variables
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.testing.cases.compare import Comparison
from aether_protocol.testing.cases.expectations import check_diagnostics
from aether_protocol.testing.cases.model import Case, CaseResult
from aether_protocol.testing.cases.plan_names import touches_files
from aether_protocol.testing.cases.play import RUN_ID, Play, result_of, variables_of
from aether_protocol.testing.cases.prepare import Prepared, prepare, runs
from aether_protocol.testing.cases.recorder import texts
from aether_protocol.testing.cases.schedules import SchedulePlay

REAL_LIMIT_S: Final = 60.0  # of one case: real programs may run in it


def run_case(
    case: Case, *, real_limit_s: float = REAL_LIMIT_S, lose_after: int | None = None, passivates: bool = False
) -> CaseResult:
    """Run one case.

    Args:
        case: the case.
        real_limit_s: seconds of real time after which it is given up.
        lose_after: the engine is lost once, after that many writes of steps to the store (which must outlive it).
        passivates: the run is passivated whenever it only waits; so far of cases without `cron`.
    """
    start = time.perf_counter()
    try:
        result = _run(case, real_limit_s, lose_after, passivates)
    except Exception as error:
        told = case.fault(("case",), f"the case runner broke: {type(error).__name__}: {error}")
        result = CaseResult(case, "error", (told,), traceback.format_exc())
    return replace(result, seconds=time.perf_counter() - start)


def _run(case: Case, real_limit_s: float, lose_after: int | None, passivates: bool) -> CaseResult:
    if case.faults:
        return CaseResult(case, "error", case.faults)
    try:
        variables = read_variables(variables_of(case))
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
        return result_of(comparison, _told(prepared, problems))
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
        if case.cron is not None:
            return asyncio.run(SchedulePlay(case, prepared, comparison, stager, lose_after).run(real_limit_s))
        play = Play(case, prepared, comparison, stager, lose_after, passivates=passivates)
        return asyncio.run(play.run(real_limit_s))


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
