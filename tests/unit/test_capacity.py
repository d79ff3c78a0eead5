"""The machine's room (execution/capacity): what cannot begin for want of it waits, and is not a fault of a task."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.execution import capacity
from aether_protocol.execution.capacity import FullError, begin, is_full, under_way


class Machine:
    """Has room for `room` things."""

    def __init__(self, room: int, number: int = errno.EMFILE) -> None:
        self.room = room
        self.number = number
        self.most = 0
        self.now = 0
        self.order: list[int] = []
        self.told: list[str] = []

    def take(self) -> int:
        if self.now >= self.room:
            raise OSError(self.number, os.strerror(self.number))
        self.now += 1
        self.most = max(self.most, self.now)
        return self.now

    async def work(self, name: int) -> None:
        await begin(self.take, self.told.append)
        with under_way():
            self.order.append(name)
            await asyncio.sleep(0)
            self.now -= 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOSPC])
def test_what_does_not_fit_waits_in_its_order(number: int) -> None:
    machine = Machine(3, number)

    async def go() -> None:
        await asyncio.gather(*(machine.work(name) for name in range(50)))

    asyncio.run(go())
    assert machine.order == list(range(50))
    assert machine.most == 3
    assert set(machine.told) == {f"waits for room on the machine: {os.strerror(number).lower()}\n"}


def test_another_error_is_raised_at_once() -> None:
    def start() -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        asyncio.run(begin(start, print))


def test_it_gives_up_where_nothing_could_free_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "GIVE_UP_S", 0.05)
    monkeypatch.setattr(capacity, "POLL_S", 0.01)
    with pytest.raises(FullError) as caught:
        asyncio.run(begin(Machine(0, errno.ENOSPC).take, lambda text: None))
    assert "nothing is running that could free any: no space left on device" in caught.value.strerror
    assert "TMPDIR" in caught.value.strerror


def test_it_does_not_give_up_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "GIVE_UP_S", 0.0)
    monkeypatch.setattr(capacity, "POLL_S", 0.001)
    machine = Machine(0)

    async def go() -> None:
        waiting = asyncio.ensure_future(begin(machine.take, lambda text: None))
        with under_way():
            for _ in range(200):
                await asyncio.sleep(0)
            machine.room = 1
            assert await waiting == 1

    asyncio.run(go())


def test_a_cancel_leaves_the_turn_to_the_next() -> None:
    machine = Machine(0)

    async def go() -> None:
        first = asyncio.ensure_future(begin(machine.take, lambda text: None))
        second = asyncio.ensure_future(begin(machine.take, lambda text: None))
        await asyncio.sleep(0)
        first.cancel()
        machine.room = 1
        assert await second == 1
        assert first.cancelled()

    asyncio.run(go())


def test_causes_count() -> None:
    error = RuntimeError("no connection")
    error.__cause__ = OSError(errno.EMFILE, "x")
    assert is_full(error)
    assert not is_full(OSError(errno.EPERM, "x"))


def run(document: Any, before: str, folder: Path, shell: Sequence[str] = ("sh",)) -> Any:
    """The report of a run in a shell that did `before`."""
    (folder / "many.json").write_text(json.dumps(document))
    command = f"{before} && exec {sys.executable} -m aether_protocol.cli run many.json --output json"
    done = subprocess.run([*shell, "-c", command], cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout)


def many(count: int, task: dict[str, Any]) -> Any:
    """A document of one loop that runs this task so often, all at once."""
    loop = {"name": "main", "body": "work", "items": list(range(count)), "concurrency": 0}
    templates = [{"loop": loop}, {"task": {"name": "work", **task}}]
    spec = {"entrypoint": "main", "templates": templates}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "many"}, "spec": spec}


def script(source: str) -> dict[str, Any]:
    return {"type": "script", "config": {"runtime": "sh", "source": source}}


@pytest.mark.rule("EXEC-3")
@pytest.mark.parametrize("limit", ["ulimit -n 64", "ulimit -S -n 64"])
def test_hundreds_of_programs_with_few_descriptors(limit: str, tmp_path: Path) -> None:
    """For real: all succeed, where the hard limit is low and where only the soft one was."""
    report = run(many(150, {"executor": script("ulimit -n")}), limit, tmp_path)
    said = [task["outputs"]["stdout"] for task in report["tasks"] if task["taskName"] == "work"]
    assert said == ["64"] * 150


@pytest.mark.rule("ART-1")
def test_hundreds_of_artifacts_with_few_descriptors(tmp_path: Path) -> None:
    source = {"type": "local", "config": {"path": str(tmp_path / "given")}}
    (tmp_path / "given").write_bytes(b"x" * 3_000_000)
    task = {
        "inputs": {"artifacts": [{"name": "in", "path": "in", "source": source}]},
        "executor": {"type": "noop"},
        "outputs": {"artifacts": [{"name": "out", "path": "in"}]},
    }
    report = run(many(100, task), "ulimit -n 32", tmp_path)
    assert [task["phase"] for task in report["tasks"]] == ["Succeeded"] * 101


@pytest.mark.rule("EXEC-3")
def test_many_programs_with_little_room_for_files(tmp_path: Path) -> None:
    """A folder for temporary files that holds 40 files: what waits holds none of them, so all get their turn."""
    (tmp_path / "small").mkdir()
    before = "mount -t tmpfs -o size=400k,nr_inodes=40 tmpfs small && export TMPDIR=$PWD/small"
    shell = ("unshare", "-m", "sh")
    if shutil.which("unshare") is None or subprocess.run([*shell, "-c", before], cwd=tmp_path, check=False).returncode:
        pytest.skip("needs the right to mount")
    report = run(many(60, {"executor": script("sleep 0.01")}), before, tmp_path, shell)
    assert [task["phase"] for task in report["tasks"]] == ["Succeeded"] * 61
