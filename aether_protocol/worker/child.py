"""A child of a worker: carries out one attempt at a time, with the local broker (`python -m aether_protocol.worker.child`).

Law: it ends when its supervisor does, at once: on Linux the kernel kills it, elsewhere the end of its input tells. Programs
that its executors started end with it (`adapters.executors.orphan_guard`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.assembly.artifacts import local_stager
from aether_protocol.assembly.executors import InstalledExecutors, watch_folder
from aether_protocol.assembly.modules import executors_of_modules
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import AetherError, PortError, why
from aether_protocol.execution.capacity import is_full
from aether_protocol.execution.workspace import Workspaces
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.broker import LogPart, Stored
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_assignment, encode_result
from aether_protocol.worker import pipes
from aether_protocol.worker.artifacts import Move
from aether_protocol.worker.pipes import ChildSettings

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
ASK_S: Final = 60.0  # for the texts of secrets, the server's own wait for its providers included


class ChildSide:
    """The child's side: a sink for its broker, and a provider of secrets that asks the supervisor."""

    blocking = True
    by_namespace = True  # the server asks for those of the run's namespace

    def __init__(self, out: IO[bytes], settings: ChildSettings, executors: Mapping[str, Executor]) -> None:
        self._out = out
        self._loop = asyncio.get_running_loop()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._offsets = {"stdout": 0, "stderr": 0}
        self._token = ""
        self._together: list[dict[str, Any]] | None = None  # what a batch says
        self._broker = LocalBroker(
            InstalledExecutors(executors),
            SystemClock(),
            stager=self._stager(settings),
            secrets=[self],
            workspaces=Workspaces(Path(settings.workspaces) if settings.workspaces else None, announce=watch_folder),
        )
        self._broker.start(self)

    def _stager(self, settings: ChildSettings) -> Stager | None:
        if settings.artifacts:
            return local_stager(settings.artifacts)
        return local_stager(RelayedRepository(settings.cache, self.move)) if settings.cache else None

    async def run(self) -> None:
        """Carry out what the supervisor says, until it says no more."""
        reader = asyncio.StreamReader(limit=2**20)
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._out.write(pipes.frame({"say": "ready"}))
        self._out.flush()
        while (message := await pipes.read(reader)) is not None:
            match message["do"]:
                case "begin":
                    await self._begin(message["token"], message["assignment"])
                case "several":
                    await self._carry_out(message["items"])
                case "texts" | "moved":
                    asked = self._asked.pop(message["id"], None)
                    if asked is not None and not asked.done():
                        asked.set_result(message)
                case "stop":
                    break
        await self._broker.close()

    async def _carry_out(self, items: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Carry out a batch of inline attempts, and say all that came of them together."""
        self._together = []
        for token, message in items:
            await self._begin(token, message)
        said, self._together = self._together, None
        self._out.write(pipes.frame({"say": "several", "all": said}))
        self._out.flush()

    async def _begin(self, token: str, message: dict[str, Any]) -> None:
        self._token, self._offsets = token, {"stdout": 0, "stderr": 0}
        try:
            assignment = decode_assignment(message)
        except WireError as error:
            ref = AttemptRef(str(message.get("workflowRunId")), str(message.get("path")), int(message.get("attempt") or 1))
            self.finished(TaskResult(ref, ERROR, str(error)))
            return
        await self._broker.dispatch([assignment])

    def _say(self, what: str, **fields: Any) -> None:
        message = {"say": what, "token": self._token, **fields}
        if self._together is not None:
            self._together.append(message)
            return
        self._out.write(pipes.frame(message))
        self._out.flush()

    # --- ResultSink ---

    def started(self, ref: AttemptRef) -> None:
        self._say("started")

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        if self._together is not None:  # inline: in this thread
            self._log(stream, text)
        else:
            self._loop.call_soon_threadsafe(self._log, stream, text)

    def _log(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        self._say("logged", stream=stream, offset=self._offsets[stream], text=text)
        self._offsets[stream] += len(text.encode("utf-8", "surrogatepass"))

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        self._say("progressed", details=details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        self._say("lost", reason=reason)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        if self._together is not None:
            self._say_finished(result)
        else:
            self._loop.call_soon(self._say_finished, result)  # after what it logged from threads

    def _say_finished(self, result: TaskResult) -> None:
        self._say("finished", result=encode_result(result))

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        """A local broker is given all that it has."""

    def ready(self) -> None:
        """One attempt at a time: nothing waits."""

    # --- NamespacedSecretProvider ---

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        """Ask the server for a secret of the delivery, in a thread. Raises PortError."""
        asked = self._ask("secrets", secrets=[{"name": name, "key": key}])
        message = asyncio.run_coroutine_threadsafe(asked, self._loop).result(ASK_S)
        return str(message["texts"][0]["text"])

    def move(self, move: Move, digest: str) -> None:
        """Let the supervisor bring or send an artifact, in a thread. Raises PortError."""
        asyncio.run_coroutine_threadsafe(self._ask("artifact", move=move, digest=digest), self._loop).result()

    async def _ask(self, what: str, **fields: Any) -> dict[str, Any]:
        number = len(self._asked) + 1
        while number in self._asked:
            number += 1
        answer = self._asked[number] = self._loop.create_future()
        self._say(what, id=number, **fields)
        message: dict[str, Any] = await answer
        if message.get("fault"):
            raise PortError(message["fault"], hint=message.get("hint"))
        return message


class RelayedRepository(LocalRepository):
    """The worker's cache, as its attempts see it: what is not there comes from the server, and what is put goes to it.

    Args:
        folder: of the cache.
        move: lets the supervisor move a content.
    """

    def __init__(self, folder: str | Path, move: Callable[[Move, str], None]) -> None:
        super().__init__(folder)
        self._move = move

    def within(self, namespace: str) -> RelayedRepository:
        """The part of a namespace: the supervisor moves what a delivery of it needs to there. Raises PortError."""
        part = super().within(namespace)
        return self if part is self else RelayedRepository(part.folder, self._move)

    def put(self, file: Path) -> tuple[str, int]:
        """Keep a content here and at the server. Raises PortError."""
        digest, size = super().put(file)
        self._move("send", digest)
        return digest, size

    def renew(self, digest: str) -> int | None:
        """Count a content as put now, here and at the server, which gets it again where it has lost it. Raises PortError."""
        size = super().renew(digest)
        if size is not None:
            self._move("send", digest)
        return size

    def get(self, digest: str, target: Path) -> None:
        """Write a content to `target`; one that is damaged here comes again. Raises PortError."""
        self._move("bring", digest)
        try:
            super().get(digest, target)
        except PortError as error:
            if is_full(error):
                raise
            self._move("renew", digest)
            super().get(digest, target)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; where it cannot, the end of the input tells."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was in force
        os._exit(1)


def main(arguments: Sequence[str]) -> int:
    """Args: the process id of the supervisor, the descriptor to write to, its settings, then modules whose
    executors it has besides the installed ones."""
    parent, descriptor, settings, *modules = arguments
    _die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the supervisor's to act on
    out = os.fdopen(int(descriptor), "wb")
    os.set_inheritable(out.fileno(), False)
    try:
        executors = executors_of_modules(modules)

        async def go() -> None:
            await ChildSide(out, pipes.decode_settings(settings), executors).run()

        asyncio.run(go())
    except BrokenPipeError:
        return 1
    except AetherError as error:
        print(f"error: {why(error)}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # threads of executors that do not end must not keep it
