"""Graphs against brute force, and at the sizes that SPEC-11 and SCHED-13 ask for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.compiler import graph


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> list[tuple[int, ...]]:
    size = draw(st.integers(1, 40))
    below = draw(st.permutations(range(size)))
    dependencies: list[tuple[int, ...]] = []
    for task in range(size):
        others = [one for one in range(size) if not acyclic or below[one] < below[task]]
        dependencies.append(tuple(draw(st.lists(st.sampled_from(others), max_size=3, unique=True))) if others else ())
    return dependencies


def ancestors(dependencies: list[tuple[int, ...]], task: int) -> set[int]:
    found: set[int] = set()
    todo = [task]
    while todo:
        for above in dependencies[todo.pop()]:
            if above not in found:
                found.add(above)
                todo.append(above)
    return found


@given(graphs(acyclic=True))
def test_order_and_reach(dependencies: list[tuple[int, ...]]) -> None:
    dependents = graph.reverse(dependencies)
    order = graph.topological(dependencies, dependents)
    assert sorted(order) == list(range(len(dependencies)))
    assert all(order.index(above) < order.index(task) for task in order for above in dependencies[task])
    assert graph.cycles(dependencies, dependents, order) == []
    reached = graph.downstream(dependents, [0])
    assert reached == [task == 0 or 0 in ancestors(dependencies, task) for task in range(len(dependencies))]


@pytest.mark.rule("SPEC-13")
@given(graphs(acyclic=True))
def test_ancestry(dependencies: list[tuple[int, ...]]) -> None:
    order = graph.topological(dependencies, graph.reverse(dependencies))
    ancestry = graph.Ancestry(dependencies, order)
    everything = {(task, other) for task in order for other in order}
    assert ancestry.not_above(everything) == {
        (task, other) for task, other in everything if other not in ancestors(dependencies, task)
    }


@pytest.mark.rule("SPEC-11")
@given(graphs(acyclic=False))
def test_every_knot_gives_one_cycle(dependencies: list[tuple[int, ...]]) -> None:
    dependents = graph.reverse(dependencies)
    order = graph.topological(dependencies, dependents)
    found = graph.cycles(dependencies, dependents, order)
    knots: dict[frozenset[int], int] = {}
    for task in range(len(dependencies)):
        above = ancestors(dependencies, task)
        if task in above:
            knot = frozenset(one for one in above if task in ancestors(dependencies, one))
            knots[knot] = min(knot)
    assert [cycle[0] for cycle in found] == sorted(knots.values())
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(one in dependencies[after] for one, after in pairwise(cycle))


def test_questions_far_apart_on_a_long_chain() -> None:
    size = 20_000
    chain: list[tuple[int, ...]] = [(), *((task - 1,) for task in range(1, size))]
    order = graph.topological(chain, graph.reverse(chain))
    ancestry = graph.Ancestry(chain, order)
    far = {(task, (task * 7919) % task) for task in range(100, size)}
    assert ancestry.not_above(far) == set()
    assert ancestry.not_above({(5, 10_000), (10_000, 5)}) == {(5, 10_000)}


@pytest.mark.rule("SPEC-11", "SCHED-13")
def test_a_long_circle() -> None:
    size = 100_000
    circle = [((task - 1) % size,) for task in range(size)]
    dependents = graph.reverse(circle)
    order = graph.topological(circle, dependents)
    assert order == []
    [cycle] = graph.cycles(circle, dependents, order)
    assert cycle == [*range(size), 0]


def test_a_wide_dag() -> None:
    size = 100_000
    wide: list[tuple[int, ...]] = [(), *((0,) for _ in range(size)), tuple(range(1, size + 1))]
    order = graph.topological(wide, graph.reverse(wide))
    ancestry = graph.Ancestry(wide, order)
    last = size + 1
    assert ancestry.not_above((last, other) for other in range(last)) == set()
