"""The fleet machine by examples: one thing a test, the invariants counted after each event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from aether_protocol.fleet import commands as c
from aether_protocol.fleet import events as e
from aether_protocol.fleet.invariants import check
from aether_protocol.fleet.machine import Fleet, FleetSettings
from aether_protocol.fleet.reasons import why_waiting
from aether_protocol.fleet.work import Need, Slots, Work
from aether_protocol.ports.wire import AttemptRef

SECOND = 1_000_000
ONE: Slots = (("tasks", 1),)
GPU: Slots = (("gpu", 1), ("tasks", 1))


def ref(path: str, attempt: int = 1, run: str = "r", epoch: int = 0) -> AttemptRef:
    return AttemptRef(run, path, attempt, epoch)


def work(path: str, attempt: int = 1, *, run: str = "r", executor: str = "script", **given: object) -> Work:
    fields = {name: given.pop(name) for name in ("pool", "selector", "prefer", "slots") if name in given}
    namespace = str(given.pop("namespace", "default"))
    epoch = given.pop("epoch", 0)
    assert isinstance(epoch, int)
    return Work(ref(path, attempt, run, epoch), namespace, Need(executor, **fields), **given)  # type: ignore[arg-type]


class Bench:
    """A fleet at a clock of its own, with the worker's side of the talk."""

    def __init__(self, **settings: int) -> None:
        self.now = 0
        self.fleet = Fleet(FleetSettings(**settings))
        self.polls: dict[str, int] = {}
        self.holding: dict[str, dict[int, AttemptRef]] = {}

    def send(self, event: e.Event) -> list[c.Command]:
        out = list(self.fleet.handle(event))
        check(self.fleet.state)
        for command in out:
            if isinstance(command, c.Assign):
                self.holding[command.session][command.number] = command.work.ref
        return out

    def offer(self, *works: Work) -> list[c.Command]:
        return self.send(e.Offered(self.now, works))

    def withdraw(self, *refs: AttemptRef) -> list[c.Command]:
        return self.send(e.Withdrawn(self.now, refs))

    def join(self, name: str = "w1", *, holding: Sequence[e.Holding] = (), tasks: int = 4, **given: object) -> list[c.Command]:
        self.holding[name] = {one.number: one.ref for one in holding}
        slots = {"tasks": tasks, **given.pop("slots", {})}  # type: ignore[dict-item]
        executors = frozenset(given.pop("executors", ["script"]))  # type: ignore[call-overload]
        fields = {"labels": {}, **given}
        return self.send(e.Joined(self.now, name, name, executors, slots, holding=holding, **fields))  # type: ignore[arg-type]

    def poll(self, name: str = "w1", free: int = 10, *, holding: Iterable[int] | None = None) -> list[c.Command]:
        self.polls[name] = self.polls.get(name, 0) + 1
        return self.send(e.Polled(self.now, name, self.polls[name], free, self.held(name, holding)))

    def held(self, name: str, numbers: Iterable[int] | None = None) -> list[e.Holding]:
        has = self.holding[name]
        return [e.Holding(number, has[number]) for number in (has if numbers is None else numbers)]

    def number_of(self, name: str, path: str) -> int:
        return next(number for number, one in self.holding[name].items() if one.path == path)

    def finish(self, name: str, *paths: str) -> list[c.Command]:
        done = [self.number_of(name, path) for path in paths]
        out = self.send(e.Finished(self.now, name, self.held(name, done)))
        for number in done:
            del self.holding[name][number]
        return out

    def start(self, name: str, path: str) -> list[c.Command]:
        return self.send(e.Started(self.now, name, self.held(name, [self.number_of(name, path)])))

    def tick(self, seconds: float) -> list[c.Command]:
        self.now += int(seconds * SECOND)
        return self.send(e.Ticked(self.now))


def assigned(commands: Iterable[c.Command], session: str | None = None) -> list[str]:
    return [o.work.ref.path for o in commands if isinstance(o, c.Assign) and session in (None, o.session)]


def test_an_attempt_goes_to_the_session_that_polls_and_not_before() -> None:
    bench = Bench()
    bench.join()
    assert bench.offer(work("a"), work("b")) == []
    assert assigned(bench.poll()) == ["a", "b"]
    assert bench.offer(work("c")) == [], "the poll was answered"
    assert assigned(bench.poll()) == ["c"]


def test_an_open_poll_takes_what_is_offered_later_up_to_what_it_asked_for() -> None:
    bench = Bench()
    bench.join()
    bench.poll(free=2)
    assert assigned(bench.offer(work("a"), work("b"), work("c"))) == ["a", "b"]


def test_a_process_that_says_hello_anew_ends_its_session_before_and_keeps_what_it_shows() -> None:
    bench = Bench()
    bench.join("first", instance="p", number=1)
    bench.offer(work("a"), work("b"))
    bench.poll("first")
    bench.start("first", "a")
    out = bench.join("second", instance="p", number=2, holding=bench.held("first", [bench.number_of("first", "a")]))
    assert [one.session for one in out if isinstance(one, c.CloseSession)] == ["first"]
    assert assigned(bench.poll("second")) == ["b"], "it never arrived"


@pytest.mark.parametrize(
    "given",
    [
        {"instance": "p", "number": 1},  # the same message once more
        {"instance": "p", "number": 0},  # one that comes late
        {"instance": "q", "number": 9},
        {"instance": "p", "number": 9, "holder": "another token"},
        {"number": 9},
    ],
)
def test_no_other_hello_ends_a_session(given: dict[str, object]) -> None:
    bench = Bench()
    bench.join("first", instance="p", number=1)
    bench.offer(work("a"))
    bench.poll("first")
    out = bench.join("second", **given)
    assert [one for one in out if isinstance(one, c.CloseSession)] == []
    assert assigned(bench.poll("second")) == []


def test_what_follows_an_attempt_that_an_absent_worker_may_carry_out_waits_for_that_worker() -> None:
    bench = Bench(lease=100 * SECOND, reattach=30 * SECOND)
    bench.join("here")
    bench.withdraw(ref("a"), ref("b"))  # they timed out; an earlier server had given them out
    bench.offer(work("a", 2), work("b", 2), work("c", 1))
    assert assigned(bench.poll("here")) == ["c"]
    bench.tick(10)
    bench.join("back", holding=[e.Holding(900, ref("a"), slots=ONE)], tasks=1)
    bench.tick(20)
    assert assigned(bench.poll("here")) == ["b"], "its time is over; that of a is not: it still runs"
    bench.finish("back", "a")
    assert assigned(bench.poll("here")) == ["a"]


def test_a_later_attempt_waits_after_a_restart_for_workers_that_may_carry_out_the_one_before() -> None:
    """It was withdrawn at an earlier server, which knew that its worker is absent."""
    bench = Bench(lease=100 * SECOND, reattach=30 * SECOND)
    bench.now = 5 * SECOND
    bench.join("other")
    bench.poll("other")
    assert assigned(bench.offer(work("a", 2), work("b", 1), work("c", 1, epoch=1))) == ["b"]
    told = why_waiting(bench.fleet.state, ref("a", 2))
    assert told is not None
    assert told.code == "earlier-attempt"
    bench.poll("other")
    assert assigned(bench.tick(29)) == []
    assert sorted(assigned(bench.tick(2))) == ["a", "c"]
    assert bench.fleet.state.waiting.delayed == {}


def test_a_retry_of_what_this_server_gave_out_itself_waits_for_no_one() -> None:
    bench = Bench()
    bench.join(tasks=1)
    bench.offer(work("a", 1))
    bench.poll()
    bench.finish("w1", "a")
    bench.offer(work("a", 2))
    assert assigned(bench.poll()) == ["a"]


def test_what_waits_for_absent_workers_is_given_out_once_none_is_expected() -> None:
    bench = Bench(reattach=30 * SECOND)
    bench.now = 5 * SECOND
    bench.join()
    bench.offer(work("a", 2))
    assert assigned(bench.poll()) == []
    bench.fleet.expects = False
    assert assigned(bench.poll()) == ["a"]


def test_nothing_waits_for_workers_that_are_not_expected() -> None:
    bench = Bench()
    bench.fleet.expects = False
    bench.join("here")
    bench.withdraw(ref("a"))
    bench.offer(work("a", 2))
    assert assigned(bench.poll("here")) == ["a"]


def test_a_process_without_an_instance_ends_no_session() -> None:
    bench = Bench()
    bench.join("first", number=1)
    assert [one for one in bench.join("second", number=2) if isinstance(one, c.CloseSession)] == []


def test_a_stream_stays_open_until_its_credit_is_used() -> None:
    bench = Bench()
    bench.join(streaming=True)
    bench.poll(free=3)
    assert assigned(bench.offer(work("a"))) == ["a"]
    assert assigned(bench.offer(work("b"), work("c"), work("d"))) == ["b", "c"]


def test_slots_of_each_kind_are_kept() -> None:
    bench = Bench()
    bench.join(tasks=3, slots={"gpu": 1})
    bench.offer(work("g1", slots=GPU), work("g2", slots=GPU), work("t1"), work("t2"))
    assert assigned(bench.poll()) == ["g1", "t1", "t2"]
    assert bench.finish("w1", "t1") == []
    assert assigned(bench.poll()) == []
    assert assigned(bench.finish("w1", "g1")) == ["g2"], "its poll is open still"


def test_cpu_and_memory_count_only_where_a_worker_names_them_and_a_gpu_must_be_named() -> None:
    bench = Bench()
    bench.join("plain")
    bench.offer(work("big", slots=(("cpu", 64_000), ("tasks", 1))), work("gpu", slots=GPU))
    assert assigned(bench.poll("plain")) == ["big"]
    bench.offer(work("big2", slots=(("cpu", 64_000), ("tasks", 1))))
    bench.join("small", slots={"cpu": 4_000})
    assert assigned(bench.poll("small")) == []
    reason = why_waiting(bench.fleet.state, ref("gpu"))
    assert reason is not None
    assert reason.code == "too-large"


@pytest.mark.parametrize(
    ("need", "worker", "fits"),
    [
        ({"executor": "http"}, {}, False),
        ({"executor": "http"}, {"executors": ["http", "script"]}, True),
        ({"pool": "gpu"}, {}, False),
        ({"pool": "gpu"}, {"pool": "gpu"}, True),
        ({}, {"pool": "gpu"}, False),
        ({"selector": "region in (eu, us), !spot"}, {"labels": {"region": "eu"}}, True),
        ({"selector": "region in (eu, us), !spot"}, {"labels": {"region": "eu", "spot": "yes"}}, False),
        ({"selector": "zone!=a"}, {"labels": {}}, True),
        ({"namespace": "blue"}, {"namespaces": frozenset({"red"})}, False),
        ({"namespace": "blue"}, {"namespaces": frozenset({"red", "blue"})}, True),
    ],
)
def test_what_an_attempt_asks_for_is_met(need: dict[str, object], worker: dict[str, object], fits: bool) -> None:
    for worker_first in (True, False):
        bench = Bench()
        out: list[c.Command] = []
        if worker_first:
            bench.join(**worker)  # type: ignore[arg-type]
            bench.poll()
            out += bench.offer(work("a", **need))  # type: ignore[arg-type]
        else:
            bench.offer(work("a", **need))  # type: ignore[arg-type]
            bench.join(**worker)  # type: ignore[arg-type]
            out += bench.poll()
        assert assigned(out) == (["a"] if fits else [])
        assert (why_waiting(bench.fleet.state, ref("a")) is None) is fits


def test_a_preference_and_stickiness_choose_and_never_hinder() -> None:
    bench = Bench()
    for name, disk in (("hdd", "slow"), ("ssd", "fast")):
        bench.join(name, labels={"disk": disk}, tasks=2, streaming=True)
        bench.poll(name)
    assert assigned(bench.offer(*(work(f"p{n}", prefer="disk=fast") for n in range(3))), "ssd") == ["p0", "p1"]
    assert sorted(bench.holding["hdd"].values(), key=str)[0].path == "p2"
    bench.finish("ssd", "p0", "p1")
    bench.finish("hdd", "p2")
    first = bench.offer(work("s0", run="x", sticky=True))
    home = next(o.session for o in first if isinstance(o, c.Assign))
    bench.offer(work("other", run="y"))
    bench.finish(home, "s0")
    assert assigned(bench.offer(work("s1", run="x", sticky=True)), home) == ["s1"]


def test_higher_priority_first_then_namespaces_in_turn_then_runs_in_turn_then_order() -> None:
    bench = Bench()
    bench.offer(*(work(f"a{n}", run="ra", namespace="A") for n in range(3)))
    bench.offer(*(work(f"b{n}", run="rb", namespace="B") for n in range(2)))
    bench.offer(work("c0", run="rc", namespace="B"), work("top", run="rd", namespace="A", priority=5))
    bench.join(tasks=20)
    assert assigned(bench.poll(free=20)) == ["top", "a0", "b0", "a1", "c0", "a2", "b1"]


def test_weights_and_limits_of_namespaces() -> None:
    bench = Bench()
    bench.send(e.LimitsSet(0, {"A": 2}, {"B": 2}))
    bench.offer(
        *(work(f"a{n}", run="ra", namespace="A") for n in range(6)), *(work(f"b{n}", run="rb", namespace="B") for n in range(6))
    )
    bench.join(tasks=20)
    assert assigned(bench.poll(free=20)) == ["a0", "a1", "b0", "a2", "a3", "b1", "a4", "a5"]
    reason = why_waiting(bench.fleet.state, ref("b2", run="rb"))
    assert reason is not None
    assert reason.code == "namespace-limit"
    bench.finish("w1", "b0")
    assert assigned(bench.poll()) == ["b2"]
    assert bench.send(e.LimitsSet(bench.now, {}, {})) == []
    assert assigned(bench.poll()) == ["b3", "b4", "b5"]


def test_a_withdrawn_attempt_is_not_assigned_and_a_delivered_one_is_stopped() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"), work("b"))
    bench.withdraw(ref("a"))
    assert assigned(bench.poll()) == ["b"]
    (stop,) = bench.withdraw(ref("b"))
    assert isinstance(stop, c.Stop)
    assert stop.ref == ref("b")
    assert bench.withdraw(ref("b"), ref("z")) == [], "it was told already; unknown ones are ignored"


def test_the_order_to_stop_is_repeated_at_each_beat_until_the_worker_has_let_go() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"))
    bench.poll()
    bench.withdraw(ref("a"))
    (again,) = bench.send(e.Beat(bench.now, "w1", 1, bench.held("w1")))
    assert isinstance(again, c.Stop)
    bench.holding["w1"].clear()
    assert bench.send(e.Beat(bench.now, "w1", 1, [])) == []
    assert bench.fleet.state.deliveries == {}


def test_a_new_attempt_waits_until_the_earlier_one_has_ended() -> None:
    bench = Bench()
    bench.join(streaming=True)
    bench.poll()
    bench.offer(work("a", 1))
    (stop,) = bench.offer(work("a", 2))
    assert isinstance(stop, c.Stop)
    reason = why_waiting(bench.fleet.state, ref("a", 2))
    assert reason is not None
    assert reason.code == "earlier-attempt"
    assert assigned(bench.finish("w1", "a")) == ["a"]


@pytest.mark.parametrize(("first", "then"), [((1, 0), (1, 0)), ((2, 0), (1, 0)), ((1, 1), (5, 0))])
@pytest.mark.parametrize("delivered", [True, False])
def test_the_same_or_an_older_attempt_is_passed_over(first: tuple[int, int], then: tuple[int, int], delivered: bool) -> None:
    bench = Bench()
    bench.fleet.expects = False
    if delivered:
        bench.join(streaming=True)
        bench.poll()
    bench.offer(work("a", first[0], epoch=first[1]))
    assert bench.offer(work("a", then[0], epoch=then[1])) == []
    assert len(bench.fleet.state.deliveries) == delivered
    assert len(bench.fleet.state.waiting) == (not delivered)


def test_a_newer_attempt_takes_the_place_of_one_that_waits() -> None:
    bench = Bench()
    bench.offer(work("a", 1))
    bench.offer(work("a", 2))
    bench.join()
    (assign,) = bench.poll()
    assert isinstance(assign, c.Assign)
    assert assign.work.ref == ref("a", 2)


def test_an_assignment_that_never_arrived_goes_to_the_next_poll() -> None:
    bench = Bench()
    bench.join(tasks=2)
    bench.offer(work("a"), work("b"), work("c"))
    bench.poll()
    bench.holding["w1"].clear()  # the answer was lost
    assert assigned(bench.poll()) == ["a", "b"], "before what came later"


def test_a_beat_that_crossed_an_assignment_on_its_way_loses_nothing() -> None:
    bench = Bench()
    bench.join()
    bench.poll()
    bench.offer(work("a"))
    assert bench.send(e.Beat(bench.now, "w1", 0, [])) == [], "the worker had not received poll 1 when it sent this"
    assert len(bench.fleet.state.deliveries) == 1
    bench.holding["w1"].clear()
    bench.send(e.Beat(bench.now, "w1", 1, []))
    assert bench.fleet.state.deliveries == {}
    assert assigned(bench.poll()) == ["a"]


def test_a_worker_that_is_silent_for_its_lease_loses_its_attempts_unblamed() -> None:
    bench = Bench(lease=30 * SECOND)
    bench.join()
    bench.offer(work("a"), work("b"))
    bench.poll(free=1)
    assert bench.start("w1", "a") == [c.ReportStarted(ref("a"))]
    assert bench.tick(29) == []
    out = bench.tick(1)
    assert [o.ref.path for o in out if isinstance(o, c.ReportLost) and not o.blamed] == ["a"]
    assert any(isinstance(o, c.CloseSession) for o in out)
    assert bench.poll() == [], "its session is over"
    bench.join("w2")
    assert assigned(bench.poll("w2")) == ["b"]


def test_a_lost_connection_alone_hands_out_nothing_again_unless_asked_for() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"), work("b", eager=True))
    bench.poll()
    out = bench.send(e.Disconnected(bench.now, "w1"))
    assert [o.ref.path for o in out if isinstance(o, c.ReportLost)] == ["b"]


def test_a_child_that_died_is_blamed_and_its_worker_goes_on() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"))
    bench.poll()
    (lost,) = bench.send(e.Died(bench.now, "w1", bench.held("w1")[0], "killed by signal 9"))
    assert lost == c.ReportLost(ref("a"), "killed by signal 9", blamed=True)
    bench.holding["w1"].clear()
    bench.offer(work("a"))
    assert assigned(bench.poll()) == ["a"]


def test_a_worker_that_lost_three_different_tasks_is_quarantined_for_a_while() -> None:
    bench = Bench(lease=3600 * SECOND)
    bench.join()
    for path in ("a", "a", "b", "c"):
        bench.offer(work(path))
        assert assigned(bench.poll()) == [path]
        bench.send(e.Died(bench.now, "w1", bench.held("w1")[0], "killed"))
        bench.holding["w1"].clear()
    bench.offer(work("d"))
    assert assigned(bench.poll()) == []
    reason = why_waiting(bench.fleet.state, ref("d"))
    assert reason is not None
    assert reason.code == "not-active"
    assert assigned(bench.tick(600)) == ["d"]


def test_a_drained_worker_gets_nothing_more_and_gives_back_what_it_did_not_end() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"), work("b"))
    bench.poll(free=1)
    assert bench.send(e.DrainAsked(bench.now, "w1", 600 * SECOND)) == [c.AskDrain("w1", 600 * SECOND)]
    assert assigned(bench.poll()) == []
    bench.send(e.Returned(bench.now, "w1", bench.held("w1"), "draining", refused=False))
    bench.holding["w1"].clear()
    bench.send(e.Left(bench.now, "w1"))
    bench.join("w2")
    assert assigned(bench.poll("w2")) == ["a", "b"]


def test_the_order_to_drain_is_repeated_at_each_beat() -> None:
    """The first one may be lost, and a worker that does not know of it asks for work that it never gets."""
    bench = Bench()
    bench.join()
    bench.send(e.DrainAsked(bench.now, "w1", 600 * SECOND))
    for _ in range(2):
        assert bench.send(e.Beat(bench.now, "w1", 0, [])) == [c.AskDrain("w1", 600 * SECOND)]
    bench.join("w2")
    assert bench.send(e.Beat(bench.now, "w2", 0, [])) == []


def test_a_refused_attempt_is_offered_again_after_growing_pauses_and_ends_in_error() -> None:
    bench = Bench(lease=3600 * SECOND, refused_at_most=20 * SECOND)
    bench.join()
    bench.offer(work("a"))
    pauses = []
    for _ in range(20):
        if not assigned(bench.poll()):
            break
        out = bench.send(e.Returned(bench.now, "w1", bench.held("w1"), "the vault is away", refused=True))
        bench.holding["w1"].clear()
        if out:
            break
        reason = why_waiting(bench.fleet.state, ref("a"))
        assert reason is not None
        assert "the vault is away" in reason.text
        due = bench.fleet.next_due()
        assert due is not None
        pauses.append((due - bench.now) // SECOND)
        bench.tick((due - bench.now) / SECOND)
    assert pauses == [1, 2, 4, 8, 16]
    assert [type(o) for o in out] == [c.ReportError]


def test_what_waited_for_as_long_as_it_may_is_an_error() -> None:
    bench = Bench()
    bench.offer(work("a", wait_until=5 * SECOND), work("b"))
    assert bench.tick(4) == []
    (error,) = bench.tick(1)
    assert isinstance(error, c.ReportError)
    assert error.ref == ref("a")
    assert len(bench.fleet.state.waiting) == 1


def test_a_server_that_restarts_takes_over_what_workers_hold() -> None:
    bench = Bench(reattach=30 * SECOND)
    assert bench.fleet.held([ref("a"), ref("b")], 0) == {}, "a worker may still bring them back"
    bench.join(holding=[e.Holding(77, ref("a"))])
    assert bench.fleet.held([ref("a"), ref("b")], 0) == {ref("a"): "held"}
    assert bench.fleet.held([ref("a"), ref("b")], 30 * SECOND) == {ref("a"): "held", ref("b"): "unknown"}
    assert bench.offer(work("a")) == [], "the same attempt is not carried out twice"
    assert bench.poll() == []
    bench.send(e.Finished(bench.now, "w1", bench.held("w1")))
    assert bench.fleet.held([ref("a")], 30 * SECOND) == {ref("a"): "held"}, "its worker keeps the result until it is recorded"
    assert (bench.offer(work("a")), bench.poll()) == ([], []), "and sends it again"
    bench.send(e.Recorded(bench.now, [e.Holding(77, ref("a"))]))
    assert bench.fleet.held([ref("a")], 30 * SECOND) == {}
    assert bench.fleet.held([ref("a")], 59 * SECOND) == {}
    assert bench.fleet.held([ref("a")], 60 * SECOND) == {ref("a"): "unknown"}


def test_what_another_server_had_is_waited_for_from_the_moment_it_is_asked_for() -> None:
    bench = Bench(reattach=30 * SECOND)
    assert bench.fleet.held([ref("a")], 900 * SECOND) == {}, "its worker may have been at that server until now"
    bench.fleet.expects = False
    assert bench.fleet.held([ref("a")], 900 * SECOND) == {ref("a"): "unknown"}, "all workers that there are were seen"


def test_a_result_that_goes_with_its_worker_before_it_is_recorded_is_lost() -> None:
    bench = Bench(lease=30 * SECOND)
    bench.join()
    bench.offer(work("a"), work("b"))
    bench.poll()
    bench.send(e.Finished(bench.now, "w1", bench.held("w1")))
    bench.send(e.Recorded(bench.now, bench.held("w1", [bench.number_of("w1", "b")])))
    assert [one.ref for one in bench.tick(30) if isinstance(one, c.ReportLost)] == [ref("a")]


@pytest.mark.parametrize("died", [False, True])
def test_a_message_that_was_overtaken_by_a_report_brings_nothing_back(died: bool) -> None:
    """A poll that names a delivery arrives after the report that it has ended."""
    bench = Bench()
    bench.join()
    bench.offer(work("a"))
    bench.poll()
    (held,) = bench.held("w1")
    bench.send(e.Withdrawn(bench.now, [ref("a")]))
    stopped = e.Returned(bench.now, "w1", [held], "it was stopped", refused=False)
    bench.send(e.Died(bench.now, "w1", held, "9") if died else stopped)
    bench.send(e.Beat(bench.now, "w1", 1, [held]))
    assert bench.fleet.state.of_task == {}
    assert bench.send(e.Beat(bench.now, "w1", 1, [])) == [], "nothing is reported as lost"
    assert bench.fleet.state.deliveries == {}


def test_a_worker_that_brings_back_an_older_attempt_is_told_to_stop_it() -> None:
    bench = Bench()
    bench.offer(work("a", 2))
    (stop,) = bench.join(holding=[e.Holding(77, ref("a", 1))])
    assert isinstance(stop, c.Stop)
    assert assigned(bench.poll()) == []
    bench.holding["w1"].clear()
    assert assigned(bench.poll()) == ["a"]


def test_a_worker_that_says_hello_anew_keeps_what_it_has() -> None:
    bench = Bench(lease=30 * SECOND)
    bench.join("s1", tasks=1)
    bench.offer(work("a"))
    bench.poll("s1")
    bench.join("s2", tasks=1, holding=bench.held("s1"))
    assert bench.tick(29) == []
    bench.send(e.Beat(bench.now, "s2", 0, bench.held("s2")))
    out = bench.tick(2)
    assert [type(o) for o in out] == [c.CloseSession], "the old session ends and loses nothing"
    bench.offer(work("b"))
    assert assigned(bench.poll("s2")) == [], "its slot is taken"
    assert assigned(bench.finish("s2", "a")) == ["b"]


def test_a_result_that_is_kept_until_it_is_recorded_takes_no_slot_and_is_no_new_delivery() -> None:
    bench = Bench()
    bench.join(tasks=1)
    bench.offer(work("a"), work("b"))
    bench.poll()
    kept = bench.held("w1")
    bench.send(e.Finished(bench.now, "w1", kept))
    assert assigned(bench.poll()) == ["b"]
    bench.send(e.Beat(bench.now, "w1", 2, bench.held("w1")))
    assert len(bench.fleet.state.of_task) == 1
    bench.holding["w1"] = {number: one for number, one in bench.holding["w1"].items() if one.path == "b"}
    bench.send(e.Beat(bench.now, "w1", 2, bench.held("w1")))
    assert len(bench.fleet.state.deliveries) == 1


def test_the_first_result_of_an_attempt_counts_and_the_other_worker_is_stopped() -> None:
    bench = Bench(lease=30 * SECOND)
    bench.join("frozen")
    bench.offer(work("a"))
    bench.poll("frozen")
    bench.tick(30)
    bench.offer(work("a"))
    bench.join("other")
    assert assigned(bench.poll("other")) == ["a"]
    bench.join("thawed", holding=bench.held("frozen"))
    out = bench.finish("thawed", "a")
    assert [(o.session, o.ref) for o in out if isinstance(o, c.Stop)] == [("other", ref("a"))]


def test_a_selector_that_cannot_be_read_is_an_error_of_the_attempt_alone() -> None:
    bench = Bench()
    bench.join()
    out = bench.offer(work("a", selector="region in ("), work("b"))
    assert [o.ref.path for o in out if isinstance(o, c.ReportError)] == ["a"]
    assert assigned(bench.poll()) == ["b"]


def test_a_released_attempt_is_left_to_the_next_engine_where_it_runs_and_offered_again_where_it_waits() -> None:
    bench = Bench()
    bench.join()
    bench.offer(work("a"), work("b"))
    assert assigned(bench.poll(free=1)) == ["a"]
    assert bench.send(e.Released(bench.now, [ref("a"), ref("b"), ref("z")])) == [], "nothing is stopped"
    bench.fleet.expects = False
    assert bench.fleet.held([ref("a"), ref("b")], 30 * SECOND) == {ref("a"): "held", ref("b"): "unknown"}
    assert bench.offer(work("a"), work("b")) == []
    assert assigned(bench.poll()) == ["b"]


def test_what_a_worker_brought_along_is_unclaimed_while_it_runs() -> None:
    bench = Bench()
    bench.join(holding=[e.Holding(77, ref("a"), slots=ONE)])
    bench.offer(work("b"))
    bench.poll(holding=[77])
    bench.start("w1", "b")
    assert [one.work.ref.path for one in bench.fleet.unclaimed()] == ["a"]
    out = bench.withdraw(ref("a"))
    assert [type(one) for one in out] == [c.Stop]
    assert bench.fleet.unclaimed() == []


def keep_result(bench: Bench, session: str, holding: Sequence[e.Holding], number: int) -> list[c.Command]:
    """A worker that ended what it holds, and hears nothing, says hello again."""
    results = [one.number for one in holding]
    return bench.join(session, tasks=1, holding=holding, instance="i", number=number, results=results)


def test_what_follows_an_attempt_does_not_wait_for_a_result_that_its_worker_keeps() -> None:
    """A worker that is heard and hears nothing says hello for as long as that lasts."""
    bench = Bench(lease=30 * SECOND)
    bench.join("s1", tasks=1, instance="i", number=1)
    bench.offer(work("a", 1))
    bench.poll("s1")
    held = bench.held("s1")
    bench.withdraw(ref("a", 1))
    bench.offer(work("a", 2))
    bench.join("other", tasks=1)
    assert assigned(bench.poll("other")) == [], "the first attempt may still run"
    bench.join("s2", tasks=1, holding=held, instance="i", number=2)
    assert assigned(bench.poll("other")) == [], "it does, and is to stop"
    assert assigned(keep_result(bench, "s3", held, 3), "other") == ["a"]
    assert why_waiting(bench.fleet.state, ref("a", 2)) is None


def test_a_result_that_is_promised_and_does_not_come_is_not_waited_for_longer_than_a_lease() -> None:
    bench = Bench(lease=30 * SECOND)
    bench.join("s1", tasks=1, instance="i", number=1)
    bench.offer(work("a"))
    bench.poll("s1")
    held = bench.held("s1")
    lost: list[c.Command] = []
    for number in range(2, 6):
        lost += [one for one in bench.tick(10) if isinstance(one, c.ReportLost)]
        assert (bench.fleet.held([ref("a")], bench.now).get(ref("a")) == "held") == (not lost)
        lost += [one for one in keep_result(bench, f"s{number}", held, number) if isinstance(one, c.ReportLost)]
    assert [(one.ref, one.blamed) for one in lost if isinstance(one, c.ReportLost)] == [(ref("a"), False)]
    bench.offer(work("a"))
    keep_result(bench, "s9", held, 9)
    bench.join("other", tasks=1)
    assert assigned(bench.poll("other")) == ["a"], "the promise was broken: it is not believed a second time"
    out = bench.finish("s9", "a")
    assert [(one.session, one.ref) for one in out if isinstance(one, c.Stop)] == [("other", ref("a"))], "the first counts"


def test_a_result_that_is_promised_and_comes_is_no_loss() -> None:
    bench = Bench(lease=30 * SECOND, reattach=30 * SECOND)
    held = [e.Holding(77, ref("a"))]
    keep_result(bench, "s1", held, 1)
    bench.offer(work("b"))
    assert assigned(bench.poll("s1", holding=[77])) == ["b"], "what has ended takes no slot, also after a restart"
    bench.send(e.Finished(bench.now, "s1", held))
    for _ in range(3):
        bench.send(e.Beat(bench.now, "s1", 1, [*held, *bench.held("s1")]))
        assert bench.tick(20) == []
    bench.send(e.Recorded(bench.now, held))
    del bench.holding["s1"][77]
    assert bench.send(e.Beat(bench.now, "s1", 1, bench.held("s1"))) == []
    assert [one.work.ref.path for one in bench.fleet.state.deliveries.values()] == ["b"]


@pytest.mark.rule("RT-151")
def test_an_attempt_whose_config_fits_no_version_here_waits_for_another_one_with_its_reason_and_its_longest_wait() -> None:
    bench = Bench()
    bench.join("old", variants={"script": "1/a"})
    bench.join("other", variants={"script": "1/b"})
    bench.offer(work("a", wait_until=60 * SECOND), work("b"))
    bench.poll("old", free=1)

    def misfit(name: str, path: str) -> list[c.Command]:
        number = bench.number_of(name, path)
        del bench.holding[name][number]
        variant = bench.fleet.state.sessions[name].variants["script"]
        return bench.send(e.Unfit(bench.now, name, number, variant, "it has no config field 'x'"))

    assert misfit("old", "a") == [], "its poll is answered"
    assert assigned(bench.poll("old", free=1)) == ["b"], "others are not held up"
    assert assigned(bench.poll("other", free=1)) == ["a"]
    misfit("other", "a")
    assert assigned(bench.poll("other")) == assigned(bench.poll("old")) == []
    reason = why_waiting(bench.fleet.state, ref("a"))
    assert reason is not None
    assert (reason.code, "'x'" in reason.text, "of 2" in reason.text) == ("no-version", True, True)
    bench.join("new", variants={"script": "2/c"})
    assert assigned(bench.poll("new", free=1)) == ["a"]
    misfit("new", "a")
    for _ in range(3):
        bench.now += 20 * SECOND
        for name in ("old", "other", "new"):
            bench.send(e.Beat(bench.now, name, bench.polls[name], bench.held(name)))
    assert [type(one) for one in bench.tick(1)] == [c.ReportError], "it has waited for as long as it may"


@pytest.mark.rule("RT-150")
def test_what_has_just_come_is_not_given_to_another_server_for_a_worker_here_may_be_about_to_ask() -> None:
    bench = Bench(offer_after=50_000)
    bench.join("server", via="b")
    bench.offer(work("old", at=bench.now))
    bench.now += 40_000
    bench.offer(work("young", at=bench.now))
    bench.now += 10_000
    need = work("old").need
    assert assigned(bench.send(e.Taken(bench.now, "server", 1, need, None, count=5, holding=[]))) == ["old"]
    bench.now += 40_000
    assert assigned(bench.send(e.Taken(bench.now, "server", 2, need, None, count=5, holding=bench.held("server")))) == ["young"]


def test_what_a_server_said_before_its_workers_brought_more_and_comes_late_counts_for_nothing() -> None:
    """Else what they brought would be given out beside them (seed 204996 of several servers)."""
    bench = Bench()
    bench.join("server", via="b")
    brought = [e.Holding(7, ref("a"))]
    bench.send(e.Beat(bench.now, "server", 0, brought, 2))
    held = bench.fleet.state.sessions["server"].deliveries
    bench.send(e.Beat(bench.now, "server", 0, [], 1))
    bench.send(e.Taken(bench.now, "server", 1, work("b").need, None, count=1, holding=[], number=1))
    assert held == {7}
    bench.send(e.Beat(bench.now, "server", 0, [], 3))
    assert held == set()


def test_a_run_that_comes_back_is_waited_for_anew() -> None:
    """Meanwhile another server had it, whose workers may have what that gave out (seed 33 of several servers)."""
    bench = Bench(reattach=30 * SECOND)
    assert bench.fleet.held([ref("a")], 0) == {}
    bench.send(e.Released(10 * SECOND, [ref("a")]))
    assert bench.fleet.held([ref("a")], 70 * SECOND) == {}, "its workers have 30 s from now on"
    assert bench.fleet.held([ref("a")], 100 * SECOND) == {ref("a"): "unknown"}
