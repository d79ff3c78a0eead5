"""Laws of the fleet: fairness, the cost of matching, and what holds when messages and workers get lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.invariants import check
from aether_protocol.fleet.machine import Fleet, FleetSettings
from aether_protocol.fleet.queue import ClassQueue, Turns
from aether_protocol.fleet.work import Need, Work
from aether_protocol.ports.wire import AttemptRef

SECOND = 1_000_000
LEASE = 30
SCRIPT = frozenset({"script"})


# --- fairness ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    slots=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    runs=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_no_namespace_with_waiting_work_gets_less_than_its_share(
    sizes: list[int], slots: list[int], runs: int, seed: int
) -> None:
    chance = random.Random(seed)
    fleet = Fleet(FleetSettings())
    works = [
        Work(AttemptRef(f"{ns}-{n % runs}", f"t{n}", 1), f"ns{ns}", Need("script"))
        for ns, size in enumerate(sizes)
        for n in range(size)
    ]
    chance.shuffle(works)
    fleet.handle(e.Offered(0, works))
    held: dict[str, list[e.Holding]] = {}
    polls = Counter[str]()
    for n, count in enumerate(slots):
        fleet.handle(e.Joined(0, f"w{n}", f"w{n}", SCRIPT, {"tasks": count}, {}, streaming=True))
        held[f"w{n}"] = []
    starts: list[str] = []

    def send(event: e.Event) -> None:
        for order in fleet.handle(event):
            if isinstance(order, c.Assign):
                held[order.session].append(e.Holding(order.number, order.work.ref, order.work.namespace))
                starts.append(order.work.namespace)

    while len(starts) < len(works):
        name = chance.choice(list(held))
        if held[name]:
            send(e.Finished(0, name, [held[name].pop(chance.randrange(len(held[name])))]))
        polls[name] += 1
        send(e.Polled(0, name, polls[name], chance.randint(1, 4), list(held[name])))
    for namespace in set(starts):
        last = max(i for i, one in enumerate(starts) if one == namespace)  # until then it has waiting work
        for first in range(0, last + 1, 100):
            window = starts[first : min(first + 1000, last + 1)]
            assert window.count(namespace) >= len(window) // len(sizes) - len(slots)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("AB"), st.sampled_from("xy"), st.sampled_from(["add", "take", "drop"])),
        max_size=80,
    )
)
def test_the_queue_gives_everything_once_and_no_lower_priority_before_a_higher(steps: list[tuple[int, str, str, str]]) -> None:
    queue = ClassQueue(Turns(), Turns())
    waiting: list[Work] = []
    for n, (priority, namespace, run, what) in enumerate(steps):
        if what == "add":
            work = Work(AttemptRef(namespace + run, str(n), 1), namespace, Need("script"), priority, order=n)
            queue.add(work)
            waiting.append(work)
        elif waiting and what == "drop":
            queue.remove(waiting.pop(len(waiting) // 2))
        elif waiting:
            found = queue.peek(None, ())
            assert found is not None
            work = found[1]
            assert work.priority == max(one.priority for one in waiting)
            same = [one for one in waiting if (one.run_id, one.priority) == (work.run_id, work.priority)]
            assert work is same[0], "of one run in the order of becoming ready"
            queue.remove(work, started=True)
            waiting.remove(work)
        assert len(queue) == len(waiting) == len(list(queue))


def test_a_run_that_always_comes_back_does_not_hold_up_a_wide_one() -> None:
    queue = ClassQueue(Turns(), Turns())
    for n in range(10):
        queue.add(Work(AttemptRef("wide", f"w{n}", 1), "N", Need("script"), order=n))
    starts = []
    for n in range(10):
        queue.add(Work(AttemptRef("chain", f"c{n}", 1), "N", Need("script"), order=100 + n))
        found = queue.peek(None, ())
        assert found is not None
        queue.remove(found[1], started=True)
        starts.append(found[1].run_id)
    assert Counter(starts) == {"wide": 5, "chain": 5}


# --- cost -------------------------------------------------------------------------------------------------------------


def steps_to_serve(waiting: int) -> int:
    """How many lines of the fleet run while one worker asks for one attempt, with so many waiting."""
    import sys

    fleet = Fleet(FleetSettings())
    works = [
        Work(AttemptRef(f"r{n % 50}", f"t{n}", 1), f"ns{n % 5}", Need("script", selector=f"a!={n % 3}")) for n in range(waiting)
    ]
    fleet.handle(e.Offered(0, works))
    fleet.handle(e.Joined(0, "w", "w", SCRIPT, {"tasks": 4}, {}))
    fleet.handle(e.Polled(0, "w", 1, 1, ()))
    lines = 0

    def trace(frame: object, kind: str, arg: object) -> Callable[..., object] | None:
        nonlocal lines
        lines += kind == "line"
        return trace

    sys.settrace(trace)
    try:
        for n in range(2, 5):
            assert any(isinstance(o, c.Assign) for o in fleet.handle(e.Polled(0, "w", n, 1, [])))
    finally:
        sys.settrace(None)
    return lines


def test_matching_costs_the_same_with_ten_and_with_many_waiting() -> None:
    assert steps_to_serve(20_000) <= steps_to_serve(150) * 1.2


# --- lost messages, lost workers --------------------------------------------------------------------------------------


class Has(Struct, eq=False):
    """What a worker of the model has of a delivery."""

    number: int
    ref: AttemptRef
    namespace: str
    done: bool = False  # it keeps the result


class ModelWorker(Struct, eq=False):
    """A worker as the protocol wants it, over a network that loses: it stops its own work before its lease ends."""

    name: str
    session: str = ""
    sessions: int = 0
    poll: int = 0
    answered_at: int = 0  # when it sent the last message that was answered
    frozen_until: int = 0
    has: dict[int, Has] = field(default_factory=dict)
    inbox: list[c.Command] = field(default_factory=list)


class World:
    """One fleet, some workers, an engine that wants each of its tasks done once."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0
        self.trouble = True
        self.fleet = Fleet(FleetSettings(lease=LEASE * SECOND))
        self.workers = [ModelWorker(f"w{n}") for n in range(self.chance.randint(1, 4))]
        self.open: dict[str, AttemptRef] = {}  # by task run: the attempt that the engine waits for
        self.results: list[AttemptRef] = []
        self.overlaps: list[str] = []
        self.frozen = False
        self.made = 0

    def tell(self, event: e.Event) -> None:
        for order in self.fleet.handle(event):
            if isinstance(order, (c.Assign, c.Stop, c.AskDrain, c.CloseSession)):
                for worker in self.workers:
                    if worker.session == order.session:
                        worker.inbox.append(order)
            elif isinstance(order, c.ReportLost):
                if self.open.get(order.ref.task_run_id) == order.ref:
                    self.offer(order.ref)
            elif isinstance(order, c.ReportError):
                raise AssertionError(order.message)
        check(self.fleet.state)

    def offer(self, ref: AttemptRef) -> None:
        work = Work(ref, f"ns{ref.run_id}", Need("script"), sticky=self.chance.random() < 0.2)
        self.open[ref.task_run_id] = ref
        self.tell(e.Offered(self.now, [work]))

    # --- the engine's side ---

    def engine_acts(self) -> None:
        what = self.chance.random()
        if what < 0.5:
            self.made += 1
            self.offer(AttemptRef(str(self.made % 3), f"t{self.made}", 1))
        elif self.open:
            ref = self.chance.choice(list(self.open.values()))
            if what < 0.7:
                del self.open[ref.task_run_id]
                self.tell(e.Withdrawn(self.now, [ref]))
            else:  # a retry after a time limit: the next attempt while the earlier one may run
                self.offer(AttemptRef(ref.run_id, ref.path, ref.attempt + 1))

    # --- the worker's side ---

    def send(self, worker: ModelWorker, make: Callable[[str], e.Event]) -> bool:
        """Send a message; whether its answer came back. What the server has for this worker comes with the answer."""
        lossy = self.trouble and self.chance.random() < 0.25
        if lossy and self.chance.random() < 0.5:
            return False
        sent = self.now
        if worker.session in self.fleet.state.sessions or not worker.session:
            event = make(worker.session)
            self.tell(event)
            if self.trouble and self.chance.random() < 0.1 and worker.session in self.fleet.state.sessions:
                self.tell(event)  # it arrives twice
        if lossy:
            worker.inbox.clear()
            return False
        worker.answered_at = sent
        return True

    def holding(self, worker: ModelWorker, only: Sequence[int] | None = None) -> list[e.Holding]:
        has = [worker.has[n] for n in (worker.has if only is None else only)]
        return [e.Holding(one.number, one.ref, one.namespace) for one in has]

    def receive(self, worker: ModelWorker) -> None:
        inbox, worker.inbox = worker.inbox, []
        for order in inbox:
            if isinstance(order, c.Assign) and order.poll == worker.poll and order.session == worker.session:
                ref = order.work.ref
                if any(one.ref == ref for one in worker.has.values()):
                    continue
                for other in self.workers:
                    for one in other.has.values():
                        if one.ref.task_run_id == ref.task_run_id and not one.done:
                            self.overlaps.append(f"{ref} at {worker.name} beside {one.ref} at {other.name}")
                worker.has[order.number] = Has(order.number, ref, order.work.namespace)
            elif isinstance(order, c.Stop):
                worker.has.pop(order.number, None)

    def worker_acts(self, worker: ModelWorker) -> None:
        if worker.frozen_until > self.now:
            return
        if self.now - worker.answered_at >= (LEASE - 3) * SECOND:
            worker.has = {
                n: one for n, one in worker.has.items() if one.done
            }  # no worker may carry it out a second time beside it
        if worker.session not in self.fleet.state.sessions:
            worker.sessions += 1
            worker.session, worker.poll = f"{worker.name}.{worker.sessions}", 0
            joined = lambda s: e.Joined(  # noqa: E731
                self.now, worker.session, worker.name, SCRIPT, {"tasks": 3}, {}, holding=self.holding(worker)
            )
            lossy = self.trouble and self.chance.random() < 0.2
            if lossy:
                worker.session = ""
                return
            sent = self.now
            self.tell(joined(""))
            worker.answered_at = sent
            return
        running = [n for n, one in worker.has.items() if not one.done]
        what = self.chance.random()
        if running and what < 0.3:
            worker.has[self.chance.choice(running)].done = True
        elif what < 0.4 and running:
            self.send(worker, lambda s: e.Started(self.now, s, self.holding(worker, running[:1])))
        elif what < 0.45 and running and self.trouble:
            number = running[0]
            held = self.holding(worker, [number])[0]
            if self.send(worker, lambda s: e.Died(self.now, s, held, "killed")):
                worker.has.pop(number, None)
        elif what < 0.5 and running and self.trouble:
            number = running[-1]
            held = self.holding(worker, [number])[0]
            if self.send(worker, lambda s: e.Returned(self.now, s, [held], "no", refused=self.chance.random() < 0.5)):
                worker.has.pop(number, None)
        elif what < 0.7:
            worker.poll += 1
            self.send(worker, lambda s: e.Polled(self.now, s, worker.poll, 3 - len(running), self.holding(worker)))
        elif what < 0.85:
            self.send(worker, lambda s: e.Beat(self.now, s, worker.poll, self.holding(worker)))
        elif what < 0.9 and self.trouble:
            worker.frozen_until = self.now + self.chance.choice([5, 40]) * SECOND
            self.frozen = self.frozen or worker.frozen_until - worker.answered_at >= LEASE * SECOND
        done = [n for n, one in worker.has.items() if one.done]
        if done:
            self.report(worker, done)
        self.receive(worker)

    def report(self, worker: ModelWorker, done: list[int]) -> None:
        held = self.holding(worker, done)

        def finished(session: str) -> e.Event:
            for one in held:  # what the edge does with the results themselves
                if self.open.get(one.ref.task_run_id) == one.ref:
                    del self.open[one.ref.task_run_id]
                    self.results.append(one.ref)
            return e.Finished(self.now, session, held)

        if self.send(worker, finished):
            for number in done:
                worker.has.pop(number, None)

    def step(self) -> None:
        self.now += self.chance.choice([0, 0, 1, 3]) * SECOND
        if self.trouble and self.chance.random() < 0.3:
            self.engine_acts()
        worker = self.chance.choice(self.workers)
        self.worker_acts(worker)
        self.tell(e.Ticked(self.now))


@pytest.mark.parametrize("block", range(10))
def test_nothing_is_lost_or_done_beside_itself_whatever_gets_lost(block: int) -> None:
    frozen = 0
    for seed in range(block * 30, block * 30 + 30):
        world = World(seed)
        for _ in range(300):
            world.step()
        world.trouble = False
        for _ in range(4000):
            if not world.open:
                break
            world.step()
        assert not world.open, f"seed {seed}: never done: {world.open}"
        assert len(world.results) == len(set(world.results)), f"seed {seed}"
        assert not world.overlaps or world.frozen, f"seed {seed}: {world.overlaps}"
        frozen += world.frozen
    assert frozen, "the world freezes workers for longer than their leases"
