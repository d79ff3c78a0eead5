"""What is seen of a run: lines for logs, a window of the tree on a terminal; nothing of a task drives the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from aether_protocol.cli.render.live import LiveView
from aether_protocol.cli.render.views import LineView
from tests.unit.cli.plans import dag, everything, loop, plan, task
from tests.unit.cli.runs import SECOND, START, PureRun


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
        "    0.00s  main.one  started",
        "           main.one | half a line",
        "           main.one | rest",
        "    1.00s  main.one  Failed in 1.00s: exit code 1",
        "    1.00s  main  Failed in 1.00s: one: exit code 1",
    ]


def test_lines_tell_of_retries(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    run = PureRun(plan(task("flaky", retry=2)), lambda machine, step: view.step(machine.state, step))
    run.finish("flaky", 3, "connection reset")
    assert lines_of(capsys)[-1] == "    1.00s  flaky  Error: connection reset; tries again in 1.00s"


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
    for text in ("demo Running", "✓ fetch", "● build", "compile", "│ step 1", "│ step [2]", "lint", "0/3", "[0] work", "1/9"):
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
    assert "[151] work" in shown, "what is under way is in the window"
    assert "135 Succeeded" in shown
    assert "15 Failed" in shown


def test_markup_and_control_characters_are_shown_as_they_are() -> None:
    view, console = live()
    run = PureRun(plan(dag("main", task("one"))), lambda machine, step: view.step(machine.state, step))
    node = run.machine.state.nodes[run.start("main.one")]
    view.log(node, "stdout", "[bold]x[/foo] \x1b[31m\n")
    run.finish("main.one", 2, "[/nope] \x1b[2J")
    shown = "\n".join(drawn(view, console))
    assert "[/nope]" in shown
    assert "\x1b" not in shown
