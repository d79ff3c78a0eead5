"""The client of a caller: tenants do not see each other, roles bound what is changed, and all changes are audited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import AetherError, ForbiddenError, NotFoundError, PortError, UsageError
from aether_protocol.ports.store import RunQuery
from aether_protocol.service import client_of
from aether_protocol.service.access.audit import AuditTrail
from aether_protocol.service.access.caller import EVERYWHERE, LOCAL, Caller
from aether_protocol.service.access.guarded import NEEDS, GuardedClient
from aether_protocol.service.local import LocalClient
from tests.documents import submitted

Roles = Mapping[str, str]


def workflow(name: str, namespace: str, type_: str = "noop") -> dict[str, Any]:
    document = submitted({"name": "a", "executor": {"type": type_}})
    return document | {"metadata": {"name": name, "namespace": namespace}}


def template(name: str, namespace: str) -> str:
    return (
        f"apiVersion: aether/v1\nkind: WorkflowTemplate\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        "spec:\n  templates:\n  - task: {name: one, executor: {type: noop}}\n"
    )


def cron(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "aether/v1",
        "kind": "CronWorkflow",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedule": "0 3 * * *", "workflowSpec": workflow("x", "x")["spec"]},
    }


def play(body: Callable[[Callable[[Roles], GuardedClient], LocalClient, MemoryStore], Awaitable[None]]) -> None:
    """Two tenants, `ours` and `theirs`, each with a run, a schedule and a template."""

    async def go() -> None:
        store = MemoryStore()
        async with Engine(store=store) as engine:
            whole = client_of(engine)
            for namespace in ("ours", "theirs"):
                run = await whole.control.submit(workflow("w", namespace), run_id=f"{namespace}-1")
                await whole.runs.wait(run)
                await whole.control.submit(workflow("w", namespace, "await"), run_id=f"{namespace}-open")
                await whole.runs.wait(f"{namespace}-open", or_suspended=True)
                await whole.schedules.apply(cron("nightly", namespace))
                await whole.documents.apply(template("words", namespace))
            trail = AuditTrail(store.audit, SystemClock())

            def client(roles: Roles) -> GuardedClient:
                return GuardedClient(whole, Caller(name="alice", kind="person", roles=roles, token="t1"), trail)

            await body(client, whole, store)

    asyncio.run(go())


def test_a_tenant_sees_its_own_alone() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": "admin"})
        assert {row.run_id for row in await ours.runs.list()} == {"ours-1", "ours-open"}
        assert await ours.runs.list(RunQuery(namespace="theirs")) == []
        assert (await ours.runs.get("latest")).run_id == "ours-open"
        assert (await ours.runs.get("ours-o")).run_id == "ours-open"
        assert [one.schedule.namespace for one in await ours.schedules.list()] == ["ours"]
        assert await ours.schedules.list("theirs") == []
        assert [one.namespace for one in await ours.documents.list()] == ["ours"]
        assert {one.run_id for one in (await ours.store.changes(0)).changes} == {"ours-1", "ours-open"}
        assert await client({}).runs.list() == []
        assert {row.namespace for row in await client({EVERYWHERE: "viewer"}).runs.list()} == {"ours", "theirs"}
        assert len(await client({"ours": "viewer", "theirs": "viewer"}).runs.list(RunQuery(limit=3))) == 3

    play(body)


def test_a_tenant_follows_what_becomes_of_its_own_runs_alone() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": "viewer"})
        cursor = await store.changes.newest()
        await whole.control.delete(["theirs-1"])
        assert (await ours.store.changes(cursor)).changes == [], "of theirs it hears nothing"
        begin = await ours.store.changes()
        assert (begin.changes, begin.cursor) == ([], await store.changes.newest()), "and does not begin with what is past"
        await whole.control.delete(["ours-1"])
        [gone] = (await ours.store.changes(begin.cursor)).changes
        assert (gone.run_id, gone.row, gone.namespace) == ("ours-1", None, "ours")
        everything = await client({EVERYWHERE: "viewer"}).store.changes(cursor)
        assert [one.run_id for one in everything.changes] == ["theirs-1", "ours-1"]

    play(body)


@pytest.mark.rule("RT-129")
def test_every_run_that_a_caller_begins_records_whose_it_is() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours, day = client({"ours": "admin"}), 86_400_000_000
        now = SystemClock().wall()
        fires = await ours.schedules.backfill("ours/nightly", now - 2 * day, now)
        begun = {
            "submit": await ours.control.submit(workflow("new", "ours")),
            "trigger": await ours.schedules.trigger("ours/nightly"),
            "backfill": next(one.run_id for one in fires),
            "retry": await ours.control.retry("ours-1", "main"),
        }
        whose = {}
        for how, run in begun.items():
            async for record in whole.runs.events(run, follow=True):
                whose[how] = record.get("submittedBy")
                break
        assert whose == dict.fromkeys(begun, "alice")

    play(body)


def test_a_tenant_gets_pages_of_its_schedules_without_gaps() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        for space in ("ours", "other", "third"):
            for name in ("a", "b"):
                await whole.schedules.apply(cron(name, space))
        ours = client({"ours": "viewer", "third": "viewer"})
        seen: list[tuple[str, str]] = []
        while page := await ours.schedules.list(after=seen[-1] if seen else None, limit=2):
            assert len(page) <= 2
            seen += [(one.schedule.namespace, one.schedule.name) for one in page]
        assert seen == [("ours", "a"), ("ours", "b"), ("ours", "nightly"), ("third", "a"), ("third", "b")]
        assert await ours.schedules.list("other", limit=2) == []

    play(body)


async def taken(error: type[AetherError], call: Awaitable[Any]) -> AetherError:
    with pytest.raises(error) as caught:
        await call
    return caught.value


def test_what_is_foreign_is_unknown_in_the_same_words() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": "admin"})

        async def said(name: str, call: Callable[[str], Any]) -> tuple[str, str]:
            try:
                found = call(name)
                if hasattr(found, "__aiter__"):
                    [one async for one in found]
                else:
                    await found
            except NotFoundError as error:
                return error.message.replace(name, "NAME"), (error.hint or "").replace(name, "NAME")
            raise AssertionError("it was found")

        calls: list[Callable[[str], Any]] = [
            *(getattr(ours.runs, one) for one in ("get", "report", "wait", "suspended", "events", "logs", "driver")),
            *(getattr(ours.inspect, one) for one in ("overview", "step")),
            *(getattr(ours.control, one) for one in ("cancel", "mend", "retry")),
            lambda name: ours.control.delete([name]),
            lambda name: ours.control.resume(name, "a"),
            lambda name: ours.inspect.log_place(name, "a"),
            lambda name: ours.inspect.compare("ours-1", name),
            ours.store.export,
        ]
        for call in calls:
            assert await said("theirs-1", call) == await said("nowhere-1", call)
        for one in ("get", "remove", "history", "trigger", "suspend"):
            call = getattr(ours.schedules, one)
            foreign, unknown = await said("theirs/nightly", call), await said("theirs/unknown", call)
            assert "theirs" not in foreign[1]
            assert foreign[0] == unknown[0].replace("unknown'", "nightly'")
        for one in ("get", "versions", "remove"):
            assert "theirs" not in (await said("theirs/words", getattr(ours.documents, one)))[1]
        assert {row.phase for row in await whole.runs.list()} == {"Succeeded", "Suspended"}

    play(body)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", set()),
        ("operator", {"submit", "cancel", "trigger"}),
        ("author", {"submit", "cancel", "trigger", "put", "apply", "suspend"}),
        ("admin", {"submit", "cancel", "trigger", "put", "apply", "suspend"}),
    ],
)
def test_roles_bound_what_is_changed(role: str, allowed: set[str]) -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": role, "theirs": "viewer"})
        calls: dict[str, Callable[[str], Awaitable[Any]]] = {
            "submit": lambda space: ours.control.submit(workflow("new", space)),
            "cancel": lambda space: ours.control.cancel(f"{space}-open"),
            "trigger": lambda space: ours.schedules.trigger(f"{space}/nightly"),
            "put": lambda space: ours.documents.apply(template("more", space)),
            "apply": lambda space: ours.schedules.apply(cron("more", space)),
            "suspend": lambda space: ours.schedules.suspend(f"{space}/nightly"),
        }
        before = len(await whole.runs.list())
        for name, call in calls.items():
            await taken(ForbiddenError, call("theirs"))
            if name not in allowed:
                error = await taken(ForbiddenError, call("ours"))
                assert "ours" in error.message
        assert len(await whole.runs.list()) == before
        assert [one.schedule.name for one in await whole.schedules.list()] == ["nightly", "nightly"]
        for name in sorted(allowed):
            await calls[name]("ours")
        assert [one.namespace for one in await whole.documents.list()].count("theirs") == 1
        assert [row.phase for row in await whole.runs.list() if row.run_id == "theirs-open"] != ["Cancelled"]
        await taken(ForbiddenError, ours.store.info())
        await taken(ForbiddenError, ours.store.vacuum())
        assert (await store.audit.read(limit=1))[0].outcome == "forbidden"

    play(body)


def test_a_trial_is_allowed_as_what_it_tries_and_changes_no_audit() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        before = await store.audit.read(limit=100)
        ours = client({"ours": "author"})
        done = await ours.documents.apply(template("words", "ours"), dry_run=True)
        assert [one.action for one in done.changes] == ["unchanged"]
        assert await store.audit.read(limit=100) == before, "nothing was changed"
        trials: list[Callable[[], Awaitable[Any]]] = [
            lambda: ours.documents.apply(template("words", "theirs"), dry_run=True),
            lambda: ours.documents.apply(workflow("new", "theirs"), dry_run=True),
            lambda: client({"ours": "viewer"}).documents.apply(template("words", "ours"), dry_run=True),
        ]
        for trial in trials:
            await taken(ForbiddenError, trial())
        assert await store.audit.read(limit=100) == before

    play(body)


def test_a_run_id_that_is_taken_elsewhere_says_nothing_of_that_run() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        error = await taken(UsageError, client({"ours": "admin"}).control.submit(workflow("w", "ours"), run_id="theirs-1"))
        assert "theirs-1" in error.message
        assert "w" not in error.message.split("'")[2].split()

    play(body)


def test_a_template_of_another_tenant_is_not_found_by_a_reference() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        document = workflow("thief", "ours")
        task = {"name": "a", "templateRef": {"name": "words", "template": "one", "namespace": "theirs"}}
        document["spec"]["templates"][0]["dag"]["tasks"] = [task]
        await taken(AetherError, client({"ours": "admin"}).control.submit(document))
        assert not [row for row in await whole.runs.list() if row.workflow == "thief"]
        both = client({"ours": "operator", "theirs": "viewer"})
        assert (await both.runs.wait(await both.control.submit(document))).phase == "Succeeded"

    play(body)


def test_changes_are_audited_and_signed() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": "author", "theirs": "viewer"})
        made = await ours.control.submit(workflow("w", "ours", "await"), {})
        await ours.control.cancel(made, reason="too slow")
        report = await whole.runs.wait(made)
        assert "too slow (by alice)" in str(report.to_json())
        await taken(ForbiddenError, ours.control.cancel("theirs-open", reason="s3cret"))
        await taken(NotFoundError, ours.control.cancel("nowhere"))
        await ours.documents.apply(template("more", "ours"))
        await ours.schedules.apply(cron("more", "ours"))
        found = [(one.action, one.namespace, one.target, one.outcome) for one in reversed(await store.audit.read())]
        assert found == [
            ("control.submit", "ours", made, "ok"),
            ("control.cancel", "ours", made, "ok"),
            ("control.cancel", "theirs", "theirs-open", "forbidden"),
            ("control.cancel", "", "", "not-found"),
            ("documents.apply", "ours", "ours/more@1", "ok"),
            ("schedules.apply", "ours", "ours/more", "ok"),
        ]
        assert {(one.actor, one.token, one.kind) for one in await store.audit.read()} == {("alice", "t1", "person")}
        assert "s3cret" not in repr(await store.audit.read())

    play(body)


def test_a_change_that_was_made_is_not_reported_as_failed_where_the_store_is_away_just_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        async def away(run_id: str) -> None:
            raise PortError("the disk does not answer")

        ours = client({"ours": "author"})
        with monkeypatch.context() as patch:
            patch.setattr(store.runs, "row", away)
            made = await ours.control.submit(workflow("w", "ours"))
            await taken(PortError, ours.control.cancel(made))
        assert (await whole.runs.wait(made)).phase == "Succeeded", "it was begun, and its caller has its id"
        refused, begun = [(one.action, one.target, one.outcome) for one in await store.audit.read()][:2]
        assert begun == ("control.submit", made, "ok")
        assert refused == ("control.cancel", "", "unavailable"), "nothing was changed"

    play(body)


def test_without_authentication_everything_is_answered() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        local = GuardedClient(whole, LOCAL)
        assert len(await local.runs.list()) == 4
        assert (await local.store.info()).runs == 4
        await local.control.cancel("theirs-open")
        assert (await whole.runs.wait("theirs-open")).phase == "Cancelled"

    play(body)


def test_a_worker_reads_nothing() -> None:
    worker = Caller(name="w", kind="worker", roles={EVERYWHERE: "admin"})
    assert not any(worker.may(role, "default") for role in ("viewer", "admin"))
    assert worker.namespaces("viewer") == frozenset()


def test_every_method_of_a_client_says_what_it_needs() -> None:
    """What is not in the table needs an admin of everything."""
    from aether_protocol.service import client as protocols
    from aether_protocol.service.runs.extracts import RunExtracts

    parts = {
        "runs": protocols.RunReader,
        "inspect": protocols.RunInspector,
        "control": protocols.RunControl,
        "schedules": protocols.ScheduleControl,
        "documents": protocols.DocumentControl,
        "plans": protocols.PlanReader,
        "extracts": RunExtracts,
        "store": protocols.StoreControl,
    }
    methods = {f"{part}.{name}" for part, kind in parts.items() for name in vars(kind) if not name.startswith("_")}
    assert methods == NEEDS.keys()


def test_what_is_checked_does_not_find_templates_of_others() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        ours = client({"ours": "viewer"})
        for namespace, count in (("ours", 0), ("theirs", 1)):
            document = workflow("w", namespace)
            call = {"name": "a", "templateRef": {"name": "words", "template": "one"}}
            document["spec"]["templates"][0]["dag"]["tasks"] = [call]
            assert len(await ours.documents.check(document)) == count
            assert await whole.documents.check(document) == []
        assert await store.audit.read() == []

    play(body)


def test_plans_of_others_are_not_found() -> None:
    async def body(client: Callable[[Roles], GuardedClient], whole: LocalClient, store: MemoryStore) -> None:
        viewer = client({"ours": "viewer"})
        for run, seen in (("ours-1", True), ("theirs-1", False)):
            digest = (await whole.runs.get(run)).digest
            for read in (viewer.plans.get, viewer.plans.layout, viewer.plans.parameters):
                if seen:
                    assert (await read(digest)).digest == digest
                else:
                    with pytest.raises(NotFoundError, match="no run has the plan"):
                        await read(digest)

    play(body)
