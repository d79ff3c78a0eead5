"""A run as a case passes under `aether test` at once: real runs of many kinds, on real stores, read back by the case reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.errors import UsageError
from aether_protocol.service import client_of
from aether_protocol.service.client import Client
from aether_protocol.testing.cases.read import read_file
from aether_protocol.testing.cases.run import run_case
from tests.documents import submitted

SECRET = "correct horse battery"
Play = Callable[[Client, str], Awaitable[None]]


def script(name: str, source: str, *after: str, **more: Any) -> dict[str, Any]:
    executor = {"type": "script", "config": {"runtime": "sh", "source": source}}
    return {"name": name, "dependencies": list(after), "executor": executor, **more}


def loop(folder: Path) -> dict[str, Any]:
    document = submitted({"name": "each", "template": "each"}, script("after", "true", "each"))
    document["spec"]["templates"] += [
        {"loop": {"name": "each", "body": "one", "items": ["a", "b", "c"], "concurrency": 2,
                  "arguments": {"parameters": [{"name": "item", "value": "{{iterator.item}}"}]}}},
        {"task": {"name": "one", "inputs": {"parameters": [{"name": "item", "type": "string"}]}, "executor": {
            "type": "script", "config": {"runtime": "sh", "source": "echo '{{inputs.parameters.item}} {{{{x}}'"}}}},
    ]
    return document


def retried(folder: Path) -> dict[str, Any]:
    flaky = script("flaky", f"echo x >> {folder}/n; test $(wc -l < {folder}/n) = 3 || exit 7",
                   retry={"limit": 3, "expression": "outputs.parameters.exit-code == 7", "backoff": {"duration": "20ms"}})
    return submitted(flaky, script("fails", "echo no >&2; exit 4", "flaky"), script("never", "true", "fails"))


def hooked(folder: Path) -> dict[str, Any]:
    document = submitted(
        script("a", "exit 3", hooks={"onFailure": {"template": "tell"}}),
        hooks={"onExit": {"template": "tell"}, "onStart": {"template": "tell"}},
    )
    document["spec"]["templates"].append(
        {"task": {"name": "tell", "executor": {"type": "script", "config": {"runtime": "sh", "source": "echo told"}}}}
    )
    return document


def approved(folder: Path) -> dict[str, Any]:
    ask = {"name": "ask", "dependencies": ["build"], "executor": {"type": "await", "config": {"message": "go?"}}}
    return submitted(script("build", "true"), ask, script("publish", "true", "ask"))


def conditional(folder: Path) -> dict[str, Any]:
    return submitted(
        script("a", "echo 1"),
        script("no", "true", "a", when="workflow.parameters.rows > 5"),
        script("yes", "true", "a", when="workflow.parameters.rows <= 5"),
        arguments={"parameters": [{"name": "rows", "type": "integer", "value": 9}]},
    )


def slow(folder: Path) -> dict[str, Any]:
    return submitted(script("slow", "sleep 30", timeout="200ms"), script("beside", "sleep 0.05"))


def secret(folder: Path) -> dict[str, Any]:
    parameter = {"name": "pw", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    document = submitted({"name": "use", "template": "use", "arguments": {"parameters": [
        {"name": "pw", "value": "{{workflow.parameters.pw}}"}]}}, arguments={"parameters": [parameter]})
    document["spec"]["templates"].append({"task": {
        "name": "use", "inputs": {"parameters": [{"name": "pw", "type": "string"}]},
        "outputs": {"parameters": [{"name": "stdout"}]},
        "executor": {"type": "script", "config": {"runtime": "sh", "source": "echo {{inputs.parameters.pw}} x"}}}})
    return document


def kept(folder: Path) -> dict[str, Any]:
    document = submitted({"name": "make", "template": "make"}, {
        "name": "use", "template": "use", "dependencies": ["make"],
        "arguments": {"artifacts": [{"name": "data", "from": "tasks.make.outputs.artifacts.data"}]}})
    executor = {"type": "script", "config": {"runtime": "sh", "source": "mkdir -p out; echo 1 > out/data"}}
    document["spec"]["templates"] += [
        {"task": {"name": "make", "outputs": {"artifacts": [{"name": "data", "path": "out/data"}]}, "executor": executor}},
        {"task": {"name": "use", "inputs": {"artifacts": [{"name": "data", "path": "in/data"}]},
                  "executor": {"type": "script", "config": {"runtime": "sh", "source": "cat in/data"}}}},
    ]
    return document


async def answer(client: Client, run: str) -> None:
    await client.runs.wait(run, or_suspended=True)
    await client.control.resume(run, "ask", {"approved": True, "who": "me"})


async def stop(client: Client, run: str) -> None:
    await client.runs.wait(run, or_suspended=True)
    await client.control.cancel(run, reason="enough")


async def nothing(client: Client, run: str) -> None:
    """Only wait for its end."""


KINDS: dict[str, tuple[Callable[[Path], dict[str, Any]], Play, str]] = {
    "a loop": (loop, nothing, "Succeeded"),
    "retries and a failure": (retried, nothing, "Failed"),
    "hooks": (hooked, nothing, "Failed"),
    "an approval": (approved, answer, "Succeeded"),
    "a cancelled one": (approved, stop, "Cancelled"),
    "conditions": (conditional, nothing, "Succeeded"),
    "a timeout": (slow, nothing, "Error"),
    "secrets": (secret, nothing, "Succeeded"),
    "artifacts": (kept, nothing, "Succeeded"),
}


def passes(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    (case,) = read_file(file)
    result = run_case(case)
    assert result.outcome == "passed", (*result.faults, result.detail, text)


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_at_once(kind: str, tmp_path: Path) -> None:
    make, play, phase = KINDS[kind]

    async def body() -> str:
        secrets = [{"db": {"password": SECRET}}]
        async with Engine(store=f"sqlite:{tmp_path}/aether.db", secrets=secrets) as engine:
            client = client_of(engine)
            arguments = {"rows": 3} if kind == "conditions" else {}
            run = await client.control.submit(make(tmp_path), arguments, run_id="r1")
            await play(client, run)
            assert (await client.runs.wait(run)).phase == phase
            return await client.extracts.case(run)

    text = asyncio.run(body())
    assert SECRET not in text
    passes(text, tmp_path / "case.yaml")


def test_a_retry_is_one_too_with_what_it_took_over(tmp_path: Path) -> None:
    async def body() -> str:
        async with Engine(store=f"sqlite:{tmp_path}/aether.db") as engine:
            client = client_of(engine)
            document = submitted(script("a", "echo 1"), script("b", f"test -e {tmp_path}/mended", "a"))
            run = await client.control.submit(document)
            assert (await client.runs.wait(run)).phase == "Failed"
            (tmp_path / "mended").touch()
            again = await client.control.retry(run)
            assert (await client.runs.wait(again)).phase == "Succeeded"
            return await client.extracts.case(again)

    passes(asyncio.run(body()), tmp_path / "case.yaml")


def test_what_the_document_does_otherwise_fails_the_case(tmp_path: Path) -> None:
    async def body() -> str:
        async with Engine() as engine:
            client = client_of(engine)
            run = await client.control.submit(submitted(script("a", "true"), script("b", "true", "a")))
            with pytest.raises(UsageError, match="has not ended"):
                await client.extracts.case(run)
            await client.runs.wait(run)
            return await client.extracts.case(run)

    file = tmp_path / "case.yaml"
    file.write_text(asyncio.run(body()).replace("name: b", "name: c", 1))
    (case,) = read_file(file)
    assert run_case(case).outcome != "passed"
