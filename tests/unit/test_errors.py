"""What an exception of anybody says to people: a reason and a place, never a number or a group without its members."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from aether_protocol import Engine, FunctionExecutor, run
from aether_protocol.assembly import executors
from aether_protocol.cli.entry import explain
from aether_protocol.errors import PortError, UsageError, why
from aether_protocol.plan.executors import ExecutorType

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "No space left on device"),
        (OSError(errno.ENOENT, "No such file or directory", "/x/y"), "No such file or directory: '/x/y'"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "Invalid cross-device link: 'a' -> 'b'"),
        (OSError("a text of its own"), "a text of its own"),
        (ExceptionGroup("unhandled errors in a TaskGroup", [FULL, ValueError("x")]), "No space left on device; x"),
        (ExceptionGroup("a", [ExceptionGroup("b", [KeyError("k"), KeyError("k")])]), "'k'"),
        (PortError("the outside", hint="h"), "the outside"),
        (ValueError(), "ValueError"),
    ],
)
def test_why(error: BaseException, said: str) -> None:
    assert why(error) == said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FULL, 9, "error: the system refused: No space left on device\n  hint: free some space"),
        (ExceptionGroup("unhandled errors in a TaskGroup", [FULL]), 9, "error: the system refused: No space left on device\n"),
        (ExceptionGroup("unhandled errors in a TaskGroup", [UsageError("so")]), 2, "error: so\n"),
        (ExceptionGroup("g", [ValueError("x"), FULL]), 70, "error: internal error: ExceptionGroup: x; No space left"),
    ],
)
def test_the_boundary_tells_them(capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str) -> None:
    assert explain(error) == code
    assert capsys.readouterr().err.startswith(said)


def flow(executor: str, config: dict[str, Any]) -> dict[str, Any]:
    task = {"name": "main", "executor": {"type": executor, "config": config}}
    spec = {"entrypoint": "main", "templates": [{"task": task}]}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "f"}, "spec": spec}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "OSError: No space left on device"),
        (ExceptionGroup("a TaskGroup", [FULL, ValueError("x")]), "OSError: No space left on device; ValueError: x"),
    ],
)
def test_a_task_says_what_its_function_raised(error: Exception, said: str) -> None:
    def raises() -> None:
        raise error

    report = run(flow("function", {"name": "raises"}), executors=FunctionExecutor({"raises": raises}))
    assert (report.phase, report.tasks[0].message) == ("Error", said)


class Plain:
    type = ExecutorType("plain", "does nothing")

    def execute(self, task: Any, context: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")


class Mute:
    type = ExecutorType("mute", "does nothing")
    mode = "thread"


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        (Plain(), "it has no mode: set mode = 'thread'"),
        (Plain, "it is the class Plain, not an object of it"),
        (Mute(), r"it has no execute\(task, context\)"),
        (object(), "it has no type: set type = ExecutorType"),
        (type("Odd", (Plain,), {"mode": "sync"})(), "it has the mode 'sync': set mode = 'thread'"),
    ],
)
def test_what_an_executor_lacks_is_said(executor: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Engine(executors=[executor])


def test_an_installed_executor_without_a_mode_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executors, "load", lambda family, name: Plain)
    monkeypatch.setattr(executors, "broken", lambda family, name, fault: PortError(f"{name} {fault}"))
    executors._installed_executor.cache_clear()
    try:
        assert executors.installed_executor("plain") is None
        assert "it has no mode: set mode = 'thread'" in caplog.text
    finally:
        executors._installed_executor.cache_clear()


def test_an_executor_that_raises_says_the_reason_and_the_file() -> None:
    report = run(flow("plain", {}), executors=type("Inline", (Plain,), {"mode": "inline"})())
    assert report.tasks[0].message == "No space left on device: '/tmp/x'"
