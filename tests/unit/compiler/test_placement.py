"""What a document asks of workers is read before anything waits for one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol import DocumentError, load_plan
from aether_protocol.plan.placement import merge_extensions, merge_placements, parse_selector
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.views.preview import preview

DOCUMENT = """\
apiVersion: aether/v1
kind: Workflow
metadata: {name: a, extensions: {placement: {selector: "%(metadata)s"}}}
spec:
  entrypoint: main
  extensions: {placement: {selector: "%(spec)s"}}
  templates:
    - dag:
        name: main
        tasks:
          - {name: x, template: t, extensions: {placement: {prefer: "%(call)s"}}}
          - {name: y, template: l}
    - task:
        name: t
        executor: {type: noop}
        resources: {cpu: %(cpu)s, memory: %(memory)s, gpu: %(gpu)s}
        extensions: {placement: {selector: "%(definition)s"}}
    - loop: {name: l, body: t, items: [1], extensions: {placement: {selector: "%(loop)s"}}}
"""
GOOD = dict.fromkeys(("metadata", "spec", "call", "definition", "loop"), "zone in (a, b), !spot")
GOOD |= {"cpu": "500m", "memory": "1.5Gi", "gpu": "2"}
LINES = {"metadata": 3, "spec": 6, "call": 11, "cpu": 16, "memory": 16, "gpu": 16, "definition": 17, "loop": 18}


def found(**given: str) -> list[tuple[str, str, int]]:
    try:
        load_plan(DOCUMENT % (GOOD | given))
    except DocumentError as error:
        return [(one.code, one.severity, one.line) for one in error.diagnostics]
    return []


def test_what_can_be_read_is_taken() -> None:
    assert found() == []
    assert found(cpu="2", memory="512", gpu="0") == []


@pytest.mark.rule("EXT-1")
@pytest.mark.parametrize("place", LINES)
@pytest.mark.parametrize("text", ["zone==", "a b c"])
def test_what_cannot_be_read_is_an_error_where_it_stands(place: str, text: str) -> None:
    assert found(**{place: text}) == [("AE408", "error", LINES[place])]


@pytest.mark.parametrize(("kind", "text"), [("gpu", "0.5"), ("cpu", "0.5m"), ("memory", "1Zi"), ("memory", "-1")])
def test_amounts_are_whole_numbers_of_their_smallest_unit(kind: str, text: str) -> None:
    assert found(**{kind: text}) == [("AE408", "error", 16)]


@pytest.mark.rule("EXT-1")
@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("zone=a, zone=b", False),
        ("zone=a, zone in (a, b)", True),
        ("zone, zone!=a", True),
        ("zone=a, zone!=a", False),
        ("zone in (a, b), zone notin (a), zone!=b", False),
        ("zone, !zone", False),
        ("zone=a, !zone", False),
        ("!zone, zone!=a", True),
        ("zone in (a, b), zone in (b, c), zone in (c, a)", False),
    ],
)
@pytest.mark.parametrize("place", ["metadata", "spec", "call", "definition", "loop"])
def test_conditions_that_exclude_each_other_are_an_error(place: str, text: str, holds: bool) -> None:
    assert found(**{place: text}) == ([] if holds else [("AE408", "error", LINES[place])])


WORDS = st.sampled_from("abc")
TERMS = st.one_of(
    WORDS,
    WORDS.map("!{}".format),
    st.builds("{}{}{}".format, WORDS, st.sampled_from(["=", "!="]), WORDS),
    st.builds("{} {} ({})".format, WORDS, st.sampled_from(["in", "notin"]), st.lists(WORDS, min_size=1).map(", ".join)),
)
SELECTORS = st.lists(TERMS, min_size=1, max_size=4).map(", ".join)
LABELS = st.dictionaries(WORDS, WORDS)


@settings(max_examples=100)
@given(SELECTORS, LABELS)
def test_a_selector_that_is_written_again_means_the_same(text: str, labels: dict[str, str]) -> None:
    once = parse_selector(text)
    again = parse_selector(str(once))
    assert again.matches(labels) == once.matches(labels)
    assert str(again) == str(once)
    if once.contradiction() is not None:
        assert not once.matches(labels)


@settings(max_examples=100)
@given(SELECTORS, SELECTORS, LABELS)
def test_of_each_label_the_nearer_selector_counts(outer: str, inner: str, labels: dict[str, str]) -> None:
    merged = parse_selector(str(merge_placements({"selector": outer}, {"selector": inner})["selector"]))
    near, far = parse_selector(inner), parse_selector(outer)
    named = {one.key for one in near.requirements}
    rest = all(one.matches(labels) for one in far.requirements if one.key not in named)
    assert merged.matches(labels) == (near.matches(labels) and rest)


def test_other_extensions_are_replaced_as_a_whole() -> None:
    outer = {"ui": {"title": "a"}, "placement": {"pool": "p", "sticky": "run"}, "cache": {}}
    inner = {"ui": {"group": "b"}, "placement": {"pool": "q"}}
    assert merge_extensions(outer, inner) == {"ui": {"group": "b"}, "placement": {"pool": "q", "sticky": "run"}, "cache": {}}
    assert merge_extensions(None, {}) is None
    assert outer["placement"] == {"pool": "p", "sticky": "run"}


def test_the_preview_shows_what_each_task_asks_of_its_worker() -> None:
    plan = load_plan(DOCUMENT % (GOOD | {"spec": "region=eu", "call": "disk", "definition": "gpu=a100", "loop": "region=us"}))
    shown = {entry.path: entry.notes for entry in preview(plan, RunHeader("r", 0, None, {}, {}, 0))}
    assert shown["main"] == []
    needs = "cpu 500m; memory 1.5Gi; gpu 2"
    assert shown["main.x"] == [f"worker: selector zone in (a, b), !spot, region=eu, gpu=a100; prefer disk; {needs}"]
    assert shown["main.y[i]"] == [f"worker: selector zone in (a, b), !spot, region=us, gpu=a100; {needs}"]
