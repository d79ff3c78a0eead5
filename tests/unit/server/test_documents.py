"""Documents and schedules over HTTP: applied, found by name, compared, fired and removed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.errors import UsageError
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client
from tests.unit.server.serving import listening
from tests.unit.server.test_routes import DOCUMENT, serving
from tests.unit.service.test_apply import schedule, template, workflow


def given(*texts: str, **more: Any) -> dict[str, Any]:
    return {"documents": [{"name": f"{number}.yaml", "text": text} for number, text in enumerate(texts)], **more}


def test_documents_are_applied_found_and_compared() -> None:
    with serving() as client:
        dry = client.post("/v1/documents", json=given(template(), workflow(), schedule(), dryRun=True))
        assert dry.status_code == 200, dry.text
        assert [(one["kind"], one["action"]) for one in dry.json()["documents"]] == [
            ("WorkflowTemplate", "created"), ("Workflow", "created"), ("CronWorkflow", "created"),
        ]
        assert client.get("/v1/documents").json() == {"documents": [], "next": None}
        assert client.post("/v1/documents", json=given(template(), workflow(), schedule())).json()["dryRun"] is False
        changed = template().replace("noop", "echo")
        assert client.post("/v1/documents", json=given(changed)).json()["documents"][0]["version"] == 2
        first = client.get("/v1/documents", params={"limit": 1}).json()
        assert ([one["name"] for one in first["documents"]], first["next"]) == (["flow"], "Workflow/default/flow")
        second = client.get("/v1/documents", params={"limit": 1, "page": first["next"], "texts": "true"}).json()
        assert ([one["text"] for one in second["documents"]], second["next"]) == ([changed], None)
        read = client.get("/v1/documents/default/words")
        assert (read.json()["version"], read.headers["etag"]) == (2, f'"{read.json()["digest"]}"')
        again = client.get("/v1/documents/default/words", headers={"if-none-match": read.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        old = client.get("/v1/documents/default/words", params={"version": 1}, headers={"if-none-match": read.headers["etag"]})
        assert (old.status_code, old.json()["text"]) == (200, template())
        versions = client.get("/v1/documents/default/words/versions").json()["documents"]
        assert [one["version"] for one in versions] == [2, 1]
        diff = client.get("/v1/documents/default/words/diff", params={"before": 1}).json()
        assert (diff["before"], diff["after"]) == ("default/words@1", "default/words@2")
        assert [line[0] for line in diff["difference"] if line[0] in "+-"] == ["-", "+", "-", "+"]
        assert client.get("/v1/documents/folder").json() == {"files": []}
        run = client.post("/v1/runs", json={"name": "flow", "version": 1}).json()
        assert run["documentVersion"] == 1


def test_faulty_documents_are_422_with_all_findings() -> None:
    with serving() as client:
        answer = client.post("/v1/documents", json=given(workflow(), schedule("x").replace("0 0 *", "0 99 *")))
        assert (answer.status_code, answer.json()["code"]) == (422, "document-invalid")
        found = [(one["file"], one["line"]) for one in answer.json()["diagnostics"] if one["severity"] == "error"]
        assert found == [("0.yaml", 7), ("1.yaml", 5), ("1.yaml", 9)]
        assert client.get("/v1/schedules").json() == {"schedules": [], "next": None}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/documents/default/nothing", None, 404),
        ("GET", "/v1/documents/default/words?version=7", None, 404),
        ("GET", "/v1/documents?page=x", None, 400),
        ("GET", "/v1/documents?kind=CronWorkflow", None, 400),
        ("GET", "/v1/documents/default/words/diff", None, 400),
        ("DELETE", "/v1/documents/default/words", None, 409),
        ("DELETE", "/v1/documents/default/nothing", None, 404),
        ("POST", "/v1/documents", {"documents": []}, 400),
        ("POST", "/v1/documents", {"documents": [{"name": "x"}]}, 400),
        ("POST", "/v1/documents", {"documents": [], "more": 1}, 400),
        ("GET", "/v1/schedules/default/nothing", None, 404),
        ("GET", "/v1/schedules?page=x", None, 400),
        ("POST", "/v1/schedules/suspend", {"names": ["nightly", "nothing"]}, 404),
        ("POST", "/v1/schedules/default/nightly/backfill", {"from": "now", "until": "then"}, 400),
        ("POST", "/v1/schedules/default/nothing/trigger", {}, 404),
    ],
)
def test_what_cannot_be_meant_has_its_status(method: str, path: str, body: Any, status: int) -> None:
    with serving() as client:
        assert client.post("/v1/documents", json=given(template(), workflow(), schedule())).status_code == 200
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
        assert len(client.get("/v1/documents").json()["documents"]) == 2


def test_documents_are_removed() -> None:
    with serving() as client:
        client.post("/v1/documents", json=given(template(), workflow()))
        forced = client.delete("/v1/documents/default/words", params={"force": "true"}).json()
        assert [one["name"] for one in forced["removed"]] == ["words"]
        assert forced["users"] == [{"kind": "Workflow", "name": "default/flow", "refersTo": "default/words"}]
        client.post("/v1/documents", json=given(template()))
        both = client.post("/v1/documents/remove", json={"names": ["words", "flow"]}).json()
        assert [one["name"] for one in both["removed"]] == ["words", "flow"]


def test_schedules_are_applied_suspended_fired_and_removed() -> None:
    with serving() as client:
        text = schedule().replace("words", "own")
        done = client.post("/v1/schedules", json=given(template("own"), text)).json()
        assert [(one["action"], one["schedule"]["name"]) for one in done["applied"]] == [("created", "nightly")]
        assert client.post("/v1/schedules", json=given(DOCUMENT_TEXT)).status_code == 400
        for name in ("a", "b"):
            client.post("/v1/documents", json=given(template("own"), text.replace("name: nightly", f"name: {name}")))
        first = client.get("/v1/schedules", params={"limit": 2}).json()
        assert ([one["name"] for one in first["schedules"]], first["next"]) == (["a", "b"], "default/b")
        second = client.get("/v1/schedules", params={"page": "default/b"}).json()
        assert [one["name"] for one in second["schedules"]] == ["nightly"]
        off = client.post("/v1/schedules/suspend", json={"names": ["a", "b"]}).json()["schedules"]
        assert [(one["schedule"]["suspend"], one["changed"]) for one in off] == [(True, True), (True, True)]
        assert client.get("/v1/schedules/default/a").json()["nextFireAt"] is None
        assert len(client.get("/v1/schedules/default/a/next", params={"limit": 3}).json()["fires"]) == 3
        on = client.post("/v1/schedules/suspend", json={"names": ["a"], "suspend": False}).json()["schedules"]
        assert [one["schedule"]["suspend"] for one in on] == [False]
        run = client.post("/v1/schedules/default/a/trigger", json={}).json()["runId"]
        assert client.get(f"/v1/runs/{run}/result", params={"wait": "10s"}).json()["phase"] == "Succeeded"
        fires = client.get("/v1/schedules/default/a/fires").json()
        assert ([(one["kind"], one["runId"]) for one in fires["fires"]], fires["next"]) == ([("triggered", run)], None)
        asked = {"from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
        meant = client.post("/v1/schedules/default/a/backfill", json={**asked, "dryRun": True}).json()["fires"]
        assert [one["at"] for one in meant] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
        ran = client.post("/v1/schedules/default/a/backfill", json=asked).json()["fires"]
        assert [one["why"] for one in ran] == [None, None]
        assert [one["why"] is None for one in client.post("/v1/schedules/default/a/backfill", json=asked).json()["fires"]] == [
            False, False,
        ]
        assert len(client.get("/v1/schedules/default/a/fires", params={"limit": 2}).json()["fires"]) == 2
        assert client.delete("/v1/schedules/default/a").json() == {"removed": True}
        assert client.get("/v1/schedules/default/a").status_code == 404


DOCUMENT_TEXT = str(DOCUMENT).replace("'", '"')


def test_documents_are_checked_and_all_findings_come_with_their_places() -> None:
    with serving() as client:
        assert client.post("/v1/validate", json={"document": DOCUMENT}).json() == {"valid": True, "diagnostics": []}
        text = workflow().replace("noop", "nope")
        named = {"document": text, "file": "a.yaml"}
        for body, file in (({"document": text}, "<text>"), (named, "a.yaml"), (given(text), "0.yaml")):
            answer = client.post("/v1/validate", json=body)
            assert (answer.status_code, answer.json()["valid"]) == (200, False), answer.text
            first = answer.json()["diagnostics"][0]
            assert (first["file"], first["line"] > 0, first["column"] > 0) == (file, True, True)
            assert first["code"].startswith("AE")
            assert "hint" in first
        for body in ({}, {"document": text, "documents": []}):
            assert client.post("/v1/validate", json=body).status_code == 400
        assert client.get("/v1/documents").json()["documents"] == []


def test_a_plan_is_kept_for_ever() -> None:
    with serving() as client:
        digest = client.post("/v1/runs", json={"document": DOCUMENT}).json()["digest"]
        for path in (f"/v1/plans/{digest}", f"/v1/plans/{digest}/layout"):
            read = client.get(path)
            assert (read.status_code, read.json()["digest"]) == (200, digest)
            assert read.headers["cache-control"] == "private, max-age=31536000, immutable"
            again = client.get(path, headers={"if-none-match": read.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        tag = {"if-none-match": f'"{"0" * 64}"'}
        assert client.get(f"/v1/plans/{'0' * 64}", headers=tag).status_code == 404


def test_a_run_of_a_schedule_takes_parameters(tmp_path: Path) -> None:
    """Of a server, of an engine in this process, and recorded for an engine elsewhere."""
    task = {"task": {"name": "main", "executor": {"type": "noop"}}}
    spec = {
        "entrypoint": "main", "templates": [task],
        "arguments": {"parameters": [
            {"name": "day", "type": "string", "value": "monday"}, {"name": "n", "type": "integer", "value": 1},
        ]},
    }  # fmt: skip
    nightly = {"apiVersion": "aether/v1", "kind": "CronWorkflow", "metadata": {"name": "nightly"}}
    document = json.dumps({**nightly, "spec": {"schedule": "0 3 * * *", "workflowSpec": spec}})

    async def begin(client: Client, reads: Client) -> None:
        seen = (await client.schedules.get("nightly")).takes
        assert seen is not None
        known = [(one.name, one.type, one.default) for one in seen.parameters]
        assert known == [("day", "string", "monday"), ("n", "integer", 1)]
        run = await client.schedules.trigger("nightly", texts={"day": "12", "n": "7"})
        assert (await reads.inspect.overview(run)).parameters == {"day": "12", "n": 7}
        with pytest.raises(UsageError, match="n"):
            await client.schedules.trigger("nightly", texts={"n": "many"})

    async def go() -> None:
        async with listening(tmp_path) as server, connect(server.url) as remote:
            local = client_of(server.engine)
            await local.schedules.apply(document)
            await begin(remote, local)
            await begin(local, local)
            async with connect(f"sqlite:{tmp_path}/aether.db") as recording:
                await begin(recording, recording)

    asyncio.run(go())
