"""`function`: a registered Python callable as a task (EXEC-4).

Law: a document names a function and nothing else; only what was registered can be called, never a module path.
Registered is what `FunctionExecutor` was given, and, in an engine that assembly wires, what installed packages declare under
the entry-point group `aether.functions`. The tools that a call needs are loaded by the first call: validation reads this file,
too.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping
from typing import Any

from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.errors import PortError, why
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import ERROR, TaskAssignment, TaskResult

TYPE = ExecutorType(
    "function",
    "Calls a registered Python function, sync (in a thread) or async.",
    config=(
        ConfigField("name", "string", "The name under which the function is registered.", required=True),
        ConfigField(
            "arguments",
            "object",
            "Keyword arguments; hyphens in names become underscores. Left out, the inputs are the arguments.",
        ),
    ),
    outputs=(
        OutputField("<key>", "any", "Each entry, where the function returns a dict."),
        OutputField("result", "any", "What the function returns, where that is neither a dict nor None."),
    ),
    open_outputs=True,
)

Function = Callable[..., Any]


class FunctionExecutor:
    """The executor `function` with these `functions` by name. An `Engine` adds those of the entry-point group
    `aether.functions`, which hide none of these. See `ports.executor.Executor`."""

    type: ExecutorType = TYPE
    mode: Mode = "async"

    def __init__(self, functions: Mapping[str, Function] | None = None) -> None:
        self._functions: Mapping[str, Function] = {} if functions is None else functions
        self._more: Mapping[str, Function] = {}

    def beside(self, more: Mapping[str, Function]) -> FunctionExecutor:
        """Make an executor of the same functions, and of `more` where these lack a name."""
        made = FunctionExecutor(self._functions)
        made._more = more
        return made

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        name = task.config["name"]
        try:
            function = self._find(name)
            arguments = task.config.get("arguments")
            keywords = _keywords(task.inputs if arguments is None else arguments)
            keywords |= _asked_for(function, context)
        except LookupError as error:
            return task.fail(str(error.args[0]), ERROR)
        try:
            value = await _call(function, keywords)
        except _RaisedError as raised:
            return task.fail(raised.text, ERROR)
        try:
            outputs = to_outputs(value)
        except ValueError as error:
            return task.fail(f"function {name!r} returned {error}", ERROR)
        return task.succeed(**outputs)

    def _find(self, name: str) -> Function:
        """The function; a LookupError names those that are near."""
        if name in self._functions:
            return self._functions[name]
        if name in self._more:
            try:
                return self._more[name]
            except PortError as error:
                raise LookupError(f"{error.message}; {error.hint}" if error.hint else error.message) from None
        known = sorted({*self._functions, *self._more})
        near = Suggestions().closest(name, known, 3) or known[:10]
        advice = f"known: {', '.join(near)}" if near else "none is registered"
        raise LookupError(f"unknown function {name!r} ({advice})")


class _RaisedError(Exception):
    """The function raised; `text` says what."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


async def _call(function: Function, keywords: dict[str, Json]) -> Any:
    """What the function gives; whatever it raises is a `_RaisedError`, so that no function can end the engine.

    A cancel goes through to an async function; a sync one runs on in its thread and what it gives is dropped.
    """

    import asyncio
    import inspect

    from aether_protocol.execution.threads import in_thread

    def call() -> Any:
        try:
            return function(**keywords)
        except BaseException as error:
            raise _RaisedError(_text(error)) from error

    value = call() if _is_async(function) else await in_thread(call)
    if not inspect.isawaitable(value):
        return value
    try:
        return await value
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        raise _RaisedError(_text(error)) from error
    except (Exception, SystemExit) as error:
        raise _RaisedError(_text(error)) from error


def _asked_for(function: Function, context: ExecutionContext) -> dict[str, Any]:
    """The context, for a parameter that is annotated `ExecutionContext`: it has the attempt's workspace and log."""
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of code without a signature
        return {}
    return {one.name: context for one in parameters if _means_context(one.annotation)}


def _means_context(annotation: object) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__qualname__", "")
    return text.rpartition(".")[2] == ExecutionContext.__name__


def _is_async(function: Function) -> bool:
    import inspect

    # a callable object counts by its class's __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _keywords(arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments as keywords, each a copy of its own. Raises LookupError for a name that cannot be one."""
    import copy

    keywords: dict[str, Json] = {}
    for name, value in arguments.items():
        word = name.replace("-", "_")
        if not word.isidentifier() or keyword.iskeyword(word):
            raise LookupError(f"argument {name!r} cannot be a keyword argument")
        if word in keywords:
            raise LookupError(f"argument {name!r} is given twice (as {word!r})")
        keywords[word] = copy.deepcopy(value)
    return keywords


def to_outputs(value: Any) -> dict[str, Json]:
    """A function's result as outputs: a dict as it is, None as nothing, anything else as `result`.

    Raises ValueError, saying what and where, for what is not JSON.
    """
    if value is None:
        return {}
    outputs = value if isinstance(value, dict) else {"result": value}
    try:
        return {_key(name, ""): _json(item, str(name)) for name, item in outputs.items()}
    except RecursionError:
        raise ValueError("a value that is nested too deeply") from None


def _json(value: Any, where: str) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # an enum's text, not its name
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} at {where!r}, which is not JSON")
        return float(value)
    if isinstance(value, Mapping):
        return {_key(name, where): _json(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise ValueError(f"a {type(value).__name__} at {where!r}, which is not JSON")


def _key(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the key {name!r}{f' at {where!r}' if where else ''}, which is not text")
    return str.__str__(name)


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(_text, error.exceptions)))
    text, name = why(error), type(error).__name__
    return text if text == name else f"{name}: {text}"
