"""Tasks at a Dask scheduler: their keys and datasets, and what an attempt asks of the worker that gets it.

Dask workers have a name, a host and resources (`dask worker --resources "GPU=2 pool.fast=1"`). Those are the labels that
selectors see: `name`, `host`, and each resource under its name, with its amount as the value.

    extensions.placement.pool: fast      a worker with the resource `pool.fast`
    extensions.placement.selector        a worker whose labels fit
    extensions.placement.prefer          one of those whose labels fit, where there are such
    resources.gpu: 2                     2 of the resource `GPU`
    resources.cpu, resources.memory      `CPU` in cores and `MEMORY` in bytes, where a worker of the cluster has that resource

Law: what no worker of the cluster could carry out is refused, and is offered again later: a task that waits at the scheduler
for a worker that never comes would say nothing of why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from aether_protocol.plan.placement import parse_selector, slots_of
from aether_protocol.ports.wire import AttemptRef, TaskAssignment

__all__ = [
    "DaskWorker",
    "Demand",
    "asks_much",
    "dataset_name",
    "demand_of",
    "engine_of",
    "flag_of",
    "key_of",
    "read_key",
    "run_of",
    "topic_of",
    "workers_in",
]

_PREFIX: Final = "aether"
_AMOUNTS: Final = {"cpu": ("CPU", 1_000), "memory": ("MEMORY", 1), "gpu": ("GPU", 1)}  # by kind: the resource, and its unit
_POOL: Final = "pool."


class DaskWorker(Struct, frozen=True):
    """A worker of the cluster, as a selector sees it."""

    address: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


class Demand(Struct, frozen=True):
    """What a task asks of its worker. `workers`: the addresses of those that fit; None: any. `fault`: why there is none."""

    resources: tuple[tuple[str, float], ...] = ()
    workers: tuple[str, ...] | None = None
    fault: str | None = None


def key_of(ref: AttemptRef, token: str) -> str:
    """Name the task that carries an attempt out, for a delivery."""
    return f"{_PREFIX}-{token}|{ref.run_id}|{ref.attempt}|{ref.epoch}|{ref.path}"


def flag_of(key: str) -> str:
    """Name the flag at the scheduler that says that a task has begun, as its worker does."""
    return key.partition("|")[0]


def read_key(key: object) -> tuple[AttemptRef, str] | None:
    """Return the attempt and the token that a key names; None: another program has it."""
    if not isinstance(key, str) or not key.startswith(f"{_PREFIX}-"):
        return None
    try:
        token, run_id, attempt, epoch, path = key.removeprefix(f"{_PREFIX}-").split("|", 4)
        return AttemptRef(run_id, path, int(attempt), int(epoch)), token
    except ValueError:
        return None


def dataset_name(engine: str, run_id: str, number: int) -> str:
    """Name the dataset that holds tasks of a run."""
    return f"{_PREFIX}/{engine}/{number}/{run_id}"


def run_of(dataset: object) -> str | None:
    """Return the run whose tasks a dataset holds; None: another program has it."""
    parts = dataset.split("/", 3) if isinstance(dataset, str) else ()
    return parts[3] if len(parts) == 4 and parts[0] == _PREFIX else None


def engine_of(dataset: str) -> str:
    """Return the engine that made a dataset."""
    return dataset.split("/", 3)[1]


def topic_of(engine: str) -> str:
    """Name the topic that has the events of an engine's tasks."""
    return f"{_PREFIX}-{engine}"


def workers_in(identity: Mapping[str, Any]) -> list[DaskWorker]:
    """List the workers of a cluster, from what its scheduler says of itself."""
    found = []
    for address, one in identity.get("workers", {}).items():
        resources = {str(name): float(amount) for name, amount in (one.get("resources") or {}).items()}
        labels = {name: f"{amount:g}" for name, amount in resources.items()}
        labels |= {"name": str(one.get("name", "")), "host": str(one.get("host", ""))}
        found.append(DaskWorker(address, resources, labels))
    return found


def asks_much(assignment: TaskAssignment) -> bool:
    """Whether the workers of the cluster have to be known for an attempt."""
    return assignment.placement is not None or assignment.resources is not None


def demand_of(assignment: TaskAssignment, workers: Sequence[DaskWorker]) -> Demand:
    """Return what an attempt asks of its Dask worker."""
    known = {name for one in workers for name in one.resources}
    needed: dict[str, float] = {}
    if assignment.resources is not None:
        for kind, amount in slots_of(assignment.resources):
            resource, unit = _AMOUNTS.get(kind, ("", 1))
            if resource in known or kind == "gpu":
                needed[resource] = amount / unit
    asked = assignment.placement
    if asked is not None and asked.pool:
        needed[f"{_POOL}{asked.pool}"] = 0.0  # it is there; nothing of it is used up
    fitting = [one for one in workers if all(one.resources.get(name, -1.0) >= amount for name, amount in needed.items())]
    if asked is not None and asked.selector:
        fitting = _matching(fitting, asked.selector)
    if workers and not fitting:
        return Demand(fault=f"no Dask worker fits: it needs {_told(assignment, needed)}")
    if asked is None or not (asked.selector or asked.prefer):
        return Demand(tuple(needed.items()))
    preferred = _matching(fitting, asked.prefer) if asked.prefer else []
    return Demand(tuple(needed.items()), tuple(one.address for one in preferred or fitting))


_parsed: Final = lru_cache(parse_selector)


def _matching(workers: Sequence[DaskWorker], selector: str) -> list[DaskWorker]:
    return [one for one in workers if _parsed(selector).matches(one.labels)]


def _told(assignment: TaskAssignment, needed: Mapping[str, float]) -> str:
    parts = [f"resource {name!r}" + (f" of {amount:g}" if amount else "") for name, amount in needed.items()]
    if assignment.placement is not None and assignment.placement.selector:
        parts.append(f"labels {assignment.placement.selector}")
    return ", ".join(parts)
