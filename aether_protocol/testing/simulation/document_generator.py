"""Random workflow documents: every construct of the protocol that decides what runs when.

Law: everything is drawn from one `random.Random`, so a document is repeated by its seed. What is written is valid. All tasks
have the one executor type `work`.
"""

from __future__ import annotations

import random
from typing import Any, Final

from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_value
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import Plan

NUMBER: Final = "fromjson('7')"  # where a condition or a list should stand; no check before the run can know
EXECUTOR: Final = "work"
SECRET: Final = ("vault", "key")  # the secret that documents refer to
_WORK: Final = ExecutorType(EXECUTOR, "Anything.", open_config=True, open_outputs=True)
_OPTIONS: Final = CompileOptions(executor_types={EXECUTOR: _WORK})

# The templates of hooks: what takes its time, is repeated, cannot be bound, or cannot be resolved at its dispatch.
_NOTES: Final[dict[str, dict[str, Any]]] = {
    "note": {},
    "note-again": {"retry": {"limit": 1, "backoff": {"duration": "1s"}}},
    "note-open": {"inputs": {"parameters": [{"name": "who", "type": "string"}]}},
    "note-misfit": {"inputs": {"parameters": [{"name": "phase", "type": "integer", "value": "{{hook.workflow.phase}}"}]}},
    "note-config": {"executor": {"type": EXECUTOR, "config": {"given": "{{hook.workflow.outputs.nothing}}"}}},
}
_DRAWN: Final = ("note", "note", *_NOTES)


class InvalidDocumentError(Exception):
    """A document that does not compile, with the reasons."""


def compile_value(document: dict[str, Any]) -> Plan:
    """The plan of a document of an DocumentGenerator, or of what is left of one. Raises InvalidDocumentError."""
    loaded = load_value(document)
    if not loaded.documents or loaded.documents[0].model is None:
        raise InvalidDocumentError(str(loaded.diagnostics))
    compiled = compile_document(loaded.documents[0], TemplateLibrary(), _OPTIONS)
    errors = [one for one in (*loaded.diagnostics, *compiled.diagnostics) if one.severity == "error"]
    if compiled.plan is None or errors:
        raise InvalidDocumentError("; ".join(f"{one.path}: {one.message}" for one in errors))
    return compiled.plan


class DocumentGenerator:
    """Writes random, valid workflow documents.

    `timed`: with timeouts, so that the end may depend on how long things take. `secrets`: some tasks get one.
    """

    def __init__(self, rng: random.Random, *, timed: bool = True, secrets: bool = False) -> None:
        self.rng = rng
        self.timed = timed
        self.secrets = secrets
        self.templates: list[dict[str, Any]] = []

    def document(self) -> dict[str, Any]:
        rng = self.rng
        spec: dict[str, Any] = {"entrypoint": self.container(0), "maxNestedDepth": 10}
        spec["templates"] = self.templates
        self.templates += [{"task": {"name": name, "executor": {"type": EXECUTOR}, **more}} for name, more in _NOTES.items()]
        if self.timed and rng.random() < 0.4:
            spec["timeout"] = rng.choice(["5s", "30s", "10m"])
        if rng.random() < 0.3:
            spec["retry"] = self.retry()
        if rng.random() < 0.4:
            spec["hooks"] = self.hooks()
        return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "random"}, "spec": spec}

    def retry(self) -> dict[str, Any]:
        rng = self.rng
        retry: dict[str, Any] = {"limit": rng.randint(0, 3)}
        if rng.random() < 0.5:
            conditions = ["true", "phase == 'Failed'", "code == 3", NUMBER, "outputs.parameters.x > 1"]
            retry["expression"] = rng.choice(conditions)
        if rng.random() < 0.7:
            retry["backoff"] = {"duration": rng.choice(["0s", "1s", "3s"]), "jitter": rng.choice([0, 0.5])}
        return retry

    def hooks(self) -> dict[str, Any]:
        events = ["onStart", "onSuccess", "onFailure", "onError", "onSuspend", "onResume", "onCancel", "onExit"]
        return {event: {"template": self.rng.choice(_DRAWN)} for event in events if self.rng.random() < 0.4}

    def container(self, depth: int) -> str:
        return self.loop(depth) if self.rng.random() < 0.3 else self.dag(depth)

    def body(self, depth: int) -> str:
        if depth < 3 and self.rng.random() < 0.35:
            return self.container(depth + 1)
        name = f"leaf-{len(self.templates)}"
        task: dict[str, Any] = {"name": name, "executor": {"type": EXECUTOR}, **self.extras()}
        if self.secrets and self.rng.random() < 0.3:
            reference = {"secretKeyRef": dict(zip(("name", "key"), SECRET, strict=True))}
            task["inputs"] = {"parameters": [{"name": "token", "valueFrom": reference}]}
        self.templates.append({"task": task})
        return name

    def extras(self, template: str = "leaf") -> dict[str, Any]:
        rng = self.rng
        extras: dict[str, Any] = {}
        if self.timed and rng.random() < 0.3:
            extras["timeout"] = rng.choice(["1s", "4s", "1m"])
        if rng.random() < 0.2:
            of_leaf = ["code == 2", "outputs.parameters.x > 1"] if template.startswith("leaf") else []
            condition = rng.choice(["phase == 'Error'", "nope.x", "true", *of_leaf])
            extras["phaseConditions"] = {rng.choice(["succeeded", "failed", "error"]): condition}
        return extras

    def dag(self, depth: int) -> str:
        rng = self.rng
        name = f"dag-{depth}-{len(self.templates)}"
        dag: dict[str, Any] = {"name": name, "tasks": []}
        self.templates.append({"dag": dag})
        bodies: dict[str, str] = {}
        for index in range(rng.randint(1, 6)):
            body = self.body(depth)
            dag["tasks"].append(self.call(f"t{index}", body, bodies))
            bodies[f"t{index}"] = body
        if rng.random() < 0.2:
            dag["entrypoints"] = rng.sample(list(bodies), rng.randint(1, len(bodies)))
            for task in dag["tasks"]:  # what they name might be no part of the run
                task.pop("arguments", None)
                if "tasks." in task.get("when", ""):
                    task["when"] = "true"
        if rng.random() < 0.3:
            dag["continueOn"] = {"failed": True}
        if self.timed and rng.random() < 0.2:
            dag["timeout"] = rng.choice(["3s", "20s"])
        if rng.random() < 0.2:
            dag["phaseConditions"] = {rng.choice(["succeeded", "failed"]): "dag.failed > 0"}
        return name

    def call(self, name: str, body: str, before: dict[str, str]) -> dict[str, Any]:
        """A task of a dag; `before` are the templates of the tasks that it may depend on."""
        rng = self.rng
        task: dict[str, Any] = {"name": name, "template": body, **self.extras(body)}
        needs = [other for other in before if rng.random() < 0.35]
        if needs:
            first = f"tasks.{needs[0]}"
            task["dependencies"] = needs
            if rng.random() < 0.3:
                conditions = ["true", "false", f"{first}.phase == 'Succeeded'"]
                if before[needs[0]].startswith("leaf"):
                    conditions.append(f"{first}.outputs.parameters.x")  # a number: an Error where it is there
                task["when"] = rng.choice(conditions)
            if before[needs[0]].startswith("leaf") and rng.random() < 0.3:
                task["arguments"] = {"parameters": [{"name": "given", "value": f"{{{{{first}.outputs.parameters.x}}}}"}]}
        if rng.random() < 0.3:
            task["continueOn"] = {key: rng.random() < 0.6 for key in ("failed", "error", "timeout")}
        if rng.random() < 0.3:
            task["retry"] = self.retry()
        if rng.random() < 0.25:
            task["hooks"] = self.hooks()
        return task

    def loop(self, depth: int) -> str:
        rng = self.rng
        name = f"loop-{depth}-{len(self.templates)}"
        loop: dict[str, Any] = {"name": name}
        self.templates.append({"loop": loop})
        loop["body"] = self.body(depth)
        kind = rng.random()
        if kind < 0.6:
            many = rng.random() < 0.05 and loop["body"].startswith("leaf")  # more than a step starts at once
            loop["items"] = list(range(80 if many else rng.randint(0, 5)))
            loop["concurrency"] = rng.choice([0, 1, 2])
        elif kind < 0.8:
            loop["itemsFrom"] = rng.choice(["[1, 2, 3]", "null", "'[7]'", NUMBER, "[[1], [2]]"])
        else:
            loop["repeatCondition"] = rng.choice(
                ["loop_iter.index < 2", "true", f"tasks.{loop['body']}.phase == 'Failed'", NUMBER]
            )
            loop["maxIterations"] = rng.randint(1, 4)
        if rng.random() < 0.5:
            loop["aggregate"] = {"strategy": rng.choice(["last", "first", "list"])}
        if self.timed and rng.random() < 0.2:
            loop["timeout"] = "6s"
        return name
