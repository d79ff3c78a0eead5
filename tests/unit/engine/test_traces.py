"""A run as a trace: spans of what was recorded, under the same ids wherever and however often they are made (RT-137)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.ports.telemetry import TraceSpan
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.service import client_of
from aether_protocol.views.summary import row_json
from tests.documents import submitted

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Notes:
    """A tracer that keeps what it gets. `share`: whether it records traces that begin here."""

    def __init__(self, *, share: bool = True) -> None:
        self.spans: list[TraceSpan] = []
        self.share = share

    def samples(self, trace_id: str) -> bool:
        return self.share

    def ended(self, span: TraceSpan) -> None:
        self.spans.append(span)

    def close(self, timeout_s: float) -> None:
        raise AssertionError("who gave it closes it")

    def named(self, name: str) -> list[TraceSpan]:
        return [span for span in self.spans if span.name == name]

    def only(self, name: str) -> TraceSpan:
        (found,) = self.named(name)
        return found


def document(*tasks: dict[str, Any], templates: Sequence[dict[str, Any]] = (), **spec: Any) -> dict[str, Any]:
    made = submitted(*tasks, name="nightly", **spec)
    made["spec"]["templates"] += templates
    return made


def script(name: str, source: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "executor": {"type": "script", "config": {"source": source}}, **more}


async def run_on(engine: Engine, flow: Any, **more: Any) -> str:
    run = await engine.submit(flow, **more)
    await client_of(engine).runs.wait(run)
    return run


@pytest.mark.rule("RT-137")
def test_a_run_is_a_span_and_each_attempt_one_below_it(tmp_path: Path) -> None:
    notes = Notes()
    flow = document(
        script("say", f"echo $TRACEPARENT > {tmp_path}/say"),
        script("shaky", f"echo $TRACEPARENT >> {tmp_path}/shaky; test $(wc -l < {tmp_path}/shaky) -eq 2",
               dependencies=["say"], retry={"limit": 2, "expression": "phase == 'Failed'", "backoff": {"duration": "10ms"}}),
        script("bad", "exit 3", dependencies=["shaky"]),
        hooks={"onExit": {"template": "leave"}},
        templates=[{"task": script("leave", f"echo $TRACEPARENT > {tmp_path}/exit")}],
    )

    async def go() -> str:
        async with Engine(tracer=notes) as engine:
            return await run_on(engine, flow)

    run = asyncio.run(go())
    whole = notes.only("run nightly")
    assert whole.parent is None
    assert whole.kind == "server"
    assert whole.attributes["cicd.pipeline.run.id"] == run
    assert (whole.attributes["cicd.pipeline.result"], whole.attributes["error.type"]) == ("failure", "Failed")
    assert whole.error
    assert notes.spans[-1] is whole, "it ends last"
    others = [span for span in notes.spans if span is not whole]
    assert {span.parent for span in others} == {whole.context.span_id}
    assert {span.context.trace_id for span in others} == {whole.context.trace_id}
    assert len({span.context.span_id for span in notes.spans}) == len(notes.spans)
    assert all(whole.begin <= span.begin <= span.end <= whole.end for span in others)
    first, second = notes.named("shaky")
    assert [one.attributes["aether.attempt"] for one in (first, second)] == [1, 2]
    assert [one.attributes["cicd.pipeline.task.run.result"] for one in (first, second)] == ["failure", "success"]
    assert (first.error, second.error) == ("exit code 1", None)
    assert first.end <= second.begin - 10_000, "the backoff is between them"
    (started,) = second.events
    assert started.name == "started"
    assert second.begin <= started.at <= second.end
    assert (tmp_path / "shaky").read_text().split() == [str(first.context), str(second.context)]
    assert (tmp_path / "say").read_text().split() == [str(notes.only("say").context)]
    (hook,) = [span for span in others if "aether.hook" in span.attributes]
    assert (tmp_path / "exit").read_text().split() == [str(hook.context)]


@pytest.mark.rule("RT-137")
def test_a_run_carries_on_the_trace_that_it_is_begun_in() -> None:
    notes = Notes(share=False)

    async def go() -> None:
        async with Engine(tracer=notes) as engine:
            run = await run_on(engine, document(script("a", "true")), trace_context=CALLER)
            report = await client_of(engine).runs.report(run)
            assert report.trace_id == "0af7651916cd43dd8448eb211c80319c"
            row = await engine.store.runs.row(run)
            assert row is not None
            assert row_json(row)["traceId"] == report.trace_id
            assert report.to_json()["traceId"] == report.trace_id

    asyncio.run(go())
    caller = TraceContext.read(CALLER)
    assert caller is not None
    whole = notes.only("run nightly")
    assert (whole.context.trace_id, whole.parent) == (caller.trace_id, caller.span_id)


@pytest.mark.rule("RT-137")
@pytest.mark.parametrize("given", [None, "mine", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"])
def test_what_is_not_sampled_gives_no_spans(given: str | None, tmp_path: Path) -> None:
    notes = Notes(share=False)

    async def go() -> None:
        async with Engine(tracer=notes) as engine:
            flow = document(script("a", f"echo $TRACEPARENT > {tmp_path}/seen"))
            run = await run_on(engine, flow, trace_context=given)
            assert (await client_of(engine).runs.report(run)).trace_id

    asyncio.run(go())
    assert notes.spans == []
    assert (tmp_path / "seen").read_text().strip().endswith("-00"), "programs are asked to record nothing, either"


@pytest.mark.rule("RT-137")
def test_without_a_tracer_a_trace_is_passed_on_as_it_came(tmp_path: Path) -> None:
    async def go() -> None:
        async with Engine() as engine:
            flow = document(script("a", f"echo $TRACEPARENT > {tmp_path}/seen"))
            run = await run_on(engine, flow, trace_context=CALLER)
            assert (await client_of(engine).runs.report(run)).trace_id == CALLER[3:35]
            other = await run_on(engine, document(script("a", "true")))
            assert (await client_of(engine).runs.report(other)).trace_id is None

    asyncio.run(go())
    assert (tmp_path / "seen").read_text().strip() == CALLER


@pytest.mark.rule("RT-137")
def test_a_retry_has_a_trace_of_its_own_that_is_linked() -> None:
    notes = Notes()

    async def go() -> None:
        async with Engine(tracer=notes) as engine:
            client = client_of(engine)
            run = await run_on(engine, document(script("a", "exit 1")))
            again = await client.control.retry(run)
            await client.runs.wait(again)

    asyncio.run(go())
    first, second = notes.named("run nightly")
    assert second.parent is None
    assert first.context.trace_id != second.context.trace_id
    assert list(second.links) == [first.context]
    assert second.attributes["aether.retry_of"] == first.attributes["cicd.pipeline.run.id"]


@pytest.mark.rule("RT-137")
@pytest.mark.parametrize("tier", ["state-action-log", "snapshot"])
def test_a_recovered_run_goes_on_in_the_same_trace(tier: str, tmp_path: Path) -> None:
    """An engine is lost with what it had not sent: the next one makes the spans of what ended shortly before once more."""
    first, second = Notes(), Notes()
    url = f"sqlite:{tmp_path}/x.db?tier={tier}"
    flow = document(
        script("done", "true"),
        {"name": "ask", "executor": {"type": "await"}, "dependencies": ["done"]},
        script("last", "true", dependencies=["ask"]),
    )

    async def before() -> str:
        engine = Engine(store=url, tracer=first, owner="one", lease_s=None)
        async with engine:
            run = await engine.submit(flow)
            await engine.driven.join(run, or_suspended=True)
        return run

    async def after(run: str) -> None:
        async with Engine(store=url, tracer=second, owner="two", lease_s=None) as engine:
            assert await engine.recover() == [run]
            client = client_of(engine)
            await client.control.resume(run, "ask", {"approved": True})
            await client.runs.wait(run)

    run = asyncio.run(before())
    asyncio.run(after(run))
    assert [span.name for span in first.spans] == ["done", "ask"]
    kept = ["done", "ask"] if tier == "state-action-log" else []
    assert [span.name for span in second.spans] == [*kept, "ask", "last", "run nightly"]
    if kept:
        assert second.spans[:2] == first.spans, "made once more, they are the same"
    whole = second.only("run nightly")
    assert {span.parent for span in [*first.spans, *second.spans[:-1]]} == {whole.context.span_id}
    assert first.only("ask").attributes["aether.phase"] == "Suspended"
    assert [span.attributes["aether.attempt"] for span in second.named("ask")] == ([1, 2] if kept else [2])


@pytest.mark.rule("RT-137")
def test_no_secret_and_no_value_gets_into_a_span() -> None:
    notes = Notes()
    flow = document(
        script("leak", "echo $TOKEN >&2; exit 2", arguments={"parameters": [
            {"name": "token", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]},
            inputs={"parameters": [{"name": "token", "type": "string"}]}),
    )
    flow["spec"]["templates"][0]["dag"]["tasks"][0]["executor"]["config"]["env"] = {"TOKEN": "{{inputs.parameters.token}}"}

    async def go() -> None:
        async with Engine(tracer=notes, secrets={"db": {"password": "hunter2hunter2"}}) as engine:
            await run_on(engine, flow)

    asyncio.run(go())
    assert notes.only("leak").error == "exit code 2: ***"
    assert "hunter2" not in repr(notes.spans)


@pytest.mark.rule("RT-137")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        (CALLER, CALLER),
        (CALLER.replace("-01", "-03"), CALLER),
        (CALLER.replace("-01", "-02"), CALLER.replace("-01", "-00")),
        ("cc" + CALLER[2:] + "-what-will-be", CALLER),
        ("ff" + CALLER[2:], None),
        (CALLER + "-more", None),
        (CALLER.upper(), None),
        (CALLER.replace("b7ad6b7169203331", "0" * 16), None),
        (CALLER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_as_w3c_says(given: str | None, found: str | None) -> None:
    read = TraceContext.read(given)
    assert (None if read is None else str(read)) == found
