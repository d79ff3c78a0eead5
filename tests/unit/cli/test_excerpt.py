"""The text of a run is the same whether it is made from the whole report or from its excerpt."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout

from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.cli.render.report import MAX_LINES, show_report
from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.report import faults, make_excerpt, make_report
from tests.unit.cli.plans import dag, loop, plan, task
from tests.unit.cli.runs import PureRun


def ran(wide: int, inside: int, codes: list[int], *, after: bool) -> RunState:
    """A loop of dags, many tasks beside it and, with `after`, as many after the first; the first tasks end with `codes`."""
    body = dag("body", task("x"), task("y", 1, (0,)))
    tasks = [loop("round", body, list(range(inside))), *(task(f"t{number}", number) for number in range(1, wide + 1))]
    if after:
        tasks += [task(f"late{number}", wide + number, (1,)) for number in range(1, wide + 1)]
    run = PureRun(plan(dag("main", *tasks)), lambda machine, step: None)
    for code in codes:
        if run.open:
            run.finish(next(iter(run.open)), code, "why" if code else "")
    return run.machine.state


def told(report: Mapping[str, Json]) -> str:
    with redirect_stdout(io.StringIO()) as out:
        show_report(report)
    return out.getvalue()


@given(
    wide=st.integers(1, 2 * MAX_LINES),
    inside=st.integers(0, 12),
    codes=st.lists(st.sampled_from([0, 0, 0, 1, 2, 3]), max_size=3 * MAX_LINES),
    after=st.booleans(),
)
def test_an_excerpt_reads_as_the_whole(wide: int, inside: int, codes: list[int], after: bool) -> None:
    state = ran(wide, inside, codes, after=after)
    whole, excerpt = make_report(state).to_json(), make_excerpt(state, MAX_LINES)
    assert told(excerpt) == told(whole)
    assert len(excerpt["tasks"]) <= MAX_LINES >= len(excerpt["notRun"])
    bad = [one for one in whole["tasks"] if one["templateType"] == "task" and one["phase"] in ("Failed", "Error")]
    first, count = faults(state, 5)
    assert ([one.to_json() for one in first], count) == (bad[:5], len(bad))


def test_an_excerpt_of_a_long_run_counts_what_it_leaves_out() -> None:
    state = ran(200, 0, [0] * 150 + [2], after=True)
    excerpt = make_excerpt(state, MAX_LINES)
    assert len(excerpt["tasks"]) + excerpt["leftOut"]["tasks"] == len(make_report(state).tasks)
    assert len(excerpt["notRun"]) + excerpt["leftOut"]["notRun"] == len(make_report(state).not_run)
    assert {one["phase"] for one in excerpt["tasks"]}.isdisjoint({"Succeeded", "Skipped"})
    assert "more tasks; -o json has them all" in told(excerpt)


def test_a_short_run_has_no_excerpt() -> None:
    state = ran(3, 1, [0, 2], after=False)
    assert make_excerpt(state, MAX_LINES) == make_report(state).to_json()
