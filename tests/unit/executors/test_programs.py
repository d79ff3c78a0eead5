"""script and process (EXEC-3), tried on real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.executors import child, programs
from aether_protocol.adapters.executors.script import ProcessExecutor, ScriptExecutor
from aether_protocol.plan.model import Literal, OutputBinding
from aether_protocol.ports.wire import TaskResult
from aether_protocol.testing.contracts.executor import RecordingContext, Sample, assignment, attempt

pytestmark = pytest.mark.rule("EXEC-3")

LARGE = "head -c 3000000 /dev/zero | tr '\\0' x"
NEITHER = "of the outputs file is neither name=value nor the beginning of a block name<<END"


def script(
    source: str,
    *,
    inputs: dict[str, Any] | None = None,
    outputs: dict[str, str] | None = None,
    context: RecordingContext | None = None,
    bindings: tuple[OutputBinding, ...] = (),
    **config: Any,
) -> TaskResult:
    sample = Sample({"source": source, **config}, inputs or {}, outputs or {})
    return asyncio.run(attempt(ScriptExecutor(), assignment("script", sample, bindings=bindings), context))


def process(*command: Any, **config: Any) -> TaskResult:
    return asyncio.run(attempt(ProcessExecutor(), assignment("process", Sample({"command": [*command], **config}))))


class TestInputs:
    def test_as_variables_with_text_as_in_placeholders(self) -> None:
        inputs = {"name": "a b", "batch-size": 5, "rows": [1, {"x": None}], "dry": True, "n": None}
        given = script("env | grep ^AETHER_INPUT_ | sort", inputs=inputs)
        assert given.parameters["stdout"].split("\n") == [
            "AETHER_INPUT_BATCH_SIZE=5",
            "AETHER_INPUT_DRY=true",
            "AETHER_INPUT_N=null",
            "AETHER_INPUT_NAME=a b",
            'AETHER_INPUT_ROWS=[1,{"x":null}]',
        ]

    def test_as_a_json_file(self) -> None:
        given = script("cat $AETHER_INPUTS", inputs={"a": "ü", "b": [1]}, outputs={"result": "object"})
        assert given.parameters["result"] == {"a": "ü", "b": [1]}

    def test_large_ones_are_in_the_file_only(self) -> None:
        context = RecordingContext()
        source = "echo ${AETHER_INPUT_BIG-none} ${AETHER_INPUT_NUL-none}; wc -c < $AETHER_INPUTS"
        given = script(source, inputs={"big": "x" * 1_000_000, "nul": "\0"}, context=context)
        assert given.parameters["stdout"] == "none none\n1000028"
        assert "input 'big' does not fit into the environment" in context.text("stderr")

    def test_many_that_do_not_fit_together(self) -> None:
        inputs = {f"part-{number}": "x" * 60_000 for number in range(60)}
        assert script("true", inputs=inputs).code == 0

    def test_the_attempt_is_known(self) -> None:
        given = script("echo $AETHER_RUN_ID $AETHER_TASK_RUN_ID $AETHER_ATTEMPT $AETHER_IDEMPOTENCY_KEY")
        assert given.parameters["stdout"] == "run-1 run-1.7 1 run-1:main.task"

    def test_env_and_the_engines_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FROM_ENGINE", "kept")
        monkeypatch.setenv("UNWANTED", "x")
        given = script("echo $FROM_ENGINE ${UNWANTED-gone} $PORT", env={"PORT": 80, "UNWANTED": None})
        assert given.parameters["stdout"] == "kept gone 80"

    @pytest.mark.rule("DATA-12")
    def test_secrets_of_the_environment_are_not_inherited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AETHER_SECRET_DB_PASSWORD", "hunter2")
        assert script("env | grep -c hunter2").parameters["stdout"] == "0"
        assert script("echo $AETHER_SECRET_X", env={"AETHER_SECRET_X": "wired"}).parameters["stdout"] == "wired"

    def test_env_cannot_hide_what_the_protocol_gives(self) -> None:
        assert script("echo $AETHER_ATTEMPT", env={"AETHER_ATTEMPT": "9"}).parameters["stdout"] == "1"

    def test_a_broken_env_is_an_error(self) -> None:
        given = script("true", env={"A=B": "x"})
        assert (given.code, given.message) == (3, "env 'A=B' cannot be an environment variable")

    def test_stdin_is_empty(self) -> None:
        assert script("cat; echo end").parameters["stdout"] == "end"


class TestOutputs:
    def test_lines_are_read_as_json_unless_declared_text(self) -> None:
        source = 'printf "count=5\\n\\ntext=5\\nfree=[1]\\nword = hello world\\n" >> "$AETHER_OUTPUTS"'
        given = script(source, outputs={"count": "integer", "text": "string"})
        values = {name: given.parameters[name] for name in ("count", "text", "free", "word")}
        assert values == {"count": 5, "text": "5", "free": [1], "word": " hello world"}

    def test_a_json_object(self) -> None:
        source = "import json, os\njson.dump({'a': 1, 'b': 'x'}, open(os.environ['AETHER_OUTPUTS'], 'w'))"
        given = script(source, runtime="python3")
        assert (given.parameters["a"], given.parameters["b"]) == (1, "x")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a=1\nno equals sign", f"line 2 {NEITHER}: 'no equals sign'"),
            ("=1", f"line 1 {NEITHER}: '=1'"),
            ("[1]", f"line 1 {NEITHER}: '[1]'"),
            ('{"a": NaN}', "the outputs file is no JSON object: NaN is no JSON"),
            ('{"a": 1e999}', "the outputs file is no JSON object: number 1e999 is too large"),
            ('{"a": ' + "[" * 100_000, "the outputs file is no JSON object: JSON is nested too deeply"),
        ],
    )
    def test_what_is_neither_is_an_error(self, text: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "text").write_text(text)
        given = script(f"cat {tmp_path}/text > $AETHER_OUTPUTS")
        assert (given.code, given.message) == (3, message)

    def test_text_that_is_no_utf8_is_an_error(self) -> None:
        given = script("printf 'a=\\377' > $AETHER_OUTPUTS")
        assert (given.code, given.message) == (3, "the outputs file is not UTF-8: byte 2")

    def test_stdout_and_exit_code(self) -> None:
        given = script("echo one; echo; exit 0")
        assert dict(given.parameters) == {"stdout": "one\n", "exit-code": 0}

    @pytest.mark.parametrize(("type_", "value"), [("string", "[1]"), ("array", [1]), ("any", [1])])
    def test_result_is_stdout(self, type_: str, value: object) -> None:
        assert script("echo '[1]'", outputs={"result": type_}).parameters["result"] == value

    def test_result_in_the_file_wins(self) -> None:
        given = script("echo noise; echo result=1 > $AETHER_OUTPUTS", outputs={"result": "integer"})
        assert given.parameters["result"] == 1

    def test_broken_bytes_and_nuls_survive_as_text(self) -> None:
        assert script("printf 'a\\377\\000b'").parameters["stdout"] == "a\ufffd\0b"

    def test_the_outputs_of_a_failure_are_kept(self) -> None:
        given = script("echo a=1 > $AETHER_OUTPUTS; exit 4")
        assert (given.code, given.parameters["a"], given.parameters["exit-code"]) == (2, 1, 4)


@pytest.mark.rule("SPEC-6")
class TestFiles:
    def file(self, name: str, type_: str = "any", file: str = "out.txt", *sources: Literal) -> OutputBinding:
        return OutputBinding(name, type_, sources, file=file)

    def test_the_text_is_the_value(self, tmp_path: Path) -> None:
        bindings = (self.file("text"), self.file("number", "integer", "sub/n"))
        source = "echo 42 > out.txt; mkdir sub; echo 42 > sub/n"
        given = script(source, workingDir=str(tmp_path), bindings=bindings)
        assert (given.code, given.parameters["text"], given.parameters["number"]) == (0, "42", 42)

    def test_a_missing_one_is_an_error(self, tmp_path: Path) -> None:
        given = script("true", workingDir=str(tmp_path), bindings=(self.file("text"),))
        assert (given.code, given.message) == (3, "file 'out.txt' of output 'text' does not exist")

    def test_unless_something_else_fills_it(self, tmp_path: Path) -> None:
        bindings = (self.file("text", "any", "out.txt", Literal("none")),)
        given = script("true", workingDir=str(tmp_path), bindings=bindings)
        assert (given.code, "text" in given.parameters) == (0, False)

    def test_a_missing_one_does_not_hide_the_failure(self, tmp_path: Path) -> None:
        given = script("exit 2", workingDir=str(tmp_path), bindings=(self.file("text"),))
        assert (given.code, given.message) == (2, "exit code 2")

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        given = script("mkdir out.txt", workingDir=str(tmp_path), bindings=(self.file("text"),))
        assert given.message == "file 'out.txt' of output 'text' cannot be read: Is a directory"


class TestEnds:
    def test_another_exit_code_is_failed_with_the_last_line(self) -> None:
        given = script("echo first >&2; echo 'no space left' >&2; exit 3")
        assert (given.code, given.message) == (2, "exit code 3: no space left")

    def test_a_foreign_signal_is_an_error(self) -> None:
        given = script("kill -KILL $$")
        assert (given.code, given.message) == (3, "killed by signal SIGKILL")
        assert "exit-code" not in given.parameters

    def test_no_such_interpreter(self) -> None:
        given = script("", runtime="no-such-thing")
        assert given.code == 3
        assert given.message == "cannot start 'no-such-thing': no such command (is it installed and on PATH?)"

    def test_no_such_folder(self) -> None:
        given = script("true", workingDir="/no/such/folder")
        assert (given.code, given.message) == (3, "cannot start 'bash': working directory '/no/such/folder' does not exist")

    def test_no_right_to_run_it(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("")
        given = process(str(tmp_path / "tool"))
        assert (given.code, given.message) == (3, f"cannot start '{tmp_path}/tool': permission denied")

    def test_an_argument_with_nul(self) -> None:
        given = process("echo", "\0")
        assert (given.code, given.message) == (3, "cannot start 'echo': embedded null byte")

    def test_no_runtime_is_bash(self) -> None:
        assert script("echo ${BASH_VERSION:+yes}", runtime=None).parameters["stdout"] == "yes"

    @pytest.mark.parametrize(
        ("runtime", "message"),
        [(" ", "runtime is empty"), ("'bash", 'runtime "\'bash" is no command: no closing quotation')],
    )
    def test_a_runtime_that_is_none(self, runtime: str, message: str) -> None:
        given = script("true", runtime=runtime)
        assert (given.code, given.message) == (3, message)


class TestRuntimes:
    @pytest.mark.parametrize(
        ("runtime", "source"),
        [
            ("bash", "echo ${BASH_VERSION:+yes}"),
            ("sh", "echo yes"),
            ("python3", "print('yes')"),
            ("bash -eu", "false || true; echo yes"),
            pytest.param("awk -f", 'BEGIN { print "yes" }'),
        ],
    )
    def test_any_interpreter(self, runtime: str, source: str) -> None:
        assert script(source, runtime=runtime).parameters["stdout"] == "yes"

    def test_arguments_of_the_runtime_count(self) -> None:
        assert script("false; echo no", runtime="bash -e").code == 2

    def test_a_large_source(self) -> None:
        assert script("#" + "x" * 1_000_000 + "\necho yes").parameters["stdout"] == "yes"

    def test_python_is_there_without_a_path(self) -> None:
        given = script("import sys; print(sys.executable)", runtime="python3", env={"PATH": "/nowhere"})
        assert given.parameters["stdout"] == sys.executable

    def test_python_finds_modules_in_the_working_directory(self, tmp_path: Path) -> None:
        (tmp_path / "helper.py").write_text("ANSWER = 42")
        given = script("import helper; print(helper.ANSWER)", runtime=sys.executable, workingDir=str(tmp_path))
        assert given.parameters["stdout"] == "42"

    def test_a_command_sees_no_shell(self) -> None:
        assert process("echo", "$HOME;", "*", 5).parameters["stdout"] == "$HOME; * 5"

    def test_an_empty_command(self) -> None:
        assert process().message == "command is empty"


class TestOutputInBulk:
    def test_a_line_longer_than_any_buffer(self) -> None:
        context = RecordingContext()
        given = script("head -c 300000 /dev/zero | tr '\\0' x", context=context)
        assert len(given.parameters["stdout"]) == len(context.text("stdout")) == 300_000

    @pytest.mark.rule("DATA-9")
    def test_stdout_that_is_too_large_is_left_out_and_told(self) -> None:
        context = RecordingContext()
        given = script(LARGE, context=context)
        assert (given.code, dict(given.parameters)) == (0, {"exit-code": 0})
        text = "standard output is larger than 1048576 bytes, the limit of a value"
        assert list(given.warnings) == [f"output 'stdout' is left out: {text}; the log has all of it"]
        assert len(context.text("stdout")) == 3_000_000

    @pytest.mark.rule("DATA-9")
    @pytest.mark.parametrize("name", ["stdout", "result"])
    def test_or_an_error_where_it_is_declared(self, name: str) -> None:
        given = script(LARGE, outputs={name: "string"})
        text = "standard output is larger than 1048576 bytes, the limit of a value"
        assert given.code == 3
        assert given.message == f"output {name!r}: {text}; keep it as an artifact (`stdout: {{artifact: NAME}}`)"
        assert name not in given.parameters

    @pytest.mark.rule("DATA-9")
    @pytest.mark.parametrize(("source", "outputs"), [("", {"n": "integer"}), ("echo result=1 >> $AETHER_OUTPUTS;", {"result": "any"})])
    def test_or_nothing_where_others_are_declared(self, source: str, outputs: dict[str, str]) -> None:
        given = script(f"{source} {LARGE}", outputs=outputs)
        assert (given.code, list(given.warnings)) == (0, [])

    @pytest.mark.rule("DATA-9")
    def test_exactly_the_limit_is_whole(self) -> None:
        given = script(f"head -c {programs.VALUE_LIMIT} /dev/zero | tr '\\0' x")
        assert given.parameters["stdout"] == "x" * programs.VALUE_LIMIT

    @pytest.mark.rule("DATA-9")
    def test_a_failure_stays_the_verdict_and_the_rest_is_a_warning(self) -> None:
        given = script(f"{LARGE}; exit 3", outputs={"stdout": "string"})
        assert (given.code, given.message, len(given.warnings)) == (2, "exit code 3", 1)

    @pytest.mark.rule("DATA-9")
    def test_files_that_are_too_large(self) -> None:
        many = "head -c 10485761 /dev/zero | tr '\\0' x"
        advice = "is larger than 10485760 bytes, the limit of a value: keep it as an artifact"
        assert script(f"{many} > $AETHER_OUTPUTS").message == f"the outputs file {advice}"
        given = script(f"{many} > out", bindings=(OutputBinding("x", "string", (), file="out"),))
        assert (given.code, given.message) == (3, f"file 'out' of output 'x' {advice}")

    def test_the_log_gets_whole_lines_of_both_streams(self) -> None:
        context = RecordingContext()
        script("printf 'half '; sleep 0.05; echo line; echo oops >&2; printf rest", context=context)
        assert [text for stream, text in context.logged if stream == "stdout"] == ["half line\n", "rest"]
        assert context.text("stderr") == "oops\n"


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state) and not state.startswith("Z")


def gone(pid: int, seconds: float = 5) -> bool:
    """Whether the process ends within that time: who was killed dies when the machine comes to it."""
    end = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > end:
            return False
    return True


class TestNothingStays:
    def test_what_is_left_in_the_group_dies_with_the_script(self) -> None:
        given = script("sleep 100 & echo $!")
        assert given.code == 0
        assert gone(int(given.parameters["stdout"]))

    def test_somebody_who_left_the_group_does_not_hold_us_up(self) -> None:
        source = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  print(os.getpid(), flush=True)\n  time.sleep(100)"
        given = script(source, runtime=sys.executable)
        pid = int(given.parameters["stdout"])
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)

    def test_files_go_with_the_attempt(self) -> None:
        given = script("dirname $AETHER_OUTPUTS")
        folder = Path(given.parameters["stdout"])
        assert folder.name.startswith("aether-")
        assert not folder.exists()

    def cancel(self, source: str, monkeypatch: pytest.MonkeyPatch, grace: float) -> str:
        """Run, cancel once it has printed a line, give what it printed in the end."""
        monkeypatch.setattr(child, "GRACE_S", grace)
        context = RecordingContext()

        async def run() -> None:
            ready = asyncio.Event()
            log = context.log

            def noting(text: str, stream: Any = "stdout") -> None:
                log(text, stream)
                ready.set()

            context.log = noting  # type: ignore[method-assign]
            task = asyncio.ensure_future(attempt(ScriptExecutor(), assignment("script", Sample({"source": source})), context))
            await ready.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())
        return context.text("stdout")

    @pytest.mark.rule("CTRL-3", "SCHED-10")
    def test_a_cancel_asks_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = "trap 'echo cleaned; exit 0' TERM; echo $$; sleep 100 & wait"
        pid, cleaned = self.cancel(source, monkeypatch, 10.0).split()
        assert cleaned == "cleaned"
        assert gone(int(pid))

    @pytest.mark.rule("CTRL-3", "SCHED-10")
    def test_and_then_kills_the_whole_group(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = "trap '' TERM; sleep 100 & echo $$ $!; while true; do sleep 100; done"
        pids = self.cancel(source, monkeypatch, 0.05).split()
        assert [alive(int(pid)) for pid in pids] == [False, False]

    def test_no_descriptor_is_left_open(self) -> None:
        script("true")
        before = len(os.listdir("/dev/fd"))
        script("sleep 100 & true")
        script("", runtime="no-such-thing")
        assert len(os.listdir("/dev/fd")) == before


def test_inputs_file_is_plain_ascii() -> None:
    given = script("cat $AETHER_INPUTS", inputs={"a": "\ud800ü"})
    assert json.loads(given.parameters["stdout"]) == {"a": "\ud800ü"}


class TestFilesThatAreNone:
    """A named pipe as an output would keep a reader, and with it the whole engine, waiting for ever."""

    def test_the_outputs_file(self) -> None:
        given = script('rm "$AETHER_OUTPUTS"; mkfifo "$AETHER_OUTPUTS"')
        assert (given.code, given.message) == (3, "the outputs file is no regular file")

    def test_the_file_of_an_output(self, tmp_path: Path) -> None:
        pipe = str(tmp_path / "pipe")
        output = OutputBinding("x", "any", (), None, file=pipe)
        given = script(f"mkfifo {pipe}", bindings=(output,))
        assert (given.code, given.message) == (3, f"file {pipe!r} of output 'x' is no regular file")


def test_a_cancel_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """The start is one piece: whenever the cancel comes, the process is not there yet or is ended with its group."""
    pids = tmp_path / "pids"

    async def go(turns: int) -> None:
        sample = Sample({"source": f"echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; wait", "runtime": "sh"}, {}, {})
        running = asyncio.ensure_future(attempt(ScriptExecutor(), assignment("script", sample)))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    for turns in range(6):
        asyncio.run(go(turns))
    time.sleep(0.05)
    assert all(ended(int(pid)) for pid in pids.read_text().split()) if pids.exists() else True


def ended(pid: int) -> bool:
    """Is it gone, or will it be as soon as whoever inherited it takes note?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except FileNotFoundError:
        return True
