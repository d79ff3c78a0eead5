"""A run as the engine holds it in memory: its machine, its dispatched attempts, and who waits for what.

Law: data only; the loop and its parts alone write it. The loop knows a machine by `state` and `handle` alone. A stored run
names the kind of program that it is, so that an engine that does not know the kind leaves the run alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from aether_protocol.engine.artifacts import names_artifacts
from aether_protocol.engine.snapshots import Snapshots
from aether_protocol.errors import PortError
from aether_protocol.execution.secrets import RunSecrets
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import NewRun, RunSummary
from aether_protocol.ports.wire import TaskAssignment
from aether_protocol.scheduler.attempts import AttemptRef
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import DOCUMENT, Event
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SUSPENDED, Phase
from aether_protocol.views.summary import make_row

if TYPE_CHECKING:
    from aether_protocol.engine.clock import Sending
    from aether_protocol.views.event_feed import EntryTexts


class RunMachine(Protocol):
    """Decides for one run: an event goes in, facts and commands come out. Pure."""

    @property
    def state(self) -> RunState: ...

    def handle(self, event: Event) -> LogEntry: ...


MACHINES: Final[Mapping[str, Callable[[Plan, RunState | None, int], RunMachine]]] = {DOCUMENT: Machine}


def machine_of(plan: Plan, state: RunState | None, epoch: int) -> RunMachine:
    """The machine of a run; of a new one, without a `state`, that of documents. Raises PortError for an unknown kind."""
    kind = DOCUMENT if state is None else state.header.program
    make = MACHINES.get(kind)
    if make is None:
        known = ", ".join(sorted(MACHINES))
        raise PortError(f"the run is a program of kind {kind!r}", hint=f"this version drives {known}: it takes a newer one")
    return make(plan, state, epoch)


class ActiveRun:
    """`number` counts the runs of this engine. `stored` is the last step in the store; `steps` wait to be stored; `token`
    fences the writes of a stale owner; `_row_...` are what its row said last; `snapshots` says when one
    is due, None where the store keeps none.

    `epoch` is that of its attempts (AttemptRef); `open` are the attempts that are dispatched and have not come back, by path.
    `timers` are the instants set, by node * 2 + kind. `secrets` are the (name, key) of those that went out so far,
    `asked_secrets` those for which providers were asked to mask what workers say, with `masking`. `error` is why no engine can
    continue this run. `skew_us` is how far the run's time is ahead of the clock, where that was set back.
    `recovering`: not all that was due or requested when its lease was claimed has been handled yet. `waiters` are resolved at
    its end, `pause_waiters` also when it is paused; `streams` receive each step, and share the `texts` of entries.
    `names_artifacts`: steps may name artifacts, for a result brought one, or an earlier run did, or one may have in the past.
    `since` when it is here, by the engine's clock.
    `followers` are called at its end, and where it is passivated: they do not keep it in memory.
    """

    __slots__ = (
        "_row_begun",
        "_row_leaves",
        "_row_phase",
        "asked_secrets",
        "epoch",
        "error",
        "followers",
        "id",
        "machine",
        "masking",
        "names_artifacts",
        "number",
        "open",
        "pause_waiters",
        "plan",
        "recovering",
        "secrets",
        "since",
        "skew_us",
        "snapshots",
        "state",
        "steps",
        "stored",
        "streams",
        "texts",
        "timers",
        "token",
        "waiters",
    )

    def __init__(self, id_: str, number: int, plan: Plan, state: RunState | None = None, epoch: int = 0) -> None:
        self.id = id_
        self.number = number
        self.plan = plan
        self.machine = machine_of(plan, state, epoch)
        self.state: RunState = self.machine.state
        self.stored = self.state.seq
        self.token = 0
        self.epoch = epoch
        self.open: dict[str, Delivery] = {}
        self.names_artifacts = state is not None and names_artifacts(plan)
        self._row_phase: Phase | None = None
        self._row_leaves = -1
        self._row_begun: int | None = None
        self.snapshots: Snapshots | None = None
        self.steps: list[LogEntry] = []
        self.timers: dict[int, int] = {}
        self.secrets: tuple[tuple[str, str], ...] = ()
        self.asked_secrets: tuple[tuple[str, str], ...] = ()
        self.masking: RunSecrets | None = None
        self.skew_us = 0
        self.since = 0
        self.recovering = False
        self.error: BaseException | None = None
        self.waiters: list[asyncio.Future[None]] = []
        self.pause_waiters: list[asyncio.Future[None]] = []
        self.followers: list[asyncio.Future[None]] = []
        self.streams: list[Callable[[LogEntry], None]] = []
        self.texts: EntryTexts | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come: it is closed, and that is stored, or broken."""
        return (self.state.closed and self.stored == self.state.seq) or self.error is not None

    @property
    def paused(self) -> bool:
        """Nothing but an answer from outside, or time, takes it on: it is Suspended, and no hook of it runs."""
        return self.state.phase is SUSPENDED and not self.state.hooks_live and not self.recovering

    def ref(self, node: TaskNode) -> AttemptRef:
        """The name of the current attempt of a task run."""
        return AttemptRef(self.id, node.run_path, node.attempt, self.epoch)

    def find(self, path: str) -> int | None:
        """The node of a task run, as an AttemptRef names it."""
        if path in self.open:
            return self.open[path].node
        node = self.state.find(path)
        return None if node is None else node.id

    def row(self) -> RunSummary:
        """The run as it is now, for lists."""
        return make_row(self.state)

    def row_to_store(self, *, always: bool) -> RunSummary | None:
        """Make the row, where more of it than `seq` and the leaves ended has changed since it was made last; else None."""
        state = self.state
        root = state.root
        if root is not None:
            if (  # all else of it changes together with one of these
                root.phase is self._row_phase
                and state.leaves_known == self._row_leaves
                and root.started_at == self._row_begun
                and not (always or state.closed)
            ):
                return None
            self._row_phase, self._row_leaves, self._row_begun = root.phase, state.leaves_known, root.started_at
        return make_row(state)

    def snapshot(self) -> str:
        """The state as it is now, for the store."""
        from aether_protocol.scheduler.snapshot import snapshot  # only long runs need one

        return snapshot(self.state)

    @staticmethod
    def wake(waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
        waiting.clear()


class Delivery(Struct, eq=False):
    """An attempt that is dispatched and has not come back. `offered`: the broker has it, or is being asked to take it;
    `refusals` in a row, the last one for `reason`; `details` of its last heartbeat; `known` bytes of its logs by stream. `own`:
    the engine carries it out itself. `sleep_us`: it only waits for so long, from the start of the attempt (RT-124)."""

    run: ActiveRun
    node: int
    ref: AttemptRef
    assignment: TaskAssignment | None  # None once the broker has it
    offered: bool = False
    dropped: bool = False
    own: bool = False
    refusals: int = 0
    reason: str = ""
    details: Json = None
    known: dict[str, int] | None = None
    sleep_us: int = 0


class Draft(Struct, frozen=True):
    """A run that is checked and has not begun: as the engine will hold it, and as the store records it."""

    run: ActiveRun
    new: NewRun
    sent: Sending  # its lease counts from then at the latest
