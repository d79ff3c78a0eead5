"""Count everything anew and compare: called at the end of every test of the fleet and after each event of the simulation."""

from __future__ import annotations

from collections import Counter

from aether_protocol.errors import BrokenInvariant
from aether_protocol.fleet.state import FleetState
from aether_protocol.ports.wire import AttemptRef


def check(fleet: FleetState) -> None:
    """Compare the fleet's counters, indexes and queues with what stands in them.

    Raises:
        BrokenInvariant: they disagree, or an attempt waits although a ready session has room for it.
    """
    faults = [*_placed_once(fleet), *_counted(fleet), *_indexed(fleet)]
    if fleet.waiting.choose({}) is not None:
        faults.append("an attempt waits although a ready session has room for it")
    if faults:
        raise BrokenInvariant("; ".join(faults))


def _placed_once(fleet: FleetState) -> list[str]:
    waiting = fleet.waiting
    places = Counter([*waiting.queued, *waiting.delayed, *(work.ref for work in waiting.behind.values())])
    faults = [f"{ref} waits in {count} places" for ref, count in places.items() if count > 1]
    newest = {work.ref for work in waiting.newest.values()}
    if newest != set(places):
        faults.append(f"the newest waiting attempts are {newest}, but {set(places)} wait")
    queued = Counter(work.ref for group in waiting.classes.values() for work in group.queue)
    if queued != Counter(list(waiting.queued)):
        faults.append(f"the queues hold {queued}, the index {set(waiting.queued)}")
    for task, work in waiting.behind.items():
        if task not in fleet.of_task:
            faults.append(f"{work.ref} waits behind a delivery that is not there")
    return faults


def _counted(fleet: FleetState) -> list[str]:
    faults = []
    open_ones = [one for one in fleet.deliveries.values() if not one.is_over]
    for name, session in fleet.sessions.items():
        used: Counter[str] = Counter()
        for one in open_ones:
            if one.session == name:
                used.update(dict(one.work.need.slots))
        if used != Counter({kind: amount for kind, amount in session.used.items() if amount}):
            faults.append(f"session {name} counts {session.used}, its deliveries take {dict(used)}")
        if session.deliveries != {one.number for one in fleet.deliveries.values() if one.session == name}:
            faults.append(f"session {name} lists deliveries {session.deliveries}")
    running = Counter(one.work.namespace for one in open_ones)
    names = {*running, *(work.namespace for work in fleet.waiting.queued.values())}
    counts = [(name, fleet.waiting.running(name), running[name]) for name in sorted(names)]
    return faults + [f"namespace {name} counts {count} of {right}" for name, count, right in counts if count != right]


def _indexed(fleet: FleetState) -> list[str]:
    faults = []
    by_task: dict[str, set[int]] = {}
    for number, one in fleet.deliveries.items():
        if not one.is_over:
            by_task.setdefault(one.work.task_run_id, set()).add(number)
        if one.session not in fleet.sessions:
            faults.append(f"delivery {number} is at a session that is not there")
    kept: dict[AttemptRef, set[int]] = {}
    for number, one in fleet.deliveries.items():
        if one.state == "reported":
            kept.setdefault(one.work.ref, set()).add(number)
    if fleet.results != kept:
        faults.append("the index of results is wrong")
    faults += [
        f"the result of {number} is promised, and not waited for"
        for number in fleet.promised
        if number not in fleet.deliveries or fleet.deliveries[number].state != "reported"
    ]
    if by_task != {task: set(found) for task, found in fleet.of_task.items()}:
        faults.append("the index of deliveries by task run is wrong")
    for group in fleet.waiting.classes.values():
        fitting = {name for name, session in fleet.sessions.items() if group.fits(session)}
        if set(group.fitting) != fitting:
            faults.append(f"class {group.need} lists sessions {set(group.fitting)}, {fitting} fit")
        if not {name for members in group.ready.values() for name in members} <= fitting:
            faults.append(f"class {group.need} has ready sessions that do not fit")
    return faults
