"""The Broker port: takes assignments to workers and brings back what they report. Delivery is at least once, in any order.

Law: a broker decides nothing about a run. It calls its sink from the event loop's thread only (but `logged`, which may come
from any thread). It starts no attempt of a task run while an earlier one of it may still run. That its queue is away is an
answer, not an exception: what it cannot take is refused, stays in the engine, and is offered again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.notifier import Notifier
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult

if TYPE_CHECKING:
    from aether_protocol.ports.store.fleet import ServerTerm

Holding = Literal["held", "lost", "unknown"]
Stored = Callable[[], None]


class LogPart(Struct, gc=False):
    """Of which delivery a piece of a log is: an attempt that was lost is delivered again, and writes anew from byte 0.

    `delivery` is its number, unique in the store for all time. `stored` is called once when the piece is in the store, or was
    before; `lost` where it is not stored, and is to come again with all that follows it: the store did not take it, or does not
    say to what it belongs. `size` is how many bytes the piece had before it was masked here.
    """

    delivery: int
    size: int
    stored: Stored
    lost: Stored


class ResultSink(Protocol):
    """Where a broker reports to: the engine."""

    def started(self, ref: AttemptRef) -> None:
        """A worker confirmed the start of an attempt (may be left out: a result implies it)."""
        ...

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        """An executor wrote to the run's log. Called from any thread. `offset` is that of the first byte of `text` in its
        stream, where pieces may come twice: what is known already is left out; with a `part` also what an earlier process
        stored."""
        ...

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        """An attempt still runs, and how far it is, if it says so."""
        ...

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        """An attempt is gone without a result: it is repeated under its number. `blamed`: it may be what ended its worker, as
        where a child process died that carried out nothing else; never one lost with a whole worker or machine."""
        ...

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        """An attempt returned. `stored` is called once when what follows from it is in the store, also where nothing does; not
        when the store refused it, for then the result is for the engine that has the run now."""
        ...

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        """A worker carries out an attempt that this broker was not given, or was to leave to the next engine. `unwanted` is
        called where nothing will want what comes of it; else the broker may ask again after a while."""
        ...

    def ready(self) -> None:
        """There may be room again, or the queue is back: what waits in the engine is offered at once."""
        ...


class Broker(Protocol):
    """Raises PortError from `start`, when it cannot begin at all; from the others it is taken as a queue that is away."""

    def start(self, sink: ResultSink) -> None: ...

    def room(self) -> int | None:
        """How many more assignments it takes; None: as many as come. The rest stays in the engine, in the order of priority,
        where a cancel reaches it."""
        ...

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        """Take these, higher priority first, then in this order (SCHED-11). Returns those that it refused, with the reason:
        they are offered again after a while, which is not counted. Should answer within moments: the engine waits for it.

        A newer attempt of a task run (`AttemptRef.is_after`) stops the one that is there, and begins when that has ended: the
        engine that should have stopped it may be gone. An older one, which comes late, is passed over."""
        ...

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        """Drop those that wait and let those that run stop: their results are not wanted. Unknown ones are ignored."""
        ...

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        """This engine does not drive the runs of these attempts any longer, as where its lease ended. What can be reported to
        the engine that recovers them continues; what no other engine can reach stops. Unknown ones are ignored."""
        ...

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        """What became of attempts that an engine dispatched before this one recovered their runs: `held` ones wait or run and
        are reported here from now on, `lost` ones went with the workers, and `unknown` ones may never have arrived: they are
        offered again under the same name. Those that it cannot tell of now are left out, and asked for again."""
        ...

    async def close(self) -> None:
        """Stop everything that runs in this process and wait until it has stopped. What runs elsewhere is left alone."""
        ...


class BrokerParts(Struct, frozen=True):
    """What an engine has for a broker that is made by name. One whose workers are elsewhere needs the clock at most.

    `executors` by type, each loaded as it is looked up; `concurrency` attempts at once (None: no limit); `stager` lays
    artifacts down and keeps them; `secrets` are asked in order; `notifiers` by name are for executors. `artifacts` is the URL
    by which workers on other machines open the repository of artifacts; empty: they cannot. `begin_term` begins a term of
    service at the store, whose key is the same for all engines of that store.
    """

    clock: Clock
    executors: Mapping[str, Executor]
    concurrency: int | None = None
    stager: Stager | None = None
    secrets: Sequence[SecretProvider] = ()
    notifiers: Mapping[str, Notifier] = {}
    artifacts: str = ""
    begin_term: Callable[[], Awaitable[ServerTerm]] | None = None
