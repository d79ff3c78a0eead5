"""Resume and cancel, also for a run that another engine drives: what goes through the store's mailbox.

Law: a request is carried out by the engine that drives the run, through its inbox like every other, and answered once. The
caller waits for the answer; a request that no engine has been given is withdrawn, so it cannot have an effect later. Of one
that an engine was given and does not answer the outcome is unknown, and reported so. What a person wrote lies sealed in the
store where the run may use secrets: only the engine knows what is to be masked (DATA-12, `sealing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.errors import BusyError, ConflictError, NotFoundError, PortError, UsageError
from aether_protocol.execution.sealing import SealingKey, seal
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.events import CancelRequested, Event, ResumeRequested
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUSPENDED

LOOK_S: Final = 0.1  # between two looks for an answer
LONGEST_REASON: Final = 1_000  # characters
PATIENCE_US: Final = 10_000_000  # how long an answer is waited for
KEY: Final = "key"  # asks the engine for the key with which what follows is sealed
_TRIES: Final = 3  # against engines that take the run over between key and question

Question = dict[str, Json]


def resume_question(task_path: str, payload: Mapping[str, Json], reason: str = "") -> Question:
    """Ask for a resume; `reason` is recorded."""
    return {"kind": "resume", "task": task_path, "payload": dict(payload), "reason": checked_reason(reason)}


def cancel_question(reason: str = "") -> Question:
    """Ask for a cancel; `reason` is recorded."""
    return {"kind": "cancel", "reason": checked_reason(reason)}


def checked_reason(reason: str) -> str:
    """Give the reason as it is recorded: on one line. Raises UsageError for one that is too long or not text."""
    if not is_whole(reason):
        raise UsageError("the reason is not UTF-8 text")
    if len(reason) > LONGEST_REASON:
        raise UsageError(f"the reason has {len(reason)} characters", hint=f"at most {LONGEST_REASON} are recorded")
    return " ".join(reason.split())


def suspended_paths(state: RunState) -> list[str]:
    """Paths of the tasks that wait for a resume, in document order."""
    nodes = [n for n in state.nodes if n.phase is SUSPENDED and isinstance(n, TaskNode) and n.hook is None]
    return [node.path for node in sorted(nodes, key=state.order_key)]


def to_event(state: RunState, question: Json) -> Event:
    """What is asked, as an event. Raises UsageError for a task that there is not, and for what is not a question."""
    kind = question.get("kind") if isinstance(question, dict) else None
    if kind == "cancel":
        return CancelRequested(0, "api", str(question.get("reason", "")))
    if kind != "resume":
        raise UsageError(f"{kind!r} is nothing that can be asked of a run")
    path = question["task"]
    node = state.find(path)
    if node is None:
        waiting = suspended_paths(state)
        near = suggest(path, waiting)
        shown = near or ", ".join(waiting)
        hint = f"suspended: {shown}" if shown else "no task of this run is suspended"
        raise NotFoundError(f"run {state.header.run_id!r} has no task run {path!r}", hint=hint)
    return ResumeRequested(0, node.id, question["payload"], "api", str(question.get("reason", "")))


def wants_answer(question: Json) -> bool:
    """Whether a caller waits for the answer."""
    return not isinstance(question, dict) or question.get("reply") is not False


def told(error: BaseException | None) -> dict[str, Json]:
    """An answer as it is stored: done, or why not."""
    if error is None:
        return {"done": True}
    return {"done": False, "message": getattr(error, "message", str(error)), "hint": getattr(error, "hint", None)}


def is_private(plan: Plan, question: Question) -> bool:
    """Whether a question holds what a person wrote about a run that may use secrets."""
    return bool(question.get("payload") or question.get("reason")) and _names_secrets(plan.snapshot)


def _names_secrets(document: Json) -> bool:
    """Whether a key of a document is `secretKeyRef`; a plan without its document counts as one that uses secrets."""
    if not document:
        return True
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            if "secretKeyRef" in value:
                return True
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
    return False


def opened(key: SealingKey, question: Json) -> Json:
    """Give a question as it was before it was sealed. Raises UsageError where it was sealed for another engine."""
    if not isinstance(question, dict) or "sealed" not in question:
        return question
    return {**question, **key.open(str(question["sealed"]))}


async def ask(store: Store, clock: Clock, run_id: str, question: Question, *, private: bool = False) -> None:
    """Ask the engine that drives the run, and wait for its answer.

    Args:
        store: where the run is.
        clock: measures how long an answer is waited for.
        run_id: which run.
        question: see `resume_question`, `cancel_question`.
        private: nothing that a person wrote in the question may lie open in the store.

    Raises:
        UsageError: it is refused.
        BusyError: no engine answers.
    """
    row = await store.runs.row(run_id)
    if row is None:
        raise NotFoundError(f"run {run_id!r} is unknown")
    if row.closed:
        raise ConflictError(f"the run has ended: it is {row.phase}")
    for _ in range(_TRIES if private else 1):
        given = await _sealed(store, clock, run_id, question) if private else question
        answer = await _answer(store, clock, run_id, given)
        if answer.get("done"):
            return
        if not answer.get("again"):
            raise UsageError(str(answer.get("message")), hint=answer.get("hint"))
    raise BusyError(f"run {run_id!r} went from engine to engine", hint="try again")


async def _sealed(store: Store, clock: Clock, run_id: str, question: Question) -> Question:
    """Seal what a person wrote for the engine that drives the run now."""
    answer = await _answer(store, clock, run_id, {"kind": KEY})
    if not answer.get("done"):
        raise PortError(f"the engine of run {run_id!r} cannot be answered: {answer.get('message')}", hint=answer.get("hint"))
    key = answer.get("key")
    written = {name: question[name] for name in ("payload", "reason") if name in question}
    return {**{name: value for name, value in question.items() if name not in written}, "sealed": seal(str(key), written)}


async def _answer(store: Store, clock: Clock, run_id: str, question: Question) -> dict[str, Json]:
    """Post a question and wait for the answer. Raises BusyError where there is none in time."""
    heard = asyncio.Event()
    deaf = await store.mailbox.listen(heard.set)
    number = await store.mailbox.post(run_id, question)
    end = clock.now() + PATIENCE_US
    try:
        while (answer := await store.mailbox.answer(number)) is None:
            if clock.now() >= end and await store.mailbox.withdraw(number):
                hint = "its engine is gone or does not listen: carry the run on here, or try again"
                raise BusyError(f"no engine answers for run {run_id!r}", hint=hint)
            if clock.now() >= end + PATIENCE_US:
                hint = "look at the run before you ask again: it may still be done"
                raise BusyError(f"the engine of run {run_id!r} was asked and does not answer", hint=hint)
            alarm = clock.call_at(clock.now() + round(LOOK_S * 1_000_000), heard.set)
            try:
                await heard.wait()
            finally:
                alarm.cancel()
            heard.clear()
    except asyncio.CancelledError:
        await store.mailbox.withdraw(number)
        raise
    finally:
        if deaf is not None:
            deaf()
    return answer if isinstance(answer, dict) else {}
