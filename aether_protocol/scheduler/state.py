"""The state of a run, and look-ups in it.

Law: nothing here changes the state; `evolve` alone does, fact by fact.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.nodes import Container, DagNode, HookNode, LoopNode, Node
from aether_protocol.scheduler.transitions import CREATED, Phase

WORKFLOW: Final = -1  # where a fact or timer names the workflow instead of a node


class RunState:
    """Everything that holds in one run. `seq` numbers its log entries from 1, `now` is the instant of the last one.

    `ready` holds the containers of children to start, oldest first, and `ready_children` which child of each. What is in it of
    a container that has ended since is passed over, and never stands at its head: the head of a queue that is not empty is to
    be started. `exits` are the scopes (node id, WORKFLOW) whose onExit has been fired; `hooks_live` counts unfinished hook runs
    by scope, `hook_numbers` all of them by scope and event. `notes` are (node, message) for people.
    """

    __slots__ = (
        "__weakref__",  # what is known of a run elsewhere goes with it
        "closed",
        "exits",
        "header",
        "hook_nodes",
        "hook_numbers",
        "hooks_live",
        "leaves_ended",
        "leaves_known",
        "nodes",
        "notes",
        "now",
        "plan",
        "ready",
        "ready_children",
        "root",
        "secret",
        "seq",
    )

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.header: RunHeader = RunHeader("", 0, None, {}, {}, 0)
        self.seq = 0
        self.now = 0
        self.nodes: list[Node] = []
        self.root: Node | None = None
        self.ready: deque[Container] = deque()
        self.ready_children: deque[int] = deque()
        self.hook_nodes: list[HookNode] = []
        self.hook_numbers: dict[tuple[int, str], int] = {}
        self.hooks_live: dict[int, int] = {}
        self.exits: set[int] = set()
        self.secret = False  # some workflow parameter holds a secret reference
        self.closed = False
        self.leaves_known = 0
        self.leaves_ended = 0
        self.notes: list[tuple[int, str]] = []

    @property
    def phase(self) -> Phase:
        """The run's phase is that of its root (SCHED-5)."""
        return self.root.phase if self.root is not None else CREATED

    @property
    def message(self) -> str:
        return self.root.message if self.root is not None else ""

    @property
    def waiting(self) -> list[tuple[Container, int]]:
        """(container, index) of the children to start, oldest first. Costs the length of the ready queue."""
        both = zip(self.ready, self.ready_children, strict=True)
        return [(scope, index) for scope, index in both if scope.ended_at is None]

    @property
    def deadline(self) -> int:
        """The instant of the workflow's timeout (SCHED-10)."""
        return self.header.created_at + self.plan.timeout_us

    def order_key(self, node: Node) -> tuple[int, ...]:
        """Sorts nodes in document order, hook runs last in the order of firing."""
        return (1, node.id) if isinstance(node, HookNode) else (0, *node.order)

    def find(self, path: str) -> Node | None:
        """The task run at `path` (`main.batch[1].load`), or None. Costs the length of the path; of a hook's run
        (`main.load!onExit#1`) the number of hooks."""
        if "!" in path:
            return next((hook for hook in self.hook_nodes if hook.run_path == path), None)
        root = self.root
        if root is None or not path.startswith(root.call.name):
            return None
        node: Node = root
        rest = path[len(root.call.name) :]
        while rest:
            if not isinstance(node, Container) or len(rest) < 2:
                return None
            index, rest = _child_index(node, rest)
            if not 0 <= index < len(node.children) or node.children[index] < 0:
                return None
            node = self.nodes[node.children[index]]
        return node

    def fingerprint(self) -> dict[str, Any]:
        """All of the state as plain comparable values: two states are the same if and only if these are equal."""
        return {
            "seq": self.seq,
            "now": self.now,
            "header": self.header,
            "ready": [(scope.id, index) for scope, index in self.waiting],
            "hooks": (dict(self.hooks_live), set(self.exits), [n.id for n in self.hook_nodes]),
            "run": (self.closed, self.leaves_known, self.leaves_ended, list(self.notes)),
            "nodes": [_node_values(n) for n in self.nodes],
        }


def _child_index(node: Container, rest: str) -> tuple[int, str]:
    """The child that the first step of `rest` (`.load...` or `[1]...`) names, and what follows it."""
    if isinstance(node, LoopNode):
        end = rest.find("]")
        number = rest[1:end]
        if rest[0] != "[" or end < 0 or not (number.isascii() and number.isdigit()):
            return -1, ""
        return int(number), rest[end + 1 :]
    ends = [i for i in (rest.find(".", 1), rest.find("[", 1)) if i > 0]
    end = min(ends, default=len(rest))
    assert isinstance(node, DagNode)
    return (node.target.index.get(rest[1:end], -1) if rest[0] == "." else -1), rest[end:]


def _node_values(node: Node) -> dict[str, Any]:
    """All that differs from the class's defaults, with nodes as their numbers."""
    kind = type(node)
    return {
        name: ("node", value.id) if isinstance(value, Node) else value
        for name, value in vars(node).items()
        if name not in _DERIVED and getattr(kind, name, _NO_DEFAULT) != value
    }


_NO_DEFAULT: Final = object()
_DERIVED: Final = frozenset({"call", "_kept_path", "_kept_order"})
