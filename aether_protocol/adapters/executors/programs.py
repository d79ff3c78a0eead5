"""Runs a program for `script` and `process` and reads its verdict (EXEC-3).

Law: both are one mechanism and differ only in how the command line is made. Exit code 0 is Succeeded, another one is
Failed (the program's verdict); what kept the program from giving a verdict (it could not start, a signal ended it, its
outputs cannot be read) is an Error. POSIX only.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aether_protocol.adapters.executors.child import ChildEnd, run_child
from aether_protocol.adapters.executors.exchange import Exchange, OutputsError, file_outputs
from aether_protocol.adapters.executors.results import ERROR, FAILED, SUCCEEDED, result
from aether_protocol.expressions.values import Json, as_text
from aether_protocol.ports.executor import ExecutionContext
from aether_protocol.ports.wire import TaskAssignment, TaskResult

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

_MESSAGE_LIMIT: Final = 500  # characters of the last line of stderr in a message


Config = dict[str, Json]
Environment = dict[str, str]
CommandLine = Callable[[Config, Exchange, Environment], list[str]]


async def run_program(task: TaskAssignment, context: ExecutionContext, command_line: CommandLine) -> TaskResult:
    """One attempt: the command line that `command_line` makes, run to its end."""
    config: Config = task.config or {}
    with Exchange.opened(task) as exchange:
        try:
            env = exchange.environment(task, config.get("env") or {}, lambda text: context.log(text, "stderr"))
            argv = command_line(config, exchange, env)
        except ValueError as error:
            return result(task, ERROR, str(error))
        cwd = str(context.workspace / (config.get("workingDir") or "."))
        try:
            end = await run_child(
                [_program(argv[0], env), *argv[1:]],
                env=env,
                cwd=cwd,
                on_stdout=lambda text: context.log(text, "stdout"),
                on_stderr=lambda text: context.log(text, "stderr"),
            )
        except (OSError, ValueError) as error:
            return result(task, ERROR, _not_started(argv[0], cwd, error))
        return _read_end(task, end, exchange, Path(cwd))


def process_command(config: Config, exchange: Exchange, env: Environment) -> list[str]:
    """The command line of `process`. Raises ValueError where the config gives none."""
    command = [as_text(part) for part in config["command"]]
    if not command or not command[0]:
        raise ValueError("command is empty")
    return command


def script_command(config: Config, exchange: Exchange, env: Environment) -> list[str]:
    """The command line of `script`, its source in a file. Raises ValueError where the runtime is no command.

    Python takes modules from the working directory, as with `python -c`, and shows its output as it comes.
    """
    runtime = config.get("runtime")
    if runtime is None:
        runtime = "bash"
    try:
        command = shlex.split(runtime)
    except ValueError as error:
        raise ValueError(f"runtime {runtime!r} is no command: {str(error).lower()}") from None
    if not command:
        raise ValueError("runtime is empty")
    if _is_python(command[0]):
        folder = os.path.abspath(config.get("workingDir") or ".")
        path = env.get("PYTHONPATH")
        env["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else folder
        env.setdefault("PYTHONUNBUFFERED", "1")
    file = exchange.folder / f"aether-script{_suffix(command[0])}"
    file.write_bytes(config["source"].encode("utf-8", errors="replace"))
    return [*command, str(file)]


def _read_end(task: TaskAssignment, end: ChildEnd, exchange: Exchange, folder: Path) -> TaskResult:
    """How the process ended and what it wrote, as the result of the attempt."""
    stdout = end.stdout.removesuffix("\n")
    parameters: dict[str, Json] = {"stdout": stdout}
    if end.returncode >= 0:
        parameters["exit-code"] = end.returncode
    faults: list[str] = []
    declared = task.declared_outputs
    try:
        parameters.update(exchange.outputs(declared, stdout))
    except OutputsError as fault:
        faults.append(str(fault))
    read, missing = file_outputs(declared, folder)
    parameters.update(read)
    faults.extend(missing)
    if end.returncode < 0:
        return result(task, ERROR, f"killed by signal {_signal_name(-end.returncode)}", parameters)
    if end.returncode:
        return result(task, FAILED, _exit_message(end), parameters)
    if faults:
        return result(task, ERROR, "; ".join(faults), parameters)
    return result(task, SUCCEEDED, "", parameters)


def _exit_message(end: ChildEnd) -> str:
    lines = end.stderr_tail.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    message = f"exit code {end.returncode}"
    return f"{message}: {last[:_MESSAGE_LIMIT]}" if last else message


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


def _not_started(program: str, cwd: str | None, error: OSError | ValueError) -> str:
    if cwd is not None and not os.path.isdir(cwd):
        return f"cannot start {program!r}: working directory {cwd!r} does not exist"
    if isinstance(error, FileNotFoundError):
        return f"cannot start {program!r}: no such command (is it installed and on PATH?)"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot start {program!r}: {reason.lower()}"


def _is_python(program: str) -> bool:
    return os.path.basename(program).startswith(("python", "pypy"))


def _suffix(program: str) -> str:
    return ".py" if _is_python(program) else _SUFFIXES.get(os.path.basename(program), "")
