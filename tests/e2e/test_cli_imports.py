"""What a command pays before it does anything: the frame that every command loads, few modules of its own, no collections."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.furnished import READS, WRITES, furnished_folder
from tests.e2e.process import aether, environment

MOST = 15  # modules of cli, packages among them, beyond the frame
MOST_PASSES = 3  # of the collector, over what is young
FRAME = {
    "__init__", "command", "commands", "configured", "entry", "exits", "lazy_group", "options", "root",
    "terminal", "terminal.color", "terminal.messages", "terminal.streams", "value_types",
}  # fmt: skip
# Modules that only those load that drive a run in the foreground, show text, or write a file.
NOT_LOADED = {
    "cron backfill": {"drive", "session", "arguments", "paths", "target", "document_inputs", "render.views", "render.live"},
    "cron tick": {"drive", "session", "paths", "target", "document_inputs", "render.views", "render.live"},
    "run good.yaml": {"render.live", "target", "hosting", "render.journal", "schedules"},
    "ls": {"drive", "session", "target", "document_inputs", "paths", "process"},
    "validate": {"drive", "session", "target", "stored", "process", "schedules"},
    "explain": {"drive", "session", "target", "stored", "process", "schedules", "document_inputs"},
}
# One process loads the frame and is doubled for each line, in a folder of that line's own.
EACH = """
import contextlib, io, json, os, shutil, sys
import aether_protocol.cli.command, aether_protocol.cli.entry
loaded = {}
for number, line in enumerate(json.load(sys.stdin)):
    folder = os.path.join(sys.argv[2], str(number))
    shutil.copytree(sys.argv[1], folder)
    reading, writing = os.pipe()
    if not os.fork():
        os.chdir(folder)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from aether_protocol.cli import main
            code = main(line.split())
        names = [name.removeprefix("aether_protocol.cli.") for name in sys.modules if name.startswith("aether_protocol.cli.")]
        os.write(writing, json.dumps([code, names]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        loaded[line] = json.loads(stream.read())
    os.wait()
print(json.dumps(loaded))
"""

# Of the standard library and beside it: what only some runs need.
SELDOM = {
    "bz2", "difflib", "encodings.ascii", "gzip", "httpx", "lzma", "pydantic", "random", "rich", "secrets", "shutil",
    "tarfile", "tempfile", "zipfile",
    "aether_protocol.cron.settings", "aether_protocol.documents.json_text", "aether_protocol.engine.passivation",
    "aether_protocol.engine.stream", "aether_protocol.execution.staging", "aether_protocol.expressions.functions",
    "aether_protocol.expressions.lexer", "aether_protocol.ports.store.fleet", "aether_protocol.ports.store.schedules",
    "aether_protocol.ports.telemetry", "aether_protocol.scheduler.carry_over", "aether_protocol.scheduler.snapshot",
    "aether_protocol.service.local.control", "aether_protocol.service.local.logs", "aether_protocol.service.runs.retry_header",
    "aether_protocol.views.event_feed", "aether_protocol.views.preview", "aether_protocol.views.spans",
}  # fmt: skip
# Of these, what a line needs after all.
NEEDED = {"ls": {"aether_protocol.service.local.logs"}}
ENGINE = {"asyncio", "aether_protocol.engine"}  # what no list of runs needs
# A process of its own, from the first import to the end: passes of the collector of garbage, what it left out, all modules.
WATCHED = """
import atexit, gc, json, runpy, sys
passes = []
atexit.register(lambda: print(json.dumps([passes, gc.get_freeze_count(), [*sys.modules]]), file=sys.stderr))
gc.collect()
gc.callbacks.append(lambda phase, about: passes.append(about["generation"]) if phase == "start" else None)
runpy.run_module("aether_protocol.cli", run_name="__main__")
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    lines = ["--version", *READS, *WRITES]
    done = subprocess.run(
        [sys.executable, "-c", EACH, furnished_folder(), tmp_path_factory.mktemp("each")],
        input=json.dumps(lines), capture_output=True, text=True, timeout=300, check=True,
        env=environment(AETHER_STORE="sqlite:.aether/aether.db"),
    )
    found: dict[str, tuple[int, list[str]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("line", [*READS, *WRITES])
def test_a_command_loads_few_modules_of_its_own(line: str, loaded: dict[str, tuple[int, list[str]]]) -> None:
    code, names = loaded[line]
    own = set(names) - FRAME
    assert code in (0, 1), "it did what it is for"
    assert len(own) <= MOST, sorted(own)
    for words, unwanted in NOT_LOADED.items():
        if line.startswith(words):
            assert not own & unwanted


def test_the_frame_is_what_the_root_loads(loaded: dict[str, tuple[int, list[str]]]) -> None:
    code, names = loaded["--version"]
    assert code == 0
    assert set(names) <= FRAME


SHORT = ["run good.yaml --store sqlite:new.db --quiet", "validate good.yaml", "ls --store sqlite:new.db"]


@pytest.mark.parametrize("line", SHORT)
def test_a_short_command_is_over_before_the_collector_walks_all_and_loads_nothing_seldom(line: str, tmp_path: Path) -> None:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)
    if line.startswith("ls"):
        assert aether("run", "good.yaml", "--store", "sqlite:new.db", cwd=tmp_path).returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *line.split()],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr
    passes, left_out, modules = json.loads(done.stderr.splitlines()[-1])
    assert 2 not in passes, "no pass over everything"
    assert len(passes) <= MOST_PASSES, passes
    assert left_out > 10_000, "the pass at the end of the process has nothing to walk"
    assert not line.startswith("ls") or sorted(ENGINE.intersection(modules)) == []
    assert sorted((SELDOM - NEEDED.get(line.split()[0], set())).intersection(modules)) == []
