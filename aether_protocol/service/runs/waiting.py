"""Why attempts wait for a worker, as far as the store of a run tells: for a look from outside of its server.

Law: the answer is the fleet's own, asked of the workers that the store knows. What it does not know (what they carry out,
drains, limits of namespaces) is not guessed: the server is to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from aether_protocol.fleet import events as e
from aether_protocol.fleet.machine import Fleet, FleetSettings
from aether_protocol.fleet.reasons import why_waiting
from aether_protocol.fleet.work import work_of
from aether_protocol.ports.store import KnownWorker, Store
from aether_protocol.ports.worker import Hello
from aether_protocol.scheduler.assignments import Assignments
from aether_protocol.scheduler.outstanding import under_way
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import READY
from aether_protocol.service.process_identity import is_dead
from aether_protocol.service.runs.overview import WaitingTask

__all__ = ["connected_workers", "hello_in", "waiting_tasks"]

MOST: Final = 1_000  # attempts that are looked at
ASK_SERVER: Final = "ask-server"
_decode: Final = msgspec.json.Decoder(Hello).decode


def hello_in(known: KnownWorker) -> Hello | None:
    """Return what a worker said of itself; None where a server of another version wrote it."""
    try:
        return _decode(known.hello)
    except msgspec.MsgspecError:
        return None


async def connected_workers(store: Store) -> list[tuple[Hello, frozenset[str] | None]]:
    """Return the workers that servers of this store have, as far as it is known, each with the namespaces that it may serve."""
    known = [one for one in await store.fleet.workers() if one.connected and not is_dead(one.name)]
    return [
        (hello, None if one.namespaces is None else frozenset(one.namespaces))
        for one in known
        if (hello := hello_in(one)) is not None
    ]


def waiting_tasks(
    state: RunState, workers: Sequence[tuple[Hello, frozenset[str] | None]]
) -> list[WaitingTask]:
    """Say why attempts of a run that a server drives have not started, those of hooks too.

    Args:
        state: the run as it is stored.
        workers: those that the servers of its store have, with the namespaces that each may serve (None: all).
    """
    ready = [node for node in under_way(state) if node.phase is READY][:MOST]
    if not ready:
        return []
    fleet = Fleet(FleetSettings())
    for number, (hello, namespaces) in enumerate(workers):
        names = frozenset(offer.name for offer in hello.executors)
        more = {"labels": hello.labels, "pool": hello.pool, "namespaces": namespaces}
        fleet.handle(e.Joined(0, str(number), hello.worker, names, hello.slots, **more))  # type: ignore[arg-type]
    assignments = Assignments(state.plan, state, 0)
    works = [work_of(assignments.first(node, None), 0) for node in ready]
    fleet.handle(e.Offered(0, works))
    found = []
    for work in works:
        reason = why_waiting(fleet.state, work.ref)
        code, text = (reason.code, reason.text) if reason is not None else (ASK_SERVER, "")
        if code == "not-asked":  # one fits; whether it has room is known where it says so
            code, text = ASK_SERVER, "a worker that fits is connected; whether it is busy, its server knows"
        found.append(WaitingTask(work.ref.path, work.ref.attempt, code, text))
    return sorted(found, key=lambda one: one.path)
