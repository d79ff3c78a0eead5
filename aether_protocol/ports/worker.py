"""The messages between a server and its workers, in one place for every transport. Each carries lists.

A worker says hello and gets a session; it polls for work, beats, and reports what became of it. A delivery is named by its
token, which only the worker that has it knows; it is opaque to workers. As JSON the names are in camelCase, times in
milliseconds; assignments and results are those of `wire_json`. docs/reference/worker-protocol.md describes each message.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field

from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire_json import WireError

PROTOCOL_VERSION: Final = 1
MOST_LISTED: Final = 10_000  # entries of a list in one message

Token = Annotated[str, Meta(min_length=1, max_length=4096)]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Tokens = Annotated[list[Token], Meta(max_length=MOST_LISTED)]


class _Message(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, gc=False):
    """Unknown fields are refused, so that a misspelt one is found."""


class _Answer(_Message, kw_only=True, forbid_unknown_fields=False):
    """What a server says: a worker passes over fields that only a later server knows."""


class ExecutorOffer(_Message, kw_only=True):
    """An executor that a worker has. `config` is the JSON Schema of its config, where the worker declares one."""

    name: _Name
    version: str = ""
    config: dict[str, Any] | None = None


class Hello(_Message, kw_only=True):
    """A worker begins a session. `protocols`: the versions that it speaks. `slots`: how much it offers of each kind; `tasks` is
    how many attempts at a time. `holding`: the deliveries that it has from an earlier session. `results`: those of them that
    have ended, whose results it keeps: nothing waits for these to end. `instance`: a text that no other process has, where the
    name may be given twice; with it a server that restarts knows sooner that all workers are back. `number` counts
    the hellos of an instance: the session of a lower one is over, with all that this one does not hold."""

    worker: _Name
    build: str = ""
    protocols: Annotated[list[int], Meta(min_length=1, max_length=100)]
    executors: Annotated[list[ExecutorOffer], Meta(max_length=1000)]
    slots: Annotated[dict[_Name, _Count], Meta(max_length=100)]
    labels: Annotated[dict[_Name, Annotated[str, Meta(max_length=256)]], Meta(max_length=100)] = field(default_factory=dict)
    pool: Annotated[str, Meta(max_length=256)] = ""
    holding: _Tokens = field(default_factory=list)
    results: _Tokens = field(default_factory=list)
    instance: Annotated[str, Meta(max_length=256)] = ""
    number: _Count = 0


class Welcome(_Answer, kw_only=True):
    """The session, and how to keep it: a beat each `beat_ms`; without a message for `lease_ms` the session is over, and the
    worker has to have stopped its work before. A poll is answered within `poll_ms`. `servers`: the addresses of the others of
    its store, where the worker may turn to at once when this one takes no connection."""

    session: str
    server: str
    protocol: int
    lease_ms: int
    beat_ms: int
    poll_ms: int
    servers: list[str] = field(default_factory=list)


class Poll(_Message, kw_only=True):
    """Ask for work. `poll` counts from 1; `free`: how many attempts it takes now; `holding`: all deliveries that it has, and
    results that are not recorded yet among them."""

    poll: Annotated[int, Meta(ge=1, le=2**53)]
    free: _Count
    holding: _Tokens


class BeatMessage(_Message, kw_only=True):
    """The worker is alive. `poll`: the number of the last poll whose answer it has received or given up, 0 before the first.
    `number` is for servers alone: it counts what they say of what they hold, and what is older and comes later says nothing. A
    worker has no more in its session than what it polled for, so that it needs none (0)."""

    poll: _Count
    holding: _Tokens
    number: _Count = 0


class WorkItem(_Answer, kw_only=True):
    """A delivery: `assignment` is that of schemas/task-assignment.schema.json."""

    token: Token
    assignment: dict[str, Any]


class Orders(_Answer, kw_only=True, omit_defaults=True):
    """The answer to a poll or a beat. `stop`: deliveries to be stopped, whose results are not wanted any more; `drain_ms`: take
    no more work, and release what has not ended by then; `servers`, to a beat: as in the welcome, as of now."""

    work: list[WorkItem] = field(default_factory=list)
    stop: list[Token] = field(default_factory=list)
    drain_ms: int | None = None
    servers: list[str] = field(default_factory=list)


class ResultReport(_Message, kw_only=True):
    """What an attempt gave: `result` is that of schemas/task-result.schema.json."""

    token: Token
    result: dict[str, Any]


class LogReport(_Message, kw_only=True):
    """What an attempt wrote. `offset`: how many bytes of UTF-8 of this stream came before it."""

    token: Token
    stream: Literal["stdout", "stderr"]
    offset: _Count
    text: str


class DiedReport(_Message, kw_only=True):
    """The process that carried out this attempt, and no other, died. `reason` says how, with the last lines that it wrote."""

    token: Token
    reason: str


class ReturnedReport(_Message, kw_only=True):
    """A delivery that the worker does not carry out: `refused` where it cannot, otherwise since it drains."""

    token: Token
    reason: str
    refused: bool = False


class ProgressReport(_Message, kw_only=True):
    """How far an attempt is, as it says itself."""

    token: Token
    details: Any = None


class WorkReport(_Message, kw_only=True, omit_defaults=True):
    """What became of deliveries, in this order: starts, progress, logs, results, deaths, returns. `log_bytes_dropped`: how many
    bytes of logs the worker had no room for, since the last report that was answered."""

    started: _Tokens = field(default_factory=list)
    progress: Annotated[list[ProgressReport], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    logs: Annotated[list[LogReport], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    results: Annotated[list[ResultReport], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    died: Annotated[list[DiedReport], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    returned: Annotated[list[ReturnedReport], Meta(max_length=MOST_LISTED)] = field(default_factory=list)
    log_bytes_dropped: _Count = 0


class LogReceipt(_Answer, kw_only=True):
    """How many bytes of a stream are stored: up to there, nothing has to be sent again."""

    token: Token
    stream: Literal["stdout", "stderr"]
    stored: _Count


class Receipt(_Answer, kw_only=True, omit_defaults=True):
    """The answer to a report. A result that is not among `recorded` is kept, and sent again after a while. `unknown`:
    deliveries that the server does not know for this session: what was said of them changed nothing, but for results and
    logs. `logged`: what is stored of logs, of this report or of earlier ones."""

    recorded: list[Token] = field(default_factory=list)
    stop: list[Token] = field(default_factory=list)
    unknown: list[Token] = field(default_factory=list)
    logged: list[LogReceipt] = field(default_factory=list)


class SecretName(_Message, kw_only=True):
    """A secret, as assignments refer to it."""

    name: str
    key: str


class SecretRequest(_Message, kw_only=True):
    """Ask for the texts of secrets that the assignment of a delivery refers to."""

    token: Token
    secrets: Annotated[list[SecretName], Meta(max_length=1000)]


class SecretText(_Answer, kw_only=True):
    name: str
    key: str
    text: str


class SecretAnswer(_Answer, kw_only=True):
    """The texts, in the order in which they were asked for."""

    texts: list[SecretText]


_Shape = TypeVar("_Shape", bound=_Message)


def decode(message: Json, shape: type[_Shape]) -> _Shape:
    """Read a message that came as JSON.

    Raises:
        WireError: it does not fit; the text names the field.
    """
    try:
        return convert(message, shape)
    except ValidationError as error:
        raise WireError(f"a {shape.__name__} does not fit: {error}") from None
