"""The one door: positions, documents already parsed, several documents, libraries, durations."""

from __future__ import annotations

import enum
import json
from pathlib import Path

import pytest

from aether_protocol.diagnostics import CODES
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import LoadedDocument, load_bytes, load_value
from aether_protocol.documents.messages import format_path, nearest, shown
from aether_protocol.expressions.durations import parse_duration

TEXT = """\
# a comment
apiVersion: aether/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  entrypoint: main
  templates:
  - dag:
      name: main
      tasks:
      - name: first
        executor:
          type: script
          config: {{source: 'say {{{{inputs.parameters.x}}}}'}}
      - {{name: second, template: "main", when: "a == 'b'"}}
"""


def text(kind: str = "Workflow", name: str = "w", namespace: str = "default") -> str:
    return TEXT.format(kind=kind, name=name, namespace=namespace)


def load(source: str) -> LoadedDocument:
    loaded = load_bytes(source.encode(), "f.yaml")
    assert not loaded.diagnostics
    return loaded.documents[0]


TASKS = ("spec", "templates", 0, "dag", "tasks")


@pytest.mark.rule("DOC-7")
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("path", "position"),
    [
        ((), (2, 1)),
        (("kind",), (3, 7)),
        (("metadata",), (4, 1)),
        (("metadata", "name"), (4, 18)),
        (("spec", "entrypoint"), (6, 15)),
        (("spec", "templates", 0), (8, 5)),
        (("spec", "templates", 0, "dag"), (8, 5)),
        (TASKS, (10, 7)),
        ((*TASKS, 1), (15, 9)),
        ((*TASKS, 1, "template"), (15, 34)),
        ((*TASKS, 1, "nothing", "below"), (15, 9)),
        ((*TASKS, 7), (10, 7)),
        (("spec", "templates", 0, "dag", "timeout"), (8, 5)),
    ],
)
def test_positions(ends: str, path: tuple[str | int, ...], position: tuple[int, int]) -> None:
    assert load(text().replace("\n", ends)).locate(path) == position


def test_positions_in_json() -> None:
    document = load("\ufeff" + json.dumps(load(text()).tree, indent=2))
    assert document.locate(()) == (1, 1)
    assert document.locate(("metadata", "name")) == (5, 13)


def test_an_offset_points_into_the_text() -> None:
    document = load(text())
    config = (*TASKS, 0, "executor", "config", "source")
    assert document.report("AE120", config, "x").column == 28
    assert document.report("AE120", config, "x", offset=4).column == 28 + 1 + 4
    escaped = (*TASKS, 1, "when")  # beyond a quote nothing is counted
    assert document.report("AE120", escaped, "x", offset=6).column == document.report("AE120", escaped, "x").column
    block = load(
        text()
        .replace("'say {{inputs.parameters.x}}'", "a")
        .replace("config: {source: a}", "config:\n            source: |\n              b {{c}}")
    )
    assert block.report("AE120", config, "x", offset=2).line == 15


def test_a_report_takes_its_severity_from_the_table() -> None:
    finding = load(text()).report("AE123", ("kind",), "message", "hint")
    assert finding.to_json() == {
        "code": "AE123",
        "severity": CODES["AE123"].severity,
        "message": "message",
        "path": "kind",
        "file": "f.yaml",
        "line": 3,
        "column": 7,
        "hint": "hint",
    }


@pytest.mark.rule("DOC-1")
def test_values_are_copied_and_have_no_positions() -> None:
    class Kind(enum.StrEnum):
        WORKFLOW = "Workflow"

    value = load(text()).tree
    value["kind"] = Kind.WORKFLOW
    value["spec"]["templates"] = tuple(value["spec"]["templates"])
    loaded = load_value([value, {**value, "metadata": {"name": "other"}}])
    assert not loaded.diagnostics
    first, second = loaded.documents
    assert (first.name, second.name, second.index) == ("w", "other", 1)
    assert first.locate(("kind",)) == (0, 0)
    assert type(first.tree["kind"]) is str
    assert first.tree["spec"]["templates"] is not second.tree["spec"]["templates"]
    value["metadata"]["name"] = "changed"
    assert first.tree["metadata"]["name"] == "w"


def test_two_documents_of_one_name_are_a_fault() -> None:
    both = text() + "---\n" + text()
    (fault,) = load_bytes(both.encode(), "f.yaml").diagnostics
    assert (fault.code, fault.line, fault.path) == ("AE135", 20, "metadata.name")
    for other in (text(namespace="other"), text(name="v"), text(kind="WorkflowTemplate")):
        assert not load_bytes((text() + "---\n" + other).encode(), "f.yaml").diagnostics


@pytest.mark.rule("TMPL-2")
def test_the_nearest_library_wins() -> None:
    farther, near = TemplateLibrary(), None
    far, other = load(text("WorkflowTemplate", "lib")), load(text("WorkflowTemplate", "lib", "other"))
    assert farther.add(far) is None
    assert farther.add(other) is None
    assert farther.add(far) is None
    assert farther.add(load(text("Workflow", "lib"))) is None
    assert farther.find("lib", "other") is other
    near = TemplateLibrary(farther)
    assert near.find("lib", "default") is far
    own = load(text("WorkflowTemplate", "lib"))
    assert near.add(own) is None
    assert near.find("lib", "default") is own
    assert near.find("none", "default") is None
    assert near.names("default") == ["lib"]
    assert near.namespaces("lib") == ["default", "other"]
    clash = near.add(load(text("WorkflowTemplate", "lib")))
    assert clash is not None
    assert clash.code == "AE135"
    assert near.find("lib", "default") is own


@pytest.mark.rule("DOC-8")
@pytest.mark.parametrize(
    ("written", "amount_us"),
    [
        ("1s", 1_000_000),
        ("1h30m", 5_400_000_000),
        ("1.5h", 5_400_000_000),
        ("500ms", 500_000),
        ("1d2h3m4s5ms", 93_784_005_000),
        ("0.0000001s", 1),
        ("0h1ms", 1_000),
        ("007s", 7_000_000),
        ("0.000001s", 1),
        ("0.0000015s", 2),
    ],
)
def test_durations(written: str, amount_us: int) -> None:
    assert parse_duration(written) == amount_us


@pytest.mark.rule("DOC-8")
@pytest.mark.parametrize(
    "written", ["", "5", "s", "1 s", "1s ", "1m1h", "1s1s", "-1s", "+1s", ".5s", "1.s", "1e3s", "1S", "1s\n", "\u0661s"]
)
def test_no_durations(written: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(written)
    with pytest.raises(ValueError, match="is zero, and a duration is longer"):
        parse_duration("0s")
    assert parse_duration("0s", zero=True) == 0


def test_words() -> None:
    assert format_path(("spec", "templates", 0, "labels", "a.b")) == "spec.templates[0].labels['a.b']"
    assert format_path((0, "a")) == "[0].a"
    assert nearest("dependencys", ["dependencies", "name"]) == "dependencies"
    assert nearest("zzz", ["dependencies", "name"]) is None
    assert shown("x" * 1000) == "'" + "x" * 75 + "..."


REFERENCE = sorted((Path(__file__).parents[4] / "shared" / "reference-documents").glob("*.json"))


def test_reference_documents_have_no_faults() -> None:
    """Documents of other runtimes; they lie beside a working copy, or not at all."""
    for place in REFERENCE:
        loaded = load_bytes(place.read_bytes(), place.name)
        assert loaded.diagnostics == ()
        assert len(loaded.documents) == 1
