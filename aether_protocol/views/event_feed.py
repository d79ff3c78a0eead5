"""Event records: each fact of a run as a JSON object, for observers outside of the engine (docs/reference/events.md).

Law: one record for each change (`facts.unfold`), made only on request. The fields of a kind are a table; new ones are added,
none is changed: `v` is the version of this form. Secrets read `***`. Records belong to who asks for them; what several are sent
as text is made once (`EntryTexts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, overload

import msgspec

from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import DagDef, Kind, LoopDef
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.evolve import bound_inputs
from aether_protocol.scheduler.nodes import HookNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.views.phase_changes import phase_after
from aether_protocol.views.report import hook_name, item_of

VERSION: Final = 1

KEPT_TEXTS: Final = 1000  # of a run: readers of its past are not all at the same place

EventRecord = dict[str, Json]
_encode: Final = msgspec.json.Encoder().encode
_Fields = Callable[[RunState, Any], dict[str, Json]]


def _run_created(state: RunState, fact: f.RunCreated) -> dict[str, Json]:
    header, plan = fact.header, state.plan
    scheduled = header.scheduled_time
    return {
        "workflow": {"name": plan.name, "namespace": plan.namespace, "version": plan.version},
        "parameters": redacted(header.parameters),
        "scheduledTime": None if scheduled is None else rfc3339(scheduled),
        "retryOf": header.retry_of,
        "submittedBy": header.submitted_by,
    }


def _node_created(state: RunState, fact: f.NodeCreated) -> dict[str, Json]:
    node = state.nodes[fact.node]
    return {
        "taskName": node.call.name,
        "templateName": node.call.target.name,
        "templateType": node.kind.name.lower(),
        "depth": node.depth,
        "position": node.index,
        "item": item_of(node),
    }


def _scope_opened(state: RunState, fact: f.ScopeOpened) -> dict[str, Json]:
    """What is known from now on: its tasks or iterations, and how many tasks of these are leaves."""
    target = state.nodes[fact.node].call.target
    items = None if fact.items is None else len(fact.items)
    if isinstance(target, DagDef):
        return {"items": items, "children": len(target.tasks), "leaves": target.leaves}
    is_leaf = isinstance(target, LoopDef) and target.body.kind is Kind.TASK
    return {"items": items, "children": items or 0, "leaves": (items or 0) if is_leaf else 0}


def _nothing(state: RunState, fact: f.Fact) -> dict[str, Json]:
    return {}


def _given(state: RunState, fact: f.TaskSuspended | f.NodeEnded) -> dict[str, Json]:
    return {"message": fact.message, "outputs": redacted(fact.outputs), "artifacts": redacted(fact.artifacts)}


_FIELDS: Final[dict[type, _Fields]] = {
    f.RunCreated: _run_created,
    f.NodeCreated: _node_created,
    f.InputsBound: lambda state, fact: {
        "inputs": redacted(bound_inputs(state, fact)),
        "artifacts": redacted(fact.artifacts),
    },
    f.ScopeOpened: _scope_opened,
    f.IterationGranted: lambda state, fact: {"iteration": fact.index},
    f.TaskDispatched: lambda state, fact: {"attempt": fact.attempt},
    f.TaskRunning: _nothing,
    f.ContainerPhase: _nothing,
    f.TaskSuspended: _given,
    f.TaskResumed: lambda state, fact: {"payload": redacted(fact.payload)},
    f.RetryScheduled: lambda state, fact: {
        "after": str(fact.phase),
        "code": fact.code,
        "message": fact.message,
        "due": rfc3339(fact.due),
        "outputs": redacted(fact.outputs),
    },
    f.NodeEnded: lambda state, fact: {"code": fact.code, **_given(state, fact)},
    f.HookFired: lambda state, fact: {
        "templateName": state.nodes[fact.node].call.target.name,
        "context": redacted(fact.context),
    },
    f.Reported: lambda state, fact: {"message": fact.message},
    f.AttemptRepeated: lambda state, fact: {"losses": fact.losses},
    f.ArtifactsFetched: lambda state, fact: {"fetched": redacted(fact.fetched)},
    f.RunClosed: lambda state, fact: {"phase": str(state.phase), "message": state.message},
}


def step_records(state: RunState, step: LogEntry) -> Iterator[EventRecord]:
    """Make the records of one log entry. `state` may be ahead of it: only what never changes is read from the state."""
    at, run_id = rfc3339(step.at), state.header.run_id
    for index, fact in enumerate(f.unfold(step.facts)):
        record: EventRecord = {
            "v": VERSION,
            "runId": run_id,
            "seq": step.seq,
            "index": index,
            "at": at,
            "cause": step.cause,
            "kind": type(fact).__name__,
        }
        number = getattr(fact, "node", None)
        if number is not None and number != WORKFLOW:
            node = state.nodes[number]
            run_path = node.run_path
            record["id"] = f"{run_id}/{run_path}"
            if isinstance(node, HookNode):
                record["path"] = node.path
                record["hook"] = hook_name(node)
            else:
                record["path"] = run_path
        phase = phase_after(fact)
        if phase is not None:
            record["phase"] = str(phase)
        record.update(_FIELDS[type(fact)](state, fact))
        yield record


class EntryTexts:
    """The texts of a run's log entries, for all who follow it: the newest are kept."""

    def __init__(self) -> None:
        self._texts: dict[int, bytes] = {}

    def get(self, seq: int) -> bytes | None:
        return self._texts.get(seq)

    def keep(self, seq: int, text: bytes) -> None:
        """Keep the text of an entry; the oldest goes."""
        if len(self._texts) >= KEPT_TEXTS:
            del self._texts[next(iter(self._texts))]
        self._texts[seq] = text


class EventEntry(Sequence[EventRecord]):
    """The records of one log entry, made when they are asked for.

    Args:
        state: that of the run; it may be ahead of the entry.
        step: the entry, which has facts.
        texts: those that are made already; None: none is shared.
    """

    def __init__(self, state: RunState, step: LogEntry, texts: EntryTexts | None = None) -> None:
        self.seq = step.seq
        self._state = state
        self._step = step
        self._texts = texts
        self._made: list[EventRecord] | None = None

    def json(self) -> bytes:
        """Give the records as a JSON list."""
        text = None if self._texts is None else self._texts.get(self.seq)
        if text is None:
            text = _encode(self._records())
            if self._texts is not None:
                self._texts.keep(self.seq, text)
        return text

    @overload
    def __getitem__(self, index: int) -> EventRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[EventRecord]: ...

    def __getitem__(self, index: int | slice) -> EventRecord | list[EventRecord]:
        return self._records()[index]

    def __len__(self) -> int:
        return len(self._records())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._records() == [*other]

    __hash__ = None  # type: ignore[assignment]

    def _records(self) -> list[EventRecord]:
        if self._made is None:
            self._made = list(step_records(self._state, self._step))
        return self._made
