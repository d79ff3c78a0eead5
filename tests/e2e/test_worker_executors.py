"""Executors that workers bring and the server does not have: the same documents as where they are installed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from aether_protocol.worker.processes import ChildProcesses
from tests.e2e.process import aether
from tests.e2e.servers import served, working

MODULE = """
from aether_protocol import ConfigField, ExecutorType, OutputField


class Shout:
    type = ExecutorType(
        "shout",
        "Shouts.",
        config=(
            ConfigField("text", "string", "What.", required=True),
            ConfigField("times", "integer", "How often."),
            ConfigField("style", "object", "How.", fields=(ConfigField("mark", "string", "Behind it."),)),
            ConfigField("names", "array", "To whom.", items="string"),
        ),
        outputs=(OutputField("said", "string", "It."),),
    )
    mode = "thread"

    def execute(self, task, context):
        config = task.config
        mark = config.get("style", {}).get("mark", "")
        return task.succeed(said="|".join([config["text"].upper() * config.get("times", 1), mark, *config.get("names", [])]))
"""

DOCUMENT = """
apiVersion: aether/v1
kind: Workflow
metadata: {{ name: shouting }}
spec:
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks: [{{ name: a, executor: {{ type: shout, config: {config} }} }}]
        outputs: {{ parameters: [{{ name: said, valueFrom: {{ parameter: tasks.a.outputs.parameters.said }} }}] }}
"""


def installed(folder: Path) -> str:
    """Install the executor in a folder, as a package would be; what PYTHONPATH has to be."""
    place = folder / "packages"
    (place / "shouter-1.0.dist-info").mkdir(parents=True)
    (place / "shouter.py").write_text(MODULE)
    (place / "shouter-1.0.dist-info" / "entry_points.txt").write_text("[aether.executors]\nshout = shouter:Shout\n")
    (place / "shouter-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: shouter\nVersion: 1.0\n")
    return os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])


def test_texts_keep_their_spelling_also_for_executors_that_workers_alone_have(tmp_path: Path) -> None:
    path = installed(tmp_path)
    file = tmp_path / "shout.yaml"
    file.write_text(DOCUMENT.format(config="{ text: 3.10, times: 2, style: { mark: True }, names: [0644, bob] }"))
    here = aether("run", file, "-q", "-o", "json", "--store", "memory", cwd=tmp_path, PYTHONPATH=path)
    assert '"said": "3.103.10|True|0644|bob"' in here.stdout, here.stderr
    with served(tmp_path, "--no-workers") as server, working(server.url, PYTHONPATH=path) as worker:
        worker.connected()
        there = aether("run", file, "-q", "-o", "json", "--server", server.url, cwd=tmp_path)
        assert '"said": "3.103.10|True|0644|bob"' in there.stdout, there.stderr
        file.write_text(DOCUMENT.format(config="{ text: a, times: often }"))
        refused = aether("validate", file, "--server", server.url, cwd=tmp_path)
        assert refused.returncode == 3
        assert "times" in refused.stdout + refused.stderr


class Returns:
    """Keeps what a pool returns."""

    def __init__(self) -> None:
        self.came = asyncio.get_running_loop().create_future()

    def returned(self, token: str, reason: str, *, refused: bool = False) -> None:
        self.came.set_result((token, reason, refused))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was reported")


def test_a_process_that_does_not_come_up_is_not_the_death_of_its_attempt() -> None:
    async def go() -> tuple[str, str, bool]:
        pool, returns = ChildProcesses(["no_such_module"]), Returns()
        pool.start(returns)  # type: ignore[arg-type]
        pool.begin("t1", {"taskRunId": "r/main.a", "executorType": "script"})
        try:
            found: tuple[str, str, bool] = await asyncio.wait_for(returns.came, 60)
        finally:
            await pool.close()
        return found

    token, reason, refused = asyncio.run(go())
    assert (token, refused) == ("t1", True)
    assert reason.startswith("its process did not come up (exit code ")
    assert "there is no module 'no_such_module'" in reason
