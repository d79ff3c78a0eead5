"""Attempts on their way to the broker: what waits for room, what was refused, what is to be stopped.

Law: an attempt is offered until the broker takes it or it is not wanted any more; being refused costs it nothing but time. What
waits here goes by priority, then in the order of arrival (SCHED-11). One flush a turn of the loop, which awaits the broker.
What the engine carries out itself never waits here and never reaches the broker (RT-122).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from aether_protocol.engine.active_run import Delivery
from aether_protocol.engine.observers import Observers
from aether_protocol.errors import PortError, why
from aether_protocol.execution.bounded import bounded
from aether_protocol.ports.broker import Broker, Holding
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.scheduler.nodes import TaskNode

FIRST_US: Final = 200_000  # until what was refused is offered again; doubled each time
LONGEST_US: Final = 5_000_000
ANSWER_S: Final = 10.0  # of the machine's time: the loop waits for an answer, and a broker that takes longer counts as away
BROKER: Final = "the broker"

_log = logging.getLogger("aether_protocol")

OnLost = Callable[[Delivery, str, bool], None]


class EngineSite:
    """The engine's own site: which executors it carries out itself, and by what: a `carrier` of this process without slots.

    They ask for something that only an engine can give (an answer, a state, another run) and wait for it, so that a slot would
    be lost on them, and a worker elsewhere could not do it. An attempt ends with its engine: recovery repeats it under the same
    number, and blames it for nothing (RT-122).

    Args:
        carrier: Takes the attempts; it has the same port as a broker, and belongs to this engine alone.
        executors: By type; those whose declaration has `site="engine"` are carried out here. Each is looked up once.
    """

    def __init__(self, carrier: Broker, executors: Mapping[str, Executor]) -> None:
        self.carrier = carrier
        self._executors = executors
        self._known: dict[str, bool] = {}

    def carries(self, type_: str) -> bool:
        """Say whether attempts of an executor type are carried out by the engine itself."""
        known = self._known.get(type_)
        if known is None:
            executor = self._executors.get(type_)
            known = self._known[type_] = executor is not None and executor.type.site == "engine"
        return known


class Deliveries:
    """`waiting` counts what is in the queues. `due`: there is something to `flush`; `wake` wakes
    the loop. `on_lost` gets what a broken broker may have lost. `site` carries out what the engine does itself."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        wake: Callable[[], None],
        observers: Observers,
        on_lost: OnLost,
        *,
        site: EngineSite | None = None,
    ) -> None:
        self.due = False
        self._flush_lock = asyncio.Lock()
        self._withdrawing: set[asyncio.Task[None]] = set()
        self._broker = broker
        self._site = site
        self._own: list[Delivery] = []  # for the engine's own site, which takes all of it
        self._own_stops: list[AttemptRef] = []
        self._clock = clock
        self._wake = wake
        self._observers = observers
        self._on_lost = on_lost
        self._new: list[Delivery] = []  # since the last flush
        self._some_dropped = False  # some of what was not offered yet is not wanted any more
        self._queues: dict[int, deque[Delivery]] = {}  # what waits for room, by priority, highest first
        self.waiting = 0  # what was dropped is among it until its turn comes
        self._stops: list[AttemptRef] = []
        self._releases: list[AttemptRef] = []
        self._refused: list[tuple[int, int, Delivery]] = []  # a heap by the instant of the next offer
        self._unclear: list[Delivery] = []  # dispatched by an engine before us: the broker could not tell of them so far
        self._count = 0
        self._alarm: TimerHandle | None = None
        self._outage = 0  # refusals in a row of stops and questions
        self._rounds = 0  # questions in a row that left something unclear
        self._silent = False  # an outage was reported

    # --- what the loop puts in ---

    def add(self, delivery: Delivery, assignment: TaskAssignment) -> None:
        """Offer it with the next flush."""
        self.due = True
        if self._site is not None and self._site.carries(assignment.target.executor_type):
            delivery.own = True
            self._own.append(delivery)
            return
        self._new.append(delivery)

    def drop(self, delivery: Delivery) -> None:
        """Its result is not wanted any longer: it is not offered, or stopped where the broker has it."""
        delivery.dropped = True
        if delivery.offered:
            (self._own_stops if delivery.own else self._stops).append(delivery.ref)
            self.due = True
        else:
            self._some_dropped = True

    def _is_own(self, delivery: Delivery) -> bool:
        node = delivery.run.state.nodes[delivery.node]
        return self._site is not None and isinstance(node, TaskNode) and self._site.carries(node.target.executor_type)

    def release(self, delivery: Delivery) -> None:
        """Its run is not driven here any longer: it is not offered, or left to the next engine where that can reach it."""
        delivery.dropped = True
        if delivery.offered:
            (self._own_stops if delivery.own else self._releases).append(delivery.ref)
            self.due = True
        else:
            self._some_dropped = True

    def ready(self) -> None:
        """The broker may take more: offer all that waits and was refused."""
        for _, _, delivery in sorted(self._refused, reverse=True):
            self._requeue(delivery)
        self._refused.clear()
        if self.waiting or self._unclear:
            self.due = True
            self._wake()

    # --- the broker ---

    async def flush(self) -> None:
        """Stop what is not wanted, then dispatch what there is room for; one flush at a time."""
        if not self.flushing:
            async with self._flush_lock:
                await self._flush()

    @property
    def flushing(self) -> bool:
        """Whether the broker is being spoken to."""
        return self._flush_lock.locked()

    def withdraw_at_once(self) -> None:
        """Withdraw what was released, though the loop may be waiting for its store: nothing of it is given out any more."""
        if self._own_stops or self._stops or self._releases:
            task = asyncio.ensure_future(self._withdraw_now())
            self._withdrawing.add(task)
            task.add_done_callback(self._withdrawing.discard)

    async def _withdraw_now(self) -> None:
        async with self._flush_lock:  # what is on its way to the broker is released behind it
            await self._stop_own()
            await self._withdraw()
        if self.due:
            self._wake()

    async def _flush(self) -> None:
        self.due = False
        if self._own_stops or self._own:
            await self._carry_out()
        if self._stops or self._releases:
            await self._withdraw()
        if self._unclear:
            await self._ask_again()
        batch, self._new = self._new, []
        if self.waiting or self._broker.room() is not None:
            self._enqueue(batch)
            batch = self._next(self._broker.room())
        while batch:  # what is carried out at once leaves room for the next
            await self._offer(batch, self._broker)
            batch = self._next(self._broker.room()) if self.waiting else []

    async def _carry_out(self) -> None:
        """What the engine does itself."""
        assert self._site is not None
        await self._stop_own()
        batch, self._own = self._own, []
        await self._offer(batch, self._site.carrier)

    async def _stop_own(self) -> None:
        stops, self._own_stops = self._own_stops, []
        if stops and self._site is not None:
            await self._site.carrier.stop(stops)

    def _enqueue(self, deliveries: Iterable[Delivery], *, ahead: bool = False) -> None:
        """Let these wait for room, behind what waits with the same priority or `ahead` of it."""
        for delivery in deliveries:
            if delivery.assignment is not None and not delivery.dropped:
                queue = self._queues.get(delivery.assignment.priority)
                if queue is None:
                    queue = self._queues[delivery.assignment.priority] = deque()
                    self._queues = dict(sorted(self._queues.items(), reverse=True))
                (queue.appendleft if ahead else queue.append)(delivery)
                self.waiting += 1

    def _next(self, room: int | None) -> list[Delivery]:
        """The next to be offered, as many as there is room for."""
        batch: list[Delivery] = []
        for queue in self._queues.values():
            while queue and (room is None or len(batch) < room):
                batch.append(queue.popleft())
                self.waiting -= 1
        return batch

    async def _offer(self, batch: Sequence[Delivery], broker: Broker) -> None:
        refusals: Mapping[AttemptRef, str]
        if self._some_dropped:
            batch = [one for one in batch if not one.dropped]
            self._some_dropped = bool(self.waiting or self._new)
        if not batch:
            return
        assignments = []
        for one in batch:
            assignments.append(one.assignment)
            one.offered, one.assignment = True, None  # the broker's, unless it refuses it
        try:
            refusals = await bounded(broker.dispatch(assignments), ANSWER_S, BROKER)  # type: ignore[arg-type]
        except PortError as error:
            refusals = {one.ref: error.message for one in batch}
        except Exception as error:
            _log.exception("the broker broke")
            self._observers.failed(error, "dispatch", severity="internal")
            for delivery in batch:
                if not delivery.dropped:
                    self._on_lost(delivery, f"the broker broke: {why(error)}", True)
            return
        if refusals:
            self._put_off([pair for pair in zip(batch, assignments, strict=True) if pair[0].ref in refusals], refusals)
        else:
            self._silent = False

    def _put_off(
        self, refused: Iterable[tuple[Delivery, TaskAssignment | None]], reasons: Mapping[AttemptRef, str]
    ) -> None:
        now = self._clock.now()
        for delivery, assignment in refused:
            delivery.offered, delivery.assignment = False, assignment
            delivery.reason = reasons[delivery.ref]
            delivery.refusals += 1
            self._count += 1
            heapq.heappush(self._refused, (now + _backoff(delivery.refusals), self._count, delivery))
        if self._refused:
            if not self._silent:
                self._silent = True
                delivery = self._refused[0][2]
                _log.warning("attempts wait, for the broker does not take them: %s", delivery.reason)
                error = PortError(delivery.reason)
                self._observers.failed(error, "dispatch", run=delivery.run.id, task=delivery.ref.path, severity="warning")
            self._arm(self._refused[0][0])

    def _requeue(self, delivery: Delivery) -> None:
        """To the head of its queue: it has waited longest."""
        if delivery.own:
            self._own.append(delivery)
            self.due = True
        else:
            self._enqueue([delivery], ahead=True)

    async def _withdraw(self) -> None:
        """Stop what is not wanted, and release what is the next engine's."""
        stops, self._stops = self._stops, []
        releases, self._releases = self._releases, []
        try:
            if stops:
                await bounded(self._broker.stop(stops), ANSWER_S, BROKER)
                stops = []
            if releases:
                await bounded(self._broker.release(releases), ANSWER_S, BROKER)
            self._outage = 0
        except PortError as error:
            self._stops[:0] = stops
            self._releases[:0] = releases
            self._try_again(error, "stop")

    # --- what an engine before us dispatched ---

    async def ask(self, deliveries: Sequence[Delivery]) -> dict[Delivery, Holding]:
        """Ask the broker what became of these. Those that it cannot say are asked for again, and reported then."""
        answered: dict[Delivery, Holding] = {}
        for delivery in deliveries:
            if self._is_own(delivery):  # ended with its engine
                delivery.own = True
                answered[delivery] = "unknown"
        asked = [one for one in deliveries if not one.own]
        if self._releases:  # where this engine recovers what it released, a release that comes late must end nothing
            again = {one.ref for one in asked}
            self._releases = [ref for ref in self._releases if ref not in again]
        answers: Mapping[AttemptRef, Holding] = {}
        try:
            if asked:
                answers = await bounded(self._broker.held([one.ref for one in asked]), ANSWER_S, BROKER)
                self._outage = 0
        except PortError as error:
            self._try_again(error, "held")
        answered |= {one: answers[one.ref] for one in asked if one.ref in answers}
        if len(answered) < len(deliveries):
            self._unclear += [one for one in deliveries if one not in answered]
            self._rounds += 1
            self._arm(self._clock.now() + _backoff(self._rounds))
        else:
            self._rounds = 0
        return answered

    async def _ask_again(self) -> None:
        asked, self._unclear = [one for one in self._unclear if not one.dropped], []
        if asked:
            for delivery, held in (await self.ask(asked)).items():
                if held != "held" and not delivery.dropped:
                    self._on_lost(delivery, "it went with its worker", False)

    # --- time ---

    def _try_again(self, error: PortError, operation: str) -> None:
        self._outage += 1
        if not self._silent:
            self._silent = True
            _log.warning("the broker does not answer: %s", error.message)
            self._observers.failed(error, operation, severity="warning")
        self._arm(self._clock.now() + _backoff(self._outage))

    def _arm(self, due: int) -> None:
        if self._alarm is None:
            self._alarm = self._clock.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.now()
        while self._refused and self._refused[0][0] <= now:
            self._requeue(heapq.heappop(self._refused)[2])
        if self._refused:
            self._arm(self._refused[0][0])
        self.due = self.due or bool(self._stops or self._releases or self._unclear or self.waiting)
        self._wake()

    def close(self) -> None:
        for task in self._withdrawing:
            task.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _backoff(number: int) -> int:
    return min(FIRST_US << min(number - 1, 10), LONGEST_US)
