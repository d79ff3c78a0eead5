"""Properties of the reader: no bytes crash it, and jsonschema-rs, jsonschema, the definitions, the structs and the explanation
agree."""

from __future__ import annotations

import copy
import json
import re
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aether_protocol.documents import values, yaml_text
from aether_protocol.documents.acceptance import Acceptance
from aether_protocol.documents.definitions.documents import KINDS
from aether_protocol.documents.definitions.fields import Definition
from aether_protocol.documents.explain import explain
from aether_protocol.documents.load import LoadedFile, load_bytes, load_value, model_of
from aether_protocol.documents.models import ONE_OF, Part
from aether_protocol.documents.models.rules import problems
from aether_protocol.documents.schema import published, python_verdict, rust_verdict
from aether_protocol.documents.source import DocumentLimits
from aether_protocol.expressions.values import Json

SCHEMA = published()
RUST = rust_verdict()
PYTHON = python_verdict()
RELAXED = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 20_000),
    st.sampled_from([0.0, 1.0, 5.0, 1.5, -1.0, 1e20, 10_001.0]),
    st.sampled_from(
        ["", "a", "main", "A", "a\n", "5m", "0s", "{{a}}", "x" * 64, "list", "aether/v1", "Workflow", "1.0.0", "-"]
    ),
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5
)


def instances(schema: Any, depth: int = 0) -> st.SearchStrategy[Json]:
    """Values that `schema` (in our own dialect) allows."""
    name = ""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = SCHEMA["$defs"][name]
    if "type" in schema.get("if", ()):
        return st.one_of(instances(schema["then"], depth + 1), instances(schema["else"], depth + 1))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "object":
            return objects(schema, name, depth)
        case "array":
            return st.lists(instances(schema["items"], depth + 1), min_size=schema.get("minItems", 0), max_size=2)
        case "string" if "examples" in schema:
            return st.sampled_from(schema["examples"])
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True, alphabet="ab0-19").filter(lambda text: 0 < len(text) < 60)
        case "string":
            return st.text(max_size=4)
        case "integer":
            low = schema["minimum"]
            return st.integers(low, min(schema.get("maximum", low + 50), low + 50)).flatmap(
                lambda number: st.sampled_from([number, float(number)])
            )
        case "number":
            return st.floats(schema.get("minimum", 0), schema.get("maximum", 9), allow_nan=False)
        case "boolean":
            return st.booleans()
    return VALUES


def objects(schema: Any, name: str, depth: int) -> st.SearchStrategy[Json]:
    fields = schema.get("properties")
    if fields is None:
        extra = schema["additionalProperties"]
        return st.dictionaries(st.text(max_size=3), VALUES if extra is True else instances(extra, depth + 1), max_size=2)
    choice = list(ONE_OF.get(name, ()))

    @st.composite
    def build(draw: st.DrawFn) -> Json:
        names = set(schema.get("required", ()))
        others = [field for field in fields if field not in names and field not in choice]
        if depth < 8 and others:
            names |= set(draw(st.lists(st.sampled_from(others), max_size=3)))
        if choice and not names & set(choice):
            names.add(draw(st.sampled_from(choice if depth < 8 else choice[-1:])))
        for field, needed in schema.get("dependentRequired", {}).items():
            names |= set(needed) if field in names else set()
        for field, below in schema.get("dependentSchemas", {}).items():
            names -= set(below["properties"]) if field in names else set()
        return {field: draw(instances(fields[field], depth + 1)) for field in fields if field in names}

    return build()


@st.composite
def documents(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(list(KINDS)))
    branch = next(b for b in SCHEMA["allOf"] if b["if"]["properties"]["kind"]["const"] == kind)
    return {
        "apiVersion": "aether/v1",
        "kind": kind,
        "metadata": draw(instances(SCHEMA["properties"]["metadata"])),
        "spec": draw(instances(branch["then"]["properties"]["spec"], 1)),
    }


def containers(tree: Json) -> list[Json]:
    found, stack = [], [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict | list):
            found.append(node)
            stack.extend(node.values() if isinstance(node, dict) else node)
    return found


@st.composite
def mutants(draw: st.DrawFn) -> Json:
    """A valid document in which one to three places were changed."""
    tree = copy.deepcopy(draw(documents()))
    for _ in range(draw(st.integers(1, 3))):
        node = draw(st.sampled_from(containers(tree)))
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys)) if keys else None
        match draw(st.sampled_from(["replace", "delete", "rename", "add", "copy"])):
            case "replace" if key is not None:
                node[key] = draw(VALUES)
            case "delete" if key is not None:
                del node[key]
            case "rename" if isinstance(node, dict) and keys:
                node[draw(st.text(max_size=3)) + str(key)[1:]] = node.pop(key)
            case "copy" if isinstance(node, list) and keys:
                node.append(copy.deepcopy(node[0]))
            case "add" if isinstance(node, dict):
                names = ["name", "executor", "template", "items", "dag", "value", "extensions", "zzz", "a.b"]
                node[draw(st.sampled_from(names))] = draw(VALUES)
            case "add" if isinstance(node, list):
                node.append(draw(VALUES))
            case _:
                pass
    return tree


def defined(tree: Json) -> Definition | None:
    """The document as the definitions read it; None where they refuse it."""
    kind = tree.get("kind") if isinstance(tree, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        return None
    try:
        return KINDS[kind].model_validate(tree)
    except ValidationError:
        return None


def check_same(part: Any, definition: Any) -> None:
    """A struct holds what the definition holds, and knows as well what was written."""
    if isinstance(definition, Definition) and not definition.struct:
        assert part == definition.model_dump(by_alias=True, exclude_unset=True)
    elif isinstance(definition, Definition):
        assert isinstance(part, Part)
        assert type(part).__name__ == type(definition).__name__
        for name in type(definition).model_fields:
            check_same(getattr(part, name), getattr(definition, name))
        for name in definition.presence:
            assert part.wrote(name) == (name in definition.model_fields_set)
    elif isinstance(definition, list) and any(isinstance(entry, Definition) for entry in definition):
        assert len(part) == len(definition)
        for entry, other in zip(part, definition, strict=True):
            check_same(entry, other)
    else:
        assert (type(part), part) == (type(definition), definition)


def explained(tree: Json) -> list[tuple[str, tuple[str | int, ...]]]:
    faults: list[tuple[str, tuple[str | int, ...]]] = []
    explain(SCHEMA, tree, lambda code, path, _message, _hint, _key: faults.append((code, path)))
    return faults


def check_agreement(tree: Json) -> None:
    rust = RUST(tree)
    assert PYTHON(tree) == rust
    assert Acceptance()(tree, 1) == rust
    definition = defined(tree)
    assert (definition is not None) == rust
    assert (not explained(tree)) == rust if isinstance(tree, dict) else not rust
    beyond = False
    if rust:
        model = model_of(tree)
        assert model is not None
        check_same(model, definition)
        beyond = any(problems(model))
    loaded = load_value(tree)
    assert (not loaded.diagnostics) == (rust and not beyond)
    check_loaded(loaded)


def check_loaded(loaded: LoadedFile) -> None:
    for document in loaded.documents:
        json.dumps(document.tree)
        if isinstance(document.tree, dict) and document.kind is not None:
            assert document.model is not None
    for fault in loaded.diagnostics:
        assert fault.message
        assert len(fault.message) < 600


@pytest.mark.rule("SPEC-1", "SPEC-2", "SPEC-3", "SPEC-4", "SPEC-5", "SPEC-6", "SPEC-7", "SPEC-8")
@RELAXED
@given(documents())
def test_all_four_agree_on_valid_documents(tree: Json) -> None:
    assert RUST(tree)
    check_agreement(tree)


@RELAXED
@given(mutants())
def test_all_four_agree_on_mutated_documents(tree: Json) -> None:
    check_agreement(tree)


@RELAXED
@given(VALUES)
def test_all_four_agree_on_anything(tree: Json) -> None:
    if not isinstance(tree, list) and tree is not None:
        check_agreement(tree)


@pytest.mark.rule("DOC-6")
@RELAXED
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    check_loaded(load_bytes(data, "f.yaml"))


INDICATORS = st.text(alphabet="-?:,[]{}#&*!|>'\"%@`~ \n\tab01\\.<=/\u00e9\u2028", max_size=60)


@pytest.mark.rule("DOC-6")
@RELAXED
@given(INDICATORS)
def test_no_text_crashes_either_parser(text: str) -> None:
    loaded = load_bytes(text.encode(), "f.yaml")
    check_loaded(loaded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_text, "CParser", None)
        check_loaded(load_bytes(text.encode(), "f.yaml"))


@RELAXED
@given(mutants(), st.randoms(use_true_random=False))
def test_mutated_text_never_crashes(tree: Json, chance: Any) -> None:
    text = list(json.dumps(tree, indent=1))
    for _ in range(3):
        place = chance.randrange(len(text))
        text[place : place + chance.randrange(3)] = chance.choice(
            ["", "{", "]", ":", "\n", '"', "- ", "&a ", "*a", "\t", "\\u"]
        )
    check_loaded(load_bytes("".join(text).encode(), "f.json"))


@RELAXED
@given(VALUES)
def test_yaml_and_json_give_one_value(value: Json) -> None:
    text = json.dumps({"x": value}, ensure_ascii=False)
    for data, name in ((text, "f.json"), (f"---\n{text}", "f.yaml")):
        (document,) = load_bytes(data.encode(errors="replace"), name).documents or (None,)
        assert document is None or json.dumps(document.tree, ensure_ascii=False) == text


@pytest.mark.rule("DOC-1")
@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("parser", [yaml_text.CParser, None])
def test_what_ended_a_line_in_old_yaml_is_a_character_like_any_other(
    mark: str, parser: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_text, "CParser", parser)
    (document,) = load_bytes(f'a: "x{mark}y"\nb: x{mark}y\nc: [http://{mark}h:80]\n'.encode(), "f.yaml").documents
    assert document.tree == {"a": f"x{mark}y", "b": f"x{mark}y", "c": [f"http://{mark}h:80"]}


FLOWS = st.recursive(
    st.text(alphabet="ab:/?.1 -", max_size=8),
    lambda parts: st.lists(parts, max_size=3).map(lambda found: f"[{', '.join(found)}]")
    | st.lists(parts, max_size=3).map(lambda found: "{" + ", ".join(f"k{i}: {part}" for i, part in enumerate(found)) + "}"),
    max_leaves=8,
).filter(lambda text: re.search(r"(^|[\[{, ])[:?]", text) is None)  # a bare mark there is a key to one, text to the other


@pytest.mark.rule("DOC-1")
@RELAXED
@given(FLOWS)
def test_what_both_parsers_read_is_the_same(text: str) -> None:
    fast = load_bytes(f"k: {text}".encode(), "f.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_text, "CParser", None)
        slow = load_bytes(f"k: {text}".encode(), "f.yaml")
    if fast.documents and slow.documents:
        assert [one.tree for one in fast.documents] == [one.tree for one in slow.documents]
        assert fast.diagnostics == slow.diagnostics


@pytest.mark.rule("DOC-1")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{url: http://host:80/a?b=c, n: 1}", {"url": "http://host:80/a?b=c", "n": 1}),
        ("[12:30:45, what?, a:b]", ["12:30:45", "what?", "a:b"]),
        ("""{"a":1, 'b':"x:y?z"}""", {"a": 1, "b": "x:y?z"}),
        ("[a:b, {c: }, c, d?]", ["a:b", {"c": None}, "c", "d?"]),
        ("[&k:1 a:b]  # c:d?e", None),
    ],
)
def test_colons_and_question_marks_inside_of_words(text: str, value: Json) -> None:
    (document,) = load_bytes(f"metadata: {text}".encode(), "f.yaml").documents or (None,)
    assert value is None if document is None else document.tree["metadata"] == value


UNUSUAL = st.one_of(
    st.sampled_from([float("inf"), float("nan"), 2**63, -(2**63), 2**63 - 1, "\ud800", "\u00e9", b"x", object, (1, [2]), {3}]),
    st.builds(OrderedDict, st.dictionaries(st.text(max_size=2), LEAVES, max_size=2)),
    st.dictionaries(st.one_of(st.sampled_from(["<<", "\udfff"]), st.integers(0, 2)), LEAVES, max_size=2),
)
ANYTHING = st.recursive(
    LEAVES | UNUSUAL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


@pytest.mark.rule("DOC-6")
@RELAXED
@given(ANYTHING, st.integers(1, 30), st.integers(1, 5))
def test_the_quick_copy_of_a_value_is_what_the_builder_makes(value: Any, nodes: int, nesting: int) -> None:
    limits = DocumentLimits(nodes=nodes, nesting=nesting)
    source, trees = values.read_value(value, "f", limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_copied", lambda _entries, _limits: None)
        other, built = values.read_value(value, "f", limits)
    assert source.faults == other.faults
    assert len(trees) == len(built)
    for tree, one in zip(trees, built, strict=True):
        assert repr((tree.root, tree.nodes, tree.faulty)) == repr((one.root, one.nodes, one.faulty))
        assert not {id(part) for part in containers(tree.root)} & {id(part) for part in containers(value)}
