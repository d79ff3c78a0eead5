"""What every client must keep (the Client protocol): asking, whatever lies between the caller and the store.

Law: subclass `ClientContract` and give `open`; every test here then holds for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from aether_protocol.errors import BusyError, DocumentError, NotFoundError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import KeyTakenError, RunQuery
from aether_protocol.testing.contracts.client_documents import (
    HELLO,
    DocumentClientContract,
    Stage,
    workflow,
)

ASKS = workflow("asks", {"type": "await"})
COUNTS: dict[str, Json] = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "counts"},
    "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": [
        {"name": name, "dependencies": after, "executor": {"type": "script", "config": {
            "runtime": "sh", "source": f"n=0; while [ $n -lt 40 ]; do n=$((n+1)); echo {name}$n; done"}}}
        for name, after in (("a", []), ("b", ["a"]))]}}]},
}
KEEPS = workflow(
    "keeps",
    {"type": "script", "config": {"runtime": "sh", "source": "echo a,b > report.csv; mkdir public; echo x > public/x"}},
)
KEEPS["spec"]["templates"][0]["task"] |= {
    "inputs": {"artifacts": [{"name": "rules", "path": "rules", "source": {"type": "raw", "config": {"text": "r"}}}]},
    "outputs": {"artifacts": [
        {"name": "report", "path": "report.csv"}, {"name": "site", "path": "public", "archive": {"type": "zip"}},
    ]},
}
FAILS = workflow("fails", {"type": "fail", "config": {"message": "no"}})


class ClientContract(DocumentClientContract):
    """Subclass it as `TestMyClient`; pytest then collects the tests below."""

    # --- submitting and reading ---

    def test_what_is_submitted_is_driven_and_read(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            assert await client.control.submit(HELLO, {"rows": 3}, run_id="hello-1") == "hello-1"
            await stage.drive()
            report = await client.runs.wait("hello-1")
            assert (report.phase, report.run_id) == ("Succeeded", "hello-1")
            row = await client.runs.get("latest")
            assert (row.run_id, row.phase, row.closed) == ("hello-1", "Succeeded", True)
            assert (await client.runs.get("hello")).run_id == "hello-1"
            assert [one.run_id for one in await client.runs.list()] == ["hello-1"]
            assert await client.runs.list(RunQuery(phases=("Failed",))) == []
            assert (await client.runs.report("hello-1")).to_json() == report.to_json()
            assert await client.runs.driver("hello-1") is None
            assert msgspec.json.decode(msgspec.json.encode(row))["run_id"] == "hello-1"

        self.play(tmp_path, body)

    def test_text_is_a_document_too(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            run = await stage.client.control.submit(msgspec.json.encode(HELLO).decode())
            await stage.drive()
            assert (await stage.client.runs.wait(run)).phase == "Succeeded"

        self.play(tmp_path, body)

    def test_what_is_wrong_with_a_submission_is_raised_and_nothing_is_recorded(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            control = stage.client.control
            with pytest.raises(DocumentError) as invalid:
                await control.submit({**HELLO, "kind": "Workflov"})
            assert invalid.value.diagnostics[0].path == "kind"
            with pytest.raises(UsageError, match="rows"):
                await control.submit(HELLO, {"rows": "many"})
            with pytest.raises(UsageError, match="run id"):
                await control.submit(HELLO, run_id="not an id")
            assert await stage.client.runs.list() == []
            await control.submit(HELLO, run_id="once")
            with pytest.raises(UsageError, match="once"):
                await control.submit(HELLO, run_id="once")

        self.play(tmp_path, body)

    def test_a_key_begins_one_run_however_often_it_is_submitted(self, tmp_path: Path) -> None:
        """Also at the same moment; with other content it is refused, with both digests."""

        async def body(stage: Stage) -> None:
            control = stage.client.control
            made = await asyncio.gather(*(control.submit_once("order-42", ASKS, {}) for _ in range(3)))
            (run,) = {one.run_id for one in made}
            assert sorted(one.is_new for one in made) == [False, False, True]
            for content in ((HELLO, {}), (ASKS, {"more": 1})):
                with pytest.raises(UsageError):
                    await control.submit_once("order-42", *content)
            with pytest.raises(KeyTakenError, match="order-42") as taken:
                await control.submit_once("order-42", HELLO)
            assert (taken.value.run_id, len({taken.value.first, taken.value.given})) == (run, 2)
            for key in ("", "x" * 256, "a\nb"):
                with pytest.raises(UsageError, match="not an idempotency key"):
                    await control.submit_once(key, HELLO)
            assert (await control.submit_once("order-43", HELLO, {"rows": 2}, run_id="mine")).run_id == "mine"
            assert (await control.submit_once("order-43", HELLO, {"rows": 2}, run_id="mine")).is_new is False
            assert len(await stage.client.runs.list()) == 2

        self.play(tmp_path, body)

    def test_unknown_runs_are_usage_errors_with_what_is_near(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            runs = stage.client.runs
            with pytest.raises(UsageError, match="holds no run"):
                await runs.get("latest")
            await stage.client.control.submit(ASKS, run_id="asks-1")
            for ask in (runs.get, runs.report, runs.wait, runs.driver, stage.client.control.cancel, stage.client.control.retry):
                with pytest.raises(UsageError, match="'asks-2' is unknown") as unknown:
                    await ask("asks-2")
                assert unknown.value.hint == "did you mean 'asks-1'?"
            for feed in (runs.events, runs.logs, stage.client.store.export):
                with pytest.raises(UsageError, match="'asks-2' is unknown"):
                    [one async for one in feed("asks-2")]

        self.play(tmp_path, body)

    def test_events_and_logs_come_in_order_and_end_with_the_run(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            runs = stage.client.runs
            run = await stage.client.control.submit(HELLO)
            await stage.drive()
            records = [record async for record in runs.events(run, follow=True)]
            assert (records[0]["kind"], records[-1]["kind"]) == ("RunCreated", "RunClosed")
            assert [record async for record in runs.events(run)] == records
            lines = [line async for line in runs.logs(run, follow=True)]
            assert "".join(line.text for line in lines) == "hello\n"
            assert [line async for line in runs.logs(run, "main", after=lines[-1].seq)] == []

        self.play(tmp_path, body)

    def test_batches_of_events_are_those_of_a_step(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            runs = stage.client.runs
            run = await stage.client.control.submit(HELLO)
            await stage.drive()
            entries = [batch async for batch in runs.events(run, follow=True).batches()]
            assert [batch[0]["seq"] for batch in entries] == list(range(1, len(entries) + 1))
            assert all(record["seq"] == batch[0]["seq"] for batch in entries for record in batch)
            assert [batch async for batch in runs.events(run, after=2).batches()] == entries[2:]
            feed = runs.events(run, follow=True)
            assert (await anext(feed)) == entries[0][0]
            await feed.aclose()

        self.play(tmp_path, body)

    def test_logs_are_read_from_both_ends_and_searched(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            runs = stage.client.runs
            run = await stage.client.control.submit(COUNTS)
            await stage.drive()
            await runs.wait(run)
            every = [piece async for piece in runs.logs(run)]
            assert "".join(piece.text for piece in every if piece.path == "main.a").split() == [f"a{n}" for n in range(1, 41)]
            last = [piece async for piece in runs.logs(run, tail=1)]
            assert last == every[-1:]
            assert [piece async for piece in runs.logs(run, before=last[0].seq, tail=10_000)] == every[:-1]
            assert [piece async for piece in runs.logs(run, before=last[0].seq)] == every[:-1]
            assert [piece async for piece in runs.logs(run, tail=0)] == []
            assert [piece async for piece in runs.logs(run, tail=5, follow=True)][-1] == every[-1]
            found = "".join([piece.text async for piece in runs.logs(run, search="7")])
            assert sorted(found.split()) == sorted(f"{task}{n}" for task in "ab" for n in (7, 17, 27, 37))
            (only,) = [piece async for piece in runs.logs(run, "main.b", search="b23")]
            assert (only.text, only.path) == ("b23\n", "main.b")
            with pytest.raises(UsageError, match="exclude"):
                [piece async for piece in runs.logs(run, before=3, follow=True)]

        self.play(tmp_path, body)

    def test_waiting_ends_when_the_time_is_over(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            run = await stage.client.control.submit(ASKS)
            await stage.drive()
            with pytest.raises(BusyError, match="has not ended"):
                await stage.client.runs.wait(run, timeout_s=0.01)
            assert (await stage.client.runs.wait(run, or_suspended=True)).phase == "Suspended"

        self.play(tmp_path, body)

    # --- steering ---

    def test_a_suspended_task_is_answered(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            run = await client.control.submit(ASKS)
            await stage.drive()
            await client.runs.wait(run, or_suspended=True)
            assert await client.runs.driver(run) is not None
            with pytest.raises(UsageError, match="no task run 'mian'"):
                await client.control.resume(run, "mian")
            await client.control.resume(run, "main", {"number": 3})
            report = await client.runs.wait(run)
            assert (report.phase, report.outputs) == ("Succeeded", {"number": 3})
            with pytest.raises(UsageError):
                await client.control.resume(run, "main", {"number": 4})

        self.play(tmp_path, body)

    def test_runs_are_looked_at_closely(self, tmp_path: Path) -> None:
        """An overview says what and why, a step how it was, a comparison what differs; a question what is asked for."""

        async def body(stage: Stage) -> None:
            client = stage.client
            first, second = [await client.control.submit(ASKS) for _ in range(2)]
            await stage.drive()
            for run in (first, second):
                await client.runs.wait(run, or_suspended=True)
            assert (await client.inspect.question(first, "main")).path == "main"
            await client.control.resume(first, "main", {"number": 3})
            await client.runs.wait(first)
            await client.control.cancel(second)
            await client.runs.wait(second)
            with pytest.raises(UsageError, match="not Suspended"):
                await client.inspect.question(first, "main")
            seen = await client.inspect.overview(first)
            assert (seen.row.run_id, seen.report["phase"], seen.reasons, seen.owner) == (first, "Succeeded", [], None)
            begun = await client.inspect.step(first, 0)
            assert (begun.seq, begun.report["phase"], begun.at) == (0, "Created", seen.row.created_at)
            last = await client.inspect.step(first)
            assert (last.seq, last.report["phase"]) == (seen.row.seq, "Succeeded")
            changed = await client.inspect.compare_steps(first, 0, last.seq)
            assert {"path": "", "field": "phase", "before": "Created", "after": "Succeeded"} in changed.changes
            compared = await client.inspect.compare(first, second)
            assert (compared.before, compared.after) == (first, second)
            assert {"path": "main", "field": "phase", "before": "Succeeded", "after": "Cancelled"} in compared.changes
            assert [one.path for one in compared.durations] == ["main"]
            assert [row.run_id for row in compared.rows] == [first, second]
            assert list(compared.documents) == []  # they are of one document
            assert (await client.inspect.log_place(first, "main")).several is False
            assert (await client.inspect.workspace(first, "main")).path == "main"

        self.play(tmp_path, body)

    def test_what_waits_for_an_answer_is_listed(self, tmp_path: Path) -> None:
        """Tasks alone, in document order, as they are resumed."""

        async def body(stage: Stage) -> None:
            client = stage.client
            run = await client.control.submit(ASKS)
            assert await client.runs.suspended(run) == []
            await stage.drive()
            await client.runs.wait(run, or_suspended=True)
            (task,) = await client.runs.suspended(run)
            await client.control.resume(run, task, {"number": 1})
            await client.runs.wait(run)
            assert await client.runs.suspended(run) == []

        self.play(tmp_path, body)

    def test_a_run_is_cancelled_once(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            run = await stage.client.control.submit(ASKS)
            await stage.drive()
            await stage.client.runs.wait(run, or_suspended=True)
            await stage.client.control.cancel(run)
            assert (await stage.client.runs.wait(run)).phase == "Cancelled"
            with pytest.raises(UsageError, match="Cancelled"):
                await stage.client.control.cancel(run)

        self.play(tmp_path, body)

    def test_a_retry_is_a_run_of_its_own(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            await client.control.submit(FAILS, run_id="fails")
            await stage.drive()
            assert (await client.runs.wait("fails")).phase == "Failed"
            preview = await client.extracts.retry_preview("fails")
            assert (preview.run_id, preview.start, preview.kept) == ("fails", None, [])
            assert [(one.path, one.phase) for one in preview.again] == [("main", "Failed")]
            assert [await client.control.retry("fails"), await client.control.retry("fails", "main", new_id="again")] == [
                "fails.2", "again",
            ]
            await stage.drive()
            for run in ("fails.2", "again"):
                assert (await client.runs.wait(run)).phase == "Failed"
                assert (await client.runs.get(run)).retry_of == "fails"
            await client.control.submit(HELLO, run_id="fine")
            await stage.drive()
            await client.runs.wait("fine")
            with pytest.raises(UsageError, match="Succeeded"):
                await client.control.retry("fine")
            with pytest.raises(UsageError, match="Succeeded"):
                await client.extracts.retry_preview("fine")
            assert [one.path for one in (await client.extracts.retry_preview("fine", "main")).again] == ["main"]

        self.play(tmp_path, body)

    def test_artifacts_of_a_run_are_listed_and_given_out(self, tmp_path: Path) -> None:
        """With what became of their contents, and only those that the run names."""

        async def body(stage: Stage) -> None:
            client = stage.client
            assert await client.control.submit(KEEPS, run_id="keeps") == "keeps"
            await client.control.submit(HELLO, run_id="hello")
            await stage.drive()
            await client.runs.wait("keeps")
            await client.runs.wait("hello")
            found = {one.name: one for one in await client.extracts.artifacts("keeps")}
            assert {name: (one.task, one.kind, one.file, one.kept) for name, one in found.items()} == {
                "report": ("main", "output", "report.csv", True),
                "site": ("main", "output", "public.zip", True),
                "rules": ("main", "fetched", "rules", True),
            }
            assert (found["report"].size, found["site"].archive) == (4, "zip")
            content = [piece async for piece in client.extracts.artifact("keeps", found["report"].digest)]
            assert b"".join(content) == b"a,b\n"
            assert await client.extracts.artifacts("hello") == []
            assert "\nexecutors:\n" in await client.extracts.case("hello")
            for run, digest in (("hello", found["report"].digest), ("keeps", f"sha256:{'0' * 64}"), ("keeps", "..")):
                with pytest.raises(NotFoundError):
                    [piece async for piece in client.extracts.artifact(run, digest)]

        self.play(tmp_path, body)

    # --- keeping and deleting ---

    def test_runs_are_deleted_all_or_none(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            for run_id, document in (("done", HELLO), ("open", ASKS)):
                await client.control.submit(document, run_id=run_id)
            await stage.drive()
            await client.runs.wait("done")
            await client.runs.wait("open", or_suspended=True)
            with pytest.raises(BusyError, match="'open' is being driven"):
                await client.control.delete(["done", "open"], force=True)
            with pytest.raises(UsageError, match="unknown"):
                await client.control.delete(["done", "gone"])
            for all_of_them in (RunQuery(), RunQuery(closed=True, limit=5)):
                with pytest.raises(UsageError, match="which runs"):
                    await client.control.prune(all_of_them)
            assert await client.control.prune(RunQuery(digest="of no run"), dry_run=True) == []
            assert await client.control.prune(RunQuery(since=0), dry_run=True) == ["done"]
            assert len(await client.runs.list()) == 2
            assert await client.control.delete(["done"]) == 1
            assert [one.run_id for one in await client.runs.list()] == ["open"]
            await client.control.cancel("open")
            await client.runs.wait("open")
            assert await client.control.prune(RunQuery(phases=["Cancelled"])) == ["open"]
            assert await client.runs.list() == []

        self.play(tmp_path, body)

    def test_an_export_is_imported_as_it_was(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            client = stage.client
            run = await client.control.submit(HELLO, run_id="moved")
            await stage.drive()
            before = (await client.runs.wait(run)).to_json()
            lines = [line async for line in client.store.export(run)]
            with pytest.raises(UsageError, match="moved"):
                await client.store.import_run(lines)
            await client.control.delete([run])
            with pytest.raises(UsageError, match=r"damaged|cut off"):
                await client.store.import_run(lines[:-1])
            assert (await client.store.import_run(lines)).run_id == "moved"
            assert (await client.runs.report(run)).to_json() == before
            assert "".join([line.text async for line in client.runs.logs(run)]) == "hello\n"

        self.play(tmp_path, body)

    # --- the store ---

    def test_the_store_is_described_and_checked(self, tmp_path: Path) -> None:
        async def body(stage: Stage) -> None:
            run = await stage.client.control.submit(HELLO)
            assert ((await stage.client.store.info()).runs, (await stage.client.store.info()).open_runs) == (1, 1)
            await stage.drive()
            await stage.client.runs.wait(run)
            found = await stage.client.store.check()
            assert (list(found.faults), list(found.orphans)) == ([], [])
            assert (await stage.client.store.free_artifacts(dry_run=True)).count == 0

        self.play(tmp_path, body)
