"""What a simulation of a fleet is about: runs of several namespaces, workers with labels, and limits, all from a seed.

Law: `work` decides the documents, the workers and what tasks give; `seed` decides the faults. At least one worker can carry out
all that the documents ask for, and workers that end are replaced, so every run ends.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from aether_protocol.testing.simulation.document_generator import EXECUTOR, SECRET, DocumentGenerator
from aether_protocol.testing.simulation.fleet.machine import MachineOffer
from aether_protocol.testing.simulation.workers import SECOND

SAME: Final = 5
_LARGE: Final = 5  # templates of a random document for each task that others may have: of such, few hold up all other seeds
_SELECTORS: Final = ("", "", "", "zone=a", "zone in (a, b)", "!spot")
_LABELS: Final[tuple[dict[str, str], ...]] = ({"zone": "a"}, {"zone": "b"}, {"zone": "a", "spot": "yes"}, {})


class FleetRun(Struct, frozen=True):
    """One run. `cancel_at` and `at` in microseconds from the beginning."""

    document: Mapping[str, Any]
    at: int = 0
    cancel_at: int | None = None

    @property
    def namespace(self) -> str:
        return str(self.document["metadata"].get("namespace", "default"))


class FleetScenario(Struct, frozen=True):
    """What one simulation is about. `timed`: its end may depend on how long things take, so it is not compared. `servers`: how
    many share the store."""

    seed: int
    work: int
    runs: tuple[FleetRun, ...]
    machines: tuple[MachineOffer, ...]
    weights: Mapping[str, int] = {}
    limits: Mapping[str, int] = {}
    timed: bool = False
    strength: float = 0.0
    sqlite: bool = False
    beat_s: float = 3.0
    thorough: bool = False
    servers: int = 1
    without: frozenset[str] = field(default_factory=frozenset)

    def told(self) -> dict[str, Any]:
        """What it is about, as JSON."""
        machines = [
            {
                "name": one.name,
                "slots": dict(one.slots),
                "labels": dict(one.labels),
                "rate": one.rate,
                "namespaces": None if one.namespaces is None else sorted(one.namespaces),
            }
            for one in self.machines
        ]
        runs = [{"at": one.at / SECOND, "cancelAt": one.cancel_at, "document": dict(one.document)} for one in self.runs]
        about = {"sqlite": self.sqlite, "weights": dict(self.weights), "limits": dict(self.limits), "beat": self.beat_s}
        about |= {"servers": self.servers}
        return {**about, "machines": machines, "runs": runs}


def fleet_scenario(seed: int) -> FleetScenario:
    """The scenario of a seed. Seeds that follow each other have all but the faults in common, SAME of them."""
    work = seed // SAME
    rng = random.Random(f"fleet {work}")
    timed = rng.random() < 0.3
    namespaces = rng.sample(["blue", "green", "red"], rng.choice([1, 2, 2, 3]))
    crowded = rng.random() < 0.25  # runs of all namespaces at once, and few slots
    count = len(namespaces) + 1 if crowded else rng.choice([1, 2, 3, 4])
    runs = tuple(_run(rng, namespaces[number % len(namespaces)], timed=timed, crowded=crowded) for number in range(count))
    machines = _machines(rng, namespaces)[: 1 if crowded else 4]
    weights = {name: 2 for name in namespaces if rng.random() < 0.15}
    limits = {name: rng.randint(1, 3) for name in namespaces if rng.random() < 0.15}
    beat_s = rng.choice([3.0, 6.0, 9.0])
    rng = random.Random(f"faults {seed}")
    return FleetScenario(
        seed=seed,
        work=work,
        runs=runs,
        machines=machines,
        weights=weights,
        limits=limits,
        timed=timed,
        strength=rng.choice([0.0, 0.5, 1.0, 1.0, 2.0]),
        sqlite=rng.random() < 0.2,
        beat_s=beat_s,
        thorough=rng.random() < 0.1,
    )


def servers_scenario(seed: int) -> FleetScenario:
    """The scenario of a seed with several servers. Seeds that follow each other have all but the faults in common."""
    work = seed // SAME
    rng = random.Random(f"servers {work}")
    timed = rng.random() < 0.3
    namespaces = rng.sample(["blue", "green"], rng.choice([1, 1, 2]))
    count = rng.choice([1, 2, 3, 4])  # small, so that many seeds can be played
    runs = tuple(_run(rng, rng.choice(namespaces), timed=timed, most=4) for _ in range(count))
    servers = rng.choice([2, 2, 3])
    able = [MachineOffer(f"able-{number}", {"tasks": 2, "cpu": 2000, "gpu": 1}, {"zone": "a"}) for number in range(servers)]
    machines = (*able, *_machines(rng, namespaces)[1:])
    beat_s = rng.choice([3.0, 9.0, 9.0])  # seldom often: most of the messages are beats
    rng = random.Random(f"faults of servers {seed}")
    return FleetScenario(
        seed=seed,
        work=work,
        runs=runs,
        machines=machines,
        timed=timed,
        strength=rng.choice([0.0, 0.5, 1.0, 1.0, 2.0]),
        sqlite=rng.random() < 0.2,
        beat_s=beat_s,
        thorough=rng.random() < 0.1,
        servers=servers,
    )


def _machines(rng: random.Random, namespaces: list[str]) -> tuple[MachineOffer, ...]:
    offers = [MachineOffer("w1", {"tasks": rng.randint(1, 3), "cpu": 2000, "gpu": 1}, {"zone": "a"}, rate=_rate(rng))]
    for number in range(2, rng.randint(1, 4) + 1):
        served = frozenset(rng.sample(namespaces, rng.randint(1, len(namespaces)))) if rng.random() < 0.2 else None
        slots = {"tasks": rng.randint(1, 4)} | ({"cpu": 1000} if rng.random() < 0.3 else {})
        offers.append(MachineOffer(f"w{number}", slots, rng.choice(_LABELS), namespaces=served, rate=_rate(rng)))
    return tuple(offers)


def _rate(rng: random.Random) -> float:
    return rng.choice([1.0, 1.0, 0.97, 1.03])


def _run(rng: random.Random, namespace: str, *, timed: bool, crowded: bool = False, most: int = 6) -> FleetRun:
    """`most`: how many tasks it may have, and a loop items; a random document may have more, within bounds."""
    at = 0 if crowded else rng.choice([0, 0, SECOND, 10 * SECOND])
    if not crowded and rng.random() < 0.15:
        document = DocumentGenerator(rng, timed=timed, secrets=True).document()
        document["metadata"]["namespace"] = namespace
        if len(document["spec"]["templates"]) > _LARGE * most:
            document = _document(rng, namespace, timed=timed, crowded=crowded, most=most)
    else:
        document = _document(rng, namespace, timed=timed, crowded=crowded, most=most)
    return FleetRun(document, at, at + rng.randint(0, 30 * SECOND) if timed and rng.random() < 0.3 else None)


def _document(rng: random.Random, namespace: str, *, timed: bool, crowded: bool, most: int) -> dict[str, Any]:
    """Tasks that ask for workers: many at once, few in a row."""
    templates: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number in range(rng.randint(1, most)):
        leaf = f"leaf-{number}"
        templates.append({"task": _leaf(rng, leaf, timed=timed)})
        body = leaf
        if rng.random() < 0.25:
            body = f"many-{number}"
            templates.append({"loop": {"name": body, "items": list(range(rng.randint(2, most))), "body": leaf}})
        call: dict[str, Any] = {"name": f"t{number}", "template": body, "continueOn": {"failed": True, "error": True}}
        needs = [other["name"] for other in calls if rng.random() < 0.25]
        if needs:
            call["dependencies"] = needs
        if rng.random() < 0.3:
            call["retry"] = {"limit": rng.randint(1, 2), "backoff": {"duration": rng.choice(["0s", "1s", "5s"])}}
        calls.append(call)
    spec = {"entrypoint": "main", "priority": 500 if crowded else rng.choice([100, 500, 500, 900])}
    templates.append({"dag": {"name": "main", "tasks": calls}})
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "fleet", "namespace": namespace},
        "spec": {**spec, "templates": templates},
    }


def _leaf(rng: random.Random, name: str, *, timed: bool) -> dict[str, Any]:
    leaf: dict[str, Any] = {"name": name, "executor": {"type": EXECUTOR}}
    placement = {"selector": rng.choice(_SELECTORS), "prefer": rng.choice(["", "", "zone=b"])}
    placement |= {"sticky": "run"} if rng.random() < 0.2 else {}
    placement |= {"redeliver": "on-disconnect"} if rng.random() < 0.1 else {}
    placement = {key: value for key, value in placement.items() if value}
    if placement:
        leaf["extensions"] = {"placement": placement}
    if rng.random() < 0.3:
        leaf["resources"] = {"cpu": rng.choice(["500m", "1", "2"])} | ({"gpu": "1"} if rng.random() < 0.2 else {})
    if rng.random() < 0.25:
        reference = {"secretKeyRef": dict(zip(("name", "key"), SECRET, strict=True))}
        leaf["inputs"] = {"parameters": [{"name": "token", "valueFrom": reference}]}
    if timed and rng.random() < 0.4:
        leaf["timeout"] = rng.choice(["1s", "5s", "20s"])
    return leaf
