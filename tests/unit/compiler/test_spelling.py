"""Plain scalars keep their spelling where text is meant, and are reported where it is lost (DOC-10; AE915)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aether_protocol.assembly.executors import executor_types
from aether_protocol.compiler.compile import Compiled, CompileOptions, compile_document
from aether_protocol.documents.load import load_bytes, load_value
from aether_protocol.documents.source_texts import document_texts
from aether_protocol.engine.submission import read_text
from aether_protocol.plan.model import Call, InputBinding, Literal, LoopDef, TaskDef

Compile = Callable[..., Compiled]
Found = Callable[..., list[str]]

# Written so, they are numbers or booleans of YAML's core schema, and JSON writes them differently.
SPELLINGS = ("3.10", "0644", "1234e56", "1e3", "+5", ".5", "5.", "0x1F", "0o17", "-0", "1.50", "0.1234567890123456789", "True")
PLAIN = ("5", "-1", "1.5", "true", "1_000", "yes", "2026-01-01")  # what JSON writes the same, and what is text anyway

CALL = """
- dag: {{name: main, tasks: [{{name: a, template: step, arguments: {{parameters: [{{{argument}}}]}}}}]}}
- task: {{name: step, executor: {{type: noop}}, inputs: {{parameters: [{{{declared}}}]}}}}
"""


def _bound(compiled: Compiled, name: str) -> InputBinding:
    assert compiled.plan is not None, compiled.diagnostics
    call: Call = compiled.plan.root.target.tasks[0]  # type: ignore[union-attr]
    return next(binding for binding in call.inputs if binding.name == name)


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize("text", [*SPELLINGS, *PLAIN])
@pytest.mark.parametrize(
    ("argument", "declared"),
    [
        ("name: x, value: {}", "name: x, type: string"),
        ("name: other, value: 1", "name: x, type: string, value: {}"),
        ("name: other, value: 1", "name: x, type: string, default: {}"),
        ("name: x, value: {}", "name: x, type: string, enum: [{}, b]"),
    ],
)
def test_a_parameter_of_type_string_gets_what_is_written(text: str, argument: str, declared: str, compiled: Compile) -> None:
    result = compiled(CALL.format(argument=argument.format(text), declared=declared.format(text, text)))
    assert result.diagnostics == ()
    assert _bound(result, "x").sources == (Literal(text),)
    again = compile_document(load_value(result.plan.snapshot["workflow"]).documents[0])  # type: ignore[union-attr]
    assert again.plan is not None, "what a run keeps compiles to the same again"
    assert _bound(again, "x").sources == (Literal(text),)
    assert again.plan.digest == result.plan.digest  # type: ignore[union-attr]


@pytest.mark.rule("DOC-10", "EXEC-3")
@pytest.mark.parametrize("text", [*SPELLINGS, *PLAIN])
def test_what_a_program_is_given_is_text(text: str, compiled: Compile) -> None:
    spec = f"""
    - dag:
        name: main
        tasks:
          - name: a
            executor:
              type: script
              config: {{source: {text}, env: {{A: {text}, B: x}}, files: {{f: {text}}}, limits: {{files: 010}}}}
          - {{name: b, executor: {{type: process, config: {{command: [chmod, {text}]}}}}}}
          - {{name: c, executor: {{type: http, config: {{url: "http://x", headers: {{V: {text}}}}}}}}}
    """
    result = compiled(spec, CompileOptions(executor_types()))
    assert result.diagnostics == ()
    configs = [_config(call) for call in result.plan.root.target.tasks]  # type: ignore[union-attr]
    assert configs == [
        {"source": text, "env": {"A": text, "B": "x"}, "files": {"f": text}, "limits": {"files": 10}},
        {"command": ["chmod", text]},
        {"url": "http://x", "headers": {"V": text}},
    ]


def _config(call: Call) -> object:
    assert isinstance(call.target, TaskDef)
    return call.target.config.resolve(lambda name: None)


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize("text", SPELLINGS)
def test_where_the_schema_asks_for_text(text: str) -> None:
    source = f"""
apiVersion: aether/v1
kind: Workflow
metadata: {{name: w, labels: {{version: {text}, whole: 5}}, annotations: {{mode: {text}}}}}
spec:  # a comment
  entrypoint: main
  templates: [{{task: {{name: main, executor: {{type: noop}}, timeout: 5s}}}}]
"""
    file = load_bytes(source.encode(), "w.yaml")
    assert file.diagnostics == ()
    document = file.documents[0]
    assert document.model is not None
    assert document.model.metadata.labels == {"version": text, "whole": "5"}
    assert document.model.metadata.annotations == {"mode": text}
    assert document.tree["metadata"]["labels"] == {"version": text, "whole": "5"}
    assert "# a comment" in document_texts(file.documents)[0], "its text is kept as it was written"


@pytest.mark.rule("DOC-10")
def test_json_has_numbers_and_null_stays_null() -> None:
    tree = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "w", "labels": {"version": 3.1}},
        "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]},
    }
    assert [d.code for d in load_bytes(json.dumps(tree).encode(), "w.json").diagnostics] == ["AE122"]
    assert [d.code for d in load_value(tree).diagnostics] == ["AE122"]
    text = json.dumps(tree).replace("3.1", "~")
    assert [d.code for d in load_bytes(f"# YAML\n{text}".encode(), "w.yaml").diagnostics] == ["AE122"]


@pytest.mark.rule("DOC-10", "LOOP-7")
def test_fields_of_items_that_fill_a_string(compiled: Compile) -> None:
    spec = """
    - loop: {name: main, body: one, items: [{v: 3.10, n: 1}, {v: 0644, n: 2}]}
    - task: {name: one, executor: {type: noop}, inputs: {parameters: [{name: v, type: string}, {name: n, type: integer}]}}
    """
    result = compiled(spec)
    assert result.diagnostics == ()
    loop = result.plan.root.target  # type: ignore[union-attr]
    assert isinstance(loop, LoopDef)
    assert loop.items is not None
    assert loop.items.resolve(lambda name: None) == [{"v": "3.10", "n": 1}, {"v": "0644", "n": 2}]


@pytest.mark.rule("DOC-10", "TMPL-1")
def test_the_type_stands_in_a_library(compiled: Compile) -> None:
    library = """
    arguments: {parameters: [{name: version, type: string, default: 1.0}, {name: mode, type: string, value: 0755}]}
    entrypoint: main
    templates: [{task: {name: main, executor: {type: noop}}}]
    """
    result = compiled("workflowTemplateRef: {name: lib}\narguments: {parameters: [{name: version, value: 3.10}]}", lib=library)
    assert result.diagnostics == ()
    assert result.plan is not None
    assert {b.name: b.sources for b in result.plan.parameters} == {
        "version": (Literal("3.10"),),
        "mode": (Literal("0755"),),
    }
    kept = result.plan.snapshot["library"][0]["spec"]["arguments"]["parameters"]
    assert [entry.get("value", entry.get("default")) for entry in kept] == ["1.0", "0755"]


ANY = {
    "an argument": (CALL.format(argument="name: x, value: @", declared="name: x"), "arguments.parameters[0].value"),
    "a part of one": (CALL.format(argument="name: x, value: {a: [@]}", declared="name: x"), "parameters[0].value.a[0]"),
    "one that is not declared": (CALL.format(argument="name: y, value: @", declared="name: x, default: 1"), "[0].value"),
    "a default": (CALL.format(argument="name: y, value: 1", declared="name: x, default: @"), "[0].default"),
    "a member of an enum": (CALL.format(argument="name: x, value: 5", declared="name: x, enum: [5, @]"), "enum[1]"),
    "a config": (
        "- task: {name: main, executor: {type: echo, config: {outputs: [{name: x, value: @}]}}}",
        "config.outputs[0].value",
    ),
    "an item": (
        "- loop: {name: main, body: one, items: [1, @]}\n- task: {name: one, executor: {type: noop}}",
        "loop.items[1]",
    ),
}


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize("place", ANY)
@pytest.mark.parametrize("text", [one for one in SPELLINGS if one != "True"])
def test_a_spelling_that_is_lost_is_told(place: str, text: str, compiled: Compile) -> None:
    spec, path = ANY[place]
    result = compiled(spec.replace("@", text), CompileOptions(executor_types()))
    assert result.plan is not None
    told = [d for d in result.diagnostics if d.code == "AE915"]
    assert [d.path.endswith(path) for d in told] == [True], result.diagnostics
    assert told[0].message.startswith(f"{text} is read as the number ")


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize("text", ["5", "1.5", "'3.10'", "true", "True", "null", "0.1", "1.0", "-2"])
@pytest.mark.parametrize("place", ANY)
def test_a_spelling_that_is_kept_is_not_told(place: str, text: str, found: Found) -> None:
    assert [one for one in found(ANY[place][0].replace("@", text)) if "AE915" in one] == []


@pytest.mark.rule("DOC-10")
@pytest.mark.parametrize("text", ["3.10", "1e3", "03"])
def test_a_number_that_is_asked_for_is_not_told(text: str, found: Found) -> None:
    assert found(CALL.format(argument=f"name: x, value: {text}", declared="name: x, type: number")) == []


@pytest.mark.rule("DOC-10")
def test_an_alias_is_spelt_as_its_anchor(compiled: Compile) -> None:
    spec = CALL.format(argument="name: x, value: &v 3.10}, {name: y, value: *v", declared="name: x, type: string")
    result = compiled(spec)
    assert [f"{d.code} {d.path[-19:]}" for d in result.diagnostics] == ["AE915 parameters[1].value"]
    assert _bound(result, "x").sources == (Literal("3.10"),)


@pytest.mark.rule("DOC-10", "DATA-14")
@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("3.10", "any", "3.10"),
        ("3.10", "number", 3.1),
        ("3.10", "string", "3.10"),
        ("1e3", "any", "1e3"),
        ("1234e56", "any", "1234e56"),
        ("-0", "any", "-0"),
        ("0644", "any", "0644"),
        ("5", "any", 5),
        (" 5 ", "any", 5),
        ("1.5", "any", 1.5),
        ("1.0", "integer", 1.0),
        ("true", "any", True),
        ("[1.50]", "any", [1.5]),
    ],
)
def test_lines_of_name_and_value(text: str, type_: str, value: object) -> None:
    read = read_text(text, type_)
    assert (read, type(read)) == (value, type(value))
