"""Rebuild a run from its record: its state as of any step, and what is needed to recover it.

Law: facts alone rebuild the state; no rule is asked and nothing is decided here. A record that does not fit together is the
outside's fault and is reported with its step; a run whose state breaks an invariant is never recovered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from aether_protocol.errors import AetherError, NotFoundError, PortError
from aether_protocol.execution.secrets import references_in
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import Store, StoredRun
from aether_protocol.scheduler.codec import decode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.nodes import LoopNode, TaskNode
from aether_protocol.scheduler.state import RunState

_END_OF_TIME: Final = 253_402_300_800_000_000  # the year 10000
_AT_ONCE: Final = 200  # steps that are replayed before other work of the loop gets its turn
_HINT: Final = "look at the store with `aether db check`"


class Replay:
    """A run's state, taken on step by step as they were recorded, from its beginning or from a snapshot."""

    def __init__(self, plan: Plan, header: RunHeader, snapshot: str | None = None) -> None:
        self._run_id = header.run_id
        if snapshot is None:
            self.state = RunState(plan)
            self.state.header = header
            return
        from aether_protocol.scheduler.snapshot import restore  # only long runs have one

        try:
            self.state = restore(plan, snapshot)
        except AetherError as error:
            raise PortError(f"the snapshot of run {self._run_id!r} cannot be read: {error.message}", hint=error.hint) from error
        except Exception as error:
            raise self._damaged("in its snapshot", error) from error

    def apply(self, line: str) -> LogEntry:
        """The next step. Raises PortError where the record has a gap or is damaged."""
        number = self.state.seq + 1
        try:
            step = decode_entry(line)
            if step.seq == number:
                replay(self.state, step)
                return step
        except AetherError as error:  # the record of another version, or a damaged one
            told = f"step {number} of run {self._run_id!r} cannot be read: {error.message}"
            raise PortError(told, hint=error.hint or _HINT) from error
        except Exception as error:
            raise self._damaged(f"at step {number}", error) from error
        raise PortError(f"the record of run {self._run_id!r} has no step {number}", hint=_HINT)

    def _damaged(self, where: str, error: Exception) -> PortError:
        told = f"the record of run {self._run_id!r} is damaged {where}: {type(error).__name__}: {error}"
        return PortError(told, hint=_HINT)


class ReplayObserver(Protocol):
    """Sees the record of a run as it is replayed so that the run continues; must not raise, and only reads the state."""

    def replay_begins(self, state: RunState, epoch: int) -> None:
        """See the run as it was recorded as a whole, or before its first step. `epoch`: of its attempts from now on."""
        ...

    def replayed(self, state: RunState, entry: LogEntry) -> None:
        """See a recorded step, with the state after it."""
        ...

    def replay_ends(self, state: RunState, *, lost: bool) -> None:
        """See the run as it continues. `lost`: the engine that drove it before may have been lost; else it was woken."""
        ...


def rebuild(stored: StoredRun, observers: Sequence[ReplayObserver] = ()) -> RunState:
    """The state of a stored run as it is now. Costs the size of its snapshot and the steps after it."""
    going = Replay(stored.plan, stored.header, stored.snapshot)
    for observer in observers:
        observer.replay_begins(going.state, stored.epoch)
    for line in stored.lines:
        entry = going.apply(line)
        for observer in observers:
            observer.replayed(going.state, entry)
    return going.state


def revive(stored: StoredRun, observers: Sequence[ReplayObserver] = ()) -> RunState:
    """Rebuild a run in order to continue it: the record is complete and every invariant of the state holds."""
    state = rebuild(stored, observers)
    _require_sound(stored, state)
    return state


def _require_sound(stored: StoredRun, state: RunState) -> None:
    run_id, seq = stored.row.run_id, stored.row.seq
    if state.seq != seq:
        raise PortError(f"the record of run {run_id!r} ends at step {state.seq}, not at {seq}", hint=_HINT)
    check(state)


def examine(stored: StoredRun) -> RunState:
    """`revive`, for a record that another program may have written: its instants and its header are checked, too.

    The shape of what is in it was checked when it was decoded. Raises PortError with what does not fit.
    """
    going = Replay(stored.plan, stored.header, stored.snapshot)
    fault = next(filter(None, _misfits(stored, going)), None)
    if fault is not None:
        raise PortError(f"the record of run {stored.row.run_id!r} is damaged: {fault}", hint=_HINT)
    _require_sound(stored, going.state)
    return going.state


def _misfits(stored: StoredRun, going: Replay) -> Iterator[str | None]:
    """What does not fit in a record, while it is replayed."""
    state = going.state
    for line in stored.lines:
        yield _untimely(going.apply(line).at)
    if state.seq and state.header != stored.header:
        yield "its header is not that of its first step, or of its snapshot"
    for at in (stored.header.created_at, stored.header.scheduled_time, state.now):
        yield _untimely(at)
    for node in state.nodes:
        for at in (node.created_at, node.started_at, node.ended_at):
            yield _untimely(at)


def _untimely(at: int | None) -> str | None:
    return None if at is None or 0 <= at < _END_OF_TIME else f"{at} is not an instant"


async def load_state(store: Store, run_id: str, at: int | None = None) -> RunState:
    """Load the state of a stored run.

    Args:
        store: where it is.
        run_id: which run.
        at: as it was after this step (0: before the first); None: as it is now.

    Raises:
        UsageError: the run is unknown, there is no such step, or it was not kept.
        PortError: the record is damaged.
    """
    stored = await store.runs.load(run_id)
    return rebuild(stored) if at is None else await state_at(store, stored, at)


async def state_at(store: Store, stored: StoredRun, seq: int) -> RunState:
    """The state after step `seq` of a stored run. Raises UsageError where there is no such step, or it was not kept."""
    run_id = stored.row.run_id
    if not 0 <= seq <= stored.row.seq:
        raise NotFoundError(f"run {run_id!r} has no step {seq}", hint=f"its steps are 0 (before the first) to {stored.row.seq}")
    going = Replay(stored.plan, stored.header)
    snapshot = stored.snapshot
    if snapshot is not None:
        from aether_protocol.scheduler.snapshot import snapshot_seq

        if snapshot_seq(snapshot) <= seq:
            going = Replay(stored.plan, stored.header, snapshot)
    while going.state.seq < seq:
        lines = await store.runs.lines(run_id, going.state.seq, _AT_ONCE)
        if not lines or lines[0][0] != going.state.seq + 1:
            hint = "only a run of tier state-action-log can be restored to any step"
            raise NotFoundError(f"the steps of run {run_id!r} up to {seq} were not kept", hint=hint)
        for number, line in lines:
            if number > seq:
                break
            going.apply(line)
    return going.state


def secret_references(state: RunState) -> set[tuple[str, str]]:
    """The (name, key) of all secrets that tasks of this run may have been given so far."""
    found: set[tuple[str, str]] = set()
    if state.secret:
        found.update(references_in(state.header.parameters.values()))
    for node in state.nodes:
        if node.secret:
            found.update(references_in(node.inputs.values()))
            if isinstance(node, LoopNode):
                found.update(references_in(node.items or ()))
            if isinstance(node, TaskNode) and node.bound:
                found.update(references_in(node.bound.values()))
            found.update(references_in(node.input_artifacts.values()))
    return found
