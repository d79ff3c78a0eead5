"""Text that UTF-8 cannot hold, NUL, and numbers that JSON cannot spell, by every way into a run: refused or cleaned where they
enter, on SQLite.

Law: whatever is given, it is reported as a fault of the caller, or the run ends and all that is kept of it is text: report,
events, logs, the record in the store.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aether_protocol import Engine, FunctionExecutor
from aether_protocol.assembly import open_store
from aether_protocol.errors import AetherError, DocumentError, PortError, UsageError
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import ExecutionContext
from aether_protocol.ports.store import RunQuery
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import decode_result
from aether_protocol.service import client_of
from aether_protocol.service.runs.inspect import fault_of

ODD = st.sampled_from(["\ud800", "\udcff", "\udfff\ud800", "\x00", "é", "😀", "\x1b[31m", "\u2028", "\ufeff"])
TEXT = st.lists(st.one_of(ODD, st.text(max_size=4)), max_size=4).map("".join)
VALUE = st.recursive(
    st.one_of(TEXT, st.integers(0, 9), st.none(), st.sampled_from([1.5, math.nan, math.inf])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)), max_leaves=5,
)
tries = settings(
    max_examples=15, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def flow(executor: dict[str, Any], **more: Any) -> dict[str, Any]:
    main: dict[str, Any] = {"name": "main", "executor": executor, **more}
    arguments = {"parameters": [{"name": "p", "value": "x"}]}
    spec = {"entrypoint": "main", "templates": [{"task": main}], "arguments": arguments}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "odd"}, "spec": spec}


ECHO = flow({"type": "echo", "config": {}}, inputs={"parameters": [{"name": "p"}]})


class Odd:
    """An executor that gives what its config says."""

    type = ExecutorType("odd", "gives what it is told to give", open_outputs=True)
    mode = "inline"

    def __init__(self, message: str, log: str, outputs: Any) -> None:
        self.message, self.log, self.outputs = message, log, outputs

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        context.log(self.log)
        context.log(self.log, "stderr")
        return TaskResult(task.ref, 0, self.message, self.outputs, warnings=(self.message,))


NUMBERS = count()  # every example has a store of its own


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/s.db?durability=normal"


def used(url: str, use: Callable[[Engine], Awaitable[object]], **engine: Any) -> AetherError | None:
    """What the caller gets, if it is refused. What is kept of every run is sound, whatever came."""
    url = url.replace("s.db", f"{next(NUMBERS)}.db")

    async def go() -> AetherError | None:
        refused: AetherError | None = None
        try:
            async with Engine(store=url, **engine) as opened:
                await use(opened)
        except (UsageError, DocumentError) as error:
            refused = error
        store = open_store(url)
        try:
            async with Engine(store=url) as looking:
                for row in await store.runs.rows(RunQuery(limit=1000)):
                    assert await fault_of(store, row.run_id, set(await store.upkeep.artifacts())) is None
                    json.dumps((await client_of(looking).runs.report(row.run_id)).to_json(), ensure_ascii=False).encode()
                    async for event in client_of(looking).runs.events(row.run_id):
                        json.dumps(event, ensure_ascii=False).encode()
                    async for line in client_of(looking).runs.logs(row.run_id):
                        line.text.encode()
        finally:
            await store.close()
        if refused is not None:
            refused.message.encode()
        return refused

    return asyncio.run(go())


def is_whole(value: Any, *, numbers: bool = True) -> bool:
    """Whether JSON can hold it; without `numbers` only its texts count."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=not numbers).encode()
    except ValueError:
        return False
    return True


@pytest.mark.rule("RT-91")
@tries
@given(VALUE)
def test_arguments(url: str, value: Any) -> None:
    async def use(engine: Engine) -> None:
        report = await client_of(engine).runs.wait(await engine.submit(ECHO, {"p": value}))
        assert report.phase == "Succeeded"
        assert report.outputs == {"p": "x" if value is None else value}

    assert (used(url, use) is None) is is_whole(value)


@pytest.mark.rule("RT-91")
@tries
@given(VALUE, st.sampled_from(["dict", "json", "ascii"]))
def test_documents(url: str, value: Any, form: str) -> None:
    document = flow({"type": "echo", "config": {"outputs": [{"name": "o", "type": "any", "value": value}]}})
    given: Any = document if form == "dict" else json.dumps(document, ensure_ascii=form == "ascii")

    async def use(engine: Engine) -> None:
        await client_of(engine).runs.wait(await engine.submit(given))

    refused = used(url, use)
    if not is_whole(value, numbers=form == "dict"):  # in text NaN is a word like any other
        assert isinstance(refused, DocumentError)


@pytest.mark.rule("RT-91")
@tries
@given(TEXT, TEXT)
def test_labels_and_names(url: str, key: str, text: str) -> None:
    document = flow({"type": "noop"})
    document["metadata"]["labels"] = {key: text}
    document["metadata"]["annotations"] = {text: key}

    async def use(engine: Engine) -> None:
        await client_of(engine).runs.wait(await engine.submit(document))

    refused = used(url, use)
    if not is_whole([key, text]):
        assert isinstance(refused, DocumentError)


@pytest.mark.rule("RT-91")
@tries
@given(TEXT)
def test_run_ids(url: str, text: str) -> None:
    async def use(engine: Engine) -> None:
        await client_of(engine).runs.wait(await engine.submit(flow({"type": "noop"}), run_id=f"r{text}"))

    refused = used(url, use)
    if not is_whole(text) or "\0" in text:
        assert isinstance(refused, UsageError)


@pytest.mark.rule("RT-91")
@tries
@given(st.dictionaries(TEXT, VALUE, max_size=3))
def test_answers(url: str, payload: dict[str, Any]) -> None:
    async def use(engine: Engine) -> None:
        run_id = await engine.submit(flow({"type": "await"}))
        await client_of(engine).runs.wait(run_id, or_suspended=True)
        await client_of(engine).control.resume(run_id, "main", payload)
        await client_of(engine).runs.wait(run_id)

    assert (used(url, use) is None) is is_whole(payload)


@pytest.mark.rule("RT-91")
@tries
@given(TEXT, TEXT, st.one_of(st.dictionaries(TEXT, VALUE, max_size=3), VALUE))
def test_results_messages_and_logs(url: str, message: str, log: str, outputs: Any) -> None:
    async def use(engine: Engine) -> None:
        report = await client_of(engine).runs.wait(await engine.submit(flow({"type": "odd"})))
        assert report.phase in ("Succeeded", "Error")
        if not is_whole(outputs):
            assert report.phase == "Error", "a value is never changed"

    assert used(url, use, executors=Odd(message, log, outputs)) is None


@pytest.mark.rule("RT-91")
@tries
@given(VALUE, TEXT)
def test_functions(url: str, value: Any, raised: str) -> None:
    def gives() -> Any:
        return value

    def raises() -> Any:
        raise ValueError(raised)

    async def use(engine: Engine) -> None:
        for name in ("gives", "raises"):
            run = await engine.submit(flow({"type": "function", "config": {"name": name}}))
            report = await client_of(engine).runs.wait(run)
            assert report.phase == ("Succeeded" if name == "gives" and is_whole(value) else "Error")

    assert used(url, use, executors=FunctionExecutor({"gives": gives, "raises": raises})) is None


@pytest.mark.rule("RT-91")
@tries
@given(TEXT, VALUE)
def test_variables(url: str, name: str, value: Any) -> None:
    async def use(engine: Engine) -> None:
        await client_of(engine).runs.wait(await engine.submit(flow({"type": "noop"})))

    assert (used(url, use, variables={"site": {name: value}}) is None) is is_whole({name: value})


@pytest.mark.rule("RT-91")
@tries
@given(TEXT)
def test_secrets(url: str, text: str) -> None:
    secret = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}
    document = flow({"type": "echo", "config": {}}, inputs={"parameters": [secret]})

    async def use(engine: Engine) -> None:
        report = await client_of(engine).runs.wait(await engine.submit(document))
        assert report.phase == "Succeeded"

    if is_whole(text):
        assert used(url, use, secrets={"n": {"k": text}}) is None
    else:
        with pytest.raises(PortError, match="half of a surrogate pair"):
            used(url, use, secrets={"n": {"k": text}})


@pytest.mark.rule("RT-91")
@tries
@given(TEXT, VALUE)
def test_schedules(url: str, label: str, value: Any) -> None:
    spec = flow({"type": "echo", "config": {"outputs": [{"name": "o", "type": "any", "value": value}]}})["spec"]
    document = {
        "apiVersion": "aether/v1", "kind": "CronWorkflow", "metadata": {"name": "nightly", "labels": {"a": label}},
        "spec": {"schedule": "0 0 * * *", "workflowSpec": spec},
    }

    async def use(engine: Engine) -> None:
        await client_of(engine).schedules.apply(document, replaces=True)

    refused = used(url, use)
    if not is_whole([label, value]):
        assert isinstance(refused, DocumentError)


@pytest.mark.rule("RT-91")
@given(TEXT, st.dictionaries(TEXT, VALUE, max_size=3))
def test_results_from_the_wire(message: str, outputs: dict[str, Any]) -> None:
    sent = {"taskRunId": "r/main", "workflowRunId": "r", "attempt": 1, "message": message, "parameters": outputs}
    try:
        result = decode_result({**sent, "warnings": [message]})
    except ValueError as error:
        assert not is_whole(outputs)
        str(error).encode()
    else:
        assert is_whole([result.message, *result.warnings, result.outputs])


