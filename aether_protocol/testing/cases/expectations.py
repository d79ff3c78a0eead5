"""What `expect` may ask for, one check a field.

Law: a table of checks, keyed as the grammar's. Everything is a subset check except the outputs of the run and the lists
`notRun`, `dispatched` and `hooks`, which are whole. What a check cannot find is a difference, never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.diagnostics import Diagnostic
from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire import TaskAssignment
from aether_protocol.ports.wire_json import encode_assignment
from aether_protocol.scheduler.nodes import Container, Node
from aether_protocol.scheduler.state import RunState
from aether_protocol.testing.cases.compare import Comparison, matches, written
from aether_protocol.testing.cases.fields import near
from aether_protocol.testing.cases.model import Path
from aether_protocol.testing.cases.recorder import Watch
from aether_protocol.views.report import hook_name


class Ran(Struct):
    """A run as it stands when its case is judged. `report` is the run report as JSON, `visible` all text that is stored
    or shown anywhere (only where `hidden` asks for it)."""

    state: RunState
    watch: Watch
    report: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    visible: str

    @property
    def submitted(self) -> int:
        return self.state.header.created_at

    def since(self, at_us: int | None) -> int | None:
        """An instant as microseconds since the submission."""
        return None if at_us is None else at_us - self.submitted


Check = Callable[[Comparison, Json, Path, Ran], None]


def judge(comparison: Comparison, expect: Mapping[str, Json], ran: Ran) -> None:
    """Hold `expect` against the run; `valid` and `diagnostics` were looked at before it began."""
    for name, expected in expect.items():
        check = CHECKS.get(name)
        if check is not None:
            check(comparison, expected, ("expect", name), ran)


def check_diagnostics(comparison: Comparison, expected: Sequence[Mapping[str, Json]], found: Sequence[Diagnostic]) -> None:
    """Each of the expected diagnostics must be among those found."""
    actual = [one.to_json() for one in found]
    for index, wanted in enumerate(expected):
        if not any(all(matches(value, one[name]) for name, value in wanted.items()) for one in actual):
            got = "; ".join(f"{one.code} at line {one.line}, {one.path or 'no path'}: {one.message}" for one in found)
            comparison.differ(("expect", "diagnostics", index), written(wanted), got or "no diagnostics")


def _phase(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    if ran.report["phase"] != expected:
        why = f" ({ran.report['message']})" if ran.report["message"] else ""
        comparison.differ(path, expected, f"{ran.report['phase']}{why}")


def _message(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    comparison.same(path, expected, ran.report["message"])


def _outputs(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    comparison.whole(path, expected, ran.report["outputs"], "output")


def _elapsed(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    root = ran.state.root
    comparison.instant(path, expected, ran.since(root.ended_at) if root is not None else None)


def _task_count(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    if expected != len(ran.report["tasks"]):
        comparison.differ(path, str(expected), f"{len(ran.report['tasks'])}: {', '.join(ran.tasks)}")


def _not_run(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    comparison.sequence(path, sorted(expected), sorted(ran.report["notRun"]))


def _dispatched(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    comparison.sequence(path, expected, [ran.state.nodes[node].path for node in ran.watch.dispatched])


def _max_parallel(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    for name, most in expected.items():
        node = find(comparison, (*path, name), name, ran)
        if node is None:
            continue
        if not isinstance(node, Container):
            comparison.fault((*path, name), "a task has no children", "name a dag or a loop")
        elif ran.watch.peaks.get(node.id, 0) != most:
            comparison.differ((*path, name), str(most), str(ran.watch.peaks.get(node.id, 0)))


def _hidden(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    for index, word in enumerate(expected):
        lines = [line for line in ran.visible.splitlines() if word in line] or ([word] if word in ran.visible else [])
        if lines:
            comparison.fault((*path, index), f"{word!r} can be seen in {written(lines[0])}")


def find(comparison: Comparison, path: Path, name: str, ran: Ran) -> Node | None:
    """The task run that `expect` names; a fault where there is none."""
    node = ran.state.find(name)
    if node is None:
        if name in ran.report["notRun"]:
            comparison.fault(path, "the task was not run")
        else:
            comparison.fault(path, f"there is no task run {name!r}", near(name, [*ran.tasks, *ran.report["notRun"]]))
    return node


# --- tasks -----------------------------------------------------------------------------------------------------------


def _tasks(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    for name, wanted in expected.items():
        node = find(comparison, (*path, name), name, ran)
        if node is not None:
            for field, value in wanted.items():
                _TASK_CHECKS[field](comparison, value, (*path, name, field), _Task(ran, node, ran.tasks[name]))


class _Task(Struct):
    """One task run or hook run: its node and its entry in the report."""

    ran: Ran
    node: Node
    entry: Mapping[str, Any]


_TaskCheck = Callable[[Comparison, Json, Path, _Task], None]


def _entry(name: str) -> _TaskCheck:
    """A field of the report, compared whole."""

    def check(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
        comparison.same(path, expected, task.entry[name])

    return check


def _task_phase(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
    if task.entry["phase"] != expected:
        why = f" ({task.entry['message']})" if task.entry["message"] else ""
        comparison.differ(path, expected, f"{task.entry['phase']}{why}")


def _values(name: str, noun: str) -> _TaskCheck:
    """Names and values of the report of which those expected must be there."""

    def check(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
        comparison.some(path, expected, task.entry[name], noun)

    return check


def _inputs(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
    # The report lists no inputs of hooks: those of the assignment stand in for them.
    given = task.ran.watch.assignments.get(task.node.run_path) if task.node.hook is not None else None
    comparison.some(path, expected, given.inputs if given is not None else task.entry.get("inputs", {}), "input")


def _time(name: str) -> _TaskCheck:
    def check(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
        comparison.instant(path, expected, task.ran.since(getattr(task.node, name)))

    return check


def _phases(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
    comparison.sequence(path, expected, [str(phase) for phase in task.ran.watch.phases.get(task.node.id, ())])


def _absent(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
    for index, name in enumerate(expected):
        if name in task.entry["outputs"]:
            comparison.fault((*path, index), f"expected no output {name!r}, got {written(task.entry['outputs'][name])}")


def _assignment(comparison: Comparison, expected: Json, path: Path, task: _Task) -> None:
    given = task.ran.watch.assignments.get(task.node.run_path)
    if given is None:
        comparison.fault(path, "no executor was given this task")
        return
    message = encode_assignment(replace(given, filled=False))  # compared with what the executor was given, not sent
    for name, value in expected.items():
        here = (*path, name)
        if name in _ASSIGNED_TIMES and isinstance(value, str) and not value.endswith("Z"):
            comparison.instant(here, value, _ASSIGNED_TIMES[name](given, task.ran))
            continue
        actual = message[name]
        if isinstance(value, dict) and isinstance(actual, Mapping):
            comparison.some(here, value, actual, f"entry of {name}")
        else:
            comparison.same(here, value, actual)


_ASSIGNED_TIMES: Final[Mapping[str, Callable[[TaskAssignment, Ran], int | None]]] = {
    "timeout": lambda task, ran: task.timeout_us,
    "deadline": lambda task, ran: ran.since(task.deadline_us),
}

_TASK_CHECKS: Final[Mapping[str, _TaskCheck]] = {
    "phase": _task_phase,
    "type": _entry("templateType"),
    "depth": _entry("depth"),
    "retries": _entry("retries"),
    "inputs": _inputs,
    "outputs": _values("outputs", "output"),
    "message": _entry("message"),
    "startedAt": _time("started_at"),
    "endedAt": _time("ended_at"),
    "phases": _phases,
    "absent": _absent,
    "assignment": _assignment,
}


# --- hooks -----------------------------------------------------------------------------------------------------------


def _hooks(comparison: Comparison, expected: Json, path: Path, ran: Ran) -> None:
    nodes = ran.state.hook_nodes
    wanted = [{"hook": entry} if isinstance(entry, str) else entry for entry in expected]
    if not comparison.sequence(path, [entry["hook"] for entry in wanted], [hook_name(node) for node in nodes]):
        return
    for index, (entry, node, told) in enumerate(zip(wanted, nodes, ran.report["hooks"], strict=True)):
        for field, value in entry.items():
            if field != "hook":
                _TASK_CHECKS[field](comparison, value, (*path, index, field), _Task(ran, node, told))


CHECKS: Final[Mapping[str, Check]] = {
    "phase": _phase,
    "message": _message,
    "outputs": _outputs,
    "elapsed": _elapsed,
    "taskCount": _task_count,
    "tasks": _tasks,
    "notRun": _not_run,
    "dispatched": _dispatched,
    "maxParallel": _max_parallel,
    "hooks": _hooks,
    "hidden": _hidden,
}
