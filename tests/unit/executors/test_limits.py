"""`limits` (EXEC-3), by prlimit and by ulimit, on real processes; and the limit of descriptors that is restored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.executors import limits
from aether_protocol.execution import descriptors
from aether_protocol.ports.wire import TaskResult
from tests.unit.executors.test_programs import process, script

pytestmark = pytest.mark.rule("EXEC-3")

SHOW = """
import resource
for name in ("CPU", "AS", "NOFILE", "FSIZE"):
    print(*resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
"""


@pytest.fixture(params=["prlimit", "ulimit"], autouse=True)
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "ulimit":
        monkeypatch.setattr(limits, "_prlimit", lambda: None)
    elif limits._prlimit() is None:
        pytest.skip("prlimit is not installed")
    return name


def limited(source: str, **values: Any) -> TaskResult:
    return script(source, runtime=sys.executable, limits=values)


def test_all_arrive() -> None:
    given = limited(SHOW, cpu="90s", memory="2Gi", files=64, output="1Mi")
    lines = given.outputs["stdout"].split("\n")
    assert lines == ["90 91", "2147483648 2147483648", "64 64", "1048576 1048576"]


def test_one_alone_leaves_the_others() -> None:
    [cpu, memory, *_] = limited(SHOW, memory="1Gi").outputs["stdout"].split("\n")
    own = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout.split("\n")
    assert (cpu, memory) == (own[0], "1073741824 1073741824")


def test_what_the_system_sets_lower_stays() -> None:
    line = limited(SHOW, files=10**12).outputs["stdout"].split("\n")[2]
    low, high = map(int, line.split())
    assert low == high < 10**12


def test_cpu() -> None:
    given = limited("while True: pass", cpu="1s")
    assert (given.code, given.message) == (3, "killed by signal SIGXCPU: it used up the 1 s of limits.cpu")


def test_memory() -> None:
    given = limited("x = bytearray(1 << 30)", memory="512Mi")
    assert (given.code, given.message) == (2, "exit code 1: MemoryError")


def test_output_of_a_file() -> None:
    given = process("sh", "-c", "head -c 100000 /dev/zero > f", limits={"output": "64Ki"})
    assert (given.code, "limits.output" in given.message or given.message.startswith("exit code")) in ((3, True), (2, True))


@pytest.mark.parametrize(("redirect", "stream"), [("", "output"), (">&2", "error")])
def test_output_of_a_stream(redirect: str, stream: str) -> None:
    given = script(f"while :; do echo xxxxxxxxxxxxxxxx {redirect}; done", limits={"output": "64Ki"})
    text = f"killed: it wrote more than the 65536 bytes of limits.output to standard {stream}"
    assert (given.code, given.message) == (3, text)


def test_what_cannot_be_started_is_told_as_ever(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/no/such/thing\n")
    some = {"files": 64}
    for program, mode, reason in [
        ("no-such-thing", 0, "no such command (is it installed and on PATH?)"),
        (f"{tmp_path}/none", 0, "no such command (is it installed and on PATH?)"),
        (f"{tmp_path}/tool", 0o644, "permission denied"),
        (f"{tmp_path}/tool", 0o755, "no such command (is it installed and on PATH?)"),
        (str(tmp_path), 0, "permission denied"),
    ]:
        if mode:
            (tmp_path / "tool").chmod(mode)
        expected = (3, f"cannot start {program!r}: {reason}")
        assert (process(program).code, process(program).message) == expected
        given = process(program, limits=some)
        assert (given.code, given.message) == expected


def test_a_text_without_an_interpreter_is_a_shell_script(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("echo $1 $0\n")
    (tmp_path / "tool").chmod(0o755)
    said = [process(f"{tmp_path}/tool", "a", limits=some).outputs["stdout"] for some in ({}, {"files": 64})]
    assert said == [f"a {tmp_path}/tool"] * 2


def test_programs_get_the_limit_that_we_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_given", 123)
    assert limited(SHOW).outputs["stdout"].split("\n")[2].startswith("123 ")
    assert limited(SHOW, files=64).outputs["stdout"].split("\n")[2] == "64 64"


def test_odd_names_of_variables_get_through(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if tool == "prlimit":
        given = limited("import os; print(os.environ['odd.name'])", files=64)
        assert given.code == 2  # it is not there
        monkeypatch.setenv("odd.name", "here")
        assert limited("import os; print(os.environ['odd.name'])", files=64).outputs["stdout"] == "here"
    else:
        monkeypatch.setenv("NAME", "here")
        assert limited("import os; print(os.environ['NAME'])", files=64).outputs["stdout"] == "here"
