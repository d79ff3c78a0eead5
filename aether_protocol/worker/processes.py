"""Child processes, the pool of a supervisor: one for each attempt that runs, kept for the next one.

Law: a child carries out one attempt at a time, so its death is that attempt's. A child that was stopped is not used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import to_builtins

from aether_protocol.assembly.store_urls import without_password
from aether_protocol.errors import AetherError, PortError
from aether_protocol.execution.masking import Masker, StreamMask
from aether_protocol.ports.secrets import CREDENTIALS, ENVIRONMENT_PREFIX
from aether_protocol.ports.worker import SecretName
from aether_protocol.worker import pipes
from aether_protocol.worker.batches import InlineBatches
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.pool import STOPPED, PoolObserver

_URLS: Final = ("AETHER_STORE", "AETHER_BROKER")  # may hold a password
_SPARE: Final = 4  # children without work that are kept
_LAST_LINES: Final = 10  # of what an attempt logged and its child wrote to its standard error, reported with its death
_LAST_BYTES: Final = 8192  # characters
STOP_S: Final = 7.0  # how long a child may take to stop: the local broker's 5 s, and a margin


class _ChildProcess:
    """One child, and the attempt that it has."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        self.process = process
        self.reader = reader
        self.token: str | None = None
        self.stopping = False
        self.is_ready = False  # it has imported what it needs: what becomes of it from now on is its attempt's doing
        self.watch: asyncio.Task[None] | None = None
        self.masker = Masker()  # of the secrets that it was given
        self._said = ""  # the end of what its attempt logged and what it wrote to its standard error, masked

    def says(self, text: str) -> None:
        """Keep the end of what it writes. `text` is masked: what is cut first cannot be recognized any more."""
        self._said = (self._said + text)[-_LAST_BYTES:]

    def forget(self) -> None:
        """What it wrote so far was of another attempt, perhaps of another namespace."""
        self._said = ""

    def last_lines(self) -> list[str]:
        return self._said.splitlines()[-_LAST_LINES:]

    def send(self, message: dict[str, Any]) -> None:
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(pipes.frame(message))

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def environment_of_children(*hidden: str) -> dict[str, str]:
    """Return what children, and so the programs of others, get of this process's environment: no secret, and nothing by which
    this process shows who it is.

    Args:
        hidden: names of more variables that are for this process alone.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ENVIRONMENT_PREFIX)
        and name not in CREDENTIALS
        and name not in hidden
        and not (name in _URLS and without_password(value) != value)
    }


class ChildProcesses:
    """See `worker.pool.AttemptPool`.

    Args:
        modules: imported in each child before it works, for their executors and functions.
        environment: of the children; unless given that of this process, without its credentials.
        settings: where children find and keep files.
        inline: the names of inline executors; their attempts share children.
    """

    def __init__(
        self,
        modules: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        *,
        settings: ChildSettings | None = None,
        inline: Iterable[str] = (),
    ) -> None:
        self._batches = InlineBatches(frozenset(inline), self._spawn, self._listen)
        self._modules = tuple(modules)
        self._settings = pipes.encode_settings(settings or ChildSettings())
        self._environment = environment_of_children() if environment is None else environment
        self._busy: dict[str, _ChildProcess] = {}
        self._starting: dict[str, bool] = {}  # by token: whether it is wanted still
        self._idle: list[_ChildProcess] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._observer: PoolObserver

    # --- AttemptPool ---

    def start(self, observer: PoolObserver) -> None:
        self._observer = self._batches.observer = observer

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        if self._batches.takes(assignment):
            self._batches.begin(token, assignment)
            return
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                self._give(child, token, assignment)
                return
        self._starting[token] = True
        self._task(self._begin_new(token, assignment))

    def stop(self, token: str) -> None:
        child = self._busy.get(token)
        if self._batches.has(token):
            self._batches.stop(token, STOP_S)
        elif token in self._starting:
            self._starting[token] = False
        elif child is not None and not child.stopping:
            child.stopping = True
            child.send({"do": "stop"})
            asyncio.get_running_loop().call_later(STOP_S, child.kill)

    def kill(self, token: str) -> None:
        child = self._busy.get(token)
        if token in self._starting:
            self._starting[token] = False
        elif child is not None:
            child.stopping = True
            child.kill()
        self._batches.kill(token)

    async def close(self) -> None:
        self._closing = True
        self._batches.close()
        children = [*self._busy.values(), *self._idle]
        for child in children:
            child.kill()
        await asyncio.gather(*(child.process.wait() for child in children))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- children ---

    async def _begin_new(self, token: str, assignment: dict[str, Any]) -> None:
        try:
            child = await self._spawn()
        except OSError as error:
            self._observer.returned(token, f"no process could be started: {error.strerror}", refused=True)
            return
        finally:
            wanted = self._starting.pop(token)
        if wanted:
            self._give(child, token, assignment)
        else:
            self._idle.append(child)
            self._observer.returned(token, STOPPED)
        await self._watch(child)

    def _give(self, child: _ChildProcess, token: str, assignment: dict[str, Any]) -> None:
        child.forget()
        child.token = token
        self._busy[token] = child
        child.send({"do": "begin", "token": token, "assignment": assignment})

    async def _spawn(self) -> _ChildProcess:
        theirs, ours = 0, 0
        ours, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aether_protocol.worker.child"),
                *(str(os.getpid()), str(theirs), self._settings, *self._modules),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[theirs],
                env=self._environment,
                start_new_session=True,  # signals of the terminal are for the supervisor
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        reader = asyncio.StreamReader(limit=2**20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb"))
        return _ChildProcess(process, reader)

    async def _watch(self, child: _ChildProcess) -> None:
        """Take in what a child says, until it is gone."""
        errors = asyncio.create_task(self._read_errors(child))
        while (message := await pipes.read(child.reader)) is not None:
            self._hear(child, message)
        status = await child.process.wait()
        await asyncio.wait([errors], timeout=1.0)
        errors.cancel()
        if child in self._idle:
            self._idle.remove(child)
        if child.token is not None:
            token, child.token = child.token, None
            del self._busy[token]
            if self._closing:
                return
            if child.stopping:
                self._observer.returned(token, STOPPED)
            elif not child.is_ready and status >= 0:
                last = "".join(f": {line}" for line in child.last_lines()[-1:])
                self._observer.returned(token, f"its process did not come up ({_reason(status)}){last}", refused=True)
            else:
                self._observer.died(token, "\n".join([_reason(status), *child.last_lines()]))

    async def _listen(self, child: _ChildProcess, hear: Callable[[dict[str, Any]], None]) -> None:
        """Hear what a child of batches says, until it is gone."""
        errors = asyncio.create_task(self._read_errors(child))
        try:
            while (message := await pipes.read(child.reader)) is not None:
                hear(message)
            await child.process.wait()
        finally:
            child.kill()
            errors.cancel()

    @staticmethod
    async def _read_errors(child: _ChildProcess) -> None:
        """Keep the end of what it writes; all of it is read, however long its lines are, or the child would wait."""
        assert child.process.stderr is not None
        mask, decoder = StreamMask(child.masker), getincrementaldecoder("utf-8")("replace")
        while piece := await child.process.stderr.read(65_536):
            child.says(mask.feed(decoder.decode(piece)))
        child.says(mask.feed(decoder.decode(b"", final=True)) + mask.flush())

    def _hear(self, child: _ChildProcess, message: dict[str, Any]) -> None:
        token = message.get("token")
        child.is_ready = True
        if message["say"] == "artifact" and (token != child.token or child.stopping):
            child.send({"do": "moved", "id": message["id"], "fault": "the attempt was stopped"})
        if token is None or token != child.token or child.stopping:
            return
        match message["say"]:
            case "started":
                self._observer.started(token)
            case "logged":
                child.says(message["text"])
                self._observer.logged(token, message["stream"], message["offset"], message["text"])
            case "progressed":
                self._observer.progressed(token, message["details"])
            case "secrets":
                self._task(self._fetch(child, token, message))
            case "artifact":
                self._task(self._move(child, token, message))
            case "lost":
                self._free(child, token)
                self._observer.died(token, message["reason"])
            case "finished":
                self._free(child, token)
                self._observer.finished(token, message["result"])

    def _free(self, child: _ChildProcess, token: str) -> None:
        del self._busy[token]
        child.token = None
        if len(self._idle) < _SPARE:
            self._idle.append(child)
        else:
            child.kill()

    async def _fetch(self, child: _ChildProcess, token: str, message: dict[str, Any]) -> None:
        wanted = [SecretName(name=one["name"], key=one["key"]) for one in message["secrets"]]
        try:
            texts = await self._observer.secrets(token, wanted)
        except PortError as error:  # the vault or the server is away: not the attempt's fault
            if child.token == token and not child.stopping:
                child.stopping = True
                self._observer.returned(token, f"its secrets cannot be had now: {error.message}", refused=True)
                child.kill()
            return
        except AetherError as error:
            child.send({"do": "texts", "id": message["id"], "fault": error.message})
            return
        child.masker.learn(one.text for one in texts)
        child.send({"do": "texts", "id": message["id"], "texts": to_builtins(texts)})

    async def _move(self, child: _ChildProcess, token: str, message: dict[str, Any]) -> None:
        answer = {"do": "moved", "id": message["id"]}
        try:
            await self._observer.artifact(token, message["move"], message["digest"])
        except AetherError as error:
            answer |= {"fault": error.message, "hint": error.hint}
        child.send(answer)

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _reason(status: int) -> str:
    """How a child ended."""
    if status >= 0:
        return f"exit code {status}"
    if -status == signal.SIGKILL:
        return "signal 9, SIGKILL: the system sends it where memory runs out"
    return f"signal {-status}, {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"signal {-status}"
