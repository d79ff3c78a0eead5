"""What engines want of attempts, and what workers report of them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.state import FleetState, seconds
from aether_protocol.fleet.work import Work, WorkerDelivery


def offered(fleet: FleetState, event: e.Offered) -> None:
    for work in event.works:
        waits = fleet.waiting.newest.get(work.task_run_id)
        running = fleet.of_task.get(work.task_run_id)
        if work.ref in fleet.results:
            continue  # its worker sends the result again until it is recorded
        if (waits is not None and not work.ref.is_after(waits.ref)) or (running and not _follows(work, running.values())):
            continue  # known already, or later than what is here
        if waits is not None:
            fleet.waiting.remove(waits)
        fleet.waiting.enter(work)
        if running:
            fleet.stop(running.values())
            fleet.waiting.hold_behind(work)
        elif (until := _stray_until(fleet, work, known=waits is not None)) > event.at and fleet.expects:
            fleet.waiting.delay(work, until)
        else:
            fleet.queue(work)


def _follows(work: Work, running: Iterable[WorkerDelivery]) -> bool:
    """Whether an attempt is later than all deliveries of its task run, or the same as one that is being stopped."""
    return all(
        work.ref.is_after(one.work.ref) or (one.work.ref == work.ref and one.state == "stopping") for one in running
    )


def _stray_until(fleet: FleetState, work: Work, *, known: bool) -> int:
    """Until when a worker that has not said hello here may carry out an earlier attempt of its task run: one that was withdrawn
    here, or at a server before this one, which may have known more. `known`: the earlier one waited here."""
    until = fleet.strays.pop(work.task_run_id, 0)
    is_nowhere = work.task_run_id in fleet.found
    fleet.found.discard(work.task_run_id)
    if work.number or is_nowhere:
        return 0  # the server that placed it here, or all of them, know that none does
    if known or work.task_run_id in fleet.given or (work.ref.attempt == 1 and not work.ref.epoch):
        return until
    return max(until, fleet.young_until)


def withdrawn(fleet: FleetState, event: e.Withdrawn) -> None:
    for ref in event.refs:
        waits = fleet.waiting.newest.get(ref.task_run_id)
        if waits is not None and waits.ref == ref:
            fleet.waiting.remove(waits)
        running = [one for one in fleet.of_task.get(ref.task_run_id, {}).values() if one.work.ref == ref]
        fleet.stop(running)
        if waits is None and not running and ref not in fleet.results and fleet.expects:
            fleet.strays[ref.task_run_id] = event.at + fleet.settings.reattach


def released(fleet: FleetState, event: e.Released) -> None:
    for ref in event.refs:
        if fleet.waits(ref):
            fleet.waiting.remove(fleet.waiting.newest[ref.task_run_id])
        for delivery in fleet.running(ref):
            delivery.adopted = True  # where its worker returns it, the next engine decides


def limits_set(fleet: FleetState, event: e.LimitsSet) -> None:
    fleet.waiting.set_limits(event.weights, event.limits)


def started(fleet: FleetState, event: e.Started) -> None:
    session = fleet.seen(event.session, event.at)
    for delivery in fleet.named(session, event.holding):
        if delivery.state == "assigned":
            delivery.state = "running"
            fleet.emit(c.ReportStarted(delivery.work.ref))


def finished(fleet: FleetState, event: e.Finished) -> None:
    session = fleet.seen(event.session, event.at)
    for delivery in fleet.named(session, event.holding):
        delivery.work.refusals = 0
        fleet.end(delivery, "reported")
    for holding in event.holding:  # the first result of an attempt counts, from whichever delivery
        fleet.promised.pop(holding.number, None)
        task_run = holding.ref.task_run_id
        waits = fleet.waiting.newest.get(task_run)
        if waits is not None and waits.ref == holding.ref:
            fleet.waiting.remove(waits)
        if task_run in fleet.of_task:
            fleet.stop(fleet.running(holding.ref))


def recorded(fleet: FleetState, event: e.Recorded) -> None:
    for holding in event.holding:
        delivery = fleet.deliveries.get(holding.number)
        if delivery is not None and delivery.state == "reported":
            fleet.end(delivery, "ended")


def died(fleet: FleetState, event: e.Died) -> None:
    session = fleet.seen(event.session, event.at)
    for delivery in fleet.named(session, (event.holding,)):
        stopping, ref = delivery.state == "stopping", delivery.work.ref
        fleet.end(delivery, "ended")
        if session is None or stopping or fleet.running(ref) or fleet.waits(ref):
            continue
        fleet.emit(c.ReportLost(ref, event.reason, blamed=True))
        session.losses.append((event.at, ref.task_run_id))
        while session.losses and session.losses[0][0] <= event.at - fleet.settings.quarantine_window:
            session.losses.popleft()
        several = len({task for _, task in session.losses}) >= fleet.settings.quarantine_losses
        if session.state == "active" and several and not session.via:  # behind a server the loss is that of one of its workers
            session.state = "quarantined"
            fleet.waiting.mark_unready(session)


def returned(fleet: FleetState, event: e.Returned) -> None:
    session = fleet.seen(event.session, event.at)
    for delivery in fleet.named(session, event.holding):
        work, stopping = delivery.work, delivery.state == "stopping"
        fleet.end(delivery, "ended")
        if stopping or fleet.waits(work.ref):
            continue
        if delivery.adopted:
            fleet.emit(c.ReportLost(work.ref, event.reason, blamed=False))
        elif event.refused:
            _delay(fleet, work, event.reason, event.at)
        else:
            fleet.queue(work, first=True)


def unfit(fleet: FleetState, event: e.Unfit) -> None:
    """It waits on, for as long as it may have waited at all, for a session that declares the executor in another way."""
    delivery = fleet.deliveries[event.number]
    work = delivery.work
    fleet.end(delivery)
    work.wait_until, work.misfit = work.waited_until, event.reason
    work.need = replace(work.need, unfit=tuple(sorted({*work.need.unfit, event.variant})))
    fleet.queue(work, first=True)


def _delay(fleet: FleetState, work: Work, reason: str, now: int) -> None:
    since = work.refused_since if work.refusals and work.refused_since is not None else now
    if now - since >= fleet.settings.refused_at_most:
        fleet.emit(c.ReportError(work.ref, f"workers refused it for {seconds(now - since)}: {reason}"))
        return
    pause = min(fleet.settings.refusal_delay << min(work.refusals, 30), fleet.settings.longest_delay)
    work.refusals, work.refused_since, work.reason = work.refusals + 1, since, reason
    fleet.waiting.delay(work, now + pause)
