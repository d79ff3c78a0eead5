"""One attempt on its way through the local broker, and what is done with what executors get and give.

Law: an executor gets copies and a context; whatever it does with them comes back as a TaskResult of its own attempt whose
values are JSON. Nothing that an executor does raises out of here but cancellation.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from aether_protocol.errors import AetherError, PortError, why
from aether_protocol.execution.capacity import Patience, begin, is_full, under_way
from aether_protocol.execution.context import Context, Host
from aether_protocol.execution.secrets import MissingSecretError
from aether_protocol.execution.summary import SummaryError, keep_summary
from aether_protocol.execution.threads import in_thread
from aether_protocol.execution.workspace import warning_of
from aether_protocol.expressions.json_copy import clean, json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config import check_config
from aether_protocol.plan.config_fields import ConfigFault
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.executor import SUMMARY_FILE, Executor
from aether_protocol.ports.wire import ERROR, NOTHING, TaskAssignment, TaskResult

_T = TypeVar("_T")

RENEW_S: Final = 1_200.0  # a third of the grace of `engine.artifacts`

_NO_WARNINGS: Final = ()


class Attempt:
    """An attempt that waits or runs. `begun`: its executor has been called; `stopped`: its result is not wanted;
    `threaded`: it is in a thread, which can be asked to stop but not be made to; `slot_released`: it has no slot any more;
    `successor`: the attempt that begins when this one has ended; `stop_s`: how long its stop may take, as it says itself."""

    __slots__ = (
        "assignment",
        "begun",
        "executor",
        "key",
        "ref",
        "sleeps",
        "slot_released",
        "stop_s",
        "stopped",
        "successor",
        "task",
        "threaded",
    )

    def __init__(self, assignment: TaskAssignment) -> None:
        self.assignment = assignment
        self.ref = assignment.ref
        self.key = assignment.ref.task_run_id
        self.executor: Executor | None = None
        self.task: asyncio.Task[None] | None = None  # of the runner that has it
        self.begun = False
        self.stopped = False
        self.threaded = False
        self.slot_released = False
        self.successor: TaskAssignment | None = None
        self.sleeps = 0
        self.stop_s = 0.0

    def follow(self, assignment: TaskAssignment) -> bool:
        """Let another attempt of this task run begin when this one has ended, where it is newer than all that is here, or this
        one once more after its stop; False: it is passed over."""
        ref = assignment.ref
        last = self.ref if self.successor is None else self.successor.ref
        if not ref.is_after(last) and not (self.stopped and self.successor is None and ref == last):
            return False
        self.successor = assignment
        return True


def refuse(assignment: TaskAssignment, message: str) -> TaskResult:
    """An Error of this attempt."""
    return TaskResult(assignment.ref, ERROR, clean(message))


def crashed(assignment: TaskAssignment, error: BaseException, context: Context) -> TaskResult:
    """What an executor raised, as an Error with its text; the traceback goes to the task's log."""
    if isinstance(error, AetherError):
        return refuse(assignment, error.message)
    text = why(error)
    context.log("".join(traceback.format_exception(error)), "stderr")
    if isinstance(error, LookupError | SystemExit) and text != type(error).__name__:
        text = f"{type(error).__name__}: {text}"
    return refuse(assignment, text)


def prepare(executor: Executor, assignment: TaskAssignment, context: Context) -> str | None:
    """Give the executor its own copies, and look at a config again that had placeholders (SPEC-15). Returns the fault."""
    try:
        assignment.inputs = json_copy(assignment.inputs) if assignment.inputs else {}
        assignment.config = json_copy(assignment.config) if assignment.config else {}
        if assignment.payloads:
            assignment.payloads = json_copy(assignment.payloads)
    except ValueError as error:
        return f"what it is given holds {error}"
    if assignment.target.config.literal:
        return None
    faults = check_config(executor.type, assignment.config, placeholders=False)
    return "; ".join(_told(executor, assignment, faults, context)) if faults else None


def _told(executor: Executor, assignment: TaskAssignment, faults: Sequence[ConfigFault], context: Context) -> Iterator[str]:
    """Faults of a config in words. They quote and cut values, so where secrets stand in it a masked config is asked."""
    masked = context.masked(assignment.config)
    words = {fault.path: fault.message for fault in faults}
    if masked is not assignment.config:
        words = {fault.path: fault.message for fault in check_config(executor.type, masked, placeholders=False)}
    for fault in faults:
        yield f"{_spot(fault.path)}: {words.get(fault.path, 'does not fit, and holds a secret')}"


def _spot(path: tuple[str | int, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "executor.config" + "".join(parts)


def to_result(assignment: TaskAssignment, outcome: Any) -> TaskResult:
    """What `execute` returned, checked: it is foreign code."""
    if type(outcome) is not TaskResult:
        kind = type(outcome).__name__
        return refuse(assignment, f"executor {assignment.executor_type!r} returned a {kind}, not a TaskResult")
    if outcome.ref is not assignment.ref and outcome.ref != assignment.ref:
        return refuse(assignment, f"executor {assignment.executor_type!r} returned the result of another attempt")
    if type(outcome.code) is not int or type(outcome.message) is not str:
        return refuse(assignment, f"executor {assignment.executor_type!r} returned code {outcome.code!r}")
    outputs: Any = outcome.outputs
    artifacts: Any = outcome.artifacts
    warnings: Any = outcome.warnings
    nothing = outputs is NOTHING and artifacts is NOTHING
    if not nothing:
        for name, given in (("outputs", outputs), ("artifacts", artifacts)):
            if type(given) is not dict and given is not NOTHING and not isinstance(given, Mapping):
                told = f"{name} that are a {type(given).__name__}, not a mapping"
                return refuse(assignment, f"executor {assignment.executor_type!r} returned {told}")
    if outcome.message:
        outcome.message = clean(outcome.message)
    if warnings is not _NO_WARNINGS:
        if not isinstance(warnings, list | tuple) or not all(type(text) is str for text in warnings):
            return refuse(assignment, f"executor {assignment.executor_type!r} returned warnings that are not texts")
        outcome.warnings = tuple(map(clean, warnings))
    if not nothing:
        try:
            outcome.outputs = json_copy(outputs) if outputs else NOTHING
            outcome.artifacts = json_copy(artifacts) if artifacts else NOTHING
        except ValueError as error:
            return refuse(assignment, f"executor {assignment.executor_type!r} returned {error}")
    if outcome.fetched:
        outcome.fetched = NOTHING  # executors need not know what was fetched for them
    return outcome


def run_inline(executor: Executor, assignment: TaskAssignment, host: Host) -> TaskResult:
    """Carry out an attempt here and now: one that need not wait for a secret."""
    context = Context(host, assignment)
    result = None
    try:
        if assignment.secrets:
            assignment = host.secrets.fill_at_once(assignment)
        fault = prepare(executor, assignment, context)
        if fault is not None:
            result = refuse(assignment, fault)
        else:
            result = to_result(assignment, executor.execute(assignment, context))
            if context.used is not None:
                _tell_strays(assignment, result, context)
    except MissingSecretError as error:
        result = refuse(assignment, str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # nothing that foreign code raises may end the loop that called it
        result = crashed(assignment, error, context)
    finally:
        if context.used is not None or context.streams is not None:
            context.close(result)
    return context.seal(result)


async def execute(attempt: Attempt, executor: Executor, host: Host) -> TaskResult:
    """Secrets filled in, artifacts in, the executor, artifacts out (ART-1, ART-2), masked. Raises CancelledError only."""
    context = Context(host, attempt.assignment, attempt).prepared()
    result = None
    try:
        result = await _carry_out(attempt, executor, host, context)
    except (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):
        raise
    except MissingSecretError as error:
        result = refuse(attempt.assignment, str(error))
    except BaseException as error:
        result = crashed(attempt.assignment, error, context)
    finally:
        context.close(None if attempt.stopped else result)
    return context.seal(result)


async def _carry_out(attempt: Attempt, executor: Executor, host: Host, context: Context) -> TaskResult:
    assignment = attempt.assignment
    if assignment.secrets:
        assignment = await host.secrets.fill(assignment)
    fault = prepare(executor, assignment, context)
    if fault is None and (assignment.artifacts or assignment.target.artifacts) and host.stager is None:
        fault = "it has artifacts, and there is no artifact repository"
    if fault is not None:
        return refuse(assignment, fault)
    if assignment.artifacts and host.stager is not None:
        context.fetched = await _lay_down(assignment, host.stager, context)
    if context.fetched and host.stager is not None:
        async with _renewed(context.fetched, host.stager.within(assignment.namespace)):
            outcome = await _call(attempt, assignment, executor, context, host)
    else:
        outcome = await _call(attempt, assignment, executor, context, host)
    result = to_result(assignment, outcome)
    if result.code == 0 and assignment.target.artifacts and host.stager is not None:
        result.artifacts = await _keep(assignment, result, host.stager, context)
    _tell_strays(assignment, result, context)
    if context.used is not None and (file := context.used.left(SUMMARY_FILE)) is not None and not attempt.stopped:
        await _keep_summary(file, assignment, result, host.stager, context)
    return result


async def _keep_summary(
    file: Path, assignment: TaskAssignment, result: TaskResult, stager: Stager | None, context: Context
) -> None:
    """Keep what the attempt says to people, whatever became of it; why not, is a warning (RT-158)."""
    try:
        if stager is None:
            raise SummaryError("there is no artifact repository where it ran")
        part = stager.within(assignment.namespace)
        kept = await _with_room(lambda: keep_summary(file, context.mask, part), context)
    except (SummaryError, OSError) as error:
        result.warnings = (*result.warnings, f"AETHER_SUMMARY was not kept: {error}")
    except PortError as error:
        result.warnings = (*result.warnings, f"AETHER_SUMMARY was not kept: {error.message}")
    else:
        result.artifacts = {**result.artifacts, **kept}


async def _call(attempt: Attempt, assignment: TaskAssignment, executor: Executor, context: Context, host: Host) -> Any:
    if executor.mode == "async":
        return await executor.execute(assignment, context)  # type: ignore[misc]
    if executor.mode == "inline":
        return executor.execute(assignment, context)
    return await _in_thread(attempt, assignment, executor, context, host)


@asynccontextmanager
async def _renewed(fetched: Mapping[str, Json], stager: Stager) -> AsyncIterator[None]:
    """Keep what was fetched from being collected: its run names it only with the result of the attempt."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(PortError):  # it is there for some time more, and the next one does it
                await _to_the_end(lambda: stager.renew(fetched))

    renewing = asyncio.ensure_future(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])  # what it began is of this attempt alone


def _tell_strays(assignment: TaskAssignment, result: TaskResult, context: Context) -> None:
    """Warn of files in the workspace that go with it (ART-4)."""
    workspace = context.used
    if workspace is not None and result.code == 0 and workspace.made:
        known = [item["path"] for item in assignment.artifacts.values() if item.get("path")]
        known += [item.path for item in assignment.target.artifacts if item.path]
        known += [item.file for item in assignment.target.outputs if item.file]
        strays = workspace.strays(known)
        if strays:
            result.warnings = (*result.warnings, warning_of(strays))


async def _lay_down(assignment: TaskAssignment, stager: Stager, context: Context) -> Mapping[str, Json]:
    return await _with_room(
        lambda: stager.within(assignment.namespace).bring(
            assignment.artifacts, context.workspace, context.scratch, assignment.folder
        ),
        context,
    )


async def _keep(assignment: TaskAssignment, result: TaskResult, stager: Stager, context: Context) -> Mapping[str, Json]:
    kept = await _with_room(
        lambda: stager.within(assignment.namespace).keep(assignment.target.artifacts, context.workspace, context.scratch),
        context,
    )
    return {**result.artifacts, **kept}


async def _with_room(move: Callable[[], _T], context: Context) -> _T:
    """Move artifacts, and again where the machine was full: what was moved before is moved to the same place."""

    def tell(text: str) -> None:
        context.log(text, "stderr")

    patience = Patience(tell)
    while True:
        await begin(lambda: None, tell)
        try:
            with under_way():
                return await _to_the_end(move)
        except (OSError, PortError) as error:
            if not is_full(error):
                raise
            full = error
        await patience.wait(full)


async def _to_the_end(move: Callable[[], _T]) -> _T:
    """Move artifacts in a thread. A stop waits for it: the next attempt may be about the very same files."""
    moving = asyncio.ensure_future(in_thread(move))
    try:
        return await asyncio.shield(moving)
    except asyncio.CancelledError:
        await asyncio.wait([moving])
        if not moving.cancelled():
            moving.exception()  # its outcome has no reader, and asyncio shall not complain
        raise


async def _in_thread(
    attempt: Attempt, assignment: TaskAssignment, executor: Executor, context: Context, host: Host
) -> Any:
    """Run in a thread of the pool; the start is reported when a thread is free for it (SCHED-10)."""
    loop = asyncio.get_running_loop()
    attempt.threaded = True

    def call() -> Any:
        if attempt.stopped:
            return refuse(assignment, "stopped")
        loop.call_soon_threadsafe(host.sink.started, assignment.ref)
        return executor.execute(assignment, context)

    try:
        return await host.threads.call(call)
    finally:
        attempt.threaded = False
