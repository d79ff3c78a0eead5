"""Facts and steps as JSON and back: versioned, compact, exact.

Law: `decode(encode(step)) == step` for every step. A fact is `[kind, field, ...]` in the order of its fields; new fields are
appended with a default, kinds are never reused. Of an end and a suspension, what is empty at the end is left out. Values are
written by reference where the fact says so. A value with secret references in it is written as `["s", escaped]`, one without
as `["v", value]`, so that no output of a task can forge one. The kinds that make up nearly every run have writers and
readers of their own, which differ from the general in speed alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

from msgspec import Struct

from aether_protocol.errors import BrokenInvariant
from aether_protocol.expressions.values import Json, SecretValue, has_secret
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.transitions import Phase

Output = Callable[[int, str], Json]  # (node, name): an output that was recorded before

VERSION: Final = 1
_MARK: Final = "$secret"

# A kind's name and nothing else identifies it in a record; the tables below say which fields are more than plain JSON.
KINDS: Final[dict[str, type[Struct]]] = {kind.__name__: kind for kind in get_args(f.Fact)}
_FIELDS: Final = {kind: kind.__struct_fields__ for kind in KINDS.values()}
_VALUES: Final = frozenset({"inputs", "outputs", "artifacts", "items", "payload", "context"})
_SHORT: Final[frozenset[type[Struct]]] = frozenset({f.NodeEnded, f.TaskSuspended})  # written without what is empty at their end
_EMPTY: Final[dict[str, Json]] = {"message": "", "outputs": {}, "artifacts": {}}
_PHASES: Final[dict[str, Phase]] = {str(phase): phase for phase in Phase}


def encode_value(value: Json) -> list[Json]:
    """`value` as `["v", value]`, or `["s", escaped]` where it holds secret references."""
    return ["s", _escape(value)] if has_secret(value) else ["v", value]


def decode_value(record: Sequence[Json]) -> Json:
    """The inverse of `encode_value`."""
    return _unescape(record[1]) if record[0] == "s" else record[1]


def _escape(value: Json) -> Json:
    if isinstance(value, SecretValue):
        return {_MARK: [part if isinstance(part, str) else list(part) for part in value.parts]}
    if isinstance(value, dict):
        return {f"${key}" if key.startswith("$") else key: _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value


def _unescape(value: Json) -> Json:
    if isinstance(value, dict):
        if _MARK in value:
            return SecretValue(tuple(part if isinstance(part, str) else (part[0], part[1]) for part in value[_MARK]))
        return {key[1:] if key.startswith("$") else key: _unescape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unescape(item) for item in value]
    return value


def _to_dict(value: Any) -> Json:
    return dict(value)


_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_to_dict).encode
_to_text: Final = json.encoder.encode_basestring  # a str as JSON, outside ASCII as it stands


def encode_fact(fact: f.Fact) -> list[Json]:
    """A fact as a JSON array. Inputs that are another task's output stay by reference: only the others are written."""
    kind = type(fact)
    record: list[Json] = [kind.__name__]
    for name in _FIELDS[kind]:
        value = getattr(fact, name)
        if name == "header":
            value = encode_header(value)
        elif name == "inputs":
            held = {ref[0] for ref in fact.refs}  # type: ignore[union-attr]
            value = encode_value({key: item for key, item in value.items() if key not in held} if held else dict(value))
        elif name in _VALUES:
            value = None if value is None else encode_value(value)
        record.append(value)
    if kind in _SHORT:
        while record[-1] in ("", ["v", {}]):
            record.pop()
    return record


def decode_fact(record: Sequence[Json], output: Output) -> f.Fact:
    """The inverse of `encode_fact`; `output(node, name)` reads an output that was recorded before. Raises BrokenInvariant."""
    read = _READERS.get(record[0])
    if read is None:
        raise BrokenInvariant(f"a record holds the unknown fact {record[0]!r}", hint="it was written by a newer version")
    return read(record, output)


def _read_any(record: Sequence[Json], output: Output) -> f.Fact:
    kind = KINDS[record[0]]
    given = dict(zip(_FIELDS[kind], record[1:], strict=False))
    for name, value in given.items():
        if name == "header":
            given[name] = decode_header(value)
        elif name in _VALUES and value is not None:
            given[name] = decode_value(value)
        elif name == "phase":
            given[name] = _PHASES[value]
    if kind is f.InputsBound:
        given["refs"] = [(ref[0], ref[1], ref[2]) for ref in given["refs"]]
        given["inputs"] |= {name: output(node, key) for name, node, key in given["refs"]}
    elif kind in _SHORT:
        given = _EMPTY | given
    fact: f.Fact = kind(**given)  # type: ignore[assignment]
    return fact


def _read_end(record: Sequence[Json], output: Output) -> f.Fact:
    if len(record) > 4:
        return _read_any(record, output)
    return f.NodeEnded(record[1], _PHASES[record[2]], record[3], "", {}, {})


def encode_header(header: RunHeader) -> dict[str, Json]:
    """A run's header as JSON."""
    record = {name: getattr(header, name) for name in RunHeader.__struct_fields__}
    record["parameters"] = encode_value(dict(header.parameters))
    for name in ("reused", "fetched"):
        record[name] = encode_value(dict(given)) if (given := getattr(header, name)) is not None else None
    return record


def decode_header(record: dict[str, Json]) -> RunHeader:
    """The inverse of `encode_header`."""
    held = {name: decode_value(given) for name in ("reused", "fetched") if (given := record.get(name)) is not None}
    return RunHeader(**{**record, "parameters": decode_value(record["parameters"]), **held})


def _values(value: Mapping[str, Json]) -> str:
    return _to_json(encode_value(value))


def _node_created(fact: f.NodeCreated) -> str:
    return f'["NodeCreated",{fact.node},{fact.parent},{fact.index}]'


def _task_dispatched(fact: f.TaskDispatched) -> str:
    return f'["TaskDispatched",{fact.node},{fact.attempt}]'


def _task_running(fact: f.TaskRunning) -> str:
    return f'["TaskRunning",{fact.node}]'


def _container_phase(fact: f.ContainerPhase) -> str:
    return f'["ContainerPhase",{fact.node},{_PHASE_TEXTS[fact.phase]}]'


def _node_ended(fact: f.NodeEnded) -> str:
    code = "null" if fact.code is None else int.__repr__(fact.code)
    head = f'["NodeEnded",{fact.node},{_PHASE_TEXTS[fact.phase]},{code}'
    if fact.artifacts:
        return f"{head},{_to_text(fact.message)},{_values(fact.outputs)},{_values(fact.artifacts)}]"
    if fact.outputs:
        return f"{head},{_to_text(fact.message)},{_values(fact.outputs)}]"
    return f"{head},{_to_text(fact.message)}]" if fact.message else f"{head}]"


def _any_fact(fact: f.Fact) -> str:
    return _to_json(encode_fact(fact))


_PHASE_TEXTS: Final = {phase: f'"{phase}"' for phase in Phase}
_WRITERS: Final[dict[type, Callable[[Any], str]]] = dict.fromkeys(KINDS.values(), _any_fact) | {
    f.NodeCreated: _node_created,
    f.TaskDispatched: _task_dispatched,
    f.TaskRunning: _task_running,
    f.ContainerPhase: _container_phase,
    f.NodeEnded: _node_ended,
}


_READERS: Final[dict[str, Callable[[Sequence[Any], Output], f.Fact]]] = dict.fromkeys(KINDS, _read_any) | {
    "NodeCreated": lambda record, _: f.NodeCreated(record[1], record[2], record[3]),
    "TaskDispatched": lambda record, _: f.TaskDispatched(record[1], record[2]),
    "TaskRunning": lambda record, _: f.TaskRunning(record[1]),
    "NodeEnded": _read_end,
}
_from_json: Final = json.JSONDecoder().raw_decode


def encode_entry(step: LogEntry) -> str:
    """One line of JSON: version, number, instant, cause, facts. Commands follow from the state and are not recorded."""
    facts: list[str] = []
    for fact in step.facts:
        facts.append(_WRITERS[type(fact)](fact))  # noqa: PERF401  # most steps have few: a comprehension costs more than it saves
    return f"[{VERSION},{step.seq},{step.at},{_to_text(step.cause)},[{','.join(facts)}]]"


def decode_entry(line: str, output: Output) -> LogEntry:
    """The inverse of `encode_entry`, without commands. A fact of the same step may refer to an earlier one's output."""
    (version, seq, at, cause, records), end = _from_json(line)
    if version != VERSION:
        raise BrokenInvariant(f"a record has version {version}, this is version {VERSION}", hint="use a newer version")
    if end != len(line):
        raise ValueError(f"more than one record in a line: {line[end : end + 20]!r}")
    made: dict[tuple[int, str], Json] = {}

    def read(node: int, name: str) -> Json:
        return made[node, name] if (node, name) in made else output(node, name)

    facts: list[f.Fact] = []
    for record in records:
        fact = decode_fact(record, read)
        if type(fact) is f.NodeEnded and fact.outputs:
            made.update(((fact.node, name), value) for name, value in fact.outputs.items())
        facts.append(fact)
    return LogEntry(seq, at, cause, facts, [])
