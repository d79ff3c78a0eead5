"""The live view of a run on a terminal: a window of the tree of tasks, a progress bar, the tails of logs.

Law: a refresh costs what the window holds, never what the run holds: only open tasks and the last that ended are drawn, with
its containers. Text of documents and tasks is never read as markup. Four refreshes a second at most (`tick`).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from aether_protocol.cli.render.views import QuietView, is_leaf, seen_item
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import HookFired, NodeCreated, NodeEnded
from aether_protocol.scheduler.nodes import NEVER, Container, DagNode, TaskNode
from aether_protocol.views.forecast import Forecast
from aether_protocol.views.phases import FINE_PHASES, PHASE_COLORS, PHASE_MARKS
from aether_protocol.views.run_mirror import MirrorScope, MirrorTask, SeenRun, SeenTask
from aether_protocol.views.text import duration, one_line

TAIL_LINES = 3
NARROW = 60  # columns below which phases are marks alone
FULL, EMPTY = "━", "╌"
KEPT_ENDED = 200
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class LiveView(QuietView):
    """Draws on standard error and leaves nothing behind: the report that follows says how it ended."""

    def __init__(
        self, console: Console | None = None, now: Callable[[], float] = time.time, forecast: Forecast | None = None
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.live = self._fresh()
        self.state: SeenRun | None = None
        self.known = 0  # the last step that `resume` has seen
        self.active: dict[int, SeenTask] = {}  # leaves made and not ended, by id, oldest first
        self.ended: deque[SeenTask] = deque(maxlen=KEPT_ENDED)  # leaves, the last one last
        self.phases: Counter[str] = Counter()  # of ended leaves
        self.tails: dict[int, deque[str]] = {}
        self.notes: deque[str] = deque(maxlen=3)
        self.frame = 0
        self.now = now
        self.forecast = Forecast() if forecast is None else forecast

    def begin(self) -> None:
        self.live.start()

    def resume(self, state: SeenRun) -> None:
        self.state = state
        self.known = state.seq
        leaves = [node for node in state.nodes if is_leaf(node)]
        self.active = {node.id: node for node in leaves if node.ended_at is None}
        ended = sorted((node for node in leaves if node.ended_at is not None), key=lambda node: node.ended_at or 0)
        self.ended.extend(ended)
        self.phases = Counter(str(node.phase) for node in ended)

    def step(self, state: SeenRun, step: LogEntry) -> None:
        self.state = state
        if step.seq <= self.known:
            return
        for fact in step.facts:
            kind = type(fact)
            if kind is NodeCreated or kind is HookFired:
                node = state.nodes[fact.node]  # type: ignore[union-attr]
                if is_leaf(node) and node.ended_at is None:
                    self.active[node.id] = node
            elif kind is NodeEnded:
                node = state.nodes[fact.node]  # type: ignore[union-attr]
                if is_leaf(node):
                    self._leaf_ended(node)

    def _leaf_ended(self, node: SeenTask) -> None:
        self.active.pop(node.id, None)
        self.ended.append(node)
        self.phases[str(node.phase)] += 1
        if node.phase == "Succeeded":
            self.tails.pop(node.id, None)

    def log(self, node: SeenTask | None, stream: str, text: str) -> None:
        if node is None:
            return
        tail = self.tails.setdefault(node.id, deque([""], maxlen=TAIL_LINES + 1))
        first, *more = text.split("\n")
        tail[-1] = (tail[-1] + first)[-400:]
        tail.extend(line[-400:] for line in more)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.tick()

    def tick(self) -> None:
        self.frame += 1
        if self.live.is_started:
            self.live.update(self.draw(), refresh=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.live.stop()
        try:
            yield
        finally:
            self.live = self._fresh()  # the old one would erase as many lines as it had, and messages printed since with them
            self.live.start()

    def end(self) -> None:
        self.live.stop()

    def _fresh(self) -> Live:
        return Live(console=self.console, auto_refresh=False, transient=True)

    # --- drawing ---

    def draw(self) -> Group:
        """The whole window, at most as high as the terminal."""
        if self.state is None:
            return Group(Text("starting"))
        room = max(self.console.height - 4 - len(self.notes), 3)
        now = int(self.now() * 1e6)
        lines = [self._headline(self.state, now)]
        lines += self._tree(self.state, room, now)
        lines.append(self._bar(self.state))
        lines += [Text(f"  {one_line(note)}", style="yellow", no_wrap=True, overflow="ellipsis") for note in self.notes]
        return Group(*lines)

    def _headline(self, state: SeenRun, now: int) -> Text:
        phase = str(state.phase)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{one_line(state.plan.name)} ", style="bold")
        line.append(phase, style=PHASE_COLORS[phase])
        elapsed = (now - state.header.created_at) / 1e6
        line.append(f"  {duration(elapsed)}", style="dim")
        expected = self.forecast.run_text(elapsed)
        if expected:
            line.append(f"  {expected}", style="dim")
        return line

    def _tree(self, state: SeenRun, room: int, now: int) -> list[Text]:
        """Open tasks first, then those that ended last; in document order, under their containers."""
        shown: dict[int, SeenTask] = {}
        hooks: list[SeenTask] = []
        tails = 0
        for node in (*self._urgent(room), *reversed(self.ended)):
            if node.hook is not None:
                if node.ended_at is None and len(hooks) < 3:
                    hooks.append(node)
                continue
            more = _with_containers(node, shown)
            tail = len(self._tail(node)) if node.ended_at is None else 0
            if len(shown) + len(more) + len(hooks) + tails > room:
                break
            shown.update(more)
            if len(shown) + len(hooks) + tails + tail <= room:
                tails += tail
        ordered: list[tuple[tuple[int, ...], list[Text]]] = []
        for node in sorted(shown.values(), key=state.order_key):  # type: ignore[arg-type]  # the nodes are its own
            drawn = [self._line(node, now)]
            if node.ended_at is None and tails:
                drawn += [Text(f"{'  ' * (node.depth + 2)}│ {line}", style="dim", no_wrap=True, overflow="ellipsis")
                          for line in self._tail(node)]
            ordered.append((state.order_key(node), drawn))  # type: ignore[arg-type]  # see above
        used = sum(len(drawn) for _, drawn in ordered) + len(hooks)
        ordered += islice(_pending(shown.values()), max(room - used, 0))
        lines = [line for _, drawn in sorted(ordered, key=itemgetter(0)) for line in drawn]
        return [*lines[:room], *(self._line(node, now) for node in hooks)]

    def _urgent(self, room: int) -> list[SeenTask]:
        """Suspended ones, then running, then waiting; at most `room` of each."""
        ranks: dict[str, list[SeenTask]] = {"Suspended": [], "Running": [], "Ready": [], "Created": []}
        for seen, node in enumerate(self.active.values()):
            if len(ranks[str(node.phase)]) < room:
                ranks[str(node.phase)].append(node)
            if seen > 20 * room:
                break
        return [node for rank in ranks.values() for node in rank]

    def _tail(self, node: SeenTask) -> list[str]:
        return [one_line(line) for line in self.tails.get(node.id, ()) if line.strip()][-TAIL_LINES:]

    def _line(self, node: SeenTask, now: int) -> Text:
        phase = str(node.phase)
        mark = SPINNER[self.frame % len(SPINNER)] if phase == "Running" and is_leaf(node) else PHASE_MARKS[phase]
        name = node.call.name
        if "[" in node.path.rpartition(".")[2] and node.parent is not None:
            item = seen_item(node)
            name = f"{node.parent.call.name}[{node.index}]{' ' if item else ''}{item}"
        if node.hook is not None:
            name = f"hook {node.hook}: {node.call.name}"
        line = Text("  " * (node.depth + 1), no_wrap=True, overflow="ellipsis")
        line.append(f"{mark} ", style=PHASE_COLORS[phase])
        line.append(one_line(name), style="" if is_leaf(node) else "bold")
        if node.started_at is not None:
            line.append(f"  {duration(((node.ended_at or now) - node.started_at) / 1e6)}", style="dim")
            if phase == "Running" and is_leaf(node) and (usual := self.forecast.task_text(node.path)):
                line.append(f" {usual}", style="dim")
        if isinstance(node, Container | MirrorScope):
            line.append(f"  {self._succeeded(node)}{node.total}", style="dim")
        waits = isinstance(node, TaskNode | MirrorTask) and node.backoff_due != NEVER and node.ended_at is None
        if isinstance(node, TaskNode | MirrorTask) and waits:
            wait = duration(max(0, node.backoff_due - now) / 1e6)
            line.append(f"  retry {node.retries} in {wait}", style="yellow")
        elif isinstance(node, TaskNode | MirrorTask) and node.retries:
            line.append(f"  retry {node.retries}", style="yellow")
        if phase not in ("Succeeded", "Running", "Ready") and not waits:
            line.append(f"  {phase}", style=PHASE_COLORS[phase])
        if node.message and phase != "Succeeded":
            line.append(f"  {one_line(node.message)}", style="dim")
        return line

    def _succeeded(self, node: Container | MirrorScope) -> str:
        """`3/` of a dag or loop: how many of what is in it Succeeded or were Skipped; `of ` where there is too much of it."""
        if self.state is None or len(node.children) >= 10_000:
            return "of "
        nodes = self.state.nodes
        return f"{sum(child >= 0 and str(nodes[child].phase) in FINE_PHASES for child in node.children)}/"

    def _bar(self, state: SeenRun) -> Text:
        """How much has ended, and of that how much Succeeded; what is to do has another shape, not only another colour."""
        known = max(state.leaves_known, 1)
        narrow = self.console.width < NARROW
        counts = f"{self.phases['Succeeded'] + self.phases['Skipped']}/{state.leaves_known}{'' if narrow else ' done'}"
        others = [(phase, count) for phase, count in sorted(self.phases.items()) if phase not in FINE_PHASES]
        marks = [f"  {PHASE_MARKS[phase]} {count}{'' if narrow else f' {phase}'}" for phase, count in others]
        width = max(min(30, self.console.width - len(counts) - sum(map(len, marks)) - 5), 4)
        full = min(width, width * state.leaves_ended // known)
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        line.append(FULL * full, style="green").append(EMPTY * (width - full), style="bright_black")
        line.append(f"  {counts}")
        for (phase, _), shown in zip(others, marks, strict=True):
            line.append(shown, style=PHASE_COLORS[phase])
        return line


def _pending(nodes: Iterable[SeenTask]) -> Iterator[tuple[tuple[int, ...], list[Text]]]:
    """The tasks of open dags that have not begun, with their places in document order."""
    for node in nodes:
        if node.ended_at is not None or node.hook is not None or not isinstance(node, DagNode | MirrorScope):
            continue
        if len(node.children) >= 10_000:
            continue
        tasks = node.target.tasks if isinstance(node, DagNode) else ()
        for index, child in enumerate(node.children):
            name = tasks[index].name if tasks else node.names.get(index) if isinstance(node, MirrorScope) else None
            if child < 0 and name is not None:
                text = f"{'  ' * (node.depth + 2)}{PHASE_MARKS['Created']} {one_line(name)}"
                yield (0, *node.order, index), [Text(text, style="dim", no_wrap=True, overflow="ellipsis")]


def _with_containers(node: SeenTask, shown: dict[int, SeenTask]) -> dict[int, SeenTask]:
    """`node` and those of its containers that are not shown yet."""
    more: dict[int, SeenTask] = {}
    here: SeenTask | None = node
    while here is not None and here.id not in shown:
        more[here.id] = here
        here = here.parent
    return more
