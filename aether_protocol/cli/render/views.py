"""What is seen of a run while it runs: nothing, plain lines, or (render.live) a live tree.

Law: a view shows the state of a run of this process and the mirror of one of a server alike. It gets each step after it was
stored and changes nothing. It writes to standard error only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol

import click

from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.streams import behind
from aether_protocol.plan.model import Kind
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.facts import HookFired, NodeEnded, RetryScheduled, TaskRunning, TaskSuspended, unfold
from aether_protocol.views.phase_changes import phase_after
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.summary import trace_id_of
from aether_protocol.views.text import counted, duration, one_line, printable

if TYPE_CHECKING:
    from aether_protocol.views.run_mirror import SeenRun, SeenTask

BAD_PHASES: Final = frozenset({"Failed", "Error", "Timeout"})


class View(Protocol):
    """How a run is shown."""

    def begin(self) -> None: ...

    def resume(self, state: SeenRun) -> None:
        """The run that begins is continued: this is how far it is."""
        ...

    def step(self, state: SeenRun, step: LogEntry) -> None:
        """This step has been stored."""
        ...

    def log(self, node: SeenTask | None, stream: str, text: str) -> None:
        """A task wrote something (`text` need not end at a line's end). Called from any thread."""
        ...

    def note(self, text: str) -> None:
        """Something about the run as a whole."""
        ...

    def tick(self) -> None:
        """A quarter of a second has passed."""
        ...

    def paused(self) -> AbstractContextManager[object]:
        """Draw nothing while the block runs, which asks a question."""
        ...

    def end(self) -> None: ...


class QuietView:
    """`--quiet`: nothing at all."""

    def begin(self) -> None: ...

    def resume(self, state: SeenRun) -> None: ...

    def step(self, state: SeenRun, step: LogEntry) -> None: ...

    def log(self, node: SeenTask | None, stream: str, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def tick(self) -> None: ...

    def paused(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def end(self) -> None: ...


class Sheltered:
    """Another view, whose faults end that view and nothing else; what was not read yet is not drawn again."""

    def __init__(self, view: View) -> None:
        self._view = view

    def begin(self) -> None:
        self._try(lambda view: view.begin())

    def resume(self, state: SeenRun) -> None:
        self._try(lambda view: view.resume(state))

    def step(self, state: SeenRun, step: LogEntry) -> None:
        self._try(lambda view: view.step(state, step))

    def log(self, node: SeenTask | None, stream: str, text: str) -> None:
        self._try(lambda view: view.log(node, stream, text))

    def note(self, text: str) -> None:
        self._try(lambda view: view.note(text))

    def tick(self) -> None:
        if not behind():
            self._try(lambda view: view.tick())

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        paused = contextlib.ExitStack()
        self._try(lambda view: paused.enter_context(view.paused()))
        try:
            yield
        finally:
            self._try(lambda _: paused.close())

    def end(self) -> None:
        self._try(lambda view: view.end())

    def _try(self, show: Callable[[View], object]) -> None:
        try:
            show(self._view)
        except Exception as error:
            broken, self._view = self._view, QuietView()
            with contextlib.suppress(Exception):
                broken.end()  # give the terminal back
            told = f"{type(error).__name__}: {error}"
            messages.warn(f"the view of the run broke ({told}); the run continues unseen")


class LineView(QuietView):
    """One line for each thing that happens: for logs of a CI and for pipes."""

    def __init__(self) -> None:
        self.partial: dict[tuple[int, str], list[str]] = {}  # of lines that have not ended
        self.at = 0  # of the step that is shown

    def resume(self, state: SeenRun) -> None:
        done = f"{state.leaves_ended} of {counted(state.leaves_known, 'task')} done"
        self.note(f"continuing run {state.header.run_id}: {done} so far")

    def step(self, state: SeenRun, step: LogEntry) -> None:
        self.at = step.at
        since = (step.at - state.header.created_at) / 1e6
        for fact in unfold(step.facts):
            if isinstance(fact, TaskRunning):
                self._say(since, state.nodes[fact.node], "started", str(phase_after(fact)))
            elif isinstance(fact, TaskSuspended):
                text = f"suspended{_because(fact.message)}"
                self._say(since, state.nodes[fact.node], text, str(phase_after(fact)))
            elif isinstance(fact, RetryScheduled):
                wait = duration(max(0, fact.due - step.at) / 1e6)
                text = f"{fact.phase}{_because(fact.message)}; tries again in {wait}"
                self._say(since, state.nodes[fact.node], text, str(fact.phase))
            elif isinstance(fact, HookFired):
                self._say(since, state.nodes[fact.node], "fired", "Running")
            elif isinstance(fact, NodeEnded):
                self._ended(since, state.nodes[fact.node])

    def log(self, node: SeenTask | None, stream: str, text: str) -> None:
        key = (node.id if node is not None else -1, stream)
        if "\n" not in text:
            self.partial.setdefault(key, []).append(text)
            return
        *lines, rest = ("".join(self.partial.pop(key, ())) + text).split("\n")
        if rest:
            self.partial[key] = [rest]
        for line in lines:
            self._log_line(node, line)

    def note(self, text: str) -> None:
        click.echo(printable(text), err=True)

    def _ended(self, since: float, node: SeenTask) -> None:
        for stream in ("stdout", "stderr"):
            rest = "".join(self.partial.pop((node.id, stream), ()))
            if rest:
                self._log_line(node, rest)
        if node.started_at is None and node.phase == "Succeeded" and is_leaf(node):
            self._say(since, node, "reused", "Succeeded")  # of the run that is retried
            return
        took = f" in {duration((node.ended_at - node.started_at) / 1e6)}" if node.started_at and node.ended_at else ""
        retries = getattr(node, "retries", 0)
        again = f", {counted(retries, 'retry')}" if retries else ""
        self._say(since, node, f"{node.phase}{took}{again}{_because(node.message)}", str(node.phase))

    def _say(self, since: float, node: SeenTask, text: str, phase: str) -> None:
        from aether_protocol.cli.render.times import clock  # a run without progress shows no time

        item = seen_item(node)
        name = f"{printable(label(node))}{' ' if item else ''}{item}"
        click.echo(f"{clock(self.at)} {since:8.2f}s  {name}  ", nl=False, err=True)
        click.secho(text, fg=PHASE_COLORS[phase], err=True)

    def _log_line(self, node: SeenTask | None, line: str) -> None:
        name = label(node) if node is not None else ""
        click.echo(f"{' ' * 20}{printable(name)} | {printable(line)}", err=True)


class JsonView(LineView):
    """`--log-format json`: the same things, each as one JSON object."""

    def __init__(self) -> None:
        super().__init__()
        self._whose: dict[str, str | None] = {}  # the run, and its trace where it is in one

    def resume(self, state: SeenRun) -> None:
        self._hear_of(state)
        super().resume(state)

    def step(self, state: SeenRun, step: LogEntry) -> None:
        self._hear_of(state)
        super().step(state, step)

    def _hear_of(self, state: SeenRun) -> None:
        if not self._whose:
            header = state.header
            trace_id = trace_id_of(header) if isinstance(header, RunHeader) else None  # a mirror has none
            self._whose = {"run": header.run_id, "traceId": trace_id}

    def note(self, text: str) -> None:
        messages.record("info", text, **self._whose)

    def _say(self, since: float, node: SeenTask, text: str, phase: str) -> None:
        level = "warning" if phase in BAD_PHASES else "info"
        messages.record(level, text, kind="task", **self._whose, task=label(node), phase=phase)

    def _log_line(self, node: SeenTask | None, line: str) -> None:
        task = label(node) if node is not None else None
        messages.record("info", line, kind="log", **self._whose, task=task)


def label(node: SeenTask) -> str:
    """How a view names a task run: its path; a hook's run with the event."""
    if node.hook is None:
        return node.path
    return f"{node.path}:{node.hook}".lstrip(":")


def seen_item(node: SeenTask) -> str:
    """Which item an iteration is for; empty of what is not one."""
    from aether_protocol.views.report import item_of
    from aether_protocol.views.run_mirror import MirrorTask

    return (node.item if isinstance(node, MirrorTask) else item_of(node)) or ""


def _because(message: str) -> str:
    return f": {one_line(message)}" if message else ""


def is_leaf(node: SeenTask) -> bool:
    """Whether it is a task, and neither a dag nor a loop."""
    return node.kind is Kind.TASK
