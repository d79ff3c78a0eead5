"""The one door of the fleet: events go in, commands come out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from aether_protocol.fleet import attempts, membership
from aether_protocol.fleet import events as e
from aether_protocol.fleet.commands import Command
from aether_protocol.fleet.state import FleetSettings, FleetState
from aether_protocol.fleet.work import WorkerDelivery
from aether_protocol.ports.wire import AttemptRef

__all__ = ["Fleet", "FleetSettings"]

_RULES: Final[Mapping[type[Any], Callable[[FleetState, Any], None]]] = {
    e.Offered: attempts.offered,
    e.Withdrawn: attempts.withdrawn,
    e.Released: attempts.released,
    e.LimitsSet: attempts.limits_set,
    e.Joined: membership.joined,
    e.Polled: membership.polled,
    e.Taken: membership.taken,
    e.PollEnded: membership.poll_ended,
    e.Beat: membership.beat,
    e.WorkerHeard: membership.heard,
    e.Disconnected: membership.disconnected,
    e.Left: membership.left,
    e.DrainAsked: membership.drain_asked,
    e.Ticked: membership.ticked,
    e.Started: attempts.started,
    e.Finished: attempts.finished,
    e.Recorded: attempts.recorded,
    e.Died: attempts.died,
    e.Returned: attempts.returned,
    e.Unfit: attempts.unfit,
}


class Fleet:
    """Matches the attempts of one server with the workers that talk to it.

    Args:
        settings: leases and limits of time.
        first: the number of the first delivery: higher than any that an earlier server may have given.
    """

    def __init__(self, settings: FleetSettings, *, first: int = 1) -> None:
        self._state = FleetState(settings, first=first)
        self._asked: dict[AttemptRef, int] = {}  # when it was first asked for what cannot be said yet

    @property
    def expects(self) -> bool:
        """Whether workers that have not said hello here may hold attempts of earlier or other servers."""
        return self._state.expects

    @expects.setter
    def expects(self, expects: bool) -> None:
        self._state.expects = expects
        if not expects:  # what waits for workers that are absent waits for nothing
            self._state.waiting.end_delays()

    @property
    def state(self) -> FleetState:
        """What is known of sessions, deliveries and waiting attempts. To read alone."""
        return self._state

    def handle(self, event: e.Event) -> Sequence[Command]:
        """Take in an event, and return what is to be done about it, in this order."""
        state = self._state
        if state.young_until < 0:
            state.young_until = event.at + state.settings.reattach
        if isinstance(event, e.Released):  # when their runs come back, it is another server that may have had their workers
            for ref in event.refs:
                self._asked.pop(ref, None)
        _RULES[type(event)](state, event)
        state.match(event.at)
        return self._state.take_commands()

    def held(
        self, refs: Iterable[AttemptRef], now: int, nowhere: Collection[AttemptRef] = ()
    ) -> Mapping[AttemptRef, Literal["held", "unknown"]]:
        """Say what became of attempts that an earlier server may have delivered (`ports.broker.Broker.held`).

        Those that a worker may still bring back are left out, until the time for that is over: it begins when they are first
        asked for, since another server may have had their workers until then. `nowhere`: those that are at no worker of any
        server, so that nothing has to be waited for.
        """
        found: dict[AttemptRef, Literal["held", "unknown"]] = {}
        state = self._state
        for ref in refs:
            if state.running(ref) or state.waits(ref) or ref in state.results:
                found[ref] = "held"
            elif ref in nowhere:
                found[ref] = "unknown"
                state.found.add(ref.task_run_id)
            elif not state.expects or now >= self._asked.setdefault(ref, now) + state.settings.reattach:
                found[ref] = "unknown"
            if ref in found:
                self._asked.pop(ref, None)
        return found

    def unclear(self, run_id: str, now: int) -> list[AttemptRef]:
        """Return the attempts of a run of which it cannot be said yet what became of them."""
        since = now - self._state.settings.reattach
        return [ref for ref, asked in self._asked.items() if ref.run_id == run_id and asked > since]

    def unclaimed(self) -> list[WorkerDelivery]:
        """Return what workers carry out that no engine of this server has given them, as far as is known here."""
        return [one for one in self._state.deliveries.values() if one.adopted and one.state == "running"]

    def next_due(self) -> int | None:
        """Return when a `Ticked` is needed next (microseconds), if nothing else happens."""
        times = [session.lease_end for session in self._state.sessions.values()]
        quarantined = [session for session in self._state.sessions.values() if session.state == "quarantined"]
        times += [session.losses[-1][0] + self._state.settings.quarantine_window for session in quarantined]
        times += self._state.promised.values()
        due = self._state.waiting.next_due()
        return min([*times, *([] if due is None else [due])], default=None)
