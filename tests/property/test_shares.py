"""How runs are shared among servers, as arithmetic: none is without a server, none goes back and forth, all is even soon."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.engine.shares import most_of, to_claim, to_release

counts = st.integers(0, 5_000)
several = st.lists(counts, min_size=1, max_size=12)


@given(open_runs=counts, engines=st.integers(1, 50))
def test_what_all_may_hold_is_enough_for_all_runs_and_a_tenth_more_at_most(open_runs: int, engines: int) -> None:
    most = most_of(open_runs, engines)
    assert most * engines >= open_runs
    assert most <= -(-open_runs // engines) * 1.1


@given(held=several, free=counts)
def test_an_engine_claims_or_releases_and_never_both(held: list[int], free: int) -> None:
    total = sum(held) + free
    for one in held:
        claims, releases = to_claim(one, total, len(held)), to_release(one, total, len(held))
        assert claims == 0 or releases == 0
        assert one + claims - releases <= most_of(total, len(held))


@given(held=several, free=counts)
def test_all_is_even_after_one_look_of_each_and_stays_so(held: list[int], free: int) -> None:
    """Each looks in turn: it releases, then it claims. After two rounds no engine is above its share and a tenth, nothing is
    free, and nothing moves any more."""
    total, now = sum(held) + free, list(held)
    for _ in range(2):
        for at, one in enumerate(now):
            releases = to_release(one, total, len(now))
            now[at], free = one - releases, free + releases
            taken = min(to_claim(now[at], total, len(now)), free)
            now[at], free = now[at] + taken, free - taken
    assert free == 0
    assert sum(now) == total
    assert max(now) <= most_of(total, len(now))
    assert all(to_release(one, total, len(now)) == 0 for one in now)


@given(open_runs=counts)
def test_one_that_is_alone_takes_all_and_releases_nothing(open_runs: int) -> None:
    assert to_claim(0, open_runs, 1) >= open_runs
    assert to_release(open_runs, open_runs, 1) == 0
