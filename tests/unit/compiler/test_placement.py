"""What a document asks of workers is read before anything waits for one."""

from __future__ import annotations

import pytest

from aether_protocol import DocumentError, load_plan

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
