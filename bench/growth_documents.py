"""Documents of any size: one maker for every list that a document can hold, valid and with the fault that asks for advice.

Law: a maker takes a number of entries and gives documents whose size is linear in it. Makers of faulty ones put the fault
into every entry, and names are alike, so that whatever is compared with all others is compared at its dearest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

Json = Any
Maker = Callable[[int], bytes]

NOOP: Final = {"type": "noop"}


def document(templates: Json, *, kind: str = "Workflow", name: str = "big", metadata: Json = None, **spec: Json) -> Json:
    """A document with these templates; its entrypoint is `main` where it is a workflow."""
    entry = {"entrypoint": "main"} if kind == "Workflow" and "entrypoint" not in spec else {}
    head = {"apiVersion": "aether/v1", "kind": kind, "metadata": {"name": name, **(metadata or {})}}
    return {**head, "spec": {**entry, **spec, "templates": templates}}


def dag(tasks: Json, name: str = "main", **more: Json) -> Json:
    return {"dag": {"name": name, "tasks": tasks, **more}}


def task(name: str = "work", config: Json = None, executor: str = "noop", **more: Json) -> Json:
    given = {"type": executor} if config is None else {"type": executor, "config": config}
    return {"task": {"name": name, "executor": given, **more}}


def loop(name: str = "main", body: str = "work", **more: Json) -> Json:
    return {"loop": {"name": name, "body": body, **more}}


def call(name: str, template: str = "work", **more: Json) -> Json:
    return {"name": name, "template": template, **more}


def params(count: int, stem: str = "parameter", **more: Json) -> Json:
    return {"parameters": [{"name": f"{stem}-{i}", **more} for i in range(count)]}


def artifacts(count: int, **more: Json) -> Json:
    return {"artifacts": [{"name": f"artifact-{i}", **more} for i in range(count)]}


def names(count: int, stem: str) -> list[str]:
    return [f"{stem}-{i}" for i in range(count)]


def one(build: Callable[[int], Json]) -> Maker:
    """Documents as JSON: one, or several of a list in one YAML stream."""

    def make(count: int) -> bytes:
        made = build(count)
        several = made if isinstance(made, list) else [made]
        return "\n---\n".join(json.dumps(entry) for entry in several).encode()

    return make


def text(build: Callable[[int], str]) -> Maker:
    return lambda count: build(count).encode()


def _called(count: int, given: str, declared: str, **more: Json) -> Json:
    """A call that gives `count` arguments to a template that declares as many inputs."""
    work = task(inputs=params(count, declared, **more))
    return document([work, dag([call("a", arguments=params(count, given, value=1))])])


def _reads(count: int, expression: str, **more: Json) -> Json:
    """`count` tasks whose conditions read something that depends on their number."""
    tasks = [call(f"task-{i}", when=expression.replace("#", str(i)), **more) for i in range(count)]
    return document([task(), dag(tasks)], arguments=params(count, value=1))


def _outputs(count: int, reads: str) -> Json:
    work = task(outputs=params(count, "output", value=1))
    more = {"parameters": [{"name": f"o-{i}", "valueFrom": {"parameter": reads.replace("#", str(i))}} for i in range(count)]}
    return document([work, dag([call("a")], outputs=more)])


def _items(count: int, stem: str) -> Json:
    """Objects as items; the body declares as many inputs as there are items."""
    wide = max(int(count**0.5), 1)
    items = [{f"{stem}-{j}": 1 for j in range(wide)} for _ in range(wide)]
    return document([task(inputs=params(wide)), loop(items=items)])


def _leaf_library(count: int, wanted: str) -> Json:
    """A library of dags that all call one leaf dag, and a workflow that calls them all."""
    leaf = dag([call("x", "work")], "leaf")
    middle = [dag([call("x", wanted)], f"dag-{i}") for i in range(count)]
    library = document([task(), leaf, *middle], kind="WorkflowTemplate", name="lib")
    tasks = [{"name": f"t-{i}", "templateRef": {"name": "lib", "template": f"dag-{i}"}} for i in range(count)]
    return [document([dag(tasks)], maxNestedDepth=10), library]


def _each_other(count: int) -> Json:
    """A library whose dags all call all templates of a bounded set, deeper than is allowed."""
    dags = [dag([call(f"x-{j}", f"dag-{j}") for j in range(max(i - 8, 0), i)] or [call("x")], f"dag-{i}") for i in range(count)]
    return document([task(), *dags, dag([call("a", f"dag-{count - 1}")])], maxNestedDepth=3)


def _hooked(count: int, target: str) -> Json:
    hooks = {event: {"template": target} for event in ("onStart", "onSuccess", "onFailure", "onExit")}
    return document([task(), dag([call(f"task-{i}", hooks=hooks) for i in range(count)])])


def _config(count: int, config: Callable[[int], Json], executor: str) -> Json:
    return document([task("main", config(count), executor)])


def _many_configs(count: int, config: Json, executor: str) -> Json:
    tasks = [{"name": f"task-{i}", "executor": {"type": executor, "config": config}} for i in range(count)]
    return document([dag(tasks)])


def _chain(count: int, before: Callable[[int], list[str]], **more: Json) -> Json:
    return document([task(), dag([call(f"task-{i}", dependencies=before(i), **more) for i in range(count)])])


def _secrets(count: int) -> Json:
    """A secret that goes down a chain of dags, the innermost of which comes first."""
    wired = {"parameters": [{"name": "s", "valueFrom": {"parameter": "inputs.parameters.s"}}]}
    takes = {"parameters": [{"name": "s"}]}
    dags = [dag([call("x", f"dag-{i - 1}" if i else "work", arguments=wired)], f"dag-{i}", inputs=takes) for i in range(count)]
    first = {"parameters": [{"name": "s", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}
    return document([task(inputs=takes), *dags, dag([call("a", f"dag-{count - 1}", arguments=first)])], maxNestedDepth=10)


def _unknown_fields(count: int) -> Json:
    made = document([task("main")])
    made["spec"].update({f"entrypoin-{i}": 1 for i in range(count)})
    return made


def _bad_entries(count: int) -> Json:
    """Entries that are dropped, so that all below them move up."""
    return document([task(), dag([7 if i % 2 else {"name": f"task-{i}", "template": ["x"]} for i in range(count)])])


def _aliases(count: int) -> str:
    lines = "\n".join(f"      - {{name: p-{i}, value: *shared}}" for i in range(count))
    return (
        "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: big}\nspec:\n  entrypoint: main\n  arguments:\n"
        "    parameters:\n      - {name: first, value: &shared [1, {a: 2}]}\n" + lines + "\n  templates:\n"
        "    - task: {name: main, executor: {type: noop}}\n"
    )


def _yaml_keys(count: int, key: str) -> str:
    lines = "\n".join(f"    {key.replace('#', str(i))}: x" for i in range(count))
    return (
        "apiVersion: aether/v1\nkind: Workflow\nmetadata:\n  name: big\n  labels:\n" + lines + "\nspec:\n  entrypoint: main\n"
        "  templates:\n    - task: {name: main, executor: {type: noop}}\n"
    )


def _nested(count: int) -> Json:
    """Values nested 100 deep, `count` levels in all."""

    def deep(levels: int) -> Json:
        value: Json = "{{workflow.name}}"
        for _ in range(levels):
            value = [value]
        return value

    return document(
        [task("main")], arguments={"parameters": [{"name": f"p-{i}", "value": deep(90)} for i in range(count // 90)]}
    )


def _texts(count: int, placeholder: str) -> Json:
    value = " ".join(placeholder.replace("#", str(i)) for i in range(count))
    return document(
        [task("main")], arguments={"parameters": [*params(20, "p", value=1)["parameters"], {"name": "t", "value": value}]}
    )


def _entries(count: int, kind: str) -> Json:
    return [document([task("main")], name=f"document-{i}", kind=kind) for i in range(count)]


def _refs(count: int, wanted: str) -> Json:
    """A file with many libraries, and a workflow that refers to each of them."""
    libraries = [document([task()], kind="WorkflowTemplate", name=f"library-{i}") for i in range(count)]
    tasks = [{"name": f"t-{i}", "templateRef": {"name": f"{wanted}-{i}", "template": "work"}} for i in range(count)]
    return [document([dag(tasks)]), *libraries]


def _aggregated(count: int, wanted: str) -> Json:
    work = task(outputs=params(count, "output"))
    return document([work, loop(items=[1], aggregate={"strategy": "list", "parameters": names(count, wanted)})])


def _loop_outputs(count: int, wanted: str) -> Json:
    work = task(outputs=params(count, "output"))
    return document([work, loop(items=[1], outputs=params(count, wanted))])


def _calls_and_inputs(count: int, reads: str) -> Json:
    """As many calls of a template as it has inputs, each with a source of its own that reads what the caller sees."""
    inputs = {"parameters": [{"name": f"p-{i}", "valueFrom": {"parameter": reads.replace("#", str(i))}} for i in range(count)]}
    more = params(count, "p", default=1)
    return document([task(inputs=inputs), dag([call(f"task-{i}") for i in range(count)], inputs=more)])


def _calls_and_tasks(count: int, last: int, text: str = "{{tasks.t-#.outputs.parameters.x}}") -> Json:
    """A chain of tasks, and as many calls of a template each of whose inputs reads one of them; they depend on the chain up to
    task `last`."""
    inputs = {"parameters": [{"name": f"p-{i}", "value": text.replace("#", str(i))} for i in range(count)]}
    chain = [call(f"t-{i}", "leaf", dependencies=[f"t-{i - 1}"] if i else []) for i in range(count)]
    calls = [call(f"c-{i}", dependencies=[f"t-{last}"]) for i in range(count)]
    return document([task(inputs=inputs), task("leaf", outputs={"parameters": [{"name": "x"}]}), dag([*chain, *calls])])


def _loops_and_tasks(count: int) -> Json:
    """A chain of tasks, and as many calls of a loop whose items read each of them."""
    chain = [call(f"t-{i}", "leaf", dependencies=[f"t-{i - 1}"] if i else []) for i in range(count)]
    calls = [call(f"c-{i}", "each", dependencies=[f"t-{count - 1}"]) for i in range(count)]
    each = loop("each", "leaf", items=[f"{{{{tasks.t-{i}.outputs.parameters.x}}}}" for i in range(count)])
    return document([each, task("leaf", outputs={"parameters": [{"name": "x"}]}), dag([*chain, *calls])])


def _bare_items(count: int) -> Json:
    """Items without a field, for a body with as many inputs."""
    return document([task(inputs=params(count)), loop(items=[{} for _ in range(count)])])


def _long_enum(count: int, stem: str) -> Json:
    """An enum with as many members as there are calls that give a value for it."""
    inputs = {"parameters": [{"name": "p", "enum": names(count, "member")}]}
    given = [{"parameters": [{"name": "p", "value": f"{stem}-{i}"}]} for i in range(count)]
    return document([task(inputs=inputs), dag([call(f"t-{i}", arguments=given[i]) for i in range(count)])])


def _required(count: int, given: str) -> Json:
    return document([task("main", inputs=params(count))], arguments=params(count, given, value=1))


def _many_calls(count: int, given: Json) -> Json:
    """Many calls of a template with many inputs."""
    wide = max(int(count**0.5), 1)
    work = task(inputs=params(wide, default=1))
    return document([work, dag([call(f"task-{i}", arguments=given(wide, i)) for i in range(wide)])])


CASES: Final[dict[str, Maker]] = {
    # structure
    "templates": one(lambda n: document([task("main"), *(task(f"template-{i}") for i in range(n))])),
    "templates of one name": one(lambda n: document([task("main"), *(task("twin") for _ in range(n))])),
    "templates that are missing": one(
        lambda n: document(
            [*(task(f"template-{i}") for i in range(n)), dag([call(f"t-{i}", f"templat-{i}") for i in range(n)])]
        )
    ),
    "loops over missing bodies": one(
        lambda n: document([task("main"), *(loop(f"loop-{i}", f"loup-{i}", items=[]) for i in range(n))])
    ),
    "dags that call a leaf": one(lambda n: _leaf_library(n, "leaf")),
    "dags that call a missing leaf": one(lambda n: _leaf_library(n, "lef")),
    "dags that call each other": one(_each_other),
    "dags in each other": one(
        lambda n: document(
            [
                task(),
                *(dag([call("x", f"dag-{i + 1}" if i + 1 < n else "work")], f"dag-{i}") for i in range(n)),
                dag([call("x", "dag-0")]),
            ]
        )
    ),
    "dags that call themselves": one(
        lambda n: document([task("main"), *(dag([call("x", f"dag-{(i + 1) % n}")], f"dag-{i}") for i in range(n))])
    ),
    "dags each of which calls itself": one(
        lambda n: document([task("main"), *(dag([call("x", f"dag-{i}")], f"dag-{i}") for i in range(n))])
    ),
    "a secret down a chain": one(_secrets),
    # tasks
    "tasks": one(lambda n: document([task(), dag([call(f"task-{i}") for i in range(n)])])),
    "tasks of one name": one(lambda n: document([task(), dag([call("twin") for _ in range(n)])])),
    "tasks in a chain": one(lambda n: _chain(n, lambda i: [f"task-{i - 1}"] if i else [])),
    "tasks in a circle": one(lambda n: _chain(n, lambda i: [f"task-{(i - 1) % n}"])),
    "tasks that wait for themselves": one(lambda n: _chain(n, lambda i: [f"task-{i}"])),
    "dependencies that are missing": one(lambda n: _chain(n, lambda i: [f"tusk-{i}"])),
    "dependencies of one task": one(
        lambda n: document([task(), dag([*(call(f"task-{i}") for i in range(n)), call("end", dependencies=names(n, "task"))])])
    ),
    "missing dependencies of one task": one(lambda n: document([task(), dag([call("end", dependencies=names(n, "task"))])])),
    "dependencies named twice": one(
        lambda n: document([task(), dag([call("task-0"), call("end", dependencies=["task-0"] * n)])])
    ),
    "entrypoints": one(lambda n: document([task(), dag([call(f"task-{i}") for i in range(n)], entrypoints=names(n, "task"))])),
    "entrypoints that are missing": one(
        lambda n: document([task(), dag([call(f"task-{i}") for i in range(n)], entrypoints=names(n, "tusk"))])
    ),
    "entries that are no tasks": one(_bad_entries),
    "hooks": one(lambda n: _hooked(n, "work")),
    "hooks of missing templates": one(lambda n: _hooked(n, "wurk")),
    "hooks that are dags": one(lambda n: _hooked(n, "main")),
    "retries without effect": one(lambda n: _chain(n, lambda i: [], retry={"limit": 0}, resources={"cpu": "1"})),
    # parameters
    "arguments": one(lambda n: _called(n, "parameter", "parameter")),
    "arguments that are not declared": one(lambda n: _called(n, "parametre", "parameter")),
    "arguments beside declared ones": one(lambda n: _called(n, "parametre", "parameter", default=1)),
    "arguments of the wrong type": one(lambda n: _called(n, "parameter", "parameter", type="string")),
    "arguments of one name": one(
        lambda n: document(
            [task(inputs=params(1)), dag([call("a", arguments={"parameters": [{"name": "p", "value": 1}] * n})])]
        )
    ),
    "arguments of many calls": one(lambda n: _many_calls(n, lambda wide, i: params(wide, value=1))),
    "undeclared arguments of many calls": one(lambda n: _many_calls(n, lambda wide, i: params(wide, f"paramete{i}", value=1))),
    "inputs without a value": one(lambda n: document([task(inputs=params(n)), dag([call("a")])])),
    "inputs of the entrypoint": one(lambda n: _required(n, "parameter")),
    "inputs of the entrypoint without a value": one(lambda n: _required(n, "parametre")),
    "inputs of one name": one(lambda n: document([task("main", inputs={"parameters": [{"name": "p", "default": 1}] * n})])),
    "parameters of the workflow": one(lambda n: _reads(n, "workflow.parameters.parameter-# == 1")),
    "parameters that are missing": one(lambda n: _reads(n, "workflow.parameters.parametre-# == 1")),
    "parameters that read those above": one(
        lambda n: document(
            [task("main")],
            arguments={
                "parameters": [
                    {"name": f"p-{i}", "value": f"{{{{workflow.parameters.p-{i - 1}}}}}" if i else 1} for i in range(n)
                ]
            },
        )
    ),
    "parameters that read those below": one(
        lambda n: document(
            [task("main")],
            arguments={"parameters": [{"name": f"p-{i}", "value": f"{{{{workflow.parameters.p-{i + 1}}}}}"} for i in range(n)]},
        )
    ),
    "outputs": one(lambda n: _outputs(n, "tasks.a.outputs.parameters.output-#")),
    "outputs that are missing": one(lambda n: _outputs(n, "tasks.a.outputs.parameters.outputt-#")),
    "members of an enum": one(
        lambda n: document([task("main")], arguments={"parameters": [{"name": "p", "enum": list(range(n)), "value": 0}]})
    ),
    "members of an enum of the wrong type": one(
        lambda n: document([task("main")], arguments={"parameters": [{"name": "p", "type": "string", "enum": list(range(n))}]})
    ),
    "values that an enum lacks": one(
        lambda n: document(
            [
                task(inputs={"parameters": [{"name": "p", "enum": [f"member-{i}" for i in range(50)]}]}),
                dag([call(f"t-{i}", arguments={"parameters": [{"name": "p", "value": f"membre-{i}"}]}) for i in range(n)]),
            ]
        )
    ),
    "values of a long enum": one(lambda n: _long_enum(n, "member")),
    "values that a long enum lacks": one(lambda n: _long_enum(n, "membre")),
    "calls of a template with many sources": one(lambda n: _calls_and_inputs(n, "inputs.parameters.p-#")),
    "calls of a template that reads many tasks": one(lambda n: _calls_and_tasks(n, n - 1)),
    "calls of a template that reads many tasks too early": one(lambda n: _calls_and_tasks(n, n // 2)),
    "calls of a template that reads many missing tasks": one(
        lambda n: _calls_and_tasks(n, n - 1, "{{tasks.u-#.outputs.parameters.x}}")
    ),
    "calls of a loop that reads many tasks": one(_loops_and_tasks),
    "calls of a template with many missing sources": one(lambda n: _calls_and_inputs(n, "inputs.parameters.q-#")),
    # artifacts
    "artifacts": one(lambda n: document([task(outputs=artifacts(n, path="x")), dag([call("a")])])),
    "artifacts without a path": one(lambda n: document([task(outputs=artifacts(n)), dag([call("a")])])),
    "artifacts of missing sources": one(
        lambda n: document([task("main", inputs=artifacts(n, path="x", source={"type": "lokal", "config": {"path": "x"}}))])
    ),
    "artifacts that are missing": one(
        lambda n: document(
            [
                task(outputs=artifacts(n, path="x")),
                dag(
                    [call("a")],
                    outputs={
                        "artifacts": [{"name": f"o-{i}", "from": f"tasks.a.outputs.artifacts.artefact-{i}"} for i in range(n)]
                    },
                ),
            ]
        )
    ),
    "artifacts that are not given": one(lambda n: document([task(inputs=artifacts(n, path="x")), dag([call("a")])])),
    # loops
    "items": one(lambda n: document([task(), loop(items=list(range(n)))])),
    "items with fields": one(lambda n: _items(n, "parameter")),
    "items with other fields": one(lambda n: _items(n, "parametre")),
    "items without fields": one(_bare_items),
    "items with placeholders": one(lambda n: document([task(), loop(items=["{{workflow.name}}"] * n)])),
    "aggregated outputs": one(lambda n: _aggregated(n, "output")),
    "aggregated outputs that are missing": one(lambda n: _aggregated(n, "outputt")),
    "outputs of a loop": one(lambda n: _loop_outputs(n, "output")),
    "outputs of a loop that are missing": one(lambda n: _loop_outputs(n, "outputt")),
    # configs
    "env of a config": one(
        lambda n: _config(n, lambda m: {"runtime": "sh", "source": "x", "env": {f"NAME_{i}": "v" for i in range(m)}}, "script")
    ),
    "unknown fields of a config": one(lambda n: _config(n, lambda m: {f"sourze-{i}": 1 for i in range(m)}, "script")),
    "configs with unknown fields": one(lambda n: _many_configs(n, {"sourze": "x", "source": "y"}, "script")),
    "configs of unknown executors": one(lambda n: _many_configs(n, {}, "scritp")),
    "members of a command": one(lambda n: _config(n, lambda m: {"command": ["x"] * m}, "process")),
    "members of a command that are no text": one(lambda n: _config(n, lambda m: {"command": [[1]] * m}, "process")),
    # documents
    "documents": one(lambda n: _entries(n, "Workflow")),
    "documents of one name": one(lambda n: [document([task("main")], name="twin") for _ in range(n)]),
    "libraries": one(lambda n: _refs(n, "library")),
    "libraries that are missing": one(lambda n: _refs(n, "libary")),
    "libraries that nothing uses": one(lambda n: [document([task("main")]), *_entries(n, "WorkflowTemplate")]),
    "labels": one(lambda n: document([task("main")], metadata={"labels": {f"label-{i}": "x" for i in range(n)}})),
    "labels that are no text": one(
        lambda n: document([task("main")], metadata={"labels": {f"label-{i}": 1 for i in range(n)}})
    ),
    "annotations": one(lambda n: document([task("main")], metadata={"annotations": {f"note-{i}": "x" for i in range(n)}})),
    "unknown fields": one(_unknown_fields),
    "unknown fields of many": one(
        lambda n: document([task(), dag([call(f"task-{i}", dependancies=[], wenn="x") for i in range(n)])])
    ),
    "unknown fields that are nothing alike": one(
        lambda n: document([task(), dag([call(f"task-{i}", zzzzzz=1) for i in range(n)])])
    ),
    "keys that stand twice": text(lambda n: _yaml_keys(n, "label-1")),
    "keys that are no text": text(lambda n: _yaml_keys(n, "#")),
    "values that are no JSON": text(lambda n: _yaml_keys(n, "label-#").replace(": x\n", ": .nan\n")),
    "keys in YAML": text(lambda n: _yaml_keys(n, "label-#")),
    "aliases": text(_aliases),
    "levels of nesting": one(_nested),
    # texts
    "expressions": one(lambda n: _reads(n, "len('#') + # > 0")),
    "expressions with unknown functions": one(lambda n: _reads(n, "lenn('#') > 0")),
    "expressions with unknown namespaces": one(lambda n: _reads(n, "taskz-#.x > 0")),
    "expressions that do not parse": one(lambda n: _reads(n, "# + + > 0")),
    "expressions that read tasks": one(lambda n: _reads(n, "tasks.task-#.phase == 'Failed'")),
    "expressions that read missing tasks": one(lambda n: _reads(n, "tasks.tusk-#.phase == 'Failed'")),
    "expressions that read what comes before": one(
        lambda n: document(
            [
                task(),
                dag(
                    [
                        call(
                            f"task-{i}",
                            dependencies=[f"task-{i - 1}"] if i else [],
                            when=f"tasks.task-{i // 2}.phase == 'Failed'",
                        )
                        for i in range(n)
                    ]
                ),
            ]
        )
    ),
    "placeholders in a text": one(lambda n: _texts(n, "{{workflow.name}}")),
    "placeholders of missing parameters": one(lambda n: _texts(n, "{{workflow.parameters.q-#}}")),
    "placeholders that are malformed": one(lambda n: _texts(n, "{{workflow.name x}}")),
    "placeholders of foreign namespaces": one(lambda n: _texts(n, "{{workflw.name-#}}")),
    "braces": one(lambda n: _texts(n, "{{")),
    "escaped braces": one(lambda n: _texts(n, "{{{{")),
}
"""Each with what it is about; the number of entries is the one argument of a maker."""
