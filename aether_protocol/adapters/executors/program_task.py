"""Runs a program for `script` and `process` and reads its verdict (EXEC-3).

Law: both are one mechanism and differ only in how the command line is made. Exit code 0 (or one of `success`) is Succeeded,
another one is Failed (the program's verdict); what kept the program from giving a verdict (it could not start, a signal ended
it, its outputs cannot be read) is an Error. POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.adapters.executors.child_process import KILLED_S, Child, ChildEnd, Excess, ProcessSpec, run_child
from aether_protocol.adapters.executors.files import laid
from aether_protocol.adapters.executors.io_files import Exchange, OutputsError
from aether_protocol.adapters.executors.limits import limited, read_limits
from aether_protocol.adapters.executors.outputs import CollectedOutputs, read_files, read_outputs, read_stdout
from aether_protocol.adapters.executors.results import shorten
from aether_protocol.adapters.executors.streams import ChildStream, File, Pipe
from aether_protocol.execution.capacity import FullError, begin
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json, as_text
from aether_protocol.ports.executor import ExecutionContext
from aether_protocol.ports.wire import ERROR, FAILED, SUCCEEDED, TaskAssignment, TaskResult

# What interpreters like their files to be called: some refuse others, and tracebacks look right.
_SUFFIXES: Final = {
    "bash": ".sh",
    "sh": ".sh",
    "dash": ".sh",
    "zsh": ".sh",
    "node": ".js",
    "deno": ".ts",
    "bun": ".ts",
    "perl": ".pl",
    "ruby": ".rb",
    "php": ".php",
    "pwsh": ".ps1",
    "lua": ".lua",
}

# The flag with which an interpreter takes a source as its argument. It is left out: the source is a file.
_SOURCE_FLAGS: Final = {"node": "e", "perl": "e", "ruby": "e", "lua": "e", "php": "r"}
_SHELLS: Final = ("bash", "sh", "dash", "zsh", "ksh", "ash")

VALUE_LIMIT: Final = 1_048_576  # bytes of standard output that can be a value
MESSAGE_LIMIT: Final = 500  # characters of the last line of stderr in a message
PROGRAM_LIMIT: Final = 200  # characters of a program's name in a message

Config = dict[str, Json]
Environment = dict[str, str]
CommandLine = Callable[[Config, Exchange, Environment, str], list[str]]

TRACEPARENT: Final = "TRACEPARENT"
_TRACE_CONTEXT: Final = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
DOCUMENT: Final = "document"  # the workingDir that is the document's folder


class _Prepared(Struct):
    """An attempt whose files lie there, and how its streams are made."""

    exchange: Exchange
    command: ProcessSpec
    folder: Path
    limits: dict[str, int]
    files: dict[str, Path]  # the artifacts that streams go to
    undo: contextlib.ExitStack


class _NotStartedError(Exception):
    """The files lie there, and the program cannot be started. The text says why."""


async def run_program(task: TaskAssignment, context: ExecutionContext, command_line: CommandLine) -> TaskResult:
    """One attempt: the command line that `command_line` makes, run to its end."""
    try:
        # in one piece: what waits for room holds none
        ready, child = await begin(lambda: _start(task, context, command_line), _note(context))
    except (ValueError, _NotStartedError) as error:
        return task.fail(str(error), ERROR)
    except OSError as error:
        return task.fail(f"cannot begin: {_reason(error)}", ERROR)
    if ready.command.grace_s is not None:
        context.stops_within(ready.command.grace_s + KILLED_S)
    with ready.undo:
        return _read_end(task, await run_child(child, ready.command), ready, context)


def _start(task: TaskAssignment, context: ExecutionContext, command_line: CommandLine) -> tuple[_Prepared, Child]:
    """Lay down the files and start the program. Raises ValueError, OSError or _NotStartedError, and leaves nothing then."""
    ready = _prepare(task, context, command_line)
    with contextlib.ExitStack() as undo:
        undo.push(ready.undo)
        command = ready.command
        try:
            program = [_program(command.argv[0], dict(command.env)), *command.argv[1:]]
            argv = limited(program, ready.limits, command.cwd)
            child = Child(replace(command, argv=argv), _streams(ready, context))
        except (OSError, ValueError) as error:
            name = _name(task.config, command.argv[0], context.mask)
            raise _NotStartedError(_not_started(name, command, error, task.folder)) from error
        undo.pop_all()
        return ready, child


def _note(context: ExecutionContext) -> Callable[[str], None]:
    return lambda text: context.log(text, "stderr")


def _prepare(task: TaskAssignment, context: ExecutionContext, command_line: CommandLine) -> _Prepared:
    """Lay down all files of the attempt. Raises ValueError or OSError, and leaves nothing then."""
    config: Config = task.config or {}
    with contextlib.ExitStack() as undo:
        exchange = undo.enter_context(Exchange.opened(task, context.scratch))
        workspace = context.workspace
        folder = working_folder(task, context, config.get("workingDir"))
        env = exchange.environment(task, config, places(task, context) | trace(task, config), _note(context))
        try:
            argv = command_line(config, exchange, env, str(folder))
        except _CommandError as error:
            raise ValueError(error.told(context.mask)) from None
        undo.enter_context(laid(config.get("files"), workspace))
        stop = config.get("stop") or {}
        command = ProcessSpec(
            argv,
            env,
            str(folder),
            signal.Signals[f"SIG{stop.get('signal') or 'TERM'}"],
            parse_duration(stop["grace"], zero=True) / 1_000_000 if stop.get("grace") is not None else None,
        )
        files = _artifact_files(task, config, workspace)
        return _Prepared(exchange, command, folder, read_limits(config.get("limits")), files, undo.pop_all())


def _artifact_files(task: TaskAssignment, config: Config, workspace: Path) -> dict[str, Path]:
    """The files of the streams that become artifacts. Raises ValueError for one that is not declared."""
    files: dict[str, Path] = {}
    for stream in ("stdout", "stderr"):
        name = (config.get(stream) or {}).get("artifact")
        if name is None:
            continue
        path = next((one.path for one in task.target.artifacts if one.name == name), None)
        if path is None:
            raise ValueError(f"{stream}.artifact: the task declares no output artifact of that name")
        files[stream] = workspace / path
    return files


def _streams(ready: _Prepared, context: ExecutionContext) -> Callable[[Excess], tuple[ChildStream, ChildStream]]:
    def make(excess: Excess) -> tuple[ChildStream, ChildStream]:
        with contextlib.ExitStack() as undo:
            made = []
            for name in ("stdout", "stderr"):
                stream = _stream(name, excess)
                undo.callback(stream.drain)
                made.append(stream)
            undo.pop_all()
            return made[0], made[1]

    def _stream(name: str, excess: Excess) -> ChildStream:
        if name in ready.files:
            return File(ready.files[name])
        on_text = (lambda text: context.log(text, "stdout")) if name == "stdout" else _note(context)
        return Pipe(on_text, VALUE_LIMIT if name == "stdout" else 0, ready.limits.get("output"), excess.of(name))

    return make


class _CommandError(Exception):
    """A config gives no command line. `text` has a place `{}` for `raw`, which is masked before it is quoted."""

    def __init__(self, text: str, raw: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.raw = raw

    def told(self, mask: Callable[[str], str]) -> str:
        return self.text.format(repr(shorten(mask(self.raw), PROGRAM_LIMIT)))


def working_folder(task: TaskAssignment, context: ExecutionContext, given: str | None) -> Path:
    """Where the program runs (ART-4): the workspace, a folder relative to it, the document's, or an absolute one. Raises
    ValueError where the document has none."""
    if given is not None and "\0" in given:
        raise ValueError("workingDir has a NUL character, which no name of a folder can have")
    if given != DOCUMENT:
        return context.workspace / (given or ".")
    if task.folder is None:
        raise ValueError("workingDir is 'document', and the document did not come from a file")
    return Path(task.folder)


def places(task: TaskAssignment, context: ExecutionContext) -> dict[str, str]:
    """The variables that name folders (ART-4)."""
    named = {"AETHER_WORKSPACE": str(context.workspace), "AETHER_RUN_DIR": str(context.shared)}
    return named if task.folder is None else {**named, "AETHER_DOCUMENT_DIR": task.folder}


def trace(task: TaskAssignment, config: Config) -> dict[str, str]:
    """The variable with the W3C trace context of the attempt, so that a program continues its trace; `env` wins."""
    context = task.trace_context
    if context is None or TRACEPARENT in (config.get("env") or {}) or re.fullmatch(_TRACE_CONTEXT, context) is None:
        return {}
    return {TRACEPARENT: context}


def process_command(config: Config, exchange: Exchange, env: Environment, cwd: str) -> list[str]:
    """The command line of `process`. Raises _CommandError where the config gives none."""
    command = [as_text(part) for part in config["command"]]
    if not command or not command[0]:
        raise _CommandError("command is empty")
    for number, part in enumerate(command):
        _refuse_nul(f"command[{number}]", part)
    return command


def script_command(config: Config, exchange: Exchange, env: Environment, cwd: str) -> list[str]:
    """The command line of `script`, its source in a file. Raises _CommandError where the runtime is not a command.

    Python takes modules from the working directory, as with `python -c`, and shows its output as it comes.
    """
    runtime = config.get("runtime")
    if runtime is None:
        runtime = "bash"
    try:
        command = shlex.split(runtime)
    except ValueError as error:
        raise _CommandError(f"runtime {{}} is not a command: {str(error).lower()}", runtime) from None
    if not command:
        raise _CommandError("runtime is empty")
    _refuse_nul("runtime", runtime)
    _refuse_nul("source", config["source"])
    _drop_source_flag(command)
    if _is_python(command[0]):
        path = env.get("PYTHONPATH")
        env["PYTHONPATH"] = f"{cwd}{os.pathsep}{path}" if path else cwd
        env.setdefault("PYTHONUNBUFFERED", "1")
    file = exchange.folder / f"aether-script{_suffix(command[0])}"
    file.write_bytes(config["source"].encode("utf-8", errors="replace"))
    return [*command, str(file)]


def _refuse_nul(what: str, text: str) -> None:
    """Raise _CommandError for text that no program can be given: the system ends arguments and scripts at a NUL."""
    at = text.find("\0")
    if at >= 0:
        line = f" in line {text.count(chr(10), 0, at) + 1}" if "\n" in text else ""
        raise _CommandError(f"{what} has a NUL character{line}, which no program can be given")


def _drop_source_flag(command: list[str]) -> None:
    """`sh -c` means that the source is an argument. It is a file here, of any length, so the flag goes: `sh -ec` is `sh -e`."""
    name = os.path.basename(command[0])
    flag = "c" if _is_python(name) or name in _SHELLS else _SOURCE_FLAGS.get(name)
    last = command[-1]
    if len(command) > 1 and flag is not None and last.startswith("-") and not last.startswith("--") and last.endswith(flag):
        command[-1] = last.removesuffix(flag)
        if command[-1] == "-":
            command.pop()


def _read_end(task: TaskAssignment, end: ChildEnd, ready: _Prepared, context: ExecutionContext) -> TaskResult:
    """How the process ended and what it wrote, as the result of the attempt."""
    config: Config = task.config or {}
    found = CollectedOutputs(context.mask)
    if end.returncode >= 0:
        found.values["exit-code"] = end.returncode
    declared = task.declared_outputs
    try:
        read_outputs(ready.exchange.written(), declared, found)
    except OutputsError as fault:
        found.faults.append(str(fault))
    if "stdout" not in ready.files:
        read_stdout(end.stdout.value(), VALUE_LIMIT, declared, found)
    read_files(declared, ready.folder, found)
    code, message = _verdict(config.get("success") or {}, end, ready, context)
    if code != SUCCEEDED:  # there is a reason already
        found.warnings.extend(found.faults)
    elif found.faults:
        code, message = ERROR, "; ".join(found.faults)
    return TaskResult(task.ref, code, message, found.values, warnings=found.warnings)


def _verdict(success: Config, end: ChildEnd, ready: _Prepared, context: ExecutionContext) -> tuple[int, str]:
    if end.excess is not None:
        where = {"stdout": "standard output", "stderr": "standard error"}[end.excess]
        return ERROR, f"killed: it wrote more than the {ready.limits['output']} bytes of limits.output to {where}"
    if end.returncode < 0:
        return ERROR, f"killed by signal {_signal_name(-end.returncode)}{_reached(-end.returncode, ready.limits)}"
    codes = success.get("exitCodes")
    if end.returncode not in ([0] if codes is None else codes):
        return FAILED, _exit_message(end, context.mask)
    for field, wanted, fault in (("require", True, "is not there"), ("forbid", False, "is there")):
        for name in success.get(field) or ():
            if os.path.lexists(ready.folder / name) is not wanted:
                name = shorten(context.mask(name), PROGRAM_LIMIT)
                return FAILED, f"exit code {end.returncode}, but {name!r} {fault} (success.{field})"
    return SUCCEEDED, ""


def _reached(number: int, limits: dict[str, int]) -> str:
    """Which limit a signal tells of."""
    if "cpu" in limits and number in (signal.SIGXCPU, signal.SIGKILL):
        spent = f"the {limits['cpu']} s of limits.cpu"
        return f": it used up {spent}" if number == signal.SIGXCPU else f" (it may have used up {spent})"
    if "output" in limits and number == signal.SIGXFSZ:
        return f": a file grew beyond the {limits['output']} bytes of limits.output"
    return ""


def _exit_message(end: ChildEnd, mask: Callable[[str], str]) -> str:
    message = f"exit code {end.returncode}"
    tail = end.stderr.tail()
    if tail is None:
        return f"{message}: the last line on standard error is too long to be shown"
    lines = mask(tail).split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{message}: {shorten(last, MESSAGE_LIMIT)}" if last else message


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _program(name: str, env: dict[str, str]) -> str:
    """The program's file, looked up in the PATH that it will run under; a Python is there even where PATH has none."""
    if "/" in name:
        return name
    found = shutil.which(name, path=env.get("PATH"))
    if found is None and name in ("python", "python3"):
        found = sys.executable
    return found or name


def _name(config: Config, program: str, mask: Callable[[str], str]) -> str:
    """The program as it is named: from the runtime as it was written, where a secret in it was taken apart."""
    runtime = config.get("runtime")
    if isinstance(runtime, str) and (masked := mask(runtime)) != runtime:
        return masked
    return mask(program)


def _not_started(program: str, command: ProcessSpec, error: OSError | ValueError, origin: str | None) -> str:
    program = shorten(program, PROGRAM_LIMIT)
    cwd, path = command.cwd, command.argv[0]
    if cwd is not None and not os.path.isdir(cwd):
        return f"cannot start {program!r}: working directory {cwd!r} does not exist"
    if isinstance(error, FileNotFoundError):
        if "/" in path and not os.path.isabs(path):
            beside = origin is not None and os.path.exists(os.path.join(origin, path))
            told = "it lies beside the document: set workingDir: document, or put it into bin/ there and call it by its name"
            return f"cannot start {program!r}: it is not in the workspace{'; ' + told if beside else ''}"
        return f"cannot start {program!r}: no such command (is it installed and on PATH?)"
    return f"cannot start {program!r}: {_reason(error)}"


def _reason(error: OSError | ValueError) -> str:
    """Why, without the number of the error and without names, which may hold secrets."""
    if isinstance(error, FullError):
        return str(error.strerror)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return reason.lower()


def _is_python(program: str) -> bool:
    return os.path.basename(program).startswith(("python", "pypy"))


def _suffix(program: str) -> str:
    return ".py" if _is_python(program) else _SUFFIXES.get(os.path.basename(program), "")
