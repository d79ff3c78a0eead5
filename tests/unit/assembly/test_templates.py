"""Where references are looked up, and templates in a store, for callers in Python (TMPL-2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import DocumentError, Engine, UsageError, load_plan, run
from aether_protocol.assembly import open_store
from aether_protocol.assembly.documents import find_plan
from aether_protocol.assembly.templates import KIND, read_shelf
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.documents.library import TemplateLibrary, leads_out
from aether_protocol.documents.load import load_value
from aether_protocol.ports.store import Store
from aether_protocol.service import DocumentContext, DocumentText, client_of
from aether_protocol.service.local import LocalClient
from aether_protocol.service.local.context import ClientContext
from aether_protocol.testing.contracts.store.tools import put_document


def template(says: str, name: str = "words", namespace: str = "default", **more: Any) -> dict[str, Any]:
    executor = {"type": "echo", "config": {"outputs": [{"name": "said", "value": says}]}}
    return {
        "apiVersion": "aether/v1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"entrypoint": "say", "templates": [{"task": {"name": "say", "executor": executor}}], **more},
    }


def workflow(*before: dict[str, Any], namespace: str | None = None, name: str = "words") -> dict[str, Any]:
    reference = {"name": name, "template": "say"} | ({"namespace": namespace} if namespace else {})
    call = {"name": "call", "templateRef": reference, "dependencies": [one["name"] for one in before]}
    outputs = {"parameters": [{"name": "said", "valueFrom": {"parameter": "tasks.call.outputs.parameters.said"}}]}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "flow"},
        "spec": {
            "entrypoint": "main",
            "timeout": "1d",
            "templates": [{"dag": {"name": "main", "tasks": [*before, call], "outputs": outputs}}],
        },
    }


ASK = {"name": "ask", "executor": {"type": "await"}}


async def apply(store: Store, *documents: dict[str, Any]) -> list[str]:
    several = [DocumentText(f"{number}.json", json.dumps(one)) for number, one in enumerate(documents)]
    client = LocalClient(ClientContext(store, DocumentContext()), closes=False)
    return [one.action for one in (await client.documents.apply(several)).changes]


def on(url: str, body: Callable[[Store], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        store = open_store(url)
        try:
            return await body(store)
        finally:
            await store.close()

    return asyncio.run(go())


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory" if request.param == "memory" else f"sqlite:{tmp_path / 'a.db'}"


@pytest.mark.rule("TMPL-2")
def test_the_order_is_document_library_store(url: str, tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        await apply(store, template("store"))
        (tmp_path / "words.json").write_text(json.dumps(template("library")))
        for document, library, said in (
            (workflow(), (), "store"),
            (workflow(), [tmp_path / "words.json"], "library"),
            (workflow(), template("library"), "library"),
            ([template("document"), workflow()], [tmp_path], "document"),
        ):
            plan = await find_plan(document, store, library=library)
            task = plan.root.target.tasks[0].target  # type: ignore[union-attr]
            assert task.config.resolve(lambda name: None)["outputs"][0]["value"] == said  # type: ignore[union-attr]

    on(url, body)


@pytest.mark.rule("TMPL-2")
def test_an_engine_looks_in_its_store_once_at_submission(tmp_path: Path) -> None:
    async def go() -> None:
        store = open_store(f"sqlite:{tmp_path / 'a.db'}")
        async with Engine(store=store) as engine:
            assert await apply(store, template("before")) == ["created"]
            first = await engine.submit(workflow(ASK))
            plan = await engine.resolve(workflow())
            await client_of(engine).runs.wait(first, or_suspended=True)
            assert await apply(store, template("after")) == ["updated"]
            assert await apply(store, template("after")) == ["unchanged"]
            second = await engine.submit(workflow())
            await store.library.remove([(KIND, "default", "words")])
            await client_of(engine).control.resume(first, "main.ask", {})
            third = await engine.submit(plan)
            reports = [await client_of(engine).runs.wait(run_id) for run_id in (first, second, third)]
            assert [one.outputs for one in reports] == [{"said": "before"}, {"said": "after"}, {"said": "before"}]
            again = await client_of(engine).control.retry(first, "main.call")
            assert (await client_of(engine).runs.wait(again)).outputs == {"said": "before"}
            with pytest.raises(DocumentError, match="there is no WorkflowTemplate 'words'"):
                await engine.submit(workflow())
            with pytest.raises(DocumentError, match="there is no WorkflowTemplate 'words'"):
                engine.plan(workflow())

    asyncio.run(go())


def test_run_looks_in_the_store_that_it_is_given(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'a.db'}"
    on(url, lambda store: apply(store, template("store")))
    assert run(workflow(), store=url).outputs == {"said": "store"}
    assert run(workflow(), store=url, library=template("library")).outputs == {"said": "library"}
    with pytest.raises(DocumentError):
        run(workflow())
    with pytest.raises(DocumentError):
        load_plan(workflow())


def test_a_closed_engine_resolves_nothing() -> None:
    async def go() -> None:
        engine = Engine()
        with pytest.raises(UsageError):
            await engine.resolve(workflow())

    asyncio.run(go())


@pytest.mark.rule("TMPL-2")
def test_references_stay_in_the_namespace_of_the_workflow(url: str) -> None:
    async def body(store: Store) -> None:
        await apply(store, template("ops", namespace="ops"))
        assert (await find_plan(workflow(namespace="ops"), store)).name == "flow"
        with pytest.raises(DocumentError) as told:
            await find_plan(workflow(), store)
        (fault,) = (one for one in told.value.diagnostics if one.code == "AE203")
        assert fault.hint == "it is in namespace 'ops': add namespace: ops"

    on(url, body)


def test_only_what_is_asked_for_is_read_from_the_shelf(url: str) -> None:
    async def body(store: Store) -> None:
        await apply(store, template("x"), template("y", name="others"))
        shelf = await read_shelf(store)
        workspace = DocumentWorkspace()
        file = workspace.load(workflow())
        assert workspace.lacks([file])
        workspace.put_on_shelf(shelf)
        assert not workspace.lacks([file])
        workspace.plan(file)
        assert [one.file for one in shelf.opened.values()] == ["store:default/words@1"]
        assert sorted(shelf.names("default")) == ["others", "words"]

    on(url, body)


@pytest.mark.parametrize("text", ["", "a: [", "just: this\n", "x"])
def test_a_damaged_text_in_the_store_is_told_with_its_name(url: str, text: str) -> None:
    async def body(store: Store) -> None:
        await put_document(store, KIND, "default", "words", text, 1)
        with pytest.raises(DocumentError) as told:
            await find_plan(workflow(), store)
        assert "store:default/words@1" in {one.file for one in told.value.diagnostics}

    on(url, body)


def test_what_is_stored_reads_back(url: str) -> None:
    async def body(store: Store) -> None:
        await apply(store, template("x", namespace="ops"))
        (stored,) = await store.library.newest(KIND)
        assert (stored.namespace, json.loads(stored.text)) == ("ops", template("x", namespace="ops"))

    on(url, body)


def test_references_that_lead_in_circles_come_to_an_end() -> None:
    def calling(name: str, calls: str) -> dict[str, Any]:
        call = {"name": "x", "templateRef": {"name": calls, "template": "say"}}
        return template("x", name, templates=[{"dag": {"name": "say", "tasks": [call]}}])

    one, two, flow = load_value([calling("one", "two"), calling("two", "one"), workflow(name="one")]).documents
    library = TemplateLibrary()
    library.add(one)
    assert leads_out(flow, library)
    library.add(two)
    assert not leads_out(flow, library)
