"""A run's state as JSON and back, so that a long run opens without replaying its steps.

Law: `restore(plan, snapshot(state))` has the fingerprint of `state`. A snapshot is a cache of the steps up to its number: it
may be dropped at any time. A large value that several nodes share is written once, in the pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.codec import VERSION, decode_header, decode_value, encode_header, encode_value
from aether_protocol.scheduler.nodes import NO_VALUES, NODE_TYPES, Container, HookNode, Node
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import Phase

_PLACE: Final = frozenset({"id", "call", "parent", "index", "created_at"})  # what a record names by position
_MAPPINGS: Final = frozenset({"inputs", "outputs", "artifacts", "input_artifacts", "bound"})
_DECODED: Final = _MAPPINGS | {"phase", "payloads", "items"}
_PHASES: Final = {str(phase): phase for phase in Phase}
_NODES: Final = frozenset({"culprit", "scope", "trigger"})
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
            if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < _LARGE):
                small[name] = value
            else:
                large[name] = self.put(value)
        return [small, large] if large else [small]

    def put(self, value: Json) -> int:
        index = self._index.setdefault(id(value), len(self.values))
        if index == len(self.values):
            self.values.append(value)
        return index


def snapshot(state: RunState) -> Json:
    """`state` as JSON. Costs its size."""
    pool = _Pool()
    nodes = [_encode_node(node, pool) for node in state.nodes]
    return {
        "v": VERSION,
        "seq": state.seq,
        "now": state.now,
        "header": encode_header(state.header),
        "nodes": nodes,
        "ready": [[scope.id, index] for scope, index in state.ready],
        "hooks": [[scope, count] for scope, count in state.hooks_live.items()],
        "exits": sorted(state.exits),
        "closed": state.closed,
        "leaves": [state.leaves_known, state.leaves_ended],
        "notes": [list(note) for note in state.notes],
        "pool": [encode_value(value) for value in pool.values],
    }


def _encode_node(node: Node, pool: _Pool) -> Json:
    """`[parent or event, index, created_at, {what differs from the defaults}]`."""
    kind = type(node)
    rest: dict[str, Json] = {}
    for name, value in vars(node).items():
        if name in _PLACE or name == "hook" or (hasattr(kind, name) and getattr(kind, name) == value):
            continue
        if name in _MAPPINGS:
            value = pool.mapping(value)
        elif name in _NODES:
            value = value.id if value is not None else None
        elif name in ("payloads", "items"):
            value = pool.put(value if isinstance(value, list) else list(value)) if value is not None else None
        elif name == "context":
            value = encode_value(value)
        rest[name] = value
    if isinstance(node, HookNode):
        return [node.hook, -1, node.created_at, rest]
    return [node.parent.id if node.parent is not None else -1, node.index, node.created_at, rest]


def restore(plan: Plan, record: Json) -> RunState:
    """The inverse of `snapshot`. `plan` is the one that the run was made with."""
    state = RunState(plan)
    state.seq, state.now = record["seq"], record["now"]
    state.header = decode_header(record["header"])
    pool = [decode_value(value) for value in record["pool"]]
    nodes = state.nodes
    culprits: list[tuple[Container, int]] = []
    for id_, (place, index, created_at, rest) in enumerate(record["nodes"]):
        node = _make(plan, nodes, id_, (place, index, created_at), rest)
        nodes.append(node)
        if isinstance(node, HookNode):
            state.hook_nodes.append(node)
        if "culprit" in rest:
            culprits.append((_container(node), rest.pop("culprit")))
        for name in _DECODED & rest.keys():
            rest[name] = _decode(name, rest[name], pool)
        vars(node).update(rest)
    for scope, culprit in culprits:  # a culprit has a later number than its container
        scope.culprit = nodes[culprit]
    state.root = nodes[0] if nodes else None
    state.ready = deque((_container(nodes[scope]), index) for scope, index in record["ready"])
    state.hooks_live = dict(record["hooks"])
    state.exits = set(record["exits"])
    state.closed = record["closed"]
    state.leaves_known, state.leaves_ended = record["leaves"]
    state.notes = [(node, text) for node, text in record["notes"]]
    state.secret = has_secret(state.header.parameters)
    return state


def _container(node: Node) -> Container:
    assert isinstance(node, Container)
    return node


def _make(plan: Plan, nodes: list[Node], id_: int, place: tuple[Any, int, int], rest: dict[str, Json]) -> Node:
    parent, index, created_at = place
    if isinstance(parent, str):
        scope = nodes[rest.pop("scope")] if rest.get("scope") is not None else rest.pop("scope", None)
        trigger = nodes[rest.pop("trigger")] if rest.get("trigger") is not None else rest.pop("trigger", None)
        hooks = scope.call.hooks if scope is not None else plan.hooks
        context = decode_value(rest.pop("context"))
        call = hooks[parent]  # type: ignore[index]  # a HookEvent is its text
        return HookNode(id_, call, created_at, event=parent, scope=scope, trigger=trigger, context=context)
    if parent < 0:
        return NODE_TYPES[plan.root.kind](id_, plan.root, None, index, created_at)
    above = _container(nodes[parent])
    call = above.child_call(index)
    return NODE_TYPES[call.kind](id_, call, above, index, created_at)


def _decode(name: str, value: Json, pool: list[Json]) -> Any:
    if name in _MAPPINGS:
        if value is None:
            return None
        held = dict(value[0])
        if len(value) > 1:
            held |= {key: pool[index] for key, index in value[1].items()}
        return held or NO_VALUES
    if name == "phase":
        return _PHASES[value]
    if name in ("payloads", "items"):
        listed = pool[value] if value is not None else None
        return tuple(listed) if name == "payloads" and listed is not None else listed
    return value
