"""A reason that a person gives is recorded, and masked wherever it is recorded (RT-119)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.service import DocumentContext, client_of, connect

REASON = "hunter2 was\nseen in a log"
SECRETS = {"db": {"password": "hunter2"}}
FAILS = {
    "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "fails"},
    "spec": {"entrypoint": "main", "templates": [{"task": {
        "name": "main", "executor": {"type": "fail"},
        "inputs": {"parameters": [{"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]},
    }}]},
}


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def failed_run(url: str) -> str:
    async with Engine(store=url, secrets=SECRETS) as engine:
        run = await engine.submit(FAILS)
        assert (await client_of(engine).runs.wait(run)).phase == "Failed"
        return run


def notes(report: Any) -> list[str]:
    return [one.message for one in report.warnings if one.message.startswith("retried")]


@pytest.mark.rule("RT-119", "DATA-12")
def test_the_reason_of_a_retry_is_masked_by_the_engine_that_drives_it(tmp_path: Path) -> None:
    async def go() -> None:
        url = f"sqlite:{tmp_path}/aether.db"
        run = await failed_run(url)
        async with Engine(store=url, secrets=SECRETS) as engine:  # a new process: it has not used the secret yet
            client = client_of(engine)
            again = await client.control.retry(run, reason=REASON)
            assert notes(await client.runs.wait(again)) == ["retried: *** was seen in a log"]

    asyncio.run(go())
    assert b"hunter2" not in everything_in(tmp_path)


@pytest.mark.rule("RT-119", "DATA-12")
@pytest.mark.parametrize(
    ("library", "shown"),
    [(None, "***"), (DocumentContext(secrets=[MappingSecrets(SECRETS)]), "*** was seen in a log")],
)
def test_a_client_without_an_engine_masks_with_what_it_has_and_else_withholds(
    tmp_path: Path, library: DocumentContext | None, shown: str
) -> None:
    async def go() -> None:
        url = f"sqlite:{tmp_path}/aether.db"
        run = await failed_run(url)
        async with connect(url, library=library) as client, Engine(store=url, secrets=SECRETS) as engine:
            again = await client.control.retry(run, reason=REASON)
            assert await engine.recover() == [again]
            assert notes(await client.runs.wait(again)) == [f"retried: {shown}"]

    asyncio.run(go())
    assert b"hunter2" not in everything_in(tmp_path)


def test_a_reason_of_a_run_without_secrets_is_recorded_as_it_is(tmp_path: Path) -> None:
    async def go() -> None:
        url = f"sqlite:{tmp_path}/aether.db"
        task = {"name": "main", "executor": {"type": "fail"}}
        plain = {**FAILS, "spec": {"entrypoint": "main", "templates": [{"task": task}]}}
        async with Engine(store=url) as engine, connect(url) as client:
            run = await engine.submit(plain)
            await client.runs.wait(run)
            again = await client.control.retry(run, reason=REASON)
            await engine.recover()
            assert notes(await client.runs.wait(again)) == ["retried: hunter2 was seen in a log"]

    asyncio.run(go())
