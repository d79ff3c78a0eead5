"""function (EXEC-4)."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Callable
from typing import Any

import pytest

from aether_protocol.adapters.executors.function import FunctionExecutor
from aether_protocol.ports.wire import TaskResult
from aether_protocol.testing.contracts.executor import Sample, assignment, attempt

pytestmark = pytest.mark.rule("EXEC-4")


class Color(enum.StrEnum):
    RED = "red"


def call(function: Callable[..., Any], arguments: Any = None, inputs: dict[str, Any] | None = None) -> TaskResult:
    config = {"name": "f"} if arguments is None else {"name": "f", "arguments": arguments}
    task = assignment("function", Sample(config, inputs or {}))
    return asyncio.run(attempt(FunctionExecutor({"f": function}), task))


def test_arguments_go_by_keyword() -> None:
    def function(report_url: str, retries: int = 3) -> dict[str, Any]:
        return {"url": report_url, "retries": retries}

    given = call(function, {"report-url": "x"}, {"unseen": 1})
    assert (given.code, dict(given.outputs)) == (0, {"url": "x", "retries": 3})


def test_inputs_are_the_arguments_where_none_are_given() -> None:
    assert dict(call(lambda a_b: a_b + 1, None, {"a-b": 1}).outputs) == {"result": 2}
    assert dict(call(lambda: 5, {}, {"a": 1}).outputs) == {"result": 5}


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        (None, {}),
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        (5, {"result": 5}),
        ([1, (2, 3)], {"result": [1, [2, 3]]}),
        (Color.RED, {"result": "red"}),
    ],
)
def test_what_is_returned_becomes_outputs(value: object, outputs: dict[str, Any]) -> None:
    assert dict(call(lambda: value, {}).outputs) == outputs


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: 2}, "function 'f' returned the key 1, which is not text"),
        ({"a": {"b": {3}}}, "function 'f' returned a set at 'a.b', which is not JSON"),
        ([float("nan")], "function 'f' returned nan at 'result[0]', which is not JSON"),
    ],
)
def test_what_is_no_json_is_an_error(value: object, message: str) -> None:
    given = call(lambda: value, {})
    assert (given.code, given.message) == (3, message)


def test_a_value_that_holds_itself_is_an_error() -> None:
    knot: list[Any] = []
    knot.append(knot)
    assert call(lambda: knot, {}).message == "function 'f' returned a value that is nested too deeply"


def test_sync_runs_in_a_thread_and_async_on_the_loop() -> None:
    async def on_loop() -> bool:
        return threading.current_thread() is threading.main_thread()

    def in_thread() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert dict(call(on_loop, {}).outputs) == {"result": True}
    assert dict(call(in_thread, {}).outputs) == {"result": False}
    assert dict(call(lambda: on_loop(), {}).outputs) == {"result": True}


def test_callable_objects() -> None:
    class Sync:
        def __call__(self) -> int:
            return 1

    class Async:
        async def __call__(self) -> int:
            return 2

    assert dict(call(Sync(), {}).outputs) == {"result": 1}
    assert dict(call(Async(), {}).outputs) == {"result": 2}


def raiser(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(1), "SystemExit: 1"),
        (StopIteration(), "StopIteration"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_whatever_is_raised_is_an_error(error: BaseException, message: str) -> None:
    given = call(raiser(error), {})
    assert (given.code, given.message) == (3, message)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1), asyncio.CancelledError()])
def test_in_async_functions_too(error: BaseException) -> None:
    async def function() -> None:
        raise error

    given = call(function, {})
    assert (given.code, given.message.partition(":")[0]) == (3, type(error).__name__)


def test_arguments_that_do_not_fit() -> None:
    async def function(a: int) -> None: ...

    assert call(lambda a: a, {}).message.startswith("TypeError: ")
    assert call(function, {"b": 1}).message.startswith("TypeError: ")
    assert call(lambda **_: 1, {"a b": 1}).message == "argument 'a b' cannot be a keyword argument"
    assert call(lambda **_: 1, {"class": 1}).message == "argument 'class' cannot be a keyword argument"
    assert call(lambda **_: 1, {"a-b": 1, "a_b": 1}).message == "argument 'a_b' is given twice (as 'a_b')"


def test_a_function_gets_copies() -> None:
    rows = [1]
    assert dict(call(lambda rows: rows.append(2), {"rows": rows}).outputs) == {}
    assert rows == [1]


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({}, "unknown function 'publish' (none is registered)"),
        ({"publsh": print, "other": print}, "unknown function 'publish' (known: publsh)"),
        ({"b": print, "a": print}, "unknown function 'publish' (known: a, b)"),
        ({"os:system": print}, "unknown function 'publish' (known: os:system)"),
    ],
)
@pytest.mark.rule("SPEC-15")
def test_an_unknown_name_is_an_error_with_the_near_ones(functions: dict[str, Any], message: str) -> None:
    task = assignment("function", Sample({"name": "publish"}))
    given = asyncio.run(attempt(FunctionExecutor(functions), task))
    assert (given.code, given.message) == (3, message)


def test_a_module_path_is_never_imported() -> None:
    given = asyncio.run(attempt(FunctionExecutor(), assignment("function", Sample({"name": "os:getpid"}))))
    assert (given.code, given.message) == (3, "unknown function 'os:getpid' (none is registered)")


@pytest.mark.rule("CTRL-3")
def test_a_cancel_reaches_an_async_function() -> None:
    seen: list[str] = []
    started = asyncio.Event()

    async def function() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            seen.append("told")

    async def run() -> None:
        executor = FunctionExecutor({"f": function})
        task = asyncio.ensure_future(attempt(executor, assignment("function", Sample({"name": "f"}))))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert seen == ["told"]
