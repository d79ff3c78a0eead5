"""How a task and its process talk: inputs by environment and file, outputs by a file that `outputs` reads (EXEC-3).

Law: all files of one attempt lie in one private folder that is gone when the attempt is over. A file that a process wrote is
bounded and decoded here and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from aether_protocol.expressions.values import Json, as_text
from aether_protocol.plan.executors import input_variable
from aether_protocol.ports.executor import SUMMARY_FILE
from aether_protocol.ports.secrets import ENVIRONMENT_PREFIX
from aether_protocol.ports.wire import TaskAssignment

INPUT_LIMIT: Final = 65_536  # bytes of one input in the environment; the system refuses 128 KiB
ENVIRONMENT_LIMIT: Final = 524_288  # bytes of all inputs in the environment
FILE_LIMIT: Final = 10_485_760  # bytes of the outputs file, and of one output read from a file


class OutputsError(Exception):
    """What a process wrote cannot be taken as its outputs."""


class Exchange:
    """The private folder of one attempt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs_file = folder / "inputs.json"
        self.outputs_file = folder / "outputs"
        self.summary_file = folder / SUMMARY_FILE

    @classmethod
    @contextlib.contextmanager
    def opened(cls, task: TaskAssignment, folder: Path) -> Iterator[Exchange]:
        """In `folder`, which is private and goes with the attempt."""
        exchange = cls(folder)
        exchange.inputs_file.write_text(json.dumps(dict(task.inputs)), encoding="ascii")
        exchange.outputs_file.touch()
        yield exchange

    def environment(
        self, task: TaskAssignment, config: Mapping[str, Json], places: Mapping[str, str], note: Callable[[str], None]
    ) -> dict[str, str]:
        """What `inherit` takes of the engine's own environment, without its secrets (a task gets those that are wired to it,
        DATA-12), then the config's `env` (null takes a variable away), then what the protocol gives, `places` (variables that
        name folders) among it.

        Inputs that the system could not carry in the environment are left out and `note`d: the JSON file has them all.
        Raises ValueError for a name in `env` that is not an environment variable.
        """
        env = inherited(config.get("inherit"))
        for name, value in (config.get("env") or {}).items():
            if value is None:
                env.pop(name, None)
                continue
            text = as_text(value)
            if "\0" in text:
                raise ValueError(f"env {name!r} has a NUL character in its value, which no variable can hold")
            if not name or "=" in name or _size(name) is None or _size(text) is None:
                raise ValueError(f"env {name!r} cannot be an environment variable")
            env[name] = text
        left = ENVIRONMENT_LIMIT
        for name, value in task.inputs.items():
            text = as_text(value)
            size = _size(text)
            if size is None or size > min(INPUT_LIMIT, left):
                note(f"input {name!r} does not fit into the environment: read it from the file in AETHER_INPUTS\n")
                continue
            left -= size
            env[input_variable(name)] = text
        env |= places
        if "AETHER_DOCUMENT_DIR" in places:  # a document's own programs are called by name (ART-4)
            programs = os.path.join(places["AETHER_DOCUMENT_DIR"], "bin")
            env["PATH"] = os.pathsep.join((programs, env.get("PATH", os.defpath)))
        env["AETHER_INPUTS"] = str(self.inputs_file)
        env["AETHER_OUTPUTS"] = str(self.outputs_file)
        env["AETHER_SUMMARY"] = str(self.summary_file)
        env["AETHER_RUN_ID"] = task.run_id
        env["AETHER_TASK_RUN_ID"] = task.task_run_id
        env["AETHER_ATTEMPT"] = str(task.attempt)
        env["AETHER_IDEMPOTENCY_KEY"] = task.idempotency_key
        return env

    def written(self) -> str:
        """The text of the outputs file. Raises OutputsError."""
        return read_file(self.outputs_file, "the outputs file")


def inherited(names: Json) -> dict[str, str]:
    """The engine's variables that a program gets: those of the list `names`, `none`, or all. Raises ValueError for a secret."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    if names is None or names == "all":
        return own
    if names == "none":
        return {}
    for name in names:
        if name.startswith(ENVIRONMENT_PREFIX):
            raise ValueError(f"inherit: {name!r} is a secret: wire it to `env` by a parameter with a secretKeyRef")
    return {name: own[name] for name in names if name in own}


def _size(text: str) -> int | None:
    """Bytes of `text`, or None where it cannot stand in an environment."""
    if "\0" in text:
        return None
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def read_file(file: Path, what: str) -> str:
    """The text of a file that a program left. Raises OutputsError."""
    try:
        # not waiting for a process at the other end, should it be a named pipe
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise OutputsError(f"{what} is not a regular file")
            data = stream.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        raise OutputsError(f"{what} does not exist") from None
    except OSError as error:
        raise OutputsError(f"{what} cannot be read: {error.strerror or error}") from None
    if len(data) > FILE_LIMIT:
        raise OutputsError(f"{what} is larger than {FILE_LIMIT} bytes, the limit of a value: keep it as an artifact")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutputsError(f"{what} is not UTF-8: byte {error.start}") from None
