"""Workers in service, and the classes of attempts that they fit."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, field

from aether_protocol.fleet.queue import ClassQueue
from aether_protocol.fleet.work import TASKS, Need, Slots
from aether_protocol.plan.placement import Selector

SessionState = Literal["active", "draining", "quarantined"]
UNCOUNTED: Final = frozenset({"cpu", "memory"})  # without a limit at a worker that does not name them
Group = frozenset[str] | None  # the namespaces that a session serves; None: all


class WorkerSession(Struct, eq=False):
    """One worker's time of service. `poll` is the number of its newest poll, `credit` how many attempts may be assigned to
    it while that is open, `lease_end` when it is taken for lost (microseconds), `losses` when it lost which task runs by the
    death of their own process."""

    name: str
    worker: str
    executors: frozenset[str]
    slots: Mapping[str, int]
    labels: Mapping[str, str]
    pool: str
    group: Group
    streaming: bool
    seen_at: int
    lease_end: int
    state: SessionState = "active"
    poll: int = 0
    credit: int = 0
    used: dict[str, int] = field(default_factory=dict)
    deliveries: set[int] = field(default_factory=set)
    classes: dict[Need, WorkClass] = field(default_factory=dict)
    losses: deque[tuple[int, str]] = field(default_factory=deque)
    drain_until: int | None = None
    instance: str = ""
    number: int = 0  # of the hello
    holder: str = ""
    variants: Mapping[str, str] = {}
    via: str = ""  # the server that relays
    said: int = 0  # the number of the newest message in which that server said what it holds

    def has_room(self, slots: Slots) -> bool:
        """Whether these are free at it."""
        for kind, amount in slots:
            total = self.slots.get(kind)
            if total is None:
                if kind in UNCOUNTED:
                    continue
                return False
            if self.used.get(kind, 0) + amount > total:
                return False
        return True

    def could_take(self, slots: Slots) -> bool:
        """Whether it would have room for these with nothing else to do."""
        return all(amount <= self.slots.get(kind, amount if kind in UNCOUNTED else 0) for kind, amount in slots)

    def take(self, slots: Slots) -> None:
        for kind, amount in slots:
            self.used[kind] = self.used.get(kind, 0) + amount

    def release(self, slots: Slots) -> None:
        for kind, amount in slots:
            self.used[kind] -= amount

    @property
    def free(self) -> int:
        """How many more attempts that ask for nothing else it could take."""
        return max(0, self.slots.get(TASKS, 0) - self.used.get(TASKS, 0))


class WorkClass(Struct, eq=False):
    """Attempts that ask the same of a worker. `ready`: the sessions with an open poll that fit, by the namespaces that they
    serve, in the order in which they were assigned to; `preferred` those of them that the preference names."""

    need: Need
    selector: Selector
    prefer: Selector | None
    queue: ClassQueue
    fitting: dict[str, WorkerSession] = field(default_factory=dict)
    ready: dict[Group, OrderedDict[str, WorkerSession]] = field(default_factory=dict)
    preferred: dict[Group, OrderedDict[str, WorkerSession]] = field(default_factory=dict)

    def fits(self, session: WorkerSession) -> bool:
        """Whether a session may carry out what is in this class, once it has room."""
        return (
            self.need.executor in session.executors
            and (not self.need.unfit or session.variants.get(self.need.executor) not in self.need.unfit)
            and self.need.pool == session.pool
            and self.selector.matches(session.labels)
            and session.could_take(self.need.slots)
        )

    def mark_ready(self, session: WorkerSession) -> None:
        self.ready.setdefault(session.group, OrderedDict()).setdefault(session.name, session)
        if self.prefer is not None and self.prefer.matches(session.labels):
            self.preferred.setdefault(session.group, OrderedDict()).setdefault(session.name, session)

    def mark_unready(self, session: WorkerSession) -> None:
        for groups in (self.ready, self.preferred):
            members = groups.get(session.group)
            if members is not None:
                members.pop(session.name, None)
                if not members:
                    del groups[session.group]

    def choose(self, group: Group, favourite: str | None) -> WorkerSession | None:
        """Return the session to assign to: the favourite, a preferred one, or the one assigned to longest ago. Those without
        room leave the ready ones, until they have some again."""
        members = self.ready.get(group)
        session = members.get(favourite) if members is not None and favourite is not None else None
        if session is not None and self._usable(session):
            return session
        for groups in (self.preferred, self.ready):
            while (members := groups.get(group)) is not None:
                session = next(iter(members.values()))
                if self._usable(session):
                    members.move_to_end(session.name)
                    return session
                self.mark_unready(session)
        return None

    def _usable(self, session: WorkerSession) -> bool:
        return session.credit > 0 and session.state == "active" and session.has_room(self.need.slots)
