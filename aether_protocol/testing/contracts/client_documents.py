"""What every client must keep of schedules and documents (the Client protocol), and the stage of all of its tests.

Law: nothing in this file knows what lies between the caller and the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from aether_protocol.errors import AetherError, ConflictError, DocumentError, NotFoundError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.schedules import BACKFILLED, TRIGGERED
from aether_protocol.service.client import Client
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts, RecordedPlan, StoredWorkflow

_DAY = 86_400_000_000


def workflow(name: str, executor: dict[str, Json], **spec: Json) -> dict[str, Json]:
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": executor}}], **spec},
    }


HELLO = workflow(
    "hello",
    {"type": "script", "config": {"runtime": "sh", "source": "echo hello"}},
    arguments={"parameters": [{"name": "rows", "type": "integer", "value": 1}]},
)
NIGHTLY: dict[str, Json] = {
    "apiVersion": "aether/v1",
    "kind": "CronWorkflow",
    "metadata": {"name": "nightly", "namespace": "ops"},
    "spec": {
        "schedule": "0 0 * * *",
        "workflowSpec": {"entrypoint": "main", "templates": [{"task": {"name": "main", "executor": {"type": "noop"}}}]},
    },
}
WORDS = """
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: { name: words }
spec: { templates: [{ task: { name: say, executor: { type: noop, config: {} } } }] }
"""
USES: dict[str, Json] = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "uses"},
    "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": [
        {"name": "a", "templateRef": {"name": "words", "template": "say"}}]}}]},
}


class Stage(NamedTuple):
    """A client, and `drive`: an engine on the same store recovers every unfinished run, and drives it from then on."""

    client: Client
    drive: Callable[[], Awaitable[object]]


Body = Callable[[Stage], Awaitable[None]]


class DocumentClientContract:
    """Schedules and documents."""

    def open(self, folder: Path) -> AbstractAsyncContextManager[Stage]:
        """Open a client of an empty store, which may lie in `folder`."""
        raise AssertionError("a contract needs `open`")

    def play(self, folder: Path, body: Body) -> None:
        """Carry `body` out with a fresh client."""

        async def go() -> None:
            async with self.open(folder) as stage, asyncio.timeout(60):
                await body(stage)

        asyncio.run(go())

    def test_schedules_are_applied_switched_and_removed(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            schedules = stage.client.schedules
            [done] = (await schedules.apply(NIGHTLY)).applied
            made = done.overview.schedule
            assert (made.namespace, made.name, made.settings.suspend) == ("ops", "nightly", False)
            assert [one.what for one in (await schedules.apply(NIGHTLY)).applied] == ["unchanged"]
            assert (await schedules.get("ops/nightly")).schedule == made
            assert [one.schedule.name for one in await schedules.list()] == ["nightly"]
            assert await schedules.list("default") == []
            with pytest.raises(UsageError, match="unknown") as unknown:
                await schedules.get("nightly")
            assert unknown.value.hint == "there is one in namespace 'ops': ops/nightly"
            [off] = await schedules.suspend("ops/nightly")
            assert (off.schedule.settings.suspend, off.changed) == (True, True)
            assert [one.changed for one in await schedules.suspend(["ops/nightly", "ops/nightly"])] == [False]
            with pytest.raises(UsageError, match="unknown"):
                await schedules.suspend(["ops/nightly", "ops/daily"], suspend=False)
            assert (await schedules.get("ops/nightly")).schedule.settings.suspend, "all or none"
            assert not (await schedules.suspend("ops/nightly", suspend=False))[0].schedule.settings.suspend
            with pytest.raises(DocumentError):
                await schedules.apply({**NIGHTLY, "spec": {}})
            with pytest.raises(UsageError, match="no CronWorkflow"):
                await schedules.apply(HELLO)
            assert await schedules.remove("ops/nightly")
            assert await schedules.list() == []

        self.play(tmp_path, body)

    def test_fires_are_run_on_request_each_once(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            schedules, runs = stage.client.schedules, stage.client.runs
            made = (await schedules.apply(NIGHTLY)).applied[0].overview.schedule
            first = made.applied_at - 2 * _DAY
            meant = await schedules.backfill("ops/nightly", first, made.applied_at, dry_run=True)
            fires = await schedules.backfill("ops/nightly", first, made.applied_at)
            assert list(meant) == list(fires), "a dry run says what is to be run, and records nothing"
            several = [fire.run_id for fire in fires if fire.why is None]
            assert len(several) == 2
            again = await schedules.backfill("ops/nightly", first, made.applied_at)
            assert [fire.why is None for fire in again] == [False, False]
            several.append(await schedules.trigger("ops/nightly"))
            await stage.drive()
            for run in several:
                assert (await runs.wait(run)).phase == "Succeeded"
            assert [one.kind for one in await schedules.history("ops/nightly")] == [TRIGGERED, BACKFILLED, BACKFILLED]
            (last,) = await schedules.history("ops/nightly", limit=1)
            assert len(await schedules.history("ops/nightly", before=last.id)) == 2
            assert {row.run_id for row in (await schedules.get("ops/nightly")).runs} == set(several)

        self.play(tmp_path, body)

    def test_documents_are_kept_in_versions_and_looked_up_by_submissions(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            documents = stage.client.documents
            assert [one.action for one in (await documents.apply(WORDS)).changes] == ["created"]
            assert [one.action for one in (await documents.apply(WORDS)).changes] == ["unchanged"]
            assert [one.action for one in (await documents.apply(WORDS.replace("noop", "echo"))).changes] == ["updated"]
            assert [one.version for one in await documents.versions("words")] == [2, 1]
            newest = await documents.get("default/words")
            assert (newest.version, (await documents.get("words", digest=newest.digest)).digest) == (2, newest.digest)
            assert ((await documents.get("words", version=1)).version, (await documents.get("words@1")).version) == (1, 1)
            assert [one.name for one in await documents.list()] == ["words"]
            with pytest.raises(DocumentError) as wrong:
                await documents.apply([DocumentText("words.yaml", WORDS.replace("task:", "tusk:"))])
            assert (wrong.value.diagnostics[0].file, wrong.value.diagnostics[0].line) == ("words.yaml", 5)
            assert list(wrong.value.sources) == ["words.yaml"]
            run = await stage.client.control.submit(USES)
            await stage.drive()
            assert (await stage.client.runs.wait(run)).phase == "Succeeded"
            with pytest.raises(NotFoundError, match="no document 'sentences'"):
                await documents.remove(["words", "sentences"])
            assert [one.name for one in (await documents.remove("words")).documents] == ["words"]
            with pytest.raises(NotFoundError, match="no WorkflowTemplate 'words'"):
                await documents.get("words", kind="WorkflowTemplate")
            assert await documents.marks() == []

        self.play(tmp_path, body)

    def test_documents_are_checked_and_nothing_is_kept(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            documents = stage.client.documents
            assert await documents.check(HELLO) == []
            assert [(one.file, one.line) for one in await documents.check({**HELLO, "spec": {}})] == [("<document>", 0)]
            uses = DocumentText("flows/uses.json", msgspec.json.encode(USES).decode())
            (lacks,) = await documents.check([uses])
            assert (lacks.file, lacks.severity) == ("flows/uses.json", "error")
            words = DocumentText("flows/words.yaml", WORDS)
            assert await documents.check([uses], library=[LibraryTexts("flows", [words])]) == []
            more = DocumentText("flows/more.yaml", WORDS.replace("words", "more"))
            folder = [uses, words, more]
            (spare,) = await documents.check(folder, library=[LibraryTexts("flows", folder)])
            assert (spare.file, spare.severity) == ("flows/more.yaml", "warning"), "nothing in the folder uses it"
            (unknown,) = await documents.check(msgspec.json.encode(workflow("x", {"type": "nope"})).decode())
            assert (unknown.file, unknown.severity) == ("<text>", "error"), "a run would be refused"
            path = tmp_path / "here.json"
            path.write_text(uses.text)
            assert [one.severity for one in await documents.check(str(path))] == ["error"], "a text is never opened as a path"
            await documents.apply(WORDS)
            assert await documents.check([uses]) == []
            assert [one.name for one in await documents.list()] == ["words"]

        self.play(tmp_path, body)

    def test_a_plan_is_found_by_its_digest_and_laid_out(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            await client.documents.apply(WORDS)
            digest = (await client.runs.get(await client.control.submit(USES))).digest
            plan = await client.plans.get(digest)
            assert (plan.digest, plan.name, plan.namespace, len(plan.library)) == (digest, "uses", "default", 1)
            assert isinstance(plan.workflow, dict)
            assert plan.workflow["kind"] == "Workflow"
            layout = await client.plans.layout(digest)
            assert [(one.id, one.parent, one.kind, one.path) for one in layout.nodes] == [
                (0, None, "dag", "main"), (1, 0, "task", "main.a"),
            ]
            group, inside = layout.nodes
            assert (group.width, group.height) == (layout.width, layout.height)
            assert group.x < inside.x < inside.x + inside.width < group.x + group.width
            closed = await client.plans.layout(digest, depth=0)
            assert [one.lines for one in closed.nodes] == [["(1 task inside)"]]
            for unknown in ("0" * 64, digest[:12], ""):
                with pytest.raises(NotFoundError, match="plan") if unknown else pytest.raises(AetherError):
                    await client.plans.get(unknown)

        self.play(tmp_path, body)

    def test_a_stored_workflow_is_started_by_its_name(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            for value in (1, 2):
                document = msgspec.json.encode(HELLO).decode().replace('"value":1', f'"value":{value}')
                await client.documents.apply(document)
            newest = await client.control.submit(StoredWorkflow("hello"), run_id="newest")
            first = await client.control.submit(StoredWorkflow("default/hello@1"), {"rows": 7})
            once = await client.control.submit_once("key", StoredWorkflow("hello"))
            assert not (await client.control.submit_once("key", StoredWorkflow("hello@2"))).is_new, "it is the same workflow"
            await client.documents.remove("hello")
            await stage.drive()
            rows = [await client.runs.get(run) for run in (newest, first, once.run_id)]
            assert [(row.workflow, row.document_version) for row in rows] == [("hello", 2), ("hello", 1), ("hello", 2)]
            for run, rows_given in ((first, 7), (newest, 2)):
                assert (await client.runs.wait(run)).phase == "Succeeded"
                made = [event async for event in client.runs.events(run) if event["kind"] == "RunCreated"]
                assert [event["parameters"] for event in made] == [{"rows": rows_given}]
            again = await client.control.retry(newest, "main")
            assert (await client.runs.get(again)).document_version == 2
            with pytest.raises(NotFoundError, match="no Workflow 'hello'"):
                await client.control.submit(StoredWorkflow("hello"))
            same = RecordedPlan((await client.runs.get(first)).digest)
            once_more = await client.control.submit(same, texts={"rows": "8"})
            await stage.drive()
            assert (await client.runs.wait(once_more)).phase == "Succeeded"
            row = await client.runs.get(once_more)
            assert (row.document_version, row.digest, row.workflow) == (1, same.digest, "hello")
            made = [event async for event in client.runs.events(once_more) if event["kind"] == "RunCreated"]
            assert [event["parameters"] for event in made] == [{"rows": 8}]
            with pytest.raises(NotFoundError, match="no run has the plan"):
                await client.control.submit(RecordedPlan("0" * 64))

        self.play(tmp_path, body)

    def test_what_a_workflow_takes_is_said(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            for value in (1, 2):
                document = msgspec.json.encode(HELLO).decode().replace('"value":1', f'"value":{value}')
                await client.documents.apply(document)
            run = await client.control.submit(StoredWorkflow("hello"), {"rows": 9})
            newest = await client.documents.parameters("hello")
            of_plan = await client.plans.parameters((await client.runs.get(run)).digest)
            first = await client.documents.parameters("default/hello", version=1)
            assert await client.documents.parameters("hello@1") == first
            for told, version, value in ((newest, 2, 2), (of_plan, None, 2), (first, 1, 1)):
                assert (told.name, told.namespace, told.version) == ("hello", "default", version)
                assert [(one.name, one.type, one.default, one.required) for one in told.parameters] == [
                    ("rows", "integer", value, False)
                ]
            with pytest.raises(NotFoundError, match="no Workflow 'other'"):
                await client.documents.parameters("other")
            with pytest.raises(NotFoundError, match="no run has the plan"):
                await client.plans.parameters("0" * 64)

        self.play(tmp_path, body)

    def test_documents_of_every_kind_are_applied_together_or_not_at_all(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            several = [
                DocumentText("uses.json", msgspec.json.encode(USES).decode()),
                DocumentText("more.yaml", f"{WORDS}---\n{msgspec.json.encode(NIGHTLY).decode()}\n"),
            ]
            told = await client.documents.apply(several, dry_run=True)
            assert told.dry_run
            assert await client.documents.list() == []
            assert await client.schedules.list() == []
            done = await client.documents.apply(several)
            kinds = [(one.kind, one.name, one.action, one.file) for one in done.changes]
            assert kinds == [
                ("Workflow", "uses", "created", "uses.json"),
                ("WorkflowTemplate", "words", "created", "more.yaml"),
                ("CronWorkflow", "nightly", "created", "more.yaml"),
            ]
            assert (await client.schedules.get("ops/nightly")).schedule.next_at == done.changes[2].next_at
            assert [one.kind for one in await client.documents.list()] == ["Workflow", "WorkflowTemplate"]
            following = await client.documents.list(after=("Workflow", "default", "uses"), limit=1)
            assert [one.name for one in following] == ["words"]
            narrow = await client.documents.apply(several, kinds=["Workflow"])
            assert [(one.kind, one.action) for one in narrow.changes] == [("Workflow", "unchanged")]
            assert [(one.kind, one.file, one.line) for one in narrow.left_out] == [
                ("WorkflowTemplate", "more.yaml", 3), ("CronWorkflow", "more.yaml", 7),
            ]
            changed = DocumentText("words.yaml", WORDS.replace("noop", "echo"))
            faulty = DocumentText("bad.yaml", WORDS.replace("words", "bad").replace("task:", "tusk:"))
            with pytest.raises(DocumentError) as wrong:
                await client.documents.apply([changed, faulty])
            assert {one.file for one in wrong.value.diagnostics} == {"bad.yaml"}
            assert [one.version for one in await client.documents.versions("words")] == [1]
            with pytest.raises(ConflictError, match="default/uses refers to default/words"):
                await client.documents.remove("words")
            forced = await client.documents.remove("words", force=True)
            assert [(one.kind, one.name, one.refers_to) for one in forced.users] == [
                ("Workflow", "default/uses", "default/words")
            ]

        self.play(tmp_path, body)
