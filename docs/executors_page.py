"""Makes docs/reference/executors.md from the executors' own tables: `python docs/executors_page.py`.

Law: what a table says is not said again by hand. A test compares the page with what this gives.
"""

from __future__ import annotations

from pathlib import Path

from aether_protocol.assembly.executors import builtin_executors
from aether_protocol.expressions.values import as_text
from aether_protocol.plan.config_fields import ConfigField, with_nested
from aether_protocol.plan.executors import ExecutorType

PAGE = Path(__file__).parent / "reference" / "executors.md"

INTRODUCTION = """\
<!-- Made by docs/executors_page.py. Change the tables in aether_protocol/adapters/executors, then run it. -->
# Executors

An executor carries out one attempt of a task. A task names it by `executor.type` and sets it up with `executor.config`;
`aether validate` holds a config against the tables below, and so does every dispatch, once the placeholders are filled
in. A field that is `null` counts as left out. `aether executors` prints the same tables, together with those of other
packages: whatever a package registers under the entry-point group `aether.executors` can be used by name.

An executor ends with a code, and the code gives the phase: 0 Succeeded, 1 Suspended, 2 Failed, 3 Error, 4 Timeout,
any other one Error. Failed is a verdict about the work, Error says that there is no verdict. Only Error and Timeout are
retried unless the task's `retry.expression` says otherwise.
"""

ENGINE_SITE = "It is carried out by the engine itself: it takes no slot and goes to no worker.\n"

# What a table cannot say, by executor.
NOTES = {
    "echo": """\
Controls may stand in the config or come as inputs; an input wins. As inputs they are spelled `outputs`, `fail-count`
and `suspend`. The order is fixed: it suspends first (until the first resume), then fails, then gives its outputs. An
attempt that suspends or fails gives none. A control of the wrong type is an Error.
""",
    "noop": "It takes no config and gives no outputs.\n",
    "sleep": "It waits on the engine's clock: under `aether test` an hour takes no time.\n",
    "await": """\
The first payload, even an empty one, ends the wait. Only the boolean `false` turns it down; a `reason` in the payload
becomes part of the message. A run waits no longer than its own `timeout`, which is one hour unless the document says
otherwise.
""",
    "fail": "A `code` below 2 is refused: those are no failures.\n",
    "script": """\
**Inputs** arrive as environment variables `AETHER_INPUT_<NAME>` (upper case, everything but letters and digits as `_`;
text bare, everything else as compact JSON) and all together in a JSON file whose name is in `AETHER_INPUTS`. An input
over 64 KiB, one with a NUL in it, and what goes beyond 512 KiB in all is in the file only; the run's log tells. Read
inputs from there rather than by `{{inputs.parameters.name}}` in the source: what a placeholder puts in is read as code.

**Environment**: first the engine's own, or what `inherit` takes of it, then `env`, then `AETHER_INPUT_*`, `AETHER_INPUTS`,
`AETHER_OUTPUTS`, `AETHER_SUMMARY`, `AETHER_RUN_ID`, `AETHER_TASK_RUN_ID`, `AETHER_ATTEMPT` and `AETHER_IDEMPOTENCY_KEY`.
Standard input is empty.
Where an attempt has a trace context, `TRACEPARENT` (W3C) gives it to the program, unless `env` sets that variable.

**Where it runs**: in the attempt's own workspace, an empty private folder that goes when the attempt has Succeeded.
`AETHER_WORKSPACE` names it, `AETHER_RUN_DIR` a folder that all attempts of the run on this machine share, and
`AETHER_DOCUMENT_DIR` the folder of the document, where it came from a file. `workingDir: document` runs the program there;
a relative `workingDir` is relative to the workspace. `bin/` beside the document comes first on PATH. A file in the workspace
that nothing keeps is reported in a warning of the task.

**Outputs** are written to the file named by `AETHER_OUTPUTS`: either one JSON object, or lines `name=value` (empty lines
are fine, the last of two wins) and, for values of several lines, blocks: `name<<END`, the lines of the value, `END` (any word
will do). A line of neither form is an Error. A value is read as JSON where it is JSON, unless the output is declared as
`string`; a number that comes back in another spelling (`3.10`) is a warning where no type says which is meant. What is written
and not declared, where anything is, is not kept, and that is a warning, too. A declared output `result` that is not written
there is standard output, read in the same way. A declared output with `valueFrom.path` is the text of that file in the
working directory, without its last newline; it is read as JSON where the declared type is neither `string` nor `any`. A file
that is missing, over 10 MiB or no UTF-8 is an Error.

**A summary** for people is what a program writes to the file named by `AETHER_SUMMARY`: Markdown, at most 1 MiB, shown on the
run's page and by `aether show RUN TASK`, also of a task that failed (RT-158).

**Nothing is shortened.** Standard output over 1 MiB is not a value: an Error where `stdout` or `result` is declared, else
left out, with a warning if nothing is declared. With `stdout: {artifact: NAME}` it becomes an [artifact](artifacts.md) of
any size; memory does not grow with it, and it is in neither log nor outputs. `stderr` likewise; both may go to the same
one.

**Source** goes into a file, so that it may be large and tracebacks have lines; bytes that are no text in the program's
output are replaced. The flag with which an interpreter takes its source as an argument (`sh -c`, `python3 -c`, `node -e`) is
left out. Python also finds modules in the working directory and writes without a buffer. Where PATH has no `python3`, the
engine's own is taken.

**Ends**: exit code 0, or one of `success.exitCodes`, is Succeeded if the files of `success` are as they should be.
Another exit code is Failed, with the last line of standard error in the message; a signal from somewhere else, a program
that cannot be started and outputs that cannot be read are Errors. On a timeout or cancel the whole process group gets
`stop.signal` and, after `stop.grace`, SIGKILL; an engine that ends waits for that. What a program leaves running in its
group when it ends gets half a second for its last output and is killed. All files of the attempt are then removed.

**Limits** are those of the system (`man setrlimit`) and hold for each process by itself; one that the system sets lower
stays as it is. A stream that grows over `limits.output` ends the program. Where the machine has no descriptor, process,
memory or disk space left for a start, the attempt waits until something ends. `aether` raises its own limit of open files
as far as it may; programs get the one that it was given.

**Log**: both streams go to the run's log as they come, in whole lines.

POSIX only.
""",
    "process": "Everything said of `script` holds here too, but for its source and runtime.\n",
    "function": """\
Functions are registered by name: `FunctionExecutor({"publish": publish})` in Python, or by an installed package under
the entry-point group `aether.functions`. A document can call nothing else; a module path is not a name. An unknown name is
an Error that lists near ones.

A parameter that is annotated `ExecutionContext` gets the context of the attempt: `context.workspace` is the folder in which
input artifacts lie and output artifacts are looked for, `context.log` writes to the run's log.

A sync function runs in a thread, an async one on the loop. A dict becomes the outputs, None none, anything else the
output `result`; what is not JSON is an Error. Whatever is raised is an Error with the exception's type and text. A cancel
or timeout reaches an async function as `CancelledError`; a sync one runs on, and what it gives is dropped.
""",
    "http": """\
One task is one request. Redirects are not followed: to accept one, expect its status and read `headers.location`. An
unexpected status is Failed, with the outputs kept; trouble on the way (no connection, a broken answer, a body over
10 MiB) is an Error. Connecting takes at most 30 seconds, everything else as long as the task's `timeout` allows.
Proxy settings are taken from the environment.
""",
}


def page() -> str:
    """The whole page."""
    types = sorted((executor.type for executor in builtin_executors()), key=lambda type_: type_.name)
    return "\n".join([INTRODUCTION, *map(section, types)])


def section(type_: ExecutorType) -> str:
    """One executor."""
    parts = [f"## {type_.name}\n\n{type_.description}\n"]
    if type_.config:
        fields = with_nested(type_.config)
        rows = [f"| `{name}` | {kind(part)} | {default(part)} | {part.description} |" for name, part in fields]
        parts.append("\n".join(["| config | type | default | |", "|---|---|---|---|", *rows]) + "\n")
    if type_.outputs:
        rows = [f"| `{part.name}` | {part.type} | {part.description} |" for part in type_.outputs]
        parts.append("\n".join(["| output | type | |", "|---|---|---|", *rows]) + "\n")
    if type_.site == "engine":
        parts.append(ENGINE_SITE)
    return "\n".join([*parts, NOTES[type_.name]])


def kind(part: ConfigField) -> str:
    text = f"{part.type} of {part.items}" if part.items else part.type
    text += "".join(f" or `{word}`" for word in part.words)
    if part.enum:
        text += ": " + ", ".join(f"`{as_text(member)}`" for member in part.enum)
    if part.minimum is not None:
        text += f", {part.minimum:g} or more"
    return text


def default(part: ConfigField) -> str:
    if part.required:
        return "required"
    return "" if part.default is None else f"`{as_text(part.default)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
