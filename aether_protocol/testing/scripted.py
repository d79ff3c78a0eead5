"""The scripted executor: plays what a test says in place of the work that a task would do.

Law: an attempt that no script is for goes to the real executor of its type. Whatever returns, returns on the virtual
clock: `sleep(0)` holds a result back until everything that takes no time has come so far, so that the results of one
instant arrive in document order, however long real programs took.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from aether_protocol.expressions import ExpressionError, Name, get_path, parse_template
from aether_protocol.expressions.values import ABSENT, Json
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import ExecutionContext, Executor, Mode
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.testing.cases.model import Match, Script, ScriptedAttempt

_INPUTS = frozenset({"inputs"})


class ScriptedError(Exception):
    """What a script's `raise` raises."""


def path_pattern(path: str) -> re.Pattern[str]:
    """A path with `*` for any text; all else, brackets too, is literal."""
    return re.compile(".*".join(re.escape(part) for part in path.split("*")), re.DOTALL)


class Matcher:
    """Whether an assignment is one that a script is for."""

    def __init__(self, match: Match) -> None:
        self._match = match
        self._path = path_pattern(match.path) if match.path is not None else None

    def fits(self, type_: str, template: str, task: str | None, path: str | None) -> bool:
        """`task` and `path` are None for a hook's run: hooks are matched by template or type alone."""
        match = self._match
        if self._path is not None and (path is None or self._path.fullmatch(path) is None):
            return False
        return (
            (match.task is None or match.task == task)
            and (match.template is None or match.template == template)
            and (match.type is None or match.type == type_)
        )


class Scripts:
    """The scripts of a test, in order: the first that matches plays."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = [(Matcher(script.match), script) for script in scripts]

    def find(self, type_: str, template: str, task: str | None, path: str | None) -> Script | None:
        for matcher, script in self._scripts:
            if matcher.fits(type_, template, task, path):
                return script
        return None

    def attempt(self, task: TaskAssignment) -> ScriptedAttempt | None:
        """What this dispatch plays; None where it is left to the real executor. The last attempt repeats."""
        names = (None, None) if task.hook is not None else (task.task_name, task.path)
        script = self.find(task.executor_type, task.template_name, *names)
        return script.attempts[min(task.attempt, len(script.attempts)) - 1] if script is not None else None


class Listener(Protocol):
    """Who wants to know what executors are given and what they return."""

    def assigned(self, task: TaskAssignment) -> None: ...

    def returned(self, result: TaskResult) -> None: ...


class ScriptedExecutor:
    """See `ports.executor.Executor`: plays scripts for one executor type.

    Args:
        type_: the type that it stands in for.
        scripts: what attempts give.
        real: where attempts go that no script is for; None: they are an Error.
        listener: gets each assignment and each result.
    """

    mode: Mode = "async"

    def __init__(
        self, type_: ExecutorType, scripts: Scripts, *, real: Executor | None = None, listener: Listener | None = None
    ) -> None:
        self.type = type_
        self._scripts = scripts
        self._real = real
        self._listener = listener

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        if self._listener is not None:
            self._listener.assigned(task)
        attempt = self._scripts.attempt(task)
        try:
            result = await self._call_real(task, context) if attempt is None else await play(attempt, task, context)
        except Exception:
            await context.sleep(0)
            raise
        await context.sleep(0)
        if self._listener is not None:
            self._listener.returned(result)
        return result

    async def _call_real(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        real = self._real
        if real is None:
            return TaskResult(task.ref, 3, f"no script is for executor type {self.type.name!r}")
        if real.mode == "thread":
            given = await asyncio.to_thread(real.execute, task, context)
        else:
            given = real.execute(task, context)
        return await given if inspect.isawaitable(given) else given


async def play(attempt: ScriptedAttempt, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
    """Carry out one scripted attempt. Raises ScriptedError for `raise`."""
    if attempt.after_us:
        await context.sleep(attempt.after_us / 1_000_000)
    if attempt.hang:
        await context.sleep(math.inf)
    if attempt.raises is not None:
        raise ScriptedError(attempt.raises)
    for path, text in attempt.files.items():
        file = context.workspace / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    outputs = fill(attempt.outputs, task.inputs)
    return TaskResult(task.ref, attempt.code, attempt.message, outputs)


def fill(outputs: Mapping[str, Json], inputs: Mapping[str, Json]) -> Mapping[str, Json]:
    """`outputs` with `{{inputs.parameters.x}}` replaced as in documents (DATA-5). Raises ScriptedError for unknown names."""

    def lookup(name: Name) -> Json:
        if name.segments[:2] != ("inputs", "parameters") or len(name.segments) < 3:
            raise ExpressionError(f"{name.text!r} is not an input of the task")
        value = get_path(inputs, name.segments[2:])
        if value is ABSENT:
            raise ExpressionError(f"the task has no {name.text!r}")
        return value

    try:
        return {name: parse_template(value, _INPUTS).resolve(lookup) for name, value in outputs.items()}
    except ExpressionError as error:
        raise ScriptedError(f"the outputs of the script cannot be filled in: {error.reason}") from None
