"""What the contracts of stores are written with: small runs, steps and appends.

Law: nothing here knows a particular store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from aether_protocol.errors import AetherError
from aether_protocol.expressions import parse_template
from aether_protocol.plan.model import Call, Kind, Plan, TaskDef
from aether_protocol.ports.store import NewDocument, NewRun, RunAppend, RunSummary, Store, StoredDocument
from aether_protocol.scheduler.codec import decode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.facts import Reported

SECOND = 1_000_000


def tiny_plan() -> Plan:
    """One no-op task."""
    target = TaskDef(
        name="only",
        executor_type="noop",
        config=parse_template({}, frozenset()),
        inline=False,
        outputs=(),
        artifacts=(),
        resources=None,
        library=None,
    )
    root = Call("only", 0, Kind.TASK, target)
    return Plan(
        name="tiny",
        namespace="default",
        version=None,
        labels={},
        annotations={},
        root=root,
        parameters=(),
        timeout_us=3_600_000_000,
        priority=500,
        hooks={},
        digest="0" * 64,
        snapshot={},
    )


def row(run_id: str, **changes: Any) -> RunSummary:
    """The row of a new run that was created at second 1."""
    bare = RunSummary(
        run_id=run_id,
        workflow="tiny",
        namespace="default",
        version=None,
        labels={},
        phase="Created",
        message="",
        created_at=SECOND,
        started_at=None,
        ended_at=None,
        closed=False,
        seq=0,
        leaves_ended=0,
        leaves_known=1,
        digest="0" * 64,
    )
    return replace(bare, **changes)


def new_run(
    run_id: str, *, owner: str | None = None, ttl: int | None = None, **changes: Any
) -> NewRun:
    """A run of the tiny plan."""
    made = row(run_id, **changes)
    header = RunHeader(run_id, made.created_at, None, {"greeting": "hello"}, {"system": {"os": "linux"}}, 7)
    return NewRun(made, tiny_plan(), header, owner, ttl)


def step(seq: int, text: str = "") -> LogEntry:
    """A step with one fact."""
    return LogEntry(seq, seq * SECOND, "test:step", [Reported(0, text or f"step {seq}")], [])


def more(
    run_id: str, after: int, *texts: str, token: int = 0, progress: int | None = None, saves: bool = False, **changes: Any
) -> RunAppend:
    """An append of one step for each of `texts` that follow step `after`; `changes` are those of the row. With `progress`
    the row said the same before, but for `seq` and the leaves ended. `saves`: with a snapshot."""
    steps = [step(after + number, text) for number, text in enumerate(texts or ("",), 1)]
    ended = {} if progress is None else {"leaves_ended": progress}
    made = row(run_id, **{"phase": "Running", "seq": steps[-1].seq, **ended, **changes})
    return RunAppend(
        run_id=run_id,
        expected_seq=after,
        steps=steps,
        leaves_ended=made.leaves_ended,
        row=made if progress is None or saves or made.closed else None,
        snapshot=f"state {made.seq}" if saves else None,
        token=token,
        closed=made.closed,
    )


def digest(number: int) -> str:
    """What looks like the digest of an artifact."""
    return f"sha256:{number:064x}"


def texts(lines: list[str]) -> list[str]:
    """What the steps of encoded lines report."""
    steps = [decode_entry(line) for line in lines]
    return [fact.message for step in steps for fact in step.facts if isinstance(fact, Reported)]


class Contract:
    """What the parts of the contract share. `now` is the clock that a store measures leases by, in microseconds: hand it to the
    store where that takes one; else override `pass_time`."""

    _passed = 0

    def make(self) -> Store:
        """Make a new, empty store."""
        raise AssertionError("a contract needs `make`")

    async def client(self, store: Store) -> Store:
        """Make another client of the same store: another connection, where it has connections. Closed by the test."""
        return store

    def now(self) -> int:
        return 1_000 * SECOND + self._passed

    async def pass_time(self, us: int) -> None:
        """Let so many microseconds pass by the store's clock."""
        self._passed += us

    def play(self, body: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
        """Run `body` on a new store and close it."""

        async def go() -> None:
            store = self.make()
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(go())


async def all_well(store: Store, *parts: RunAppend) -> bool:
    """The append refuses nothing."""
    return not await store.runs.append(parts)


async def put_document(store: Store, kind: str, namespace: str, name: str, text: str, at: int) -> StoredDocument:
    """Keep one document; the version that it has then."""
    ((stored, _),) = await store.library.put([NewDocument(kind, namespace, name, text)], at)
    return stored


async def refused(call: Coroutine[Any, Any, Any], kind: type[AetherError]) -> AetherError:
    """`call` raises `kind`: that error."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")
