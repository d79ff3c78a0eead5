"""Messages over NATS: frames of any length, names, and what fits into none."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aether_protocol.adapters.brokers.nats import broker as broker_module
from aether_protocol.adapters.brokers.nats import frames as frames_module
from aether_protocol.adapters.brokers.nats.address import read_nats_url
from aether_protocol.adapters.brokers.nats.broker import NatsBroker
from aether_protocol.adapters.brokers.nats.frames import Parts, split
from aether_protocol.adapters.brokers.nats.subjects import LEVELS, NatsNames, class_of, consumer_of, level_of, token
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.work import Need
from aether_protocol.ports.broker import BrokerParts
from aether_protocol.ports.wire import ERROR
from aether_protocol.ports.wire_json import encode_assignment
from aether_protocol.ports.worker import Orders, ResultReport, WorkItem, WorkReport
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, ref, work
from aether_protocol.worker.nats import transport as transport_module

pytestmark = pytest.mark.rule("RT-144")


@given(st.binary(max_size=3000), st.integers(64, 700))
@example(bytes(63), 64)
@example(bytes(64), 64)
@example(bytes(3000), 64)
def test_a_message_comes_whole_whatever_its_length(message: bytes, limit: int) -> None:
    parts, got = Parts(), []
    pieces = list(split(message, limit))
    assert all(len(piece) <= limit for piece in pieces)
    for piece in pieces:
        whole = parts.take(piece)
        if whole is not None:
            got.append(whole)
    assert got == [message]


@given(st.binary(min_size=400, max_size=2000), st.data())
def test_of_a_message_that_lacks_a_part_nothing_comes_and_the_next_one_does(message: bytes, data: st.DataObject) -> None:
    parts = Parts()
    pieces = list(split(message, 100))
    del pieces[data.draw(st.integers(0, len(pieces) - 1))]
    assert [parts.take(piece) for piece in pieces] == [None] * len(pieces)
    assert [whole for piece in split(message, 100) if (whole := parts.take(piece)) is not None] == [message]


def test_open_messages_have_no_more_bytes_together_than_one_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "MOST_BYTES", 1_000)
    parts = Parts()
    abandoned, long, longer = (list(split(bytes([one]) * size, 100)) for one, size in enumerate((500, 1_000, 1_001)))
    assert [parts.take(piece) for piece in abandoned[:-1]] == [None] * (len(abandoned) - 1)
    assert [parts.take(piece) for piece in long] == [*[None] * (len(long) - 1), b"\1" * 1_000]
    assert parts.take(abandoned[-1]) is None, "it made way"
    assert {parts.take(piece) for piece in longer} == {None}
    assert [parts.take(piece) for piece in long][-1] == b"\1" * 1_000, "nothing of the others is counted any more"


def test_of_messages_that_come_at_once_and_are_too_much_together_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "MOST_BYTES", 1_000)
    parts = Parts()
    pairs = zip(split(b"a" * 600, 100), split(b"b" * 600, 100), strict=True)
    got = [whole for pair in pairs for piece in pair if (whole := parts.take(piece)) is not None]
    assert got in ([b"a" * 600], [b"b" * 600])


def test_what_is_no_frame_is_passed_over() -> None:
    assert [Parts().take(data) for data in (b"", b"x", b"p", b"pabc", b"{}")] == [None] * 5


@given(st.text(max_size=20), st.text(max_size=20))
def test_every_text_is_one_token_of_a_subject_and_no_two_are_the_same(one: str, other: str) -> None:
    made = token(one)
    assert made
    assert not set(made) & set(". *>\t\r\n")
    assert made.isascii()
    assert (token(other) == made) is (one == other)


def test_levels_follow_the_priority() -> None:
    levels = [level_of(priority) for priority in range(1001)]
    assert levels == sorted(levels)
    assert set(levels) == set(range(LEVELS))


def test_the_class_is_what_decides_who_may_carry_it_out() -> None:
    names = NatsNames("team")
    plain = Need("script")
    others = [Need("noop"), Need("script", selector="gpu"), Need("script", slots=(("gpu", 1), ("tasks", 1)))]
    assert len({class_of(one) for one in (plain, *others)}) == 4
    assert class_of(Need("script", prefer="zone=a")) == class_of(plain)
    assert names.ticket(plain, 500) == "team.=.4.script"
    assert names.ticket(Need("script", pool="a.b"), 1000) == "team.a=2Eb.9.script"
    assert consumer_of(names.ticket(plain, 500)).isalnum()


def fitted(orders: Orders, most: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Orders, Ear]:
    """What is left of orders where a message may have so many bytes."""
    monkeypatch.setattr(broker_module, "MOST_BYTES", most + broker_module._SLACK)

    async def go() -> tuple[Orders, Ear]:
        clock, ear = ManualClock(0), Ear()
        made = NatsBroker(read_nats_url("nats://h"), BrokerParts(clock, {}))
        made._sink = ear
        workers = WorkerBroker(clock, b"k" * 32)
        workers.start(ear)
        return await made._fitting(workers, orders), ear

    return asyncio.run(go())


def item(node: int, size: int) -> WorkItem:
    """A delivery of about so many bytes."""
    assignment = msgspec.json.decode(msgspec.json.encode(encode_assignment(work(node))))
    return WorkItem(token=f"t{node}", assignment={**assignment, "config": {"load": "x" * size}})


def test_what_fits_into_no_message_is_an_error_that_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    orders, ear = fitted(Orders(work=[item(1, 10), item(2, 50_000), item(3, 10)]), 10_000, monkeypatch)
    assert [one.token for one in orders.work] == ["t1", "t3"]
    ((result,),) = (ear.results,)
    assert (result.ref, result.code) == (ref(2), ERROR)
    assert str(10_000 + broker_module._SLACK) in result.message


def test_what_does_not_fit_beside_others_waits_for_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    orders, ear = fitted(Orders(work=[item(number, 5_000) for number in range(4)]), 13_000, monkeypatch)
    assert ([one.token for one in orders.work], ear.results) == (["t0", "t1"], [])


def test_a_result_that_fits_into_no_message_becomes_an_error_of_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MOST_BYTES", 10_000 + transport_module._SLACK)
    name: dict[str, Any] = {"taskRunId": "r/main.t1", "workflowRunId": "r", "attempt": 2, "epoch": 1}
    large = ResultReport(token="a", result={**name, "code": 0, "parameters": {"x": "y" * 20_000}})
    small = ResultReport(token="b", result={**name, "code": 0})
    report = WorkReport(results=[large, small])
    assert transport_module._cut(report)
    assert large.result.items() >= {**name, "code": ERROR}.items()
    assert "10000" not in small.result
    assert str(transport_module.MOST_BYTES) in large.result["message"]
    assert not transport_module._cut(report)


def test_the_url_says_where_and_how() -> None:
    read = read_nats_url("nats://u:p@h/?prefix=team-a&lease=7.5")
    assert (read.login, read.host, read.port) == ({"user": "u", "password": "p"}, "h", 4222)
    assert (read.names.prefix, read.lease_s) == ("team-a", 7.5)
