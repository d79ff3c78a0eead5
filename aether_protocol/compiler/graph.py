"""Graphs of tasks as plain integers: order, cycles, reach, and who stands above whom.

Law: nothing here recurses and nothing is quadratic: chains of 10 000 tasks and dags of 100 000 are ordinary (SPEC-11,
SCHED-13). A graph is a list that holds for each task the indices of those that it depends on, each once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

Edges = Sequence[Sequence[int]]

_NEAR: Final = 24  # steps of the search upwards before a question joins the batch
_BLOCK: Final = 4096  # questions' targets of one pass: the width of the bit sets


def reverse(dependencies: Edges) -> list[list[int]]:
    """For each task those that depend on it, in ascending order."""
    dependents: list[list[int]] = [[] for _ in dependencies]
    for task, above in enumerate(dependencies):
        for one in above:
            dependents[one].append(task)
    return dependents


def topological(dependencies: Edges, dependents: Edges) -> list[int]:
    """The tasks, each after all that it depends on. Those on a cycle, and all below one, are left out."""
    unmet = [len(above) for above in dependencies]
    order = [task for task, count in enumerate(unmet) if not count]
    for task in order:  # grows while it is walked
        for below in dependents[task]:
            unmet[below] -= 1
            if not unmet[below]:
                order.append(below)
    return order


def downstream(dependents: Edges, roots: Iterable[int]) -> list[bool]:
    """Whether each task is one of `roots` or depends on one, directly or not."""
    reached = [False] * len(dependents)
    todo = list(roots)
    for task in todo:
        reached[task] = True
    while todo:
        for below in dependents[todo.pop()]:
            if not reached[below]:
                reached[below] = True
                todo.append(below)
    return reached


def cycles(dependencies: Edges, dependents: Edges, order: Sequence[int]) -> list[list[int]]:
    """One cycle of each knot of tasks that wait for each other, as the work would flow (SPEC-11).

    Each begins with the task of its knot that comes first, is a shortest one through it, and ends with that task again.
    """
    if len(order) == len(dependencies):
        return []
    left = [True] * len(dependencies)
    for task in order:
        left[task] = False
    found = []
    for knot in sorted(_knots(dependents, left), key=min):
        first = min(knot)
        if len(knot) > 1 or first in dependents[first]:
            found.append(_shortest_cycle(dependents, first, set(knot)))
    return found


def _knots(dependents: Edges, left: Sequence[bool]) -> list[list[int]]:
    """Strongly connected components among the tasks that are `left` (Tarjan's walk, with its own stack)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    on_path: set[int] = set()
    path: list[int] = []
    knots = []
    for start, wanted in enumerate(left):
        if not wanted or start in number:
            continue
        number[start] = low[start] = len(number)
        path.append(start)
        on_path.add(start)
        walk = [(start, iter(dependents[start]))]
        while walk:
            task, rest = walk[-1]
            for below in rest:
                if below not in number:
                    number[below] = low[below] = len(number)
                    path.append(below)
                    on_path.add(below)
                    walk.append((below, iter(dependents[below])))
                    break
                if below in on_path:
                    low[task] = min(low[task], number[below])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[task])
                if low[task] == number[task]:
                    knot = [path.pop()]
                    while knot[-1] != task:
                        knot.append(path.pop())
                    on_path.difference_update(knot)
                    knots.append(knot)
    return knots


def _shortest_cycle(dependents: Edges, first: int, knot: set[int]) -> list[int]:
    came_from: dict[int, int] = {}
    todo = deque([first])
    while todo:
        task = todo.popleft()
        for below in dependents[task]:
            if below == first:
                back = [first, task]
                while task != first:
                    task = came_from[task]
                    back.append(task)
                return back[::-1]
            if below in knot and below not in came_from:
                came_from[below] = task
                todo.append(below)
    return [first]


class Ancestry:
    """Answers whether one task depends on another, directly or not, for many questions at once (SPEC-13).

    Most are settled by a look at the neighbourhood; the others are answered together, by one pass over the graph for
    every few thousand targets. No set of all ancestors is ever built.
    """

    def __init__(self, dependencies: Edges, order: Sequence[int]) -> None:
        self._dependencies = dependencies
        self._order = order
        self._rank = [0] * len(dependencies)
        self._wide: dict[int, frozenset[int]] = {}
        for rank, task in enumerate(order):
            self._rank[task] = rank

    def direct(self, task: int, other: int) -> bool:
        """Whether `task` names `other` among its dependencies."""
        above = self._dependencies[task]
        if len(above) <= _NEAR:
            return other in above
        wide = self._wide.get(task)
        if wide is None:
            wide = self._wide[task] = frozenset(above)
        return other in wide

    def not_above(self, questions: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of `questions`, pairs (task, other), in which the task does not depend on the other."""
        no: set[tuple[int, int]] = set()
        open_: list[tuple[int, int]] = []
        for task, other in set(questions):
            if self.direct(task, other):
                continue
            answer = self._near(task, other)
            if answer is None:
                open_.append((task, other))
            elif not answer:
                no.add((task, other))
        targets = sorted({other for _, other in open_}, key=self._rank.__getitem__)
        for start in range(0, len(targets), _BLOCK):
            bits = {other: 1 << bit for bit, other in enumerate(targets[start : start + _BLOCK])}
            asked = [pair for pair in open_ if pair[1] in bits]
            no |= self._pass(bits, asked, self._rank[targets[start]])
        return no

    def _near(self, task: int, other: int) -> bool | None:
        """The answer where a short search upwards finds it, else None."""
        lowest = self._rank[other]
        if lowest >= self._rank[task]:
            return False
        todo = [task]
        seen = {task}
        for current in todo:
            if self.direct(current, other):
                return True
            for one in self._dependencies[current]:
                if self._rank[one] > lowest and one not in seen:
                    seen.add(one)
                    todo.append(one)
                    if len(todo) > _NEAR:
                        return None
        return False

    def _pass(self, bits: dict[int, int], asked: list[tuple[int, int]], start: int) -> set[tuple[int, int]]:
        above_of = self._above(bits, start, max(self._rank[task] for task, _ in asked))
        return {(task, other) for task, other in asked if not above_of.get(task, 0) & bits[other]}

    def _above(self, bits: dict[int, int], start: int, last: int) -> dict[int, int]:
        """For each task from rank `start` to `last` the targets that stand above it or are it, as `bits`; none where absent."""
        above_of: dict[int, int] = {}
        for task in self._order[start : last + 1]:
            found = bits.get(task, 0)
            for one in self._dependencies[task]:
                found |= above_of.get(one, 0)
            if found:
                above_of[task] = found
        return above_of

    def missing(self, tasks: Sequence[int], others: Iterable[int]) -> Iterator[tuple[int, int]]:
        """The pairs (task, other) of all `tasks` and all `others` in which the task does not depend on the other.

        Costs a pass over the graph for every few thousand others, and the pairs that are given; not all pairs that there are.
        """
        ordered = sorted(set(others), key=self._rank.__getitem__)
        last = max((self._rank[task] for task in tasks), default=-1)
        for start in range(0, len(ordered), _BLOCK):
            block = ordered[start : start + _BLOCK]
            bits = {other: 1 << bit for bit, other in enumerate(block)}
            above_of = self._above(bits, self._rank[block[0]], last)
            for task in tasks:
                lacking = ((1 << len(block)) - 1) & ~above_of.get(task, 0) | bits.get(task, 0)
                while lacking:
                    lowest = lacking & -lacking
                    yield task, block[lowest.bit_length() - 1]
                    lacking ^= lowest
