"""Workers that come, ask for work, show what they have, and go."""

from __future__ import annotations

from collections.abc import Collection

from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.sessions import WorkerSession
from aether_protocol.fleet.state import FleetState, seconds
from aether_protocol.fleet.work import Need, Work, WorkerDelivery


def joined(fleet: FleetState, event: e.Joined) -> None:
    known = fleet.sessions.get(event.session)
    if known is not None:
        fleet.waiting.remove_session(known)
    session = WorkerSession(
        name=event.session,
        worker=event.worker,
        executors=event.executors,
        slots=dict(event.slots),
        labels=dict(event.labels),
        pool=event.pool,
        group=event.namespaces,
        streaming=event.streaming,
        seen_at=event.at,
        lease_end=event.at + fleet.lease_of(event.via),
        instance=event.instance,
        number=event.number,
        holder=event.holder,
        variants=event.variants,
        via=event.via,
    )
    if known is not None:
        session.used, session.deliveries, session.losses = known.used, known.deliveries, known.losses
        session.state, session.drain_until = known.state, known.drain_until
    fleet.waiting.add_session(session)
    _reconcile(fleet, session, event.holding, before=None)
    _note_results(fleet, session, event)
    _end_earlier(fleet, session)
    if session.drain_until is not None:
        fleet.emit(c.AskDrain(session.name, session.drain_until))


def _note_results(fleet: FleetState, session: WorkerSession, event: e.Joined) -> None:
    """What has ended at the worker takes no slot, and nothing waits for its end. Its result is waited for, but not for ever:
    the worker may be one that is heard and hears nothing, so that it says hello again and again."""
    for delivery in fleet.at(session):
        if delivery.number not in event.results:
            continue
        if delivery.state == "stopping":
            fleet.end(delivery, "ended")
        elif not delivery.is_over:
            fleet.end(delivery, "reported")
            fleet.promised[delivery.number] = event.at + fleet.settings.lease


def _end_earlier(fleet: FleetState, session: WorkerSession) -> None:
    """End the sessions that the same process had before: what it did not show of them runs nowhere."""
    if session.instance:
        process = session.instance, session.holder
        for one in list(fleet.sessions.values()):
            if (one.instance, one.holder) == process and one.number < session.number:
                _reconcile(fleet, one, (), before=None)
                fleet.close(one, f"worker {session.worker!r} began a new session")


def polled(fleet: FleetState, event: e.Polled) -> None:
    session = fleet.seen(event.session, event.at)
    if session is None or event.poll <= session.poll:
        return
    _reconcile(fleet, session, event.holding, before=event.poll, again=False)
    session.poll, session.credit = event.poll, max(0, event.free)
    fleet.waiting.mark_unready(session)
    fleet.waiting.mark_ready(session)


def taken(fleet: FleetState, event: e.Taken) -> None:
    session = fleet.seen(event.session, event.at)
    if session is None or not session.via or event.poll <= session.poll or _is_overtaken(session, event.number):
        return
    _reconcile(fleet, session, event.holding, before=event.poll, again=False)
    session.poll = event.poll
    for _ in range(event.count):
        work = fleet.waiting.next_of(event.need, event.namespaces)
        if work is None or work.number:
            break  # what another server placed here goes no further
        if event.at - work.at < fleet.settings.offer_after:
            break  # a worker of this server may be about to ask
        fleet.assign(work, session, event.at)


def poll_ended(fleet: FleetState, event: e.PollEnded) -> None:
    session = fleet.sessions.get(event.session)
    if session is not None and event.poll == session.poll:
        fleet.close_poll(session)


def beat(fleet: FleetState, event: e.Beat) -> None:
    session = fleet.seen(event.session, event.at)
    if session is not None and not _is_overtaken(session, event.number):
        received = event.poll if session.streaming else event.poll + 1  # of a stream, more may be on its way
        _reconcile(fleet, session, event.holding, before=received)
        if session.drain_until is not None:
            fleet.emit(c.AskDrain(session.name, session.drain_until))  # the first order may be lost


def _is_overtaken(session: WorkerSession, number: int) -> bool:
    """Whether a later message of a server was here before: what workers bring to it makes its session hold more and more, and
    the earlier one knows nothing of it."""
    if number and number <= session.said:
        return True
    session.said = max(session.said, number)
    return False


def heard(fleet: FleetState, event: e.WorkerHeard) -> None:
    fleet.seen(event.session, event.at)


def disconnected(fleet: FleetState, event: e.Disconnected) -> None:
    session = fleet.sessions.get(event.session)
    if session is None:
        return
    fleet.close_poll(session)
    for delivery in fleet.at(session):
        if delivery.work.eager:
            fleet.lose(delivery, f"the connection to worker {session.worker!r} was lost")


def left(fleet: FleetState, event: e.Left) -> None:
    session = fleet.sessions.get(event.session)
    if session is not None:
        fleet.close(session, f"worker {session.worker!r} left")


def drain_asked(fleet: FleetState, event: e.DrainAsked) -> None:
    session = fleet.sessions.get(event.session)
    if session is not None:
        session.state, session.drain_until = "draining", event.until
        fleet.close_poll(session)
        fleet.emit(c.AskDrain(session.name, event.until))


def ticked(fleet: FleetState, event: e.Ticked) -> None:
    for session in list(fleet.sessions.values()):
        if session.lease_end <= event.at:
            silent = seconds(fleet.lease_of(session.via))
            fleet.close(session, f"worker {session.worker!r} gave no sign of life for {silent}")
        elif session.state == "quarantined" and session.losses[-1][0] <= event.at - fleet.settings.quarantine_window:
            session.state = "active"
            session.losses.clear()
            fleet.waiting.mark_ready(session)
    for number in [one for one, until in fleet.promised.items() if until <= event.at]:
        fleet.give_up(fleet.deliveries[number])
    if event.at >= fleet.young_until:
        fleet.given.clear()
    for task_run in [one for one, until in fleet.strays.items() if until <= event.at]:
        del fleet.strays[task_run]
    for work in fleet.waiting.pop_due(event.at):
        if work.wait_until is not None and work.wait_until <= event.at:
            fleet.waiting.remove(work)
            fleet.emit(c.ReportError(work.ref, "no worker took it within its longest wait"))
        elif work.ref in fleet.waiting.delayed:
            fleet.waiting.remove(work)
            fleet.queue(work)


def _reconcile(
    fleet: FleetState, session: WorkerSession, holding: Collection[e.Holding], before: int | None, *, again: bool = True
) -> None:
    """Compare what a worker has with what was assigned to it.

    Args:
        session: that of the worker.
        holding: all that it has.
        before: it has received the answers to all polls with a lower number; None: to all.
        again: orders to stop are given once more. Not at a poll, which each order answers: a worker that takes its time to
            stop an attempt would poll without a pause.
    """
    held = {one.number: one for one in holding}
    for number in sorted(session.deliveries - held.keys(), reverse=True):  # each goes before those that came later
        delivery = fleet.deliveries[number]
        if before is not None and delivery.poll >= before:
            continue  # may be on its way
        if delivery.state == "assigned" and not delivery.adopted:
            fleet.end(delivery)  # never arrived, so it runs nowhere
            if not fleet.waits(delivery.work.ref):
                fleet.queue(delivery.work, first=True)
        else:
            fleet.lose(delivery, f"worker {session.worker!r} does not have it any more")
    for number, one in held.items():
        known = fleet.deliveries.get(number)
        if known is None:
            _adopt(fleet, session, one)
        elif known.session != session.name:
            _move(fleet, known, session)
        elif known.state == "stopping" and again:
            fleet.emit(c.Stop(session.name, number, one.ref))  # the first order may be lost


def _adopt(fleet: FleetState, session: WorkerSession, one: e.Holding) -> None:
    """Take over a delivery of an earlier server."""
    waits = fleet.waiting.newest.get(one.ref.task_run_id)
    work = Work(one.ref, one.namespace, Need("", slots=one.slots))
    if waits is not None and waits.ref == one.ref:
        fleet.waiting.remove(waits)
        work = waits
        work.wait_until = None
    delivery = WorkerDelivery(one.number, session.name, work, 0, session.seen_at, "running", adopted=work is not waits)
    fleet.add(delivery, session)
    newer = [other for other in fleet.of_task[one.ref.task_run_id].values() if other.work.ref.is_after(one.ref)]
    if newer or (waits is not None and waits.ref.is_after(one.ref)):
        fleet.stop((delivery,))
    if waits is not None and work is not waits:
        fleet.waiting.remove(waits)
        if waits.ref.is_after(one.ref):
            fleet.waiting.hold_behind(waits)


def _move(fleet: FleetState, delivery: WorkerDelivery, session: WorkerSession) -> None:
    """A worker said hello anew: what it has is at its new session."""
    before = fleet.sessions.get(delivery.session)
    if before is not None:
        before.deliveries.discard(delivery.number)
    session.deliveries.add(delivery.number)
    delivery.session, delivery.poll = session.name, 0
    if not delivery.is_over:
        if before is not None:
            before.release(delivery.work.need.slots)
        session.take(delivery.work.need.slots)
    if delivery.state == "stopping":
        fleet.emit(c.Stop(session.name, delivery.number, delivery.work.ref))
