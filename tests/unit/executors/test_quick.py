"""echo, noop, sleep, await, fail: those that run no foreign code (EXEC-1, EXEC-2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aether_protocol.adapters.executors.echo import EchoExecutor
from aether_protocol.adapters.executors.fail import FailExecutor
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.executors.wait import AwaitExecutor, SleepExecutor
from aether_protocol.ports.wire import AttemptRef, TaskResult
from aether_protocol.testing.contracts.executor import RecordingContext, Sample, assignment, attempt


def echo(retry_count: int = 0, **sample: Any) -> TaskResult:
    return asyncio.run(attempt(EchoExecutor(), assignment("echo", Sample(**sample), retry_count=retry_count)))


@pytest.mark.rule("EXEC-1")
class TestEcho:
    def test_inputs_come_back(self) -> None:
        given = echo(inputs={"a": 1, "b": [None], "failCount": 3})
        assert (given.code, dict(given.outputs)) == (0, {"a": 1, "b": [None], "failCount": 3})

    def test_controls_do_not(self) -> None:
        given = echo(inputs={"outputs": [{"name": "x", "value": 1}], "fail-count": 0, "suspend": False, "y": 2})
        assert dict(given.outputs) == {"x": 1, "y": 2}

    def test_outputs_override(self) -> None:
        given = echo(inputs={"a": 1}, config={"outputs": [{"name": "a", "type": "int", "value": 2}]})
        assert dict(given.outputs) == {"a": 2}

    def test_without_a_value_the_input_stays(self) -> None:
        given = echo(inputs={"a": 5}, config={"outputs": [{"name": "a", "type": "integer"}]})
        assert dict(given.outputs) == {"a": 5}

    @pytest.mark.parametrize(
        ("type_", "empty"),
        [
            ("string", ""),
            ("int", 0),
            ("integer", 0),
            ("float", 0),
            ("number", 0),
            ("bool", False),
            ("boolean", False),
            ("array", []),
            ("object", {}),
            ("any", None),
        ],
    )
    def test_without_value_and_input_the_type_is_empty(self, type_: str, empty: object) -> None:
        assert dict(echo(config={"outputs": [{"name": "a", "type": type_}]}).outputs) == {"a": empty}

    def test_a_null_value_is_a_value(self) -> None:
        given = echo(inputs={"a": 5}, config={"outputs": [{"name": "a", "value": None}]})
        assert dict(given.outputs) == {"a": None}

    @pytest.mark.parametrize("where", ["config", "inputs"])
    def test_fails_while_it_was_retried_less_often(self, where: str) -> None:
        sample: dict[str, Any] = {where: {"fail-count": 2}}
        assert [echo(count, **sample).code for count in range(4)] == [2, 2, 0, 0]
        assert echo(1, **sample).message == "failed as asked (2 of 2)"

    def test_fail_count_has_a_second_spelling_in_config(self) -> None:
        assert [echo(count, config={"failCount": 1}).code for count in range(2)] == [2, 0]

    def test_an_input_wins_over_the_config(self) -> None:
        assert echo(inputs={"fail-count": 0}, config={"failCount": 1}).code == 0

    def test_suspends_until_resumed(self) -> None:
        config = {"suspend": True, "outputs": [{"name": "approved", "type": "bool", "value": True}]}
        first = echo(config=config)
        assert (first.code, dict(first.outputs)) == (1, {})
        resumed = echo(config=config, payloads=[{}], inputs={"approver": "ada"})
        assert (resumed.code, dict(resumed.outputs)) == (0, {"approver": "ada", "approved": True})

    def test_suspends_before_it_fails(self) -> None:
        config = {"suspend": True, "failCount": 1}
        assert echo(config=config).code == 1
        assert echo(config=config, payloads=[{}]).code == 2

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"suspend": "yes"}, "echo's control 'suspend' must be of type boolean, not string"),
            ({"fail-count": True}, "echo's control 'fail-count' must be of type integer, not boolean"),
            ({"outputs": {}}, "echo's control 'outputs' must be of type array, not object"),
            ({"outputs": [{"value": 1}]}, "echo's outputs[0] must be an object with a 'name'"),
            ({"outputs": [{"name": "x", "type": "text"}]}, "echo's outputs[0] has the unknown type 'text'"),
        ],
    )
    def test_a_wrong_control_is_an_error(self, inputs: dict[str, Any], message: str) -> None:
        given = echo(inputs=inputs)
        assert (given.code, given.message) == (3, message)


@pytest.mark.rule("EXEC-2")
def test_noop_gives_nothing() -> None:
    given = asyncio.run(attempt(NoopExecutor(), assignment("noop", Sample(inputs={"a": 1}))))
    assert given == TaskResult(AttemptRef("run-1", "main.task", 1))


@pytest.mark.rule("EXEC-2", "DOC-8")
def test_sleep_waits_on_the_engines_clock() -> None:
    context = RecordingContext()
    given = asyncio.run(attempt(SleepExecutor(), assignment("sleep", Sample({"duration": "1h30m500ms"})), context))
    assert (given.code, context.slept) == (0, [5400.5])


@pytest.mark.rule("EXEC-2")
@pytest.mark.parametrize("config", [{"code": None, "message": None}, {}, None])
def test_a_null_in_the_config_is_nothing(config: Any) -> None:
    given = asyncio.run(attempt(FailExecutor(), assignment("fail", Sample(config))))
    assert (given.code, given.message) == (2, "failed as asked")


@pytest.mark.rule("EXEC-2")
def test_fail_ends_as_told() -> None:
    given = asyncio.run(attempt(FailExecutor(), assignment("fail", Sample())))
    assert (given.code, given.message) == (2, "failed as asked")
    given = asyncio.run(attempt(FailExecutor(), assignment("fail", Sample({"code": 4, "message": "too late"}))))
    assert (given.code, given.message) == (4, "too late")


@pytest.mark.rule("EXEC-2", "CTRL-2")
class TestAwait:
    def answer(self, *payloads: dict[str, Any], config: Any = None) -> TaskResult:
        return asyncio.run(attempt(AwaitExecutor(), assignment("await", Sample(config, payloads=payloads))))

    def test_suspends_first_with_its_message(self) -> None:
        given = self.answer(config={"message": "deploy?"})
        assert (given.code, given.message, dict(given.outputs)) == (1, "deploy?", {})

    def test_the_payloads_are_its_outputs(self) -> None:
        given = self.answer({"approved": True, "by": "ada"}, {"by": "bob"})
        assert (given.code, dict(given.outputs)) == (0, {"approved": True, "by": "bob"})

    def test_an_empty_payload_is_an_answer(self) -> None:
        assert self.answer({}).code == 0

    def test_not_approved_is_failed(self) -> None:
        given = self.answer({"approved": False, "reason": "freeze"})
        assert (given.code, given.message) == (2, "not approved: freeze")
        assert dict(given.outputs) == {"approved": False, "reason": "freeze"}
        assert self.answer({"approved": False}).message == "not approved"
