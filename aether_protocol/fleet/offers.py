"""What engines ask for: attempts to be carried out, or not any more."""

from __future__ import annotations

from aether_protocol.fleet import events as e
from aether_protocol.fleet.state import FleetState, is_newer


def offered(fleet: FleetState, event: e.Offered) -> None:
    for work in event.works:
        waits = fleet.waiting.newest.get(work.task_run_id)
        running = fleet.of_task.get(work.task_run_id, {})
        if (waits is not None and not is_newer(work.ref, waits.ref)) or not all(
            is_newer(work.ref, one.work.ref) or (one.work.ref == work.ref and one.state == "stopping")
            for one in running.values()
        ):
            continue  # known already, or later than what is here
        if waits is not None:
            fleet.waiting.remove(waits)
        fleet.waiting.enter(work)
        if running:
            fleet.stop(running.values())
            fleet.waiting.hold_behind(work)
        else:
            fleet.queue(work)


def withdrawn(fleet: FleetState, event: e.Withdrawn) -> None:
    for ref in event.refs:
        waits = fleet.waiting.newest.get(ref.task_run_id)
        if waits is not None and waits.ref == ref:
            fleet.waiting.remove(waits)
        fleet.stop(one for one in fleet.of_task.get(ref.task_run_id, {}).values() if one.work.ref == ref)


def limits_set(fleet: FleetState, event: e.LimitsSet) -> None:
    fleet.waiting.set_limits(event.weights, event.limits)
