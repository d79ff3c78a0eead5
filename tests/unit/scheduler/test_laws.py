"""Laws of the scheduler's code: only `evolve` writes to the state, and shorter ways than `emit` are the five that are named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from aether_protocol import scheduler

FOLDER = Path(scheduler.__file__).parent
WRITERS = {"evolve", "snapshot"}  # facts applied, and a whole state read back
# What is built for one step or one look-up, and dropped after it; a state of its own for parameters that are being bound.
SCRATCH = {"self", "step", "resolver", "outcome", "assignment", "made", "error", "fault"}
OWN_STATE = {("binding", "state.header"), ("binding", "state.secret")}
CLOCK = {("machine", "state.now"), ("machine", "state.seq")}  # what every entry carries
SHORT_WAYS = {
    ("machine", "_make", "apply_node_made"),
    ("step_builder", "end", "apply_node_ended"),
    ("tasks", "dispatch", "apply_task_dispatched"),
    ("tasks", "running", "apply_task_running"),
    ("tasks", "finished", "apply_node_ended"),
}
CHANGING = {"append", "extend", "appendleft", "popleft", "pop", "add", "update", "clear", "insert", "remove", "setdefault"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(FOLDER.glob("*.py")):
        yield path.stem, ast.parse(path.read_text("utf-8"))


def base_of(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def written(tree: ast.AST) -> Iterator[ast.expr]:
    """Everything of another object that the code assigns, deletes or changes in place."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            targets = [node.func.value] if isinstance(node.func.value, ast.Attribute) else []
        for target in targets:
            for part in ast.walk(target) if isinstance(target, ast.Tuple) else [target]:
                if isinstance(part, ast.Attribute):
                    yield part


def test_only_evolve_writes_to_the_state() -> None:
    found = {
        (name, ast.unparse(target))
        for name, tree in modules()
        if name not in WRITERS
        for target in written(tree)
        if base_of(target) not in SCRATCH or ".state." in ast.unparse(target)
    }
    assert found == OWN_STATE | CLOCK


def test_facts_are_applied_by_emit_and_in_five_named_places() -> None:
    found = {
        (name, function.name, call.func.id)
        for name, tree in modules()
        if name != "evolve"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("apply_")
    }
    assert found == SHORT_WAYS
    theory = ast.get_docstring(ast.parse((FOLDER / "__init__.py").read_text("utf-8"))) or ""
    assert all(f"{function}`" in theory for _, function, _ in SHORT_WAYS), "each is named in the theory of operation"


def test_a_shorter_way_records_what_it_applies() -> None:
    """The fact that a shorter way applies is the one that it appended just before."""
    for name, tree in modules():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and (name, function.name) in {(m, f) for m, f, _ in SHORT_WAYS}:
                text = ast.unparse(function)
                appended = text.index(".facts.append(fact)")
                applied = text.index("apply_")
                assert text[appended:applied].count("\n") == 1, function.name
