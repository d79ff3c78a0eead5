"""What happened outside: the only way into the fleet (`machine.handle`). Times `at` in microseconds of a clock that never
goes back; sessions, refs and numbers as the caller named them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from aether_protocol.fleet.work import TASKS, Need, Slots, Work
from aether_protocol.ports.wire import AttemptRef


class Holding(Struct, frozen=True, gc=False):
    """A delivery that a worker has: that it works on, or whose result it keeps until it is recorded. `namespace` and `slots`
    are those of the assignment; a server that did not make it has them from here."""

    number: int
    ref: AttemptRef
    namespace: str = ""
    slots: Slots = ((TASKS, 1),)


class Offered(Struct, gc=False):
    """An engine offers attempts, higher priority first, then in the order in which they became ready."""

    at: int
    works: Sequence[Work]


class Withdrawn(Struct, gc=False):
    """An engine withdraws attempts: those that wait go, those that are delivered are to stop."""

    at: int
    refs: Sequence[AttemptRef]


class Released(Struct, gc=False):
    """An engine does not drive the runs of these attempts any more: those that wait go, for the next engine offers them again;
    those that are delivered run on, for the next engine asks for them."""

    at: int
    refs: Sequence[AttemptRef]


class Joined(Struct, gc=False):
    """A worker said hello.

    `executors`: names of the executors that it has. `namespaces`: those that it may serve, None: all. `slots`: the amounts
    that it offers by kind; `tasks` is one of them, and of a kind that it does not name it has none, but for `cpu` and
    `memory`, which then are not counted. `holding`: what it has from an earlier session; `results`: the numbers of
    those that run no more, whose results it keeps. `streaming`: an answer to a poll does not end it. `instance`: what tells
    workers of one name apart; `number` counts the hellos of one: an earlier one may come late. `holder`: whose token it has;
    none ends a session of another one. `via`: the server that relays for workers of its own, whose sessions end later than
    those of workers (RT-146). `variants`: by
    executor what tells its version and config from others of the name.
    """

    at: int
    session: str
    worker: str
    executors: frozenset[str]
    slots: Mapping[str, int]
    labels: Mapping[str, str]
    pool: str = ""
    namespaces: frozenset[str] | None = None
    holding: Sequence[Holding] = ()
    streaming: bool = False
    instance: str = ""
    number: int = 0
    holder: str = ""
    results: Collection[int] = ()
    via: str = ""
    variants: Mapping[str, str] = {}


class Unfit(Struct, gc=False):
    """A delivery was assigned and not sent: the config of its attempt does not fit what the session declares of the executor
    (`variant`). `reason` says why."""

    at: int
    session: str
    number: int
    variant: str
    reason: str


class Polled(Struct, gc=False):
    """A worker asks for work. `poll`: the number of the poll, counted from 1; `free`: how many attempts it takes at most;
    `holding`: all deliveries that it has, the answers to all earlier polls among them."""

    at: int
    session: str
    poll: int
    free: int
    holding: Sequence[Holding]


class Taken(Struct, gc=False):
    """Another server asks for attempts that wait here, for workers of its own. `poll`, `holding`: as of a poll; `need`: what
    these attempts ask of a worker; `namespaces`: of these alone, None: of all; `count`: how many at most; `number`: as of a
    beat."""

    at: int
    session: str
    poll: int
    need: Need
    namespaces: frozenset[str] | None
    count: int
    holding: Sequence[Holding]
    number: int = 0


class PollEnded(Struct, gc=False):
    """A poll was answered without work, or its connection is gone: nothing can be assigned until the next one."""

    at: int
    session: str
    poll: int


class Beat(Struct, gc=False):
    """A worker is alive and has these deliveries. `poll`: the number of the last poll whose answer it received, or waits for
    no more. `number` orders what a server says of what it has; 0: it comes from a worker."""

    at: int
    session: str
    poll: int
    holding: Sequence[Holding]
    number: int = 0


class WorkerHeard(Struct, gc=False):
    """A worker is alive: it sent a message that need not say anything of what it has."""

    at: int
    session: str


class Started(Struct, gc=False):
    """A worker began with these deliveries."""

    at: int
    session: str
    holding: Sequence[Holding]


class Finished(Struct, gc=False):
    """A worker reported results. What they are is not the fleet's affair."""

    at: int
    session: str
    holding: Sequence[Holding]


class Recorded(Struct, gc=False):
    """The results of these deliveries are recorded."""

    at: int
    holding: Sequence[Holding]


class Died(Struct, gc=False):
    """The process that carried out one attempt alone died. `reason` says how, with the last lines that it wrote."""

    at: int
    session: str
    holding: Holding
    reason: str


class Returned(Struct, gc=False):
    """A worker returns what it did not begin or did not end, and does not work on it any more.

    `refused`: it could not do it (an executor of another version, secrets that it cannot get): it is offered again after a
    while, and is an Error when that lasted for long. Otherwise (a drain) it is offered again at once.
    """

    at: int
    session: str
    holding: Sequence[Holding]
    reason: str
    refused: bool


class Disconnected(Struct, gc=False):
    """The connection to a worker was lost. It may come back with the same session until its lease ends."""

    at: int
    session: str


class Left(Struct, gc=False):
    """A worker took its leave; what it still held is not carried out any more."""

    at: int
    session: str


class DrainAsked(Struct, gc=False):
    """An operator, or the worker itself, wants no more work for it. `until` (microseconds): what has not ended by then is
    returned."""

    at: int
    session: str
    until: int


class LimitsSet(Struct, gc=False):
    """How namespaces share the workers: weights (1 unless given), and the most attempts at a time (no limit unless given)."""

    at: int
    weights: Mapping[str, int]
    limits: Mapping[str, int]


class Ticked(Struct, gc=False):
    """Time passed."""

    at: int


Event = (
    Offered
    | Withdrawn
    | Released
    | Joined
    | Polled
    | Taken
    | PollEnded
    | Beat
    | WorkerHeard
    | Started
    | Finished
    | Recorded
    | Died
    | Returned
    | Unfit
    | Disconnected
    | Left
    | DrainAsked
    | LimitsSet
    | Ticked
)
