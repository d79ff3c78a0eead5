"""`script` and `process`: a program of the machine as a task (EXEC-3).

Law: this file says what the two types are and is light to import; `programs` does the work, loaded by the first run.
"""

from __future__ import annotations

from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import TaskAssignment, TaskResult


def _stream(name: str, what: str) -> ConfigField:
    text = "The declared output artifact that it becomes; this one needs no path."
    artifact = ConfigField("artifact", "string", text, required=True, artifact=True)
    return ConfigField(name, "object", f"Where {what.lower()} goes instead of the log and the outputs.", fields=(artifact,))


_COMMON = (
    ConfigField(
        "env",
        "object",
        "Environment variables to set, over those of the engine; null takes one away. Numbers and the like are written "
        "as in any text.",
        text=True,
    ),
    ConfigField(
        "inherit",
        "array",
        "The names of the engine's variables that it gets, instead of all; `none` or `[]`: it gets none.",
        items="string",
        words=("all", "none"),
        default="all",
    ),
    ConfigField(
        "workingDir",
        "string",
        "Where it runs; relative to the attempt's own workspace, its default. `document` is the folder of the document.",
    ),
    ConfigField(
        "files",
        "object",
        "Files by path, relative to the workspace, with their text: written with mode 0600, and removed at its end.",
        text=True,
    ),
    ConfigField(
        "stop",
        "object",
        "How it is asked to stop on a cancel or timeout.",
        fields=(
            ConfigField(
                "signal",
                "string",
                "The signal that its process group gets.",
                default="TERM",
                enum=("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"),
            ),
            ConfigField("grace", "duration", "How long after that it gets SIGKILL.", default="2s"),
        ),
    ),
    ConfigField(
        "success",
        "object",
        "What counts as success.",
        fields=(
            ConfigField("exitCodes", "array", "The exit codes that do.", items="integer", default=[0], minimum=1),
            ConfigField("require", "array", "Files that must be there, relative to its working directory.", items="string"),
            ConfigField("forbid", "array", "Files that must not be there.", items="string"),
        ),
    ),
    _stream("stdout", "Standard output"),
    _stream("stderr", "Standard error"),
    ConfigField(
        "limits",
        "object",
        "Limits that the system holds each of its processes to.",
        fields=(
            ConfigField("cpu", "duration", "Time of a processor, in whole seconds."),
            ConfigField("memory", "size", "Address space, such as `512Mi`."),
            ConfigField("files", "integer", "Open files.", minimum=8),
            ConfigField("output", "size", "Size of each file that it writes, and of each of its two streams."),
        ),
    ),
)

_OUTPUTS = (
    OutputField("stdout", "string", "Standard output without the last newline; left out where it is larger than 1 MiB."),
    OutputField("exit-code", "integer", "The exit code; none after a signal."),
    OutputField("result", "any", "If declared and not written to the outputs file: standard output."),
    OutputField("<name>", "any", "Whatever was written to the file named by `AETHER_OUTPUTS`."),
)

SCRIPT = ExecutorType(
    "script",
    "Runs a piece of source text with an interpreter of the machine.",
    config=(
        ConfigField(
            "runtime",
            "string",
            "The interpreter: `bash`, `sh`, `python3`, `node` or any command on PATH, with arguments if need be "
            "(`bash -euo pipefail`). The source's file name is added as the last argument.",
            default="bash",
        ),
        ConfigField("source", "string", "The source text.", required=True),
        *_COMMON,
    ),
    outputs=_OUTPUTS,
    open_outputs=True,
    files=True,
)

PROCESS = ExecutorType(
    "process",
    "Runs a program of the machine, without a shell in between.",
    config=(
        ConfigField(
            "command",
            "array",
            "The program and its arguments; no shell reads them. Numbers and the like are written as in any text.",
            required=True,
            minimum=1,
            text=True,
        ),
        *_COMMON,
    ),
    outputs=_OUTPUTS,
    open_outputs=True,
    files=True,
)


class ScriptExecutor:
    type: ExecutorType = SCRIPT
    mode: Mode = "async"

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        from aether_protocol.adapters.executors.program_task import run_program, script_command

        return await run_program(task, context, script_command)


class ProcessExecutor:
    type: ExecutorType = PROCESS
    mode: Mode = "async"

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        from aether_protocol.adapters.executors.program_task import process_command, run_program

        return await run_program(task, context, process_command)
