"""What a program says to people: kept with its task run, masked and whole, or not at all, and said so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.service import client_of
from tests.documents import submitted

SECRET = "correct horse battery"


def run(folder: Path, source: str, *, names: str = "job", **more: Any) -> tuple[str | None, str, list[str]]:
    """The summary of a script's task, its phase, and what was warned of."""

    async def body() -> tuple[str | None, str, list[str]]:
        secrets = [{"db": {"password": SECRET}}]
        async with Engine(store=f"sqlite:{folder}/aether.db", secrets=secrets) as engine:
            client = client_of(engine)
            task = {"name": names, "executor": {"type": "script", "config": {"runtime": "sh", "source": source}}, **more}
            run_id = await client.control.submit(submitted(task))
            report = await client.runs.wait(run_id)
            assert await client.extracts.artifacts(run_id) == []  # it is none of the document's
            return await client.extracts.summary(run_id, names), report.phase, [note.message for note in report.warnings]

    return asyncio.run(body())


@pytest.mark.rule("RT-158")
def test_it_is_kept_whatever_became_of_the_task(tmp_path: Path) -> None:
    assert run(tmp_path, "echo '# fine' > $AETHER_SUMMARY") == ("# fine\n", "Succeeded", [])
    assert run(tmp_path, "printf 'é **no**' > $AETHER_SUMMARY; exit 3") == ("é **no**", "Failed", [])
    assert run(tmp_path, "true") == (None, "Succeeded", [])
    assert run(tmp_path, ": > $AETHER_SUMMARY") == (None, "Succeeded", [])


@pytest.mark.rule("RT-158")
def test_of_several_attempts_the_last_one_counts(tmp_path: Path) -> None:
    source = f"echo x >> {tmp_path}/n; wc -l < {tmp_path}/n > $AETHER_SUMMARY; test $(wc -l < {tmp_path}/n) = 3"
    found = run(tmp_path, source, retry={"limit": 3, "expression": "true", "backoff": {"duration": "1ms"}})
    assert (found[0], found[1]) == ("3\n", "Succeeded")


@pytest.mark.rule("RT-158")
@pytest.mark.parametrize(("source", "why"), [
    ("head -c 1048577 /dev/zero | tr '\\0' x > $AETHER_SUMMARY", "larger than 1048576 bytes"),
    ("printf '\\377' > $AETHER_SUMMARY", "not UTF-8"),
    ("ln -s /etc/hostname $AETHER_SUMMARY", "cannot be read"),
    ("mkdir $AETHER_SUMMARY", "Is a directory"),
    ("mkfifo $AETHER_SUMMARY", "not a regular file"),
])
def test_what_cannot_be_kept_is_left_out_as_a_whole_and_said(tmp_path: Path, source: str, why: str) -> None:
    text, phase, warnings = run(tmp_path, source)
    assert (text, phase) == (None, "Succeeded")
    assert len(warnings) == 1
    assert warnings[0].startswith("AETHER_SUMMARY was not kept: ")
    assert why in warnings[0]


@pytest.mark.rule("RT-158")
def test_a_megabyte_is_kept(tmp_path: Path) -> None:
    text, _, warnings = run(tmp_path, "head -c 1048576 /dev/zero | tr '\\0' x > $AETHER_SUMMARY")
    assert (len(text or ""), warnings) == (1_048_576, [])


@pytest.mark.rule("RT-158")
def test_secrets_are_masked_in_what_is_kept(tmp_path: Path) -> None:
    async def body() -> str | None:
        secrets = [{"db": {"password": SECRET}}]
        async with Engine(store=f"sqlite:{tmp_path}/aether.db", secrets=secrets) as engine:
            client = client_of(engine)
            parameter = {"name": "pw", "type": "string", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            document = submitted(
                {"name": "use", "template": "use",
                 "arguments": {"parameters": [{"name": "pw", "value": "{{workflow.parameters.pw}}"}]}},
                arguments={"parameters": [parameter]},
            )
            document["spec"]["templates"].append({"task": {
                "name": "use", "inputs": {"parameters": [{"name": "pw", "type": "string"}]},
                "executor": {"type": "script", "config": {
                    "runtime": "sh", "source": "echo \"it is $AETHER_INPUT_PW\" > $AETHER_SUMMARY"}}}})
            run_id = await client.control.submit(document)
            assert (await client.runs.wait(run_id)).phase == "Succeeded"
            return await client.extracts.summary(run_id, "use")

    assert asyncio.run(body()) == "it is ***\n"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
