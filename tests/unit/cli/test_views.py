"""What is seen of a run: lines for logs, a window of the tree on a terminal; nothing of a task drives the terminal."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from aether_protocol.cli.render.live import LiveView
from aether_protocol.cli.render.views import LineView
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunSummary
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.machine import Machine
from aether_protocol.views.event_feed import step_records
from aether_protocol.views.report import make_report, not_run
from aether_protocol.views.run_mirror import MirrorRun
from aether_protocol.views.text import item_text
from tests.unit.cli.plans import dag, everything, loop, plan, task
from tests.unit.cli.runs import SECOND, START, PureRun

RUN_ROW = RunSummary("r1", "flow", "default", None, {}, "Succeeded", "", START, START, None, True, 5, 2, 2, "d")


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def live(height: int = 24, width: int = 80) -> tuple[LiveView, Console]:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None, highlight=False)
    return LiveView(console, lambda: START / SECOND + 90), console


def drawn(view: LiveView, console: Console) -> list[str]:
    with console.capture() as capture:
        console.print(view.draw())
    return capture.get().splitlines()


def test_lines_tell_what_happened_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    run = PureRun(plan(dag("main", task("one"), task("two", 1, (0,)))), lambda machine, step: view.step(machine.state, step))
    node = run.machine.state.nodes[run.start("main.one")]
    view.log(node, "stdout", "half a ")
    view.log(node, "stdout", "line\nrest")
    run.finish("main.one", 2, "exit code 1")
    assert lines_of(capsys) == [
        "00:00:00     0.00s  main.one  started",
        "                    main.one | half a line",
        "                    main.one | rest",
        "00:00:01     1.00s  main.one  Failed in 1.00s: exit code 1",
        "00:00:01     1.00s  main  Failed in 1.00s: one: exit code 1",
    ]


def test_lines_tell_of_retries(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    run = PureRun(plan(task("flaky", retry=2)), lambda machine, step: view.step(machine.state, step))
    run.finish("flaky", 3, "connection reset")
    assert lines_of(capsys)[-1] == "00:00:01     1.00s  flaky  Error: connection reset; tries again in 1.00s"


def test_what_a_task_writes_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    run = PureRun(plan(task("evil")), lambda machine, step: view.step(machine.state, step))
    node = run.machine.state.nodes[run.start("evil")]
    view.log(node, "stdout", "\x1b[2J[/red]\x07\r\n")
    run.finish("evil", 2, "\x1b]0;x\x07")
    text = "\n".join(lines_of(capsys))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[/red]" in text


def test_the_live_view_shows_the_tree_with_phases_tails_and_progress() -> None:
    view, console = live()
    run = PureRun(everything(), lambda machine, step: view.step(machine.state, step))
    run.start("main.fetch")
    run.finish("main.fetch")
    node = run.start("main.build.compile")
    view.log(run.machine.state.nodes[node], "stdout", "step 1\nstep [2]\n")
    shown = "\n".join(drawn(view, console))
    for text in ("demo Running", "✓ fetch", "● build", "compile", "│ step 1", "│ step [2]", "lint", "0/3", "batch[0] 1", "1/9"):
        assert text in shown


def test_the_live_view_never_exceeds_the_terminal() -> None:
    view, console = live(height=12)
    items = list(range(300))
    run = PureRun(plan(dag("main", loop("many", task("work"), items))), lambda machine, step: view.step(machine.state, step))
    for number in range(150):
        path = f"main.many[{number}]"
        run.start(path)
        view.log(run.machine.state.nodes[-1], "stdout", "noise\n" * 50)
        assert len(drawn(view, console)) <= 12
        run.finish(path, 2 if number % 10 == 0 else 0, "no")
    shown = "\n".join(drawn(view, console))
    assert "many[151] 151" in shown, "what is under way is in the window"
    assert "135/300 done" in shown
    assert "15 Failed" in shown


def test_what_has_not_begun_is_there_while_there_is_room() -> None:
    for height, shows in ((24, True), (8, False)):
        view, console = live(height=height)
        run = PureRun(everything(), lambda machine, step, view=view: view.step(machine.state, step))
        run.start("main.fetch")
        run.finish("main.fetch")
        lines = drawn(view, console)
        assert ("    · deploy" in lines) == shows
        assert len(lines) <= height


def test_a_mirror_learns_what_has_not_begun() -> None:
    row = replace(RUN_ROW, workflow="demo")
    mirror = MirrorRun(row)
    view, console = live()

    def follow(machine: Machine, step: LogEntry) -> None:
        view.step(mirror, mirror.take(list(step_records(machine.state, step))))

    run = PureRun(everything(), follow)
    assert "    · deploy" not in drawn(view, console)
    mirror.expect(not_run(run.machine.state))
    assert "    · deploy" in drawn(view, console)
    run.start("main.fetch")
    run.finish("main.fetch")
    assert any(line.endswith("batch[0] 1") for line in drawn(view, console)), "the item of an iteration"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_bar_reads_without_colour_and_has_room_for_its_counts(width: int) -> None:
    view, console = live(width=width)
    items = list(range(35))
    run = PureRun(plan(dag("main", loop("many", task("work"), items))), lambda machine, step: view.step(machine.state, step))
    for number in range(20):
        run.start(f"main.many[{number}]")
        run.finish(f"main.many[{number}]", 2 if number % 4 == 0 else 0, "no")
    bar = drawn(view, console)[-1]
    assert all(len(line) <= width for line in drawn(view, console))
    full, empty = bar.count("━"), bar.count("╌")
    assert full > 3 < empty
    assert abs(full / (full + empty) - 20 / 35) < 0.1
    assert ("15/35 done  ✗ 5 Failed" if width > 60 else "15/35  ✗ 5") in bar


def test_a_forecast_says_what_is_left_and_what_is_usual() -> None:
    view, console = live()
    run = PureRun(plan(dag("main", task("one"), task("two"))), lambda machine, step: view.step(machine.state, step))
    assert "about" not in "".join(drawn(view, console)), "without earlier runs nothing is said"
    run.start("main.one")
    earlier = [replace(RUN_ROW, ended_at=RUN_ROW.created_at + took * SECOND) for took in (100, 130, 990)]
    other = PureRun(plan(dag("main", task("one"), task("two"))), lambda machine, step: None)
    other.start("main.one")
    other.now += 20 * SECOND
    other.finish("main.one")
    view.forecast.learn(earlier, make_report(other.machine.state))
    shown = "\n".join(drawn(view, console))
    assert "1m30s  about 40s left" in shown
    assert "one  1m30s of about 21s" in shown
    assert view.forecast.run_text(200.0) == "usually 2m10s"


def test_an_item_is_a_short_text() -> None:
    items: list[Json] = ["windows", 3, None, {"id": 3, "name": "shard", "more": [1]}, [1, 2], {}, "x" * 99]
    shown = ["windows", "3", "null", "id=3 name=shard", "[1, 2]", "{}", "x" * 39 + "…"]
    assert [item_text(item) for item in items] == shown


def test_markup_and_control_characters_are_shown_as_they_are() -> None:
    view, console = live()
    run = PureRun(plan(dag("main", task("one"))), lambda machine, step: view.step(machine.state, step))
    node = run.machine.state.nodes[run.start("main.one")]
    view.log(node, "stdout", "[bold]x[/foo] \x1b[31m\n")
    run.finish("main.one", 2, "[/nope] \x1b[2J")
    shown = "\n".join(drawn(view, console))
    assert "[/nope]" in shown
    assert "\x1b" not in shown
