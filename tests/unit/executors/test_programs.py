"""script and process (EXEC-3), tried on real processes."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.executors import child_process as child
from aether_protocol.adapters.executors import program_task as programs
from aether_protocol.adapters.executors.script import ProcessExecutor, ScriptExecutor
from aether_protocol.plan.model import ArtifactOutput, Literal, OutputBinding
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
        assert given.outputs["stdout"].split("\n") == [
            "AETHER_INPUT_BATCH_SIZE=5",
            "AETHER_INPUT_DRY=true",
            "AETHER_INPUT_N=null",
            "AETHER_INPUT_NAME=a b",
            'AETHER_INPUT_ROWS=[1,{"x":null}]',
        ]

    def test_as_a_json_file(self) -> None:
        given = script("cat $AETHER_INPUTS", inputs={"a": "ü", "b": [1]}, outputs={"result": "object"})
        assert given.outputs["result"] == {"a": "ü", "b": [1]}

    def test_large_ones_are_in_the_file_only(self) -> None:
        context = RecordingContext()
        source = "echo ${AETHER_INPUT_BIG-none} ${AETHER_INPUT_NUL-none}; wc -c < $AETHER_INPUTS"
        given = script(source, inputs={"big": "x" * 1_000_000, "nul": "\0"}, context=context)
        assert given.outputs["stdout"] == "none none\n1000028"
        assert "input 'big' does not fit into the environment" in context.text("stderr")

    def test_many_that_do_not_fit_together(self) -> None:
        inputs = {f"part-{number}": "x" * 60_000 for number in range(60)}
        assert script("true", inputs=inputs).code == 0

    def test_the_attempt_is_known(self) -> None:
        given = script("echo $AETHER_RUN_ID $AETHER_TASK_RUN_ID $AETHER_ATTEMPT $AETHER_IDEMPOTENCY_KEY")
        assert given.outputs["stdout"] == "run-1 run-1/main.task 1 run-1:main.task"

    def test_env_and_the_engines_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FROM_ENGINE", "kept")
        monkeypatch.setenv("UNWANTED", "x")
        given = script("echo $FROM_ENGINE ${UNWANTED-gone} $PORT", env={"PORT": 80, "UNWANTED": None})
        assert given.outputs["stdout"] == "kept gone 80"

    @pytest.mark.rule("DATA-12")
    def test_secrets_of_the_environment_are_not_inherited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AETHER_SECRET_DB_PASSWORD", "hunter2")
        assert script("env | grep -c hunter2").outputs["stdout"] == "0"
        assert script("echo $AETHER_SECRET_X", env={"AETHER_SECRET_X": "wired"}).outputs["stdout"] == "wired"

    def test_env_cannot_hide_what_the_protocol_gives(self) -> None:
        assert script("echo $AETHER_ATTEMPT", env={"AETHER_ATTEMPT": "9"}).outputs["stdout"] == "1"

    def test_a_broken_env_is_an_error(self) -> None:
        given = script("true", env={"A=B": "x"})
        assert (given.code, given.message) == (3, "env 'A=B' cannot be an environment variable")

    @pytest.mark.parametrize("runtime", ["bash", "python3", "bash -eu"])
    @pytest.mark.parametrize(("source", "line"), [("a\0b", ""), ("true\n:\n\0", " in line 3")])
    def test_a_source_with_nul_is_an_error(self, runtime: str, source: str, line: str) -> None:
        given = script(source, runtime=runtime)
        assert (given.code, given.message) == (3, f"source has a NUL character{line}, which no program can be given")

    def test_arguments_variables_and_names_with_nul_are_errors(self) -> None:
        for given, message in (
            (process("echo", "a\0b"), "command[1] has a NUL character, which no program can be given"),
            (process("ec\0ho"), "command[0] has a NUL character, which no program can be given"),
            (script("true", runtime="ba\0sh"), "runtime has a NUL character, which no program can be given"),
            (script("true", env={"A": "a\0"}), "env 'A' has a NUL character in its value, which no variable can hold"),
            (script("true", env={"A\0": "a"}), "env 'A\\x00' cannot be an environment variable"),
            (script("true", workingDir="a\0b"), "workingDir has a NUL character, which no name of a folder can have"),
            (script("true", files={"a\0b": ""}), "files: 'a\\x00b' is not a path below the workspace"),
        ):
            assert (given.code, given.message) == (3, message)

    def test_stdin_is_empty(self) -> None:
        assert script("cat; echo end").outputs["stdout"] == "end"


class TestOutputs:
    def test_lines_are_read_as_json_unless_declared_text(self) -> None:
        source = 'printf "count=5\\n\\ntext=5\\nfree=[1]\\nword = hello world\\n" >> "$AETHER_OUTPUTS"'
        given = script(source, outputs={"count": "integer", "text": "string"})
        values = {name: given.outputs[name] for name in ("count", "text", "free", "word")}
        assert values == {"count": 5, "text": "5", "free": [1], "word": " hello world"}

    def test_a_json_object(self) -> None:
        source = "import json, os\njson.dump({'a': 1, 'b': 'x'}, open(os.environ['AETHER_OUTPUTS'], 'w'))"
        given = script(source, runtime="python3")
        assert (given.outputs["a"], given.outputs["b"]) == (1, "x")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a=1\nno equals sign", f"line 2 {NEITHER}: 'no equals sign'"),
            ("=1", f"line 1 {NEITHER}: '=1'"),
            ("[1]", f"line 1 {NEITHER}: '[1]'"),
            ('{"a": NaN}', "the outputs file is not a JSON object: NaN is not JSON"),
            ('{"a": 1e999}', "the outputs file is not a JSON object: number 1e999 is too large"),
            ('{"a": ' + "[" * 100_000, "the outputs file is not a JSON object: JSON is nested too deeply"),
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
        assert dict(given.outputs) == {"stdout": "one\n", "exit-code": 0}

    @pytest.mark.parametrize(("type_", "value"), [("string", "[1]"), ("array", [1]), ("any", [1])])
    def test_result_is_stdout(self, type_: str, value: object) -> None:
        assert script("echo '[1]'", outputs={"result": type_}).outputs["result"] == value

    def test_result_in_the_file_wins(self) -> None:
        given = script("echo noise; echo result=1 > $AETHER_OUTPUTS", outputs={"result": "integer"})
        assert given.outputs["result"] == 1

    def test_broken_bytes_and_nuls_survive_as_text(self) -> None:
        assert script("printf 'a\\377\\000b'").outputs["stdout"] == "a\ufffd\0b"

    def test_the_outputs_of_a_failure_are_kept(self) -> None:
        given = script("echo a=1 > $AETHER_OUTPUTS; exit 4")
        assert (given.code, given.outputs["a"], given.outputs["exit-code"]) == (2, 1, 4)


@pytest.mark.rule("SPEC-6")
class TestFiles:
    def file(self, name: str, type_: str = "any", file: str = "out.txt", *sources: Literal) -> OutputBinding:
        return OutputBinding(name, type_, sources, file=file)

    def test_the_text_is_the_value(self, tmp_path: Path) -> None:
        bindings = (self.file("text"), self.file("number", "integer", "sub/n"))
        source = "echo 42 > out.txt; mkdir sub; echo 42 > sub/n"
        given = script(source, workingDir=str(tmp_path), bindings=bindings)
        assert (given.code, given.outputs["text"], given.outputs["number"]) == (0, "42", 42)

    def test_a_missing_one_is_an_error(self, tmp_path: Path) -> None:
        given = script("true", workingDir=str(tmp_path), bindings=(self.file("text"),))
        assert (given.code, given.message) == (3, "file 'out.txt' of output 'text' does not exist")

    def test_unless_something_else_fills_it(self, tmp_path: Path) -> None:
        bindings = (self.file("text", "any", "out.txt", Literal("none")),)
        given = script("true", workingDir=str(tmp_path), bindings=bindings)
        assert (given.code, "text" in given.outputs) == (0, False)

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
        assert "exit-code" not in given.outputs

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

    def test_no_runtime_is_bash(self) -> None:
        assert script("echo ${BASH_VERSION:+yes}", runtime=None).outputs["stdout"] == "yes"

    @pytest.mark.parametrize(
        ("runtime", "message"),
        [(" ", "runtime is empty"), ("'bash", 'runtime "\'bash" is not a command: no closing quotation')],
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
        assert script(source, runtime=runtime).outputs["stdout"] == "yes"

    def test_arguments_of_the_runtime_count(self) -> None:
        assert script("false; echo no", runtime="bash -e").code == 2

    def test_a_large_source(self) -> None:
        assert script("#" + "x" * 1_000_000 + "\necho yes").outputs["stdout"] == "yes"

    def test_python_is_there_without_a_path(self) -> None:
        given = script("import sys; print(sys.executable)", runtime="python3", env={"PATH": "/nowhere"})
        assert given.outputs["stdout"] == sys.executable

    def test_python_finds_modules_in_the_working_directory(self, tmp_path: Path) -> None:
        (tmp_path / "helper.py").write_text("ANSWER = 42")
        given = script("import helper; print(helper.ANSWER)", runtime=sys.executable, workingDir=str(tmp_path))
        assert given.outputs["stdout"] == "42"

    def test_a_command_sees_no_shell(self) -> None:
        assert process("echo", "$HOME;", "*", 5).outputs["stdout"] == "$HOME; * 5"

    def test_an_empty_command(self) -> None:
        assert process().message == "command is empty"


class TestOutputInBulk:
    def test_a_line_longer_than_any_buffer(self) -> None:
        context = RecordingContext()
        given = script("head -c 300000 /dev/zero | tr '\\0' x", context=context)
        assert len(given.outputs["stdout"]) == len(context.text("stdout")) == 300_000

    @pytest.mark.rule("DATA-9")
    def test_stdout_that_is_too_large_is_left_out_and_told(self) -> None:
        context = RecordingContext()
        given = script(LARGE, context=context)
        assert (given.code, dict(given.outputs)) == (0, {"exit-code": 0})
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
        assert name not in given.outputs

    @pytest.mark.rule("DATA-9")
    @pytest.mark.parametrize(
        ("source", "outputs"), [("", {"n": "integer"}), ("echo result=1 >> $AETHER_OUTPUTS;", {"result": "any"})]
    )
    def test_or_nothing_where_others_are_declared(self, source: str, outputs: dict[str, str]) -> None:
        given = script(f"{source} {LARGE}", outputs=outputs)
        assert (given.code, list(given.warnings)) == (0, [])

    @pytest.mark.rule("DATA-9")
    def test_exactly_the_limit_is_whole(self) -> None:
        given = script(f"head -c {programs.VALUE_LIMIT} /dev/zero | tr '\\0' x")
        assert given.outputs["stdout"] == "x" * programs.VALUE_LIMIT

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
        assert gone(int(given.outputs["stdout"]))

    def test_somebody_who_left_the_group_does_not_hold_us_up(self) -> None:
        source = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  print(os.getpid(), flush=True)\n  time.sleep(100)"
        given = script(source, runtime=sys.executable)
        pid = int(given.outputs["stdout"])
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)

    def test_files_go_with_the_attempt(self) -> None:
        given = script('dirname "$AETHER_OUTPUTS"; pwd; touch it; stat -c %a "$(dirname "$AETHER_OUTPUTS")" .')
        files, workspace, *modes = given.outputs["stdout"].split()
        assert modes == ["700", "700"]
        assert files != workspace
        assert not Path(files).exists()
        assert not Path(workspace).exists()

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
    assert json.loads(given.outputs["stdout"]) == {"a": "\ud800ü"}


class TestFilesThatAreNone:
    """A named pipe as an output would keep a reader, and with it the whole engine, waiting for ever."""

    def test_the_outputs_file(self) -> None:
        given = script('rm "$AETHER_OUTPUTS"; mkfifo "$AETHER_OUTPUTS"')
        assert (given.code, given.message) == (3, "the outputs file is not a regular file")

    def test_the_file_of_an_output(self, tmp_path: Path) -> None:
        pipe = str(tmp_path / "pipe")
        output = OutputBinding("x", "any", (), None, file=pipe)
        given = script(f"mkfifo {pipe}", bindings=(output,))
        assert (given.code, given.message) == (3, f"file {pipe!r} of output 'x' is not a regular file")


def test_a_cancel_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """The start is one piece: whenever the cancel comes, the process is not there yet or is ended with its group."""
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    source = f"exec 9> {tmp_path}/held; sleep 600 & wait"

    async def go(turns: int) -> None:
        running = asyncio.ensure_future(attempt(ScriptExecutor(), assignment("script", Sample({"source": source}))))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    for turns in range(80):
        asyncio.run(go(turns))
    assert not child._groups
    os.close(os.open(tmp_path / "held", os.O_WRONLY))  # a pipe that nobody ever wrote to tells no end
    os.set_blocking(held, True)
    assert select.select([held], [], [], 10)[0]
    assert os.read(held, 1) == b""
    os.close(held)


class TestEnvironment:
    """`inherit` (EXEC-3)."""

    def names(self, **config: Any) -> set[str]:
        given = process(sys.executable, "-c", "import os; print(' '.join(os.environ))", **config)
        return {name for name in given.outputs["stdout"].split() if not name.startswith(("AETHER_", "LC_"))}

    def test_a_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANTED", "1")
        monkeypatch.setenv("UNWANTED", "1")
        assert self.names(inherit=["WANTED", "NOT_SET"], env={"MORE": "1"}) == {"WANTED", "MORE"}

    @pytest.mark.parametrize("nothing", ["none", []])
    def test_none(self, nothing: Any) -> None:
        assert self.names(inherit=nothing) == set()

    def test_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("odd.name", "1")
        assert {"odd.name", "PATH"} <= self.names(inherit="all")

    def test_programs_are_found_all_the_same(self) -> None:
        assert script("echo here", inherit="none", runtime="sh").outputs["stdout"] == "here"

    @pytest.mark.rule("DATA-12")
    def test_a_secret_is_wired_and_not_inherited(self) -> None:
        given = script("true", inherit=["AETHER_SECRET_X"])
        assert given.message == "inherit: 'AETHER_SECRET_X' is a secret: wire it to `env` by a parameter with a secretKeyRef"


class TestLaidFiles:
    """`files` (EXEC-3)."""

    def test_are_private_and_gone_at_the_end(self, tmp_path: Path) -> None:
        source = f"stat -c '%a %n' key sub/conf; cat sub/conf; cp -r . {tmp_path}/copy; ls -A {tmp_path}/copy"
        given = script(source, files={"key": "k", "sub/conf": 5})
        assert given.outputs["stdout"] == "600 key\n600 sub/conf\n5key\nsub"

    def test_nothing_is_left_of_them_whatever_became_of_them(self) -> None:
        context = RecordingContext()
        seen: list[list[str]] = []
        context.close = lambda: seen.append(sorted(os.listdir(context.workspace)))  # type: ignore[method-assign]
        script("rm key; mkdir key; touch own sub/own", files={"key": "k", "sub/conf": "x", "gone/x": "x"}, context=context)
        assert seen == [["key", "own", "sub"]]

    @pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", ".", "a/", "a\0b"])
    def test_only_below_the_workspace(self, name: str) -> None:
        given = script("true", files={name: "x"})
        assert (given.code, given.message) == (3, f"files: {name!r} is not a path below the workspace")

    def test_nothing_is_written_over_or_through_a_link(self, tmp_path: Path) -> None:
        context = RecordingContext()
        (context.workspace / "there").write_text("kept")
        (context.workspace / "link").symlink_to(tmp_path)
        wrong = {"there": "file exists", "link/x": "'link' is not a folder", "there/x": "'there' is not a folder"}
        for name, reason in wrong.items():
            task = assignment("script", Sample({"source": "true", "files": {name: "x"}}))
            given = asyncio.run(ScriptExecutor().execute(task, context))
            assert (given.code, given.message) == (3, f"files: {name!r} cannot be written: {reason}")
        assert (context.workspace / "there").read_text() == "kept"
        assert list(tmp_path.iterdir()) == []
        context.close()


class TestSuccess:
    """`success` (EXEC-3)."""

    def test_other_exit_codes(self) -> None:
        codes = {"exitCodes": [0, 3]}
        assert [script(f"exit {code}", success=codes).code for code in (0, 3, 1)] == [0, 0, 2]
        assert script("exit 3", success=codes).outputs["exit-code"] == 3
        assert script("true", success={"exitCodes": [1]}).message == "exit code 0"

    @pytest.mark.parametrize(
        ("success", "message"),
        [
            ({"require": ["made", "out/x"]}, "exit code 0, but 'out/x' is not there (success.require)"),
            ({"forbid": ["core", "made"]}, "exit code 0, but 'made' is there (success.forbid)"),
        ],
    )
    def test_files(self, success: dict[str, Any], message: str) -> None:
        given = script("touch made", success=success)
        assert (given.code, given.message) == (2, message)

    def test_files_that_are_as_they_should_be(self) -> None:
        assert script("touch made", success={"require": ["made"], "forbid": ["core"]}).code == 0


class TestStop:
    """`stop` (EXEC-3)."""

    def stopped(self, source: str, **stop: Any) -> tuple[str, float]:
        """What the program said, and how long stopping took, when it was stopped after its first line."""
        context = RecordingContext()

        async def go() -> float:
            ready = asyncio.Event()
            log = context.log

            def noting(text: str, stream: Any = "stdout") -> None:
                log(text, stream)
                ready.set()

            context.log = noting  # type: ignore[method-assign]
            task = assignment("script", Sample({"source": source, "stop": stop}))
            running = asyncio.ensure_future(attempt(ScriptExecutor(), task, context))
            await ready.wait()
            running.cancel()
            begun = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await running
            return time.monotonic() - begun

        seconds = asyncio.run(go())
        return context.text("stdout"), seconds

    def test_another_signal(self) -> None:
        said, _ = self.stopped("trap 'echo int; exit' INT; echo up; while :; do sleep 0.02; done", signal="INT", grace="10s")
        assert said == "up\nint\n"

    def test_a_short_grace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(child, "GRACE_S", 60.0)
        said, seconds = self.stopped("trap '' TERM; echo up; while :; do sleep 0.02; done", grace="50ms")
        assert (said, seconds < 30) == ("up\n", True)


class TestArtifacts:
    """`stdout` and `stderr` that become artifacts (EXEC-3, DATA-9)."""

    def run(self, source: str, context: RecordingContext | None = None, **config: Any) -> tuple[TaskResult, dict[str, bytes]]:
        context = context or RecordingContext()
        artifacts = tuple(ArtifactOutput(name, f"out/{name}", None, None) for name in ("log", "trace"))
        task = assignment("script", Sample({"source": source, **config}))
        task.target = replace(task.target, artifacts=artifacts)
        given = asyncio.run(ScriptExecutor().execute(task, context))
        files = {name: context.workspace / "out" / name for name in ("log", "trace")}
        kept = {name: file.read_bytes() for name, file in files.items() if file.exists()}
        context.close()
        return given, kept

    def test_any_size_and_any_bytes_and_no_log(self) -> None:
        context = RecordingContext()
        given, kept = self.run("head -c 3000000 /dev/zero; printf '\\377'; echo said >&2", context, stdout={"artifact": "log"})
        assert (given.code, dict(given.outputs), list(given.warnings)) == (0, {"exit-code": 0}, [])
        assert kept == {"log": b"\0" * 3_000_000 + b"\377"}
        assert context.logged == [("stderr", "said\n")]

    def test_both_in_one(self) -> None:
        _, kept = self.run("echo a; echo b >&2; echo c", stdout={"artifact": "log"}, stderr={"artifact": "log"})
        assert kept == {"log": b"a\nb\nc\n"}

    def test_the_last_line_of_stderr_is_still_told(self) -> None:
        given, kept = self.run("seq 100000 >&2; echo why >&2; exit 2", stderr={"artifact": "trace"})
        assert (given.code, given.message, kept["trace"][-10:]) == (2, "exit code 2: why", b"100000\nwhy"[-9:] + b"\n")

    def test_one_that_is_not_declared(self) -> None:
        given, _ = self.run("true", stdout={"artifact": "nothing"})
        assert (given.code, given.message) == (3, "stdout.artifact: the task declares no output artifact of that name")


@pytest.mark.parametrize(
    ("runtime", "source", "said"),
    [
        ("sh -c", "echo yes", "yes"),
        ("bash -euc", "echo $-", "ehuB"),
        (f"{sys.executable} -c", "print('yes')", "yes"),
        (f"{sys.executable} -Ic", "import sys; print(sys.flags.isolated)", "1"),
        ("perl -e", "print 'yes'", "yes"),
        ("bash -e", "echo yes; false; echo no", "yes"),
    ],
)
def test_a_runtime_with_a_flag_for_its_source(runtime: str, source: str, said: str) -> None:
    """`sh -c` works, with a source of any length."""
    given = script(source + "\n#" + "x" * 200_000, runtime=runtime)
    assert (given.message in ("", "exit code 1"), given.outputs["stdout"]) == (True, said)


@pytest.mark.rule("DATA-12")
class TestMasking:
    """Half a secret is not known as one: what is quoted or cut is masked before."""

    SECRET = "it's \"q\"/" + "s3cr3t" * 100

    def message(self, source: str, **config: Any) -> str:
        context = RecordingContext(secrets=[self.SECRET])
        given = script(source, env={"SECRET": self.SECRET}, context=context, **config)
        text = f"{given.message} {' '.join(given.warnings)}"
        assert "s3cr3t" not in text
        return text.strip()

    def test_the_last_line_of_stderr(self) -> None:
        assert self.message('echo "x $SECRET y" >&2; exit 1') == "exit code 1: x *** y"

    @pytest.mark.parametrize("filler", [0, 400, 4000, 65_000, 65_536 - 700, 65_536 - 300, 65_536 + 10, 200_000])
    def test_wherever_it_stands_in_what_is_kept(self, filler: int) -> None:
        """Also where the end of stderr that is kept begins, or a long line is cut."""
        line = f"printf '%{filler}s' ''"
        assert "exit code 1" in self.message(f'(echo "$SECRET"; {line}; echo; echo why) >&2; exit 1')
        assert "exit code 1" in self.message(f'({line}; printf "$SECRET"; {line}) >&2; exit 1')
        assert "exit code 1" in self.message(f'(printf "$SECRET"; {line}; printf "$SECRET") >&2; exit 1')

    def test_a_line_of_the_outputs_file(self) -> None:
        assert self.message('echo "$SECRET" > $AETHER_OUTPUTS') == f"line 1 {NEITHER}: '***'"
        assert self.message('echo "a<<$SECRET" > $AETHER_OUTPUTS') == f"line 1 {NEITHER}: 'a<<***'"

    def test_the_end_of_a_block(self) -> None:
        context = RecordingContext(secrets=[self.SECRET[9:]])
        given = script("echo a'<<'$SECRET > $AETHER_OUTPUTS", env={"SECRET": self.SECRET[9:]}, context=context)
        text = "the block 'a' that begins in line 1 of the outputs file has no line '***' as its end"
        assert (given.code, given.message) == (3, text)

    def test_a_name_of_an_output(self) -> None:
        source = "import json, os; json.dump({os.environ['SECRET']: 1}, open(os.environ['AETHER_OUTPUTS'], 'w'))"
        assert self.message(source, runtime="python3", outputs={"n": "any"}).startswith("output '***' was written and not kept")

    @pytest.mark.parametrize("program", ["runtime", "command"])
    def test_a_program_that_cannot_be_started(self, program: str) -> None:
        context = RecordingContext(secrets=[self.SECRET])
        if program == "runtime":
            given = script("", runtime=f"'{self.SECRET}'", context=context)
            assert given.message == "runtime \"'***'\" is not a command: no closing quotation"
            given = script("", runtime=f"x'-{self.SECRET}", context=context)
            assert given.message.startswith("cannot start \"x'-***\"")
        else:
            task = assignment("process", Sample({"command": [self.SECRET]}))
            given = asyncio.run(attempt(ProcessExecutor(), task, context))
            assert given.message.startswith("cannot start '***'")

    def test_a_file_that_must_be_there(self) -> None:
        assert "'***' is not there" in self.message("true", success={"require": [self.SECRET]})


@pytest.mark.parametrize("source", ["exit 3", "sleep 0.05; exit 3"])
def test_where_the_system_has_no_descriptors_of_processes(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert script(source).outputs["exit-code"] == 3


def test_an_end_takes_no_thread(tmp_path: Path) -> None:
    """Hundreds of running programs need no hundreds of threads."""
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    sample = Sample({"source": f"read line < {tmp_path}/gate", "runtime": "sh"})

    async def go() -> int:
        running = [asyncio.ensure_future(attempt(ScriptExecutor(), assignment("script", sample))) for _ in range(10)]
        while len(child._groups) < 10:  # noqa: ASYNC110
            await asyncio.sleep(0)
        most = threading.active_count()
        os.write(gate, b"\n" * 10)
        await asyncio.gather(*running)
        return most

    before = threading.active_count()
    assert asyncio.run(go()) <= before
    os.close(gate)
