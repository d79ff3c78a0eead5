"""Backoff, jitter and spellings of time (SCHED-9, DOC-8)."""

from __future__ import annotations

import pytest

from aether_protocol.expressions.durations import parse_duration
from aether_protocol.plan.model import Retry
from aether_protocol.scheduler.timing import SECOND, backoff_us, duration_text, fraction, rfc3339


@pytest.mark.rule("SCHED-9")
def test_backoff_grows_by_the_factor_up_to_the_maximum() -> None:
    retry = Retry(limit=9, duration_us=2 * SECOND, factor=3, max_us=20 * SECOND)
    assert [backoff_us(retry, n, 0.0) // SECOND for n in (1, 2, 3, 4)] == [2, 6, 18, 20]


@pytest.mark.rule("SCHED-9")
def test_jitter_only_shortens_and_never_below_its_share() -> None:
    retry = Retry(limit=9, duration_us=10 * SECOND, factor=1, jitter=0.5)
    waits = [backoff_us(retry, 1, fraction(7, node, 1)) for node in range(200)]
    assert max(waits) <= 10 * SECOND
    assert min(waits) > 5 * SECOND
    assert len(set(waits)) > 150


def test_a_factor_beyond_all_floats_is_the_maximum() -> None:
    assert backoff_us(Retry(limit=100, factor=1e300, max_us=SECOND), 100, 0.0) == SECOND


def test_fraction_is_a_pure_function_in_the_half_open_unit_interval() -> None:
    values = [fraction(seed, node, n) for seed in range(5) for node in range(20) for n in range(5)]
    assert values == [fraction(seed, node, n) for seed in range(5) for node in range(20) for n in range(5)]
    assert all(0 <= value < 1 for value in values)
    assert 0.4 < sum(values) / len(values) < 0.6


@pytest.mark.parametrize(
    ("instant", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_767_225_600 * SECOND, "2026-01-01T00:00:00Z"), (1_500_000, "1970-01-01T00:00:01.500000Z")],
)
def test_rfc3339(instant: int, text: str) -> None:
    assert rfc3339(instant) == text


@pytest.mark.rule("DOC-8")
@pytest.mark.parametrize("text", ["1h30m", "500ms", "2d", "1m", "1d1h1m1s1ms"])
def test_duration_text_is_the_spelling_of_documents(text: str) -> None:
    assert duration_text(parse_duration(text)) == text
