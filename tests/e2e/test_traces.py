"""Traces across processes: commands, server and workers send spans to one backend, also where the server is killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from aether_protocol.ports.trace_context import TraceContext
from tests.documents import script
from tests.e2e.otlp_receiver import Backend, Received, backend
from tests.e2e.process import aether
from tests.e2e.servers import served, wait_for, working
from tests.e2e.test_cli_monitoring import document, lines

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = CALLER.split("-")[1:3]


def named(spans: list[Received], name: str) -> Received:
    """The span of that name, which may have come twice."""
    found = {span.span_id: span for span in spans if span.name == name}
    assert len(found) == 1, [(span.name, span.span_id) for span in spans]
    return next(iter(found.values()))


def whole(spans: list[Received], of: str = "run one") -> bool:
    return any(span.name == of for span in spans)


def sent_to(at: Backend) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": at.url}


@pytest.mark.rule("RT-137")
def test_a_run_of_a_command_continues_the_trace_of_its_caller(tmp_path: Path) -> None:
    with backend() as at:
        path = document(tmp_path, "echo $TRACEPARENT; exit 3")
        ended = aether(
            "run", path, "--log-format", "json", "-o", "json", "--store", "memory",
            cwd=tmp_path, TRACEPARENT=CALLER, **sent_to(at),
        )
        assert ended.returncode == 1
        assert json.loads(ended.stdout)["traceId"] == TRACE
        run, job = named(at.spans, "run one"), named(at.spans, "job")
        assert (run.trace_id, run.parent, job.parent) == (TRACE, PARENT, run.span_id)
        assert (run.resource["service.name"], job.attributes["aether.executor.type"]) == ("aether", "script")
        found = lines(ended.stderr)
        told = [one for one in found if one.get("kind") in ("task", "log")]
        assert {one["traceId"] for one in told} == {TRACE}
        assert [one["message"] for one in told if one["kind"] == "log"] == [job.traceparent]


@pytest.mark.rule("RT-137")
def test_a_backend_that_is_away_changes_nothing_about_a_run(tmp_path: Path) -> None:
    with backend() as at:
        url = at.url
    path = document(tmp_path, "true")
    ended = aether("run", path, "--store", f"sqlite:{tmp_path}/x.db", cwd=tmp_path, AETHER_TRACING_ENDPOINT=url)
    assert ended.returncode == 0
    assert ended.stderr.count("spans cannot be sent") == 1
    shown = aether("show", "latest", "--store", f"sqlite:{tmp_path}/x.db", cwd=tmp_path)
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("  trace ")]
    assert len(line.split()[1]) == 32


@pytest.mark.rule("RT-137")
def test_settings_count_and_their_headers_are_not_shown(tmp_path: Path) -> None:
    with backend() as at:
        file = tmp_path / "aether.toml"
        file.write_text(
            f'[tracing]\nendpoint = "{at.url}"\nheaders = ["authorization=Bearer t0ps3cret"]\nservice = "shop"\n'
        )
        configured = {"AETHER_CONFIG": str(file)}
        ended = aether("run", document(tmp_path, "true"), "--store", "memory", cwd=tmp_path, **configured)
        assert ended.returncode == 0, ended.stderr
        assert named(at.spans, "run one").resource["service.name"] == "shop"
        assert at.headers["authorization"] == "Bearer t0ps3cret"
        for form in ("text", "json"):
            shown = aether("config", "show", "-o", form, cwd=tmp_path, **configured).stdout
            assert "authorization=***" in shown
            assert "t0ps3cret" not in shown


@pytest.mark.rule("RT-137")
def test_server_and_worker_send_one_trace_also_where_the_server_is_killed(tmp_path: Path) -> None:
    """The attempt continues at its worker while the server is away; the next server ends the spans, under the same ids."""
    with backend() as at:
        variables = sent_to(at)
        port = 0
        with served(tmp_path, "--no-workers", "--lease", "10", **variables) as server:
            port = server.port
            with working(server.url, "--name", "w1", **variables) as worker:
                worker.connected()
                flow = script(f"echo $TRACEPARENT > {tmp_path}/seen; while ! test -e {tmp_path}/go; do sleep 0.05; done")
                first = {"name": "before", "executor": {"type": "script", "config": {"source": "true"}}}
                tasks = flow["spec"]["templates"][0]["dag"]["tasks"]
                tasks.insert(0, first)
                tasks[1]["dependencies"] = ["before"]
                headers = {"traceparent": CALLER}
                answer = httpx.post(f"{server.url}/v1/runs", json={"document": flow}, headers=headers, timeout=60)
                assert answer.status_code == 201, answer.text
                run = answer.json()["runId"]
                wait_for(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text().endswith("\n"))
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                with served(tmp_path, "--no-workers", "--lease", "10", port=port, **variables) as second:
                    (tmp_path / "go").touch()
                    report = second.result(run)
                    assert (report["phase"], report["traceId"]) == ("Succeeded", TRACE)
                    code, said = second.end()
                    assert code == 0, said
                code, said = worker.end()
                assert code == 0, said
        spans = at.wait(lambda spans: whole(spans) and any(span.name == "job at worker" for span in spans))
    whole_run, before, job = named(spans, "run one"), named(spans, "before"), named(spans, "job")
    assert (whole_run.trace_id, whole_run.parent) == (TRACE, PARENT)
    assert (before.parent, job.parent) == (whole_run.span_id, whole_run.span_id)
    assert (tmp_path / "seen").read_text().strip() == job.traceparent, "the program is below its attempt"
    work = named(spans, "job at worker")
    assert (work.parent, work.kind, work.resource["service.name"]) == (job.span_id, "consumer", "aether-worker")
    assert work.attributes["cicd.worker.name"] == "w1"
    assert job.begin <= work.begin <= work.end <= job.end + 1_000_000
    assert {span.resource["service.name"] for span in spans} == {"aether", "aether-worker"}
    assert job.attributes["aether.attempt"] == 1, "it was not repeated"


@pytest.mark.rule("RT-137")
def test_the_journal_of_a_server_says_the_trace_and_secrets_stay_out_of_it(tmp_path: Path) -> None:
    with backend() as at:
        secret = "hunter2hunter2"
        variables = {**sent_to(at), "AETHER_SECRET_DB_PASSWORD": secret}
        with served(tmp_path, "--log-format", "json", **variables) as server:
            flow: dict[str, Any] = script("echo $TOKEN; echo bad $TOKEN >&2; exit 2")
            task = flow["spec"]["templates"][0]["dag"]["tasks"][0]
            task["executor"]["config"]["env"] = {"TOKEN": "{{inputs.parameters.token}}"}
            task["inputs"] = {"parameters": [{"name": "token", "type": "string"}]}
            value = {"secretKeyRef": {"name": "db", "key": "password"}}
            task["arguments"] = {"parameters": [{"name": "token", "valueFrom": value}]}
            run = server.call("POST", "/runs", {"document": flow})["runId"]
            report = server.result(run)
            assert report["phase"] == "Failed"
            retried = server.call("POST", f"/runs/{run}/retry", {})["runId"]
            again = server.result(retried)
            _, said = server.end()
        spans = at.wait(lambda spans: len([span for span in spans if span.name == "run one"]) == 2)
        ended = [one for one in map(json.loads, said.splitlines()) if one.get("kind") == "RunEnded"]
        assert [one["traceId"] for one in ended] == [report["traceId"], again["traceId"]]
        assert report["traceId"] != again["traceId"]
        first, second = at.named("run one")
        assert second.links == [first.traceparent]
        assert {span.error for span in spans if span.name == "job"} == {"exit code 2: bad ***"}
        assert {span.resource["service.name"] for span in spans if span.name == "job at worker"} == {"aether"}
        assert secret.encode() not in at.texts


@pytest.mark.rule("RT-137")
def test_a_client_of_a_server_gives_it_the_trace_that_it_is_in(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        path = document(tmp_path, f"echo $TRACEPARENT > {tmp_path}/seen")
        ended = aether("run", path, "--server", server.url, "-o", "json", cwd=tmp_path, TRACEPARENT=CALLER)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["traceId"] == TRACE
        assert (tmp_path / "seen").read_text().strip() == CALLER, "a server without a tracer passes it on"
        assert TraceContext.read(CALLER) is not None
        shown = aether("show", "latest", "--server", server.url, cwd=tmp_path).stdout
        assert f"  trace {TRACE}\n" in shown
