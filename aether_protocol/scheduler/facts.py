"""What changed: the record of a run. Facts alone rebuild its state (`evolve.replay`), without rules or expressions.

Law: a fact says what is so now, complete in itself, in the terms of the state (integer node ids). New kinds are added,
none is ever reused. A fact is written as an array of its kind and its fields (`codec`), so fields keep their places, and
new ones come last with a default. The time of a fact is that of its log entry. Nodes are numbered from 0 in the order of
`NodeCreated` and `HookFired`; node 0 is the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.transitions import Phase


class RunCreated(Struct, array_like=True, tag=True, gc=False):
    """The run exists. Its root follows as node 0."""

    header: RunHeader


class NodeCreated(Struct, array_like=True, tag=True, gc=False):
    """A task run was made: child `index` of container `parent` (-1 for the root): the position in a dag, the iteration in
    a loop. It takes the head of the ready queue with it. Phase Created; where `attempt` is not 0, it was dispatched at once
    as this attempt (`unfold`)."""

    node: int
    parent: int
    index: int
    attempt: int = 0


class InputsBound(Struct, array_like=True, tag=True, gc=False):
    """Inputs, bound once (DATA-1). `refs` are (input, node, output) of those that are another node's output as it stands:
    recorded by reference, with None for the value. `secret`: some value holds a secret reference."""

    node: int
    inputs: Mapping[str, Json]
    refs: Sequence[tuple[str, int, str]]
    artifacts: Mapping[str, Json]
    secret: bool


class ScopeOpened(Struct, array_like=True, tag=True, gc=False):
    """A container began: a dag puts its roots in the ready queue, a loop its first iterations (`items`; None on a dag and
    with repeatCondition)."""

    node: int
    items: Sequence[Json] | None


class IterationGranted(Struct, array_like=True, tag=True, gc=False):
    """The next iteration of a repeat loop goes into the ready queue."""

    node: int
    index: int


class TaskDispatched(Struct, array_like=True, tag=True, gc=False):
    """Attempt `attempt` of a leaf was dispatched (phase Ready)."""

    node: int
    attempt: int


class TaskRunning(Struct, array_like=True, tag=True, gc=False):
    """The start of the current attempt is confirmed (phase Running); its own timeout counts from here."""

    node: int


class ContainerPhase(Struct, array_like=True, tag=True, gc=False):
    """A container's phase follows its children: Ready, Running or Suspended."""

    node: int
    phase: Phase


class TaskSuspended(Struct, array_like=True, tag=True, gc=False):
    """The executor returned code 1: these outputs are merged into those given so far (CTRL-1)."""

    node: int
    message: str
    outputs: Mapping[str, Json]
    artifacts: Mapping[str, Json]


class TaskResumed(Struct, array_like=True, tag=True, gc=False):
    """A payload was accepted (CTRL-2); the dispatch follows."""

    node: int
    payload: Mapping[str, Json]
    secret: bool = False


class RetryScheduled(Struct, array_like=True, tag=True, gc=False):
    """The attempt ended as recorded here and another one follows at instant `due` (microseconds). Phase Created. `outputs`: its
    own, where an expression was asked for the retry, which may have read them."""

    node: int
    due: int
    phase: Phase
    code: int | None
    message: str
    outputs: Mapping[str, Json] = {}


class NodeEnded(Struct, array_like=True, tag=True, gc=False):
    """A terminal phase, with the outputs kept (DATA-9). `code` as in DATA-4. `started`: the result was the first word of its
    first start, which it confirms (`unfold`)."""

    node: int
    phase: Phase
    code: int | None
    message: str
    outputs: Mapping[str, Json]
    artifacts: Mapping[str, Json]
    started: bool = False


class HookFired(Struct, array_like=True, tag=True, gc=False):
    """A hook run was made (HOOK-2): node `node`, for event `event` of node `scope` (-1: the workflow), about `trigger`.

    `context` holds the `hook.*` names as they were at this moment."""

    node: int
    event: str
    scope: int
    trigger: int
    context: Mapping[str, Json]


class Reported(Struct, array_like=True, tag=True, gc=False):
    """Something that people should know and that changes nothing (DATA-8, DATA-10)."""

    node: int
    message: str


class AttemptRepeated(Struct, array_like=True, tag=True, gc=False):
    """The current attempt was lost with its engine or worker and is dispatched again under the same number. `losses`: how many
    it was blamed for so far. `goes_on`: it does what is left, under the time limit that it had; else it begins again."""

    node: int
    losses: int
    goes_on: bool = False


class ArtifactsFetched(Struct, array_like=True, tag=True, gc=False):
    """What input artifacts of this leaf that come from sources were (ART-2), by name: {digest, size}, of git also {commit}.
    Later attempts, and a retry of the run, get the same."""

    node: int
    fetched: Mapping[str, Json]


class RunClosed(Struct, array_like=True, tag=True, gc=False):
    """The run is terminal and its hooks have ended (HOOK-3)."""


Fact = (
    RunCreated
    | NodeCreated
    | InputsBound
    | ScopeOpened
    | IterationGranted
    | TaskDispatched
    | TaskRunning
    | ContainerPhase
    | TaskSuspended
    | TaskResumed
    | RetryScheduled
    | NodeEnded
    | HookFired
    | Reported
    | AttemptRepeated
    | ArtifactsFetched
    | RunClosed
)


def unfold(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Give each change by itself. What as a rule happens at once is one fact: that a leaf is made and dispatched, and that it
    started and ended. Replaying what this gives leads to the same state."""
    for fact in facts:
        kind = type(fact)
        if kind is NodeCreated and fact.attempt:  # type: ignore[union-attr]
            yield NodeCreated(fact.node, fact.parent, fact.index)  # type: ignore[union-attr]
            yield TaskDispatched(fact.node, fact.attempt)  # type: ignore[union-attr]
        elif kind is NodeEnded and fact.started:  # type: ignore[union-attr]
            yield TaskRunning(fact.node)  # type: ignore[union-attr]
            yield replace(fact, started=False)
        else:
            yield fact
