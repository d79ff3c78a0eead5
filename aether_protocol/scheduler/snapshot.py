"""A run's state as a record and back, so that a long run opens without replaying its log entries.

Law: `restore(plan, snapshot(state))` has the fingerprint of `state`. A snapshot is a cache of the entries up to its number:
it may be dropped at any time. What nearly all nodes differ in stands in columns, one for each field; what few have stands
apart, by node. A large value that several nodes share is written once, in the pool. Secrets stand in the header and in the
pool alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice, repeat, starmap
from operator import attrgetter
from typing import Any, Final, Literal, TypedDict

from msgspec import Struct

from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import Plan
from aether_protocol.plan.records import VERSION, SecretInRecordError, decode, encode, escape, unescape
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.evolve import enter_hook
from aether_protocol.scheduler.nodes import NO_VALUES, NODE_TYPES, Container, DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import CREATED, Phase

# The fields that stand apart where they differ from the class's default, by kind of node; the others are columns.
_ALL: Final = ("message", "inputs", "outputs", "artifacts", "input_artifacts", "secret", "timeout_due")
_LEAF: Final = (*_ALL, "retries", "losses", "payloads", "bound", "backoff_due", "began_at")
_COUNTS: Final = ("live", "queued", "suspended", "succeeded", "failed", "rank")
_SCOPE: Final = (*_ALL, *_COUNTS, "opened", "deadline", "culprit", "children")
_FIELDS: Final[dict[type[Node], tuple[str, ...]]] = {
    TaskNode: _LEAF,
    HookNode: (*_LEAF, "hook", "scope", "trigger", "context"),
    DagNode: (*_SCOPE, "unmet"),
    LoopNode: (*_SCOPE, "items", "granted"),
}
_NEVER_DEFAULT: Final = object()
_DEFAULTS: Final = {
    kind: tuple(getattr(kind, name, _NEVER_DEFAULT) for name in names) for kind, names in _FIELDS.items()
}
_READ: Final = {kind: attrgetter(*names) for kind, names in _FIELDS.items()}

_MAPPINGS: Final = frozenset({"inputs", "outputs", "artifacts", "input_artifacts", "bound"})
_POOLED: Final = frozenset({"payloads", "items", "context"})
_NODES: Final = frozenset({"culprit", "scope", "trigger"})
_MOST: Final = 10_000_000  # children of one container: a record that claims more is damaged, and would take all memory
_PLACED: Final = frozenset({"hook", "scope", "trigger", "context", "children"})  # what a node is made with
_SET: Final = {kind: frozenset(names) for kind, names in _FIELDS.items()}
_LARGE: Final = 64  # characters; shorter texts are written where they stand


class _Pool:
    """Large values, each once by identity."""

    def __init__(self) -> None:
        self.values: list[Json] = []
        self._index: dict[int, int] = {}

    def mapping(self, held: Mapping[str, Json]) -> Json:
        """`[small values, {name: number in the pool}]`."""
        small: dict[str, Json] = {}
        large: dict[str, int] = {}
        for name, value in held.items():
            if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < _LARGE):
                small[name] = value
            else:
                large[name] = self.put(value)
        return [small, large] if large else [small]

    def put(self, value: Json) -> int:
        index = self._index.setdefault(id(value), len(self.values))
        if index == len(self.values):
            self.values.append(value)
        return index


def _runs(values: Iterable[Json]) -> list[Json]:
    """`[[value, how often in a row], ...]`."""
    return [[value, len(list(group))] for value, group in groupby(values)]


def _spread(runs: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """The inverse of `_runs`."""
    return chain.from_iterable(starmap(repeat, runs))


# --- the record ------------------------------------------------------------------------------------------------------


class _Held(Struct, array_like=True, gc=False):
    """Values by name: the small ones, and of each large one its number in the pool."""

    small: dict[str, Json]
    large: dict[str, int] = {}


class _Apart(TypedDict, total=False):
    """What of one node differs from the defaults and stands in no column. A dict, because most nodes have few of these."""

    message: str
    inputs: _Held
    outputs: _Held
    artifacts: _Held
    input_artifacts: _Held
    bound: _Held
    secret: bool
    timeout_due: int
    retries: int
    losses: int
    backoff_due: int
    began_at: int
    payloads: int  # in the pool, as items and context are
    hook: str
    scope: int | None
    trigger: int | None
    context: int
    live: int
    queued: int
    suspended: int
    succeeded: int
    failed: int
    rank: int
    opened: bool
    deadline: int
    culprit: int
    children: int  # how many
    unmet: list[tuple[int, int]]
    items: int
    granted: int


class _Snapshot(Struct, gc=False):
    """Pairs are (value, how often in a row), by node; instants count from what comes before: run, node, node."""

    v: Literal[2]
    seq: int
    now: int
    header: RunHeader
    phases: list[tuple[Phase, int]]
    codes: list[tuple[int | None, int]]
    parents: list[tuple[int, int]]
    indexes: list[int]
    created: list[int]
    started: list[int | None]
    ended: list[int | None]
    attempts: list[tuple[int, int]]
    apart: list[tuple[int, _Apart]]
    ready: list[tuple[int, int]]
    hooks: list[tuple[int, int]]
    exits: list[int]
    closed: bool
    leaves: tuple[int, int]
    notes: list[tuple[int, str]]
    pool: list[Json]
    escaped: bool = False


class _Place(Struct, gc=False):
    v: Literal[2]
    seq: int


# --- writing ---------------------------------------------------------------------------------------------------------


def snapshot(state: RunState) -> str:
    """Write `state` as a record. Costs its size."""
    pool = _Pool()
    nodes = state.nodes
    begin = state.header.created_at
    apart = [
        (node.id, _apart(node, values, pool))
        for node in nodes
        if (values := _READ[type(node)](node)) != _DEFAULTS[type(node)]
    ]
    record: dict[str, Any] = {
        "v": VERSION,
        "seq": state.seq,
        "now": state.now,
        "header": state.header,
        "phases": _runs([node.phase for node in nodes]),
        "codes": _runs([node.code for node in nodes]),
        "parents": _runs([-1 if node.parent is None else node.parent.id for node in nodes]),
        "indexes": [node.index for node in nodes],
        "created": [node.created_at - begin for node in nodes],
        "started": [None if node.started_at is None else node.started_at - node.created_at for node in nodes],
        "ended": [None if node.ended_at is None else node.ended_at - node.created_at for node in nodes],
        "attempts": _runs([node.attempt for node in nodes if isinstance(node, TaskNode)]),
        "apart": apart,
        "ready": [(scope.id, index) for scope, index in state.waiting],
        "hooks": list(state.hooks_live.items()),
        "exits": sorted(state.exits),
        "closed": state.closed,
        "leaves": (state.leaves_known, state.leaves_ended),
        "notes": state.notes,
        "pool": pool.values,
    }
    try:
        return encode(record)
    except SecretInRecordError:
        return encode({**record, "header": escape(state.header), "pool": escape(pool.values), "escaped": True})


def _apart(node: Node, values: Sequence[Any], pool: _Pool) -> dict[str, Json]:
    """What differs from the defaults and stands in no column."""
    kind = type(node)
    found: dict[str, Json] = {}
    for name, value, default in zip(_FIELDS[kind], values, _DEFAULTS[kind], strict=True):
        if value is default or value == default:
            continue
        if name in _MAPPINGS:
            value = pool.mapping(value)
        elif name in _NODES:
            value = value.id if value is not None else None
        elif name == "children":
            value = len(value)  # who they are is said by the parents and indexes
        elif name == "unmet":
            value = _runs(value)
        elif name in _POOLED:
            value = pool.put(list(value) if isinstance(value, tuple) else value)
        found[name] = value
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def restore(plan: Plan, text: str) -> RunState:
    """Read a snapshot. `plan` is the one that the run was made with.

    Raises:
        PortError: `text` is damaged, or was written by another version.
        LookupError, TypeError, ValueError: the record does not fit together, or not to the plan.
    """
    record = decode(_Snapshot, text)
    header, pool = record.header, record.pool
    if record.escaped:
        header, pool = unescape(header), unescape(pool)
    state = RunState(plan)
    state.seq, state.now, state.header = record.seq, record.now, header
    apart = dict(record.apart)
    _make_nodes(state, record, apart, pool)
    nodes = state.nodes
    for id_, fields in apart.items():
        node = nodes[id_]
        known = _SET[type(node)]
        for name, value in fields.items():
            if name not in known:
                raise ValueError(f"node {id_} has no {name}")
            if name not in _PLACED:
                setattr(node, name, _decode(name, value, pool, nodes))
    for node in map(nodes.__getitem__, apart):
        if isinstance(node, HookNode):
            enter_hook(state, node)
    state.root = nodes[0] if nodes else None
    state.ready = deque(_container(nodes[scope]) for scope, _ in record.ready)
    state.ready_children = deque(index for _, index in record.ready)
    state.hooks_live = dict(record.hooks)
    state.exits = set(record.exits)
    state.closed = record.closed
    state.leaves_known, state.leaves_ended = record.leaves
    state.notes = record.notes
    state.secret = has_secret(header.parameters)
    return state


def snapshot_seq(text: str) -> int:
    """The number of the log entry that a snapshot was made after. Raises PortError."""
    return decode(_Place, text).seq


def _make_nodes(state: RunState, record: _Snapshot, apart: dict[int, _Apart], pool: list[Json]) -> None:
    """The nodes with what stands in the columns; a child is entered with its container."""
    nodes, begin = state.nodes, state.header.created_at
    attempts = _spread(record.attempts)
    places = _spread(record.parents), record.indexes, record.created
    ends = _spread(record.phases), _spread(record.codes), record.started, record.ended
    columns = zip(*places, *ends, strict=True)
    known = -1  # the parent that `above` is
    above: Any = None
    node: Any
    for id_, (parent, index, created, phase, code, started, ended) in enumerate(columns):
        at = begin + created
        if parent < 0:
            node = _make_top(state, id_, at, apart.get(id_), pool)
        else:
            if parent != known:
                above, known = nodes[parent], parent
            call = above.child_call(index)
            above.children[index] = id_
            node = NODE_TYPES[call.kind](id_, call, above, index, at)
        nodes.append(node)
        if isinstance(node, TaskNode):
            node.attempt = next(attempts)
        else:
            if apart[id_]["children"] > _MOST:
                raise ValueError(f"{apart[id_]['children']} children in one container")
            node.children = [-1] * apart[id_]["children"]
        if phase is not CREATED:
            node.phase = phase
        if code is not None:
            node.code = code
        if started is not None:
            node.started_at = at + started
        if ended is not None:
            node.ended_at = at + ended


def _make_top(state: RunState, id_: int, at: int, apart: _Apart | None, pool: list[Json]) -> Node:
    """Make the root, or a hook's run."""
    if apart is None or "hook" not in apart:
        root = state.plan.root
        return NODE_TYPES[root.kind](id_, root, None, 0, at)
    nodes, event = state.nodes, apart["hook"]
    scope, trigger = apart["scope"], apart["trigger"]
    above = nodes[scope] if scope is not None else None
    hooks = above.call.hooks if above is not None else state.plan.hooks
    about = nodes[trigger] if trigger is not None else None
    context = pool[apart["context"]]
    if not isinstance(context, dict):
        raise TypeError(f"the context of hook {id_} is not an object")
    call = hooks[event]  # type: ignore[index]  # a HookEvent is its text
    return HookNode(id_, call, at, event=event, scope=above, trigger=about, context=context)


def _container(node: Node) -> Container:
    assert isinstance(node, Container)
    return node


def _decode(name: str, value: Any, pool: list[Json], nodes: list[Node]) -> Any:
    if name in _MAPPINGS:
        return value.small | {key: pool[index] for key, index in value.large.items()} or NO_VALUES
    if name in _NODES:
        return nodes[value]
    if name == "unmet":
        return list(islice(_spread(value), _MOST))
    if name not in _POOLED:
        return value
    found = pool[value]
    if not isinstance(found, list):
        raise TypeError(f"{name} is not a list")
    if name == "items":
        return found
    if not all(isinstance(payload, dict) for payload in found):
        raise TypeError("a payload is not an object")
    return tuple(found)
