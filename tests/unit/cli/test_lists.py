"""Tables of runs: a line stays a line on a terminal, and nothing is cut where programs read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aether_protocol.cli.render.history import show_run
from aether_protocol.cli.render.runs import show_rows
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.service.process_identity import called, this_process
from aether_protocol.service.runs.listing import ListedRun
from aether_protocol.views.report import make_report
from aether_protocol.views.summary import row_json
from aether_protocol.views.text import cells, cut
from tests.unit.cli.plans import dag, plan, task
from tests.unit.cli.runs import PureRun

SECOND = 1_000_000


def row(run_id: str = "r1", message: str = "", workflow: str = "flow") -> RunSummary:
    return RunSummary(run_id, workflow, "default", None, {}, "Failed", message, 0, 0, 2 * SECOND, True, 5, 1, 2, "d")


def shown(capsys: pytest.CaptureFixture[str], rows: list[RunSummary], width: int | None) -> list[str]:
    show_rows([ListedRun(one, None if one.closed else True) for one in rows], width)
    return capsys.readouterr().out.splitlines()


def test_a_table_is_as_wide_as_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, [row(message="for some reason"), row("longer-id", workflow="数据")], None) == [
        "RUN        WORKFLOW  PHASE     TASKS  CREATED                  TOOK   MESSAGE",
        "r1         flow      ✗ Failed  1/2    1970-01-01 00:00:00 UTC  2.00s  for some reason",
        "longer-id  数据      ✗ Failed  1/2    1970-01-01 00:00:00 UTC  2.00s",
    ]


def test_a_run_that_sleeps_says_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    waits = [replace(row(message=text), phase="Suspended", ended_at=None, closed=False) for text in ("", "approve it")]
    rows = [replace(waits[0], wake_at=3_600 * SECOND), replace(waits[1], wake_at=NEVER), waits[1]]
    lines = shown(capsys, rows, None)
    assert [line[lines[0].index("TOOK") :] for line in lines] == [
        "TOOK  MESSAGE",
        "      asleep until 1970-01-01 01:00:00 UTC",
        "      asleep until it is asked: approve it",
        "      approve it",
    ]
    records = [row_json(one) for one in rows]
    assert [(one["asleep"], one["wakeAt"]) for one in records] == [(True, "1970-01-01T01:00:00Z"), (True, None), (False, None)]
    report = make_report(PureRun(plan(dag("main", task("a"))), lambda machine, step: None).machine.state)
    assert replace(report, wake_at=NEVER).to_json() == report.to_json() | {"asleep": True, "wakeAt": None}
    show_run(rows[0], report.to_json(), {}, None)
    assert "driven by:   no process: it is asleep until 1970-01-01 01:00:00 UTC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, "r1   flow      ✗ Failed  1/2    1970-01-01 00:00:00 UTC  2.00s  for some reason"),
        (119, "r1   flow      ✗ Failed  1/2    AGE  2.00s  for some reason"),
        (58, "r1   flow      ✗ Failed  AGE  2.00s  for some reason"),
        (52, "r1   flow      ✗ Failed  AGE  2.00s  for some re…"),
        (40, "r1   flow      ✗ Failed  AGE  2.00s"),
        (33, "r1   flow      ✗ Failed  AGE"),
        (23, "r1   flow      ✗ Failed"),
        (20, "r1   ✗ Failed"),
        (5, "r1   ✗ Failed"),
    ],
)
def test_what_matters_least_is_left_out_on_a_terminal(capsys: pytest.CaptureFixture[str], width: int, line: str) -> None:
    assert re.sub(r" \d+d\b *", " AGE  ", shown(capsys, [row(message="for some reason")], width)[1]).rstrip() == line


def test_an_open_run_that_no_process_drives_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    left = replace(row(message="a: hm"), phase="Running", ended_at=None, closed=False)
    rows = [ListedRun(left, False), ListedRun(replace(left, phase="Suspended"), False), ListedRun(left, True)]
    show_rows([*rows, ListedRun(replace(left, wake_at=NEVER), False)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [re.sub(" 1/2 .* UTC", "", line) for line in lines] == [
        "r1 flow ! Undriven no process drives it: a: hm",
        "r1 flow ‖ Suspended no process drives it: a: hm",
        "r1 flow ● Running a: hm",
        "r1 flow ● Running asleep until it is asked: a: hm",
    ]


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_has_no_more_columns_than_it_may(text: str, columns: int) -> None:
    short = cut(text, columns)
    assert cells(short) <= columns
    assert short == text or cells(text) > columns


def test_owners_are_called_by_their_process() -> None:
    assert called("vm/e9ba66ca/4026531836|23744|65205|9f8f46c0") == "process 23744 on vm"
    assert called(this_process()).startswith("process ")
    assert called("scheduler-1") == "scheduler-1"
