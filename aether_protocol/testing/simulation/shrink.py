"""Makes a failing scenario smaller: fewer faults, then less of a workflow, as long as the same law is broken.

Law: greedy and deterministic; what comes out was played and failed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from aether_protocol.testing.simulation.document_generator import InvalidDocumentError
from aether_protocol.testing.simulation.play import AnyScenario, Played, play_again
from aether_protocol.testing.simulation.world import Scenario

MOST_PLAYS: Final = 1_000
_KEEP: Final = frozenset({"name", "template", "executor", "body", "entrypoint", "templates", "tasks", "dag", "loop", "task"})

Place = tuple[str | int, ...]


class _Trials:
    """The smallest scenario so far that breaks `law`."""

    def __init__(self, failed: Played, plays: int) -> None:
        self.best = failed
        self.left = plays

    def smaller(self, scenario: AnyScenario) -> bool:
        """Whether this one fails, too; then it is the best."""
        if self.left <= 0:
            return False
        self.left -= 1
        try:
            played = play_again(scenario)
        except InvalidDocumentError:
            return False
        if played.law != self.best.law:
            return False
        self.best = played
        return True


def shrink(failed: Played, plays: int = MOST_PLAYS) -> Played:
    """A smaller scenario that breaks the same law, or `failed` itself; after `plays` trials the smallest so far."""
    trials = _Trials(failed, plays)
    before = None
    while before is not trials.best and trials.left > 0:
        before = trials.best
        _fewer_faults(trials)
        _simpler(trials)
        _less_workflow(trials)
    return trials.best


def _fewer_faults(trials: _Trials) -> None:
    """Leave out halves, quarters, ... and single faults."""
    size = len(trials.best.faults)
    while size:
        size = (size + 1) // 2 if size > 1 else 1
        start = 0
        while start < len(trials.best.faults):
            chosen = trials.best.faults[start : start + size]
            scenario = trials.best.scenario
            if not trials.smaller(replace(scenario, without=scenario.without | set(chosen))):
                start += size
        if size == 1:
            break


def _simpler(trials: _Trials) -> None:
    for change in ({"engines": 1}, {"engines": 2}, {"survive": False}, {"cancel_at": None}, {"sqlite": False},
                   {"tasks": 1}, {"changes": ()}):
        scenario = trials.best.scenario
        if not change.keys() <= set(scenario.__struct_fields__):
            continue
        changed = replace(scenario, **change)
        if changed != scenario and getattr(changed, "engines", 1) <= getattr(scenario, "engines", 1):
            trials.smaller(changed)


def _less_workflow(trials: _Trials) -> None:
    """Take away entries of lists and optional fields, larger things first."""
    again = True
    while again and isinstance(best := trials.best.scenario, Scenario):
        again = False
        for place in list(_removable(best.document)):
            document = _without(best.document, place)
            if document is not None and trials.smaller(replace(best, document=document)):
                again = True
                break


def _removable(document: Mapping[str, Any]) -> Iterator[Place]:
    todo: list[tuple[Place, Any]] = [(("spec",), document["spec"])]
    while todo:
        place, value = todo.pop(0)
        keys = range(len(value)) if isinstance(value, list) else list(value)
        for key in keys:
            if isinstance(key, int) or key not in _KEEP:
                yield (*place, key)
            if isinstance(value[key], list | dict):
                todo.append(((*place, key), value[key]))


def _without(document: Mapping[str, Any], place: Place) -> dict[str, Any] | None:
    """A copy without what is at `place`; a task that goes takes the dependencies on it along."""
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    holder: Any = changed
    for key in place[:-1]:
        holder = holder[key]
    if isinstance(holder, list) and len(holder) == 1 and place[-2] != "dependencies":
        return None
    gone = holder.pop(place[-1])
    if len(place) > 1 and place[-2] == "tasks":
        for task in holder:
            if gone["name"] in task.get("dependencies", ()):
                task["dependencies"] = [name for name in task["dependencies"] if name != gone["name"]]
                if not task["dependencies"]:
                    del task["dependencies"]
    return changed
