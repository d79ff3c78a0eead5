"""Fields that are accepted and do nothing are reported wherever they stand; those that act are not (SPEC-3, SPEC-6, SPEC-5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from aether_protocol.documents.models import Artifact, Parameter

Found = Callable[..., list[str]]

PARAMETER: Final = {  # a text for each field beside `name`
    "type": "type: integer",
    "value": "value: 1",
    "default": "default: 1",
    "description": "description: a number",
    "enum": "enum: [1]",
    "valueFrom": "valueFrom: {parameter: workflow.name}",
}
ARTIFACT: Final = {
    "from": "from: tasks.a.outputs.artifacts.f",
    "source": "source: {type: raw, config: {text: x}}",
    "archive": "archive: {type: none}",
    "path": "path: f",
    "optional": "optional: true",
}


def test_the_tables_have_all_fields() -> None:
    names = {field.removesuffix("_written") for field in Parameter.__struct_fields__}
    assert names == {"name", "type", "value", "default", "description", "enum", "value_from"}
    assert len(PARAMETER) == len(names) - 1
    assert len(ARTIFACT) == len(Artifact.__struct_fields__) - 1


DAG: Final = "spec.templates[0].dag"
INPUT: Final = "{inputs: {parameters: [{name: x, type: integer, default: 1}], artifacts: [{name: f, path: f, optional: true}]}}"


def document(*, argument: str = "", output: str = "", dag_output: str = "", loop_argument: str = "", item: str = "") -> str:
    """Entries of the lists at each place, as `parameters: [...]` or `artifacts: [...]`."""
    return f"""
        entrypoint: main
        arguments: {{{item}}}
        templates:
        - dag:
            name: main
            inputs: {{artifacts: [{{name: f, optional: true}}]}}
            outputs: {{{dag_output}}}
            tasks:
            - {{name: a, template: make}}
            - {{name: b, template: take, dependencies: [a], arguments: {{{argument}}}}}
            - {{name: c, template: again}}
        - task:
            name: make
            executor: {{type: echo}}
            outputs: {{artifacts: [{{name: f, path: f}}], parameters: [{{name: n}}]}}
        - task: {{name: take, executor: {{type: echo}}, {INPUT.strip("{}")}}}, outputs: {{{output}}}}}
        - loop: {{name: again, body: take, items: [1], arguments: {{{loop_argument}}}}}
    """


ARGUMENT: Final = [(field, field in ("type", "default", "enum")) for field in PARAMETER]


@pytest.mark.rule("SPEC-3", "DATA-1")
@pytest.mark.parametrize(("field", "dead"), ARGUMENT)
@pytest.mark.parametrize(
    ("where", "path"),
    [("argument", f"{DAG}.tasks[1].arguments"), ("loop_argument", "spec.templates[3].loop.arguments")],
)
def test_fields_of_an_argument(where: str, path: str, field: str, dead: bool, found: Found) -> None:
    more = "" if field in ("value", "valueFrom") else ", value: 1"
    spec = document(**{where: f"parameters: [{{name: x, {PARAMETER[field]}{more}}}]"})
    value_from_is_text = ["AE218"] if field == "valueFrom" else []  # workflow.name is not an integer, which is another matter
    expected = [f"AE902 {path}.parameters[0].{field}"] if dead else []
    assert [one for one in found(spec) if not any(one.startswith(code) for code in value_from_is_text)] == expected


@pytest.mark.rule("DATA-1")
@pytest.mark.parametrize("hidden", ["default", "valueFrom"])
@pytest.mark.parametrize("value", ["1", "'{{workflow.runId}}'"])
@pytest.mark.parametrize(
    ("where", "path"),
    [
        ("item", "spec.arguments"),
        ("output", "spec.templates[2].task.outputs"),
        ("dag_output", f"{DAG}.outputs"),
    ],
)
def test_a_declared_value_hides_what_comes_after_it(where: str, path: str, value: str, hidden: str, found: Found) -> None:
    if where == "item":
        value = "1"
    spec = document(**{where: f"parameters: [{{name: y, value: {value}, {PARAMETER[hidden]}}}]"})
    assert f"AE902 {path}.parameters[0].{hidden}" in found(spec)
    alone = document(**{where: f"parameters: [{{name: y, {PARAMETER[hidden]}}}]"})
    assert [one for one in found(alone) if one.startswith("AE902")] == []
    null = document(**{where: f"parameters: [{{name: y, value: null, {PARAMETER[hidden]}}}]"})
    assert [one for one in found(null) if one.startswith("AE902")] == []


@pytest.mark.rule("DATA-13")
def test_an_argument_that_may_be_absent_goes_on_to_its_value_from(found: Found) -> None:
    def told(value: str) -> list[str]:
        text = f"parameters: [{{name: x, value: {value}, valueFrom: {{parameter: tasks.a.outputs.parameters.n}}}}]"
        return found(document(argument=text))

    assert told("'{{tasks.a.outputs.parameters.n}}'") == []
    assert told("1") == [f"AE902 {DAG}.tasks[1].arguments.parameters[0].valueFrom"]


@pytest.mark.rule("SPEC-6")
def test_the_file_of_an_output_comes_before_its_value(found: Found) -> None:
    spec = """
        - task:
            name: main
            executor: {type: script, config: {source: "true"}}
            outputs: {parameters: [{name: x, value: none, valueFrom: {path: x.txt}}, {name: y, value: 1, default: 2}]}
    """
    assert found(spec) == ["AE902 spec.templates[0].task.outputs.parameters[1].default"]


@pytest.mark.rule("SPEC-6", "ART-1", "ART-3")
@pytest.mark.parametrize(
    ("where", "path", "given", "dead"),
    [
        ("output", "spec.templates[2].task.outputs", ("path",), ("from", "source", "optional")),
        ("output", "spec.templates[2].task.outputs", ("path", "archive"), ()),
        ("dag_output", f"{DAG}.outputs", ("from",), ("path", "archive", "optional")),
        ("argument", f"{DAG}.tasks[1].arguments", ("from", "archive", "optional"), ("path",)),
        ("argument", f"{DAG}.tasks[1].arguments", ("source",), ()),
    ],
)
def test_fields_of_an_artifact(where: str, path: str, given: tuple[str, ...], dead: tuple[str, ...], found: Found) -> None:
    def told(*fields: str) -> list[str]:
        texts = ", ".join(ARTIFACT[field] for field in fields)
        codes = found(document(**{where: f"artifacts: [{{name: f, {texts}}}]"}))
        return [one for one in codes if one.startswith("AE902")]

    assert told(*given) == []
    for field in dead:
        others = tuple(one for one in given if (one, field) != ("from", "source"))
        assert told(*others, field) == [f"AE902 {path}.artifacts[0].{field}"]


@pytest.mark.rule("DATA-14", "ART-2")
def test_an_artifact_of_the_workflow_that_the_entrypoint_does_not_take(found: Found) -> None:
    taken = document(item=f"artifacts: [{{name: f, {ARTIFACT['source']}}}]")
    assert found(taken) == []
    lost = document(item=f"artifacts: [{{name: f, {ARTIFACT['source']}}}, {{name: g, {ARTIFACT['source']}}}]")
    assert found(lost) == ["AE902 spec.arguments.artifacts[1]"]


WAITS: Final = {
    "default": ("{duration: 5m}", True),
    "written": ("{duration: 5m, maxDuration: 2m}", True),
    "equal": ("{duration: 2m, maxDuration: 2m}", False),
    "short": ("{duration: 10s}", False),
    "long enough": ("{duration: 5m, maxDuration: 1h}", False),
}


@pytest.mark.rule("SPEC-5")
@pytest.mark.parametrize("row", WAITS)
def test_a_first_wait_that_is_cut_short(row: str, found: Found) -> None:
    backoff, told = WAITS[row]
    retry = f"{{limit: 1, backoff: {backoff}}}"
    spec = f"""
        entrypoint: main
        retry: {retry}
        templates:
        - dag:
            name: main
            tasks: [{{name: a, template: s, retry: {retry}}}, {{name: b, executor: {{type: http}}, retry: {retry}}}]
        - task: {{name: s, executor: {{type: noop}}, retry: {retry}}}
    """
    paths = ("retry", "templates[0].dag.tasks[0].retry", "templates[0].dag.tasks[1].retry", "templates[1].task.retry")
    assert sorted(found(spec)) == (sorted(f"AE919 spec.{path}.backoff.duration" for path in paths) if told else [])


@pytest.mark.rule("SCHED-10")
@pytest.mark.parametrize(
    ("whole", "own", "told"),
    [
        ("", "2h", True),
        ("", "1h", False),
        ("timeout: 1d", "2h", False),
        ("timeout: 10m", "11m", True),
        ("timeout: 10m", "9m", False),
    ],
)
def test_a_timeout_that_the_one_of_the_workflow_comes_before(whole: str, own: str, told: bool, found: Found) -> None:
    spec = f"""
        entrypoint: main
        {whole}
        hooks: {{onExit: {{template: late}}}}
        templates:
        - dag: {{name: main, timeout: {own}, tasks: [{{name: a, template: s, timeout: {own}}}, {{name: l, template: l}}]}}
        - task: {{name: s, executor: {{type: noop}}, timeout: {own}}}
        - loop: {{name: l, body: s, items: [1], timeout: {own}}}
        - task: {{name: late, executor: {{type: noop}}, timeout: 20h}}  # the timeout of the workflow leaves hooks alone
    """
    paths = ("templates[0].dag", "templates[0].dag.tasks[0]", "templates[1].task", "templates[2].loop")
    assert found(spec) == ([f"AE920 spec.{path}.timeout" for path in paths] if told else [])


def test_a_wait_for_people_is_reported_once(found: Found) -> None:
    told: Any = found("- task: {name: main, executor: {type: await}, timeout: 2h}")
    assert told == ["AE904 spec.templates[0].task.executor"]
