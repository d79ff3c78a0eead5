"""Laws of looking templates up, over any shelves: the nearest one is taken, and a store is asked only where it is needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.documents.library import KeptText, StoredLibrary, TemplateLibrary
from aether_protocol.documents.load import load_bytes, load_value
from aether_protocol.documents.source_texts import document_texts
from tests.documents import submitted

NAMES = ("a", "b", "c")
SPACES = ("default", "ops")

# what one WorkflowTemplate calls: (name, namespace or none)
Calls = list[tuple[str, str | None]]
CALL = st.tuples(st.sampled_from(NAMES), st.sampled_from([None, *SPACES]))
# a place: its WorkflowTemplates by (namespace, name)
PLACE = st.dictionaries(
    st.tuples(st.sampled_from(SPACES), st.sampled_from(NAMES)), st.lists(CALL, max_size=2), max_size=4
)


def document(kind: str, name: str, namespace: str, calls: Calls, says: str) -> dict[str, Any]:
    """A document whose dag makes these calls; its first task says where it is from."""
    tasks: list[dict[str, Any]] = [{"name": "own", "executor": {"type": "echo", "config": {"outputs": [{"name": says}]}}}]
    for index, (called, space) in enumerate(calls):
        reference = {"name": called, "template": "main"} | ({"namespace": space} if space else {})
        tasks.append({"name": f"call-{index}", "templateRef": reference})
    more = {"maxNestedDepth": 10} if kind == "Workflow" else {}
    return submitted(*tasks, **more) | {"kind": kind, "metadata": {"name": name, "namespace": namespace}}


def templates(place: dict[tuple[str, str], Calls], says: str) -> list[dict[str, Any]]:
    return [document("WorkflowTemplate", name, space, calls, says) for (space, name), calls in place.items()]


def shelf_of(place: dict[tuple[str, str], Calls]) -> StoredLibrary:
    documents = load_value(templates(place, "store")).documents
    keys = list(place)
    texts = {
        key: KeptText(f"store:{key[0]}/{key[1]}@1", text)
        for key, text in zip(keys, document_texts(documents), strict=False)  # no place: one document that is none
    }
    return StoredLibrary(texts, "the store")


@pytest.mark.rule("TMPL-2")
@given(PLACE, PLACE, PLACE, st.lists(CALL, min_size=1, max_size=3), st.sampled_from(SPACES))
def test_the_nearest_is_taken_and_the_store_asked_only_where_it_is_needed(
    near: dict[tuple[str, str], Calls],
    middle: dict[tuple[str, str], Calls],
    far: dict[tuple[str, str], Calls],
    calls: Calls,
    home: str,
) -> None:
    workspace = DocumentWorkspace(templates(middle, "library"))
    file = workspace.load([document("Workflow", "flow", home, calls, "flow"), *templates(near, "file")])
    flow = file.documents[0]
    lacked = workspace.lacks([file])
    before = workspace.compile(flow, file, strict=False)
    assert lacked or all(one.code != "AE203" for one in before.diagnostics)

    shelf = shelf_of(far)
    workspace.put_on_shelf(shelf)
    after = workspace.compile(flow, file, strict=False)
    if not lacked:
        assert (after.uses, after.diagnostics) == (before.uses, before.diagnostics)
        assert shelf.opened == {}
    places = {"file": near, "library": middle, "store": far}
    todo: list[tuple[str, str | None]] = list(calls)
    reached: set[tuple[str, str]] = set()
    expected: set[tuple[str, str, str]] = set()
    lost = False
    while todo:
        name, space = todo.pop()
        key = (space or home, name)
        if key in reached:
            continue
        reached.add(key)
        found = next((said for said, place in places.items() if key in place), None)
        if found is None:
            lost = True
            continue
        expected.add((*key, found))
        todo += places[found][key]
    used = set()
    for one, _ in after.uses:
        assert one.model is not None
        says = one.tree["spec"]["templates"][0]["dag"]["tasks"][0]["executor"]["config"]["outputs"][0]["name"]
        used.add((one.model.metadata.namespace, one.model.metadata.name, says))
    assert used == expected
    assert any(one.code == "AE203" for one in after.diagnostics) == lost


@given(PLACE)
def test_a_shelf_answers_as_a_library_of_the_same_documents(place: dict[tuple[str, str], Calls]) -> None:
    library, shelf = TemplateLibrary(), shelf_of(place)
    for one in load_value(templates(place, "store")).documents:
        assert library.add(one) is None
    for space in SPACES:
        assert sorted(library.names(space)) == sorted(shelf.names(space))
        for name in NAMES:
            assert library.namespaces(name) == shelf.namespaces(name)
            one, other = library.find(name, space), shelf.find(name, space)
            assert (one and one.tree) == (other and other.tree)


@given(st.binary(max_size=60))
def test_a_shelf_holds_whatever_bytes(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    shelf = StoredLibrary({("default", "a"): KeptText("store:default/a@1", text)}, "the store")
    found = shelf.find("a", "default")
    loaded = load_bytes(text.encode(), "store:default/a@1")
    assert (found is None) or (found.model is None) or not loaded.diagnostics
