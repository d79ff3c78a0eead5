"""Every executor that comes with the package keeps the Executor contract (EXEC-1 to EXEC-5)."""

from __future__ import annotations

import pytest

from aether_protocol.adapters.executors.function import FunctionExecutor
from aether_protocol.assembly.discovery import BUILTIN
from aether_protocol.assembly.executors import builtin_executor
from aether_protocol.ports.executor import Executor
from aether_protocol.testing.contracts.executor import ExecutorContract, Sample

pytestmark = pytest.mark.rule("SCHED-7", "SPEC-15")

SAMPLES = {
    "noop": [Sample()],
    "echo": [
        Sample(inputs={"a": 1, "rows": [1, {"b": None}]}),
        Sample({"outputs": [{"name": "x", "value": 1}]}),
        Sample({"suspend": True}),
        Sample({"failCount": 1}),
        Sample({"outputs": ["wrong"]}),
    ],
    "sleep": [Sample({"duration": "1h"})],
    "await": [Sample(), Sample(payloads=[{"approved": True, "by": "ada"}]), Sample(payloads=[{"approved": False}])],
    "fail": [Sample(), Sample({"code": 4, "message": "too late"})],
    "script": [
        Sample({"source": "echo hello"}, {"name": "x"}),
        Sample({"source": "exit 3"}),
        Sample({"source": "echo x=1 > $AETHER_OUTPUTS"}, outputs={"x": "integer"}),
        Sample({"runtime": "no-such-interpreter", "source": ""}),
    ],
    "process": [Sample({"command": ["echo", 1]}), Sample({"command": ["false"]}), Sample({"command": []})],
    "function": [Sample({"name": "double", "arguments": {"x": [1]}}), Sample({"name": "dubble"})],
    "http": [Sample({"url": "ftp://nowhere"}), Sample({"url": "http://127.0.0.1:1/"})],
}


def double(x: list[int]) -> list[int]:
    x.extend(x)
    return x


def contract(name: str) -> type[ExecutorContract]:
    class Contract(ExecutorContract):
        samples = SAMPLES[name]

        def make(self) -> Executor:
            executor: Executor = FunctionExecutor({"double": double}) if name == "function" else builtin_executor(name)
            assert executor.type.name == name
            return executor

    return Contract


TestNoop = contract("noop")
TestEcho = contract("echo")
TestSleep = contract("sleep")
TestAwait = contract("await")
TestFail = contract("fail")
TestScript = contract("script")
TestProcess = contract("process")
TestFunction = contract("function")
TestHttp = contract("http")


def test_every_registered_executor_is_here() -> None:
    assert set(BUILTIN["executors"]) == set(SAMPLES)
