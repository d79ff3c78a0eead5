"""Documents that are applied together: what is checked before anything is written, and that all of it is written or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.errors import BusyError, ChangedError, ConflictError, DocumentError, NotFoundError, UsageError
from aether_protocol.ports.store import NewDocument
from aether_protocol.service import Client, DocumentText, connect

HEAD = "apiVersion: aether/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {space}}}\nspec:\n"


def template(name: str = "words", says: str = "say", *, space: str = "default", more: str = "") -> str:
    text = f"  templates:\n    - task: {{name: {says}, executor: {{type: noop}}}}\n{more}"
    return HEAD.format(kind="WorkflowTemplate", name=name, space=space) + text


def call(refers: str, says: str = "say", name: str = "main") -> str:
    task = f"{{name: a, templateRef: {{name: {refers}, template: {says}}}}}"
    return f"    - dag: {{name: {name}, tasks: [{task}]}}\n"


def workflow(name: str = "flow", refers: str = "words", says: str = "say", *, space: str = "default") -> str:
    return HEAD.format(kind="Workflow", name=name, space=space) + f"  entrypoint: main\n  templates:\n{call(refers, says)}"


def schedule(name: str = "nightly", refers: str = "words", *, more: str = "") -> str:
    body = f'  schedule: "0 0 * * *"\n{more}  workflowSpec:\n    entrypoint: main\n    templates:\n'
    return HEAD.format(kind="CronWorkflow", name=name, space="default") + body + call(refers).replace("    -", "      -")


def on(body: Callable[[Client], Awaitable[None]], store: MemoryStore | None = None) -> None:
    async def go() -> None:
        async with connect(store or MemoryStore()) as client:
            await body(client)

    asyncio.run(go())


def files(**texts: str) -> list[DocumentText]:
    return [DocumentText(f"{name}.yaml", text) for name, text in texts.items()]


async def refused(call: Awaitable[Any]) -> list[tuple[str, int, str]]:
    """The file, line and code of each finding."""
    with pytest.raises(DocumentError) as caught:
        await call
    assert caught.value.message.startswith("nothing was applied")
    return [(one.file, one.line, one.code) for one in caught.value.diagnostics if one.severity == "error"]


@pytest.mark.rule("TMPL-2")
def test_what_is_applied_together_refers_to_each_other_whatever_the_order() -> None:
    async def body(client: Client) -> None:
        upper = template("upper", more=call("words", name="up"))
        given = files(flow=workflow(), nightly=schedule(), upper=upper, words=template())
        assert await refused(client.documents.apply(given[:3])) == [
            ("flow.yaml", 7, "AE203"), ("nightly.yaml", 9, "AE203"), ("upper.yaml", 7, "AE203"),
        ]
        done = await client.documents.apply(given)
        assert [(one.name, one.action, one.version) for one in done.changes] == [
            ("flow", "created", 1), ("nightly", "created", 1), ("upper", "created", 1), ("words", "created", 1),
        ]
        assert [one.action for one in (await client.documents.apply(given)).changes] == ["unchanged"] * 4

    on(body)


def test_all_faults_of_all_files_are_found_at_once() -> None:
    async def body(client: Client) -> None:
        given = files(
            good=template(),
            broken="apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: x\n",
            lost=workflow("lost", "wrods"),
            never=schedule("never").replace("0 0 * * *", "0 0 31 2 *"),
            late=schedule("late", more='  endAt: "1969-01-01T00:00:00Z"\n'),
        )
        found = await refused(client.documents.apply(given))
        assert {(file, code) for file, _, code in found} >= {
            ("lost.yaml", "AE203"), ("never.yaml", "AE502"), ("late.yaml", "AE511"),
        }
        assert "broken.yaml" in {file for file, _, _ in found}
        assert await client.documents.list() == []

    on(body)


@pytest.mark.parametrize("text", [workflow("x", "words"), schedule("x"), template("x")])
def test_a_name_is_that_of_one_document_of_a_kind(text: str) -> None:
    async def body(client: Client) -> None:
        await client.documents.apply(template())
        found = await refused(client.documents.apply(files(a=text, b=f"\n{text}")))
        assert found == [("b.yaml", 4, "AE135")]
        found = await refused(client.documents.apply(files(both=f"{text}---\n{text}")))
        assert [(file, code) for file, _, code in found] == [("both.yaml", "AE135")]
        other = text.replace("namespace: default", "namespace: ops").replace("name: words,", "name: words, namespace: default,")
        assert len((await client.documents.apply(files(a=text, b=other))).changes) == 2

    on(body)


def test_names_of_different_kinds_do_not_clash() -> None:
    async def body(client: Client) -> None:
        await client.documents.apply(files(a=template("same"), b=workflow("same", "same"), c=schedule("same", "same")))
        with pytest.raises(UsageError, match="is a Workflow and a WorkflowTemplate") as caught:
            await client.documents.get("same")
        assert caught.value.hint == "choose with --kind"
        assert (await client.documents.get("same", kind="Workflow")).kind == "Workflow"
        with pytest.raises(UsageError, match="CronWorkflow is kept as a schedule"):
            await client.documents.list("CronWorkflow")
        with pytest.raises(UsageError, match="'Workflows' is not a kind"):
            await client.documents.list("Workflows")

    on(body)


def test_what_comes_may_not_break_what_is_stored() -> None:
    async def body(client: Client) -> None:
        upper = template("upper", more=call("words", name="up"))
        flow = workflow("flow", "upper", "up")
        await client.documents.apply(files(words=template(), upper=upper, flow=flow, own=workflow("own")))
        changed = template("words", "speak")
        found = await refused(client.documents.apply(files(words=changed)))
        assert found == [("store:default/own@1", 7, "AE210"), ("store:default/upper@1", 7, "AE210")]
        assert [one.version for one in await client.documents.versions("words")] == [1]
        other = upper.replace("template: say", "template: speak")
        done = await client.documents.apply(files(words=changed, upper=other, own=workflow("own", says="speak")))
        assert [(one.name, one.action, one.version) for one in done.changes] == [
            ("words", "updated", 2), ("upper", "updated", 2), ("own", "updated", 2),
        ]
        both = template("words", "speak", more="    - task: {name: more, executor: {type: noop}}\n")
        assert [one.action for one in (await client.documents.apply(both)).changes] == ["updated"]

    on(body)


def test_what_was_broken_before_is_in_nobodys_way() -> None:
    async def body(client: Client) -> None:
        await client.documents.apply(files(words=template(), own=workflow("own")))
        await client.documents.remove("words", force=True)
        await client.documents.apply(template("words", "other"))  # nothing was there: nothing changes
        assert [one.action for one in (await client.documents.apply(template("words", "another"))).changes] == ["updated"]

    on(body)


@pytest.mark.rule("CRON-6")
def test_where_the_store_refuses_one_schedule_nothing_is_applied() -> None:
    class Crowded(MemoryStore):
        """Another process changes schedule b between the look and the write."""

        def __init__(self) -> None:
            super().__init__()
            self._put = self.library.put
            self.library.put = self._put_late  # type: ignore[method-assign]
            self.crowded = False

        async def _put_late(
            self, documents: Any, at: int, schedules: Any = (), *, revision: str | None = None
        ) -> Any:
            if self.crowded:
                assert self.schedules is not None
                found = await self.schedules.get("default", "b")
                assert found is not None
                await self.schedules.put(found)
            return await self._put(documents, at, schedules)

    store = Crowded()

    async def body(client: Client) -> None:
        await client.documents.apply(files(words=template(), b=schedule("b")))
        store.crowded = True
        given = files(a=schedule("a"), b=schedule("b").replace("0 0 * * *", "0 1 * * *"), flow=workflow())
        with pytest.raises(BusyError, match="schedule 'b' was changed"):
            await client.documents.apply(given)
        assert [one.schedule.name for one in await client.schedules.list()] == ["b"]
        assert [one.name for one in await client.documents.list()] == ["words"]

    on(body, store)


def test_a_difference_is_that_of_the_texts_and_of_schedules_that_of_their_documents() -> None:
    async def body(client: Client) -> None:
        await client.documents.apply(files(words=template(), b=schedule("b")))
        given = files(words=template("words", "say", more="# more\n"), b=schedule("b").replace("0 0 * * *", "0 1 * * *"))
        words, nightly = (await client.documents.apply(given, dry_run=True)).changes
        same = [f" {line}" for line in words.text.splitlines()[3:6]]
        assert list(words.difference()) == ["--- default/words", "+++ words.yaml", "@@ -4,3 +4,4 @@", *same, "+# more"]
        assert [line.strip() for line in nightly.difference() if line[0] in "+-"][2:] == [
            '-    "schedule": "0 0 * * *",', '+    "schedule": "0 1 * * *",',
        ]
        assert [one.version for one in await client.documents.versions("words")] == [1]

    on(body)


def test_a_name_on_another_machine_is_not_looked_for_here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.yaml").write_text(template("here"))
    (tmp_path / "a.yaml").symlink_to("b.yaml")

    async def body(client: Client) -> None:
        done = await client.documents.apply(files(a=template("one"), b=template("two"), c=schedule("c", "one")))
        assert [one.name for one in done.changes] == ["one", "two", "c"]
        assert (await client.schedules.get("c")).schedule.settings.folder is None

    on(body)


def test_documents_are_removed_together_unless_something_refers_to_them() -> None:
    async def body(client: Client) -> None:
        far = template("far", space="ops")
        await client.documents.apply(files(words=template(), flow=workflow(), nightly=schedule(), far=far))
        with pytest.raises(ConflictError) as caught:
            await client.documents.remove(["words", "ops/far"])
        assert caught.value.message == "default/flow refers to default/words; schedule default/nightly refers to default/words"
        assert len(await client.documents.list()) == 3
        with pytest.raises(ConflictError, match=r"^schedule default/nightly refers"):
            await client.documents.remove(["words", "flow"])
        await client.schedules.remove("nightly")
        assert [one.name for one in (await client.documents.remove(["words", "flow", "words"])).documents] == ["words", "flow"]
        with pytest.raises(NotFoundError) as missing:
            await client.documents.remove(["far"])
        assert missing.value.hint == "there is one in namespace 'ops': ops/far"

    on(body)


def test_what_there_is_to_apply_must_be_there() -> None:
    async def body(client: Client) -> None:
        with pytest.raises(DocumentError, match="the file holds no document"):
            await client.documents.apply(files(empty="# nothing\n"))
        with pytest.raises(UsageError, match=r"there is no WorkflowTemplate in 'flow\.yaml'"):
            await client.documents.apply(files(flow=workflow()), kinds=["WorkflowTemplate"])
        with pytest.raises(UsageError, match="there is no document in what was given"):
            await client.documents.apply([])

    on(body)


def test_a_store_without_schedules_says_so_and_keeps_nothing() -> None:
    store = MemoryStore()
    store.schedules = None

    async def body(client: Client) -> None:
        with pytest.raises(UsageError, match="keeps no schedules"):
            await client.documents.apply(files(words=template(), nightly=schedule()))
        assert await client.documents.list() == []
        assert len((await client.documents.apply(files(words=template(), flow=workflow()))).changes) == 2

    on(body, store)


class Beside(MemoryStore):
    """Others change the library between the moment at which something is decided and that at which it is written."""

    def __init__(self, *others: Callable[[Beside], Awaitable[object]]) -> None:
        super().__init__()
        self._others = list(others)
        library: Any = self.library
        for name in ("put", "remove"):
            setattr(library, name, partial(self._late, getattr(library, name)))

    async def _late(self, change: Callable[..., Awaitable[Any]], *given: Any, **more: Any) -> Any:
        if self._others and more.get("revision") is not None:
            await self._others.pop(0)(self)
        return await change(*given, **more)


@pytest.mark.rule("RT-127")
def test_what_another_process_applies_at_the_same_moment_is_reported_as_it_is() -> None:
    async def body(client: Client) -> None:
        before = await client.documents.apply(files(words=template()), dry_run=True)
        text = before.changes[0].text
        store._others.append(lambda store: store.library.put([NewDocument("WorkflowTemplate", "default", "words", text)], 5))
        (change,) = (await client.documents.apply(files(words=template()))).changes
        assert (change.action, change.version) == ("unchanged", 1)

    store = Beside()
    on(body, store)


@pytest.mark.rule("RT-127")
def test_a_template_and_its_user_that_change_at_once_leave_nothing_broken() -> None:
    """Each is fine beside the other as it was before: the second one finds out, and is refused."""

    async def body(client: Client) -> None:
        await client.documents.apply(files(words=template()))
        store._others.append(lambda store: store.library.remove([("WorkflowTemplate", "default", "words")]))
        with pytest.raises(DocumentError):
            await client.documents.apply(files(flow=workflow()))
        assert await client.documents.list() == []
        await client.documents.apply(files(words=template()))
        flow = (await client.documents.apply(files(flow=workflow()), dry_run=True)).changes[0]
        store._others.append(lambda store: store.library.put([NewDocument("Workflow", "default", flow.name, flow.text)], 5))
        with pytest.raises(ConflictError, match="refers to"):
            await client.documents.remove("words")
        assert len(await client.documents.list()) == 2

    store = Beside()
    on(body, store)


@pytest.mark.rule("RT-127")
def test_where_others_never_stop_changing_the_library_nothing_is_written() -> None:
    async def body(client: Client) -> None:
        with pytest.raises(ChangedError):
            await client.documents.apply(files(words=template()))
        assert [one.name for one in await client.documents.list()] == [f"t{number}" for number in range(5)]

    others = [NewDocument("WorkflowTemplate", "default", f"t{number}", "{}") for number in range(9)]
    on(body, Beside(*(lambda store, new=new: store.library.put([new], 5) for new in others)))  # type: ignore[misc]
