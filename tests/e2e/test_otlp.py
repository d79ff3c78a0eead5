"""Spans by OTLP, to a backend on the loopback that decodes them: what arrives, and what becomes of it where it is away."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from aether_protocol import Engine, UsageError
from aether_protocol.adapters.telemetry.otlp import OtlpTracer
from aether_protocol.assembly.configuration import load_configuration
from aether_protocol.assembly.tracing import configured_tracer
from aether_protocol.ports.telemetry import SpanEvent, TracerParts, TraceSpan
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.service import client_of
from tests.documents import script
from tests.e2e.otlp_receiver import Backend, backend
from tests.e2e.servers import wait_for
from tests.server_process import free_port

HERE = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
OTHER = TraceContext("1af7651916cd43dd8448eb211c80319c", "c7ad6b7169203331")


def a_span(number: int = 0) -> TraceSpan:
    return TraceSpan(
        name=f"span {number}",
        context=HERE,
        parent="00f067aa0ba902b7",
        begin=1_000_000,
        end=3_000_000,
        attributes={"text": "x", "number": 3, "flag": True},
        kind="consumer",
        error="exit code 2",
        events=[SpanEvent("started", 2_000_000)],
        links=[OTHER],
    )


def tracer_for(at: Backend | str, **parts: Any) -> OtlpTracer:
    return OtlpTracer(at if isinstance(at, str) else at.url, TracerParts(version="1.2.3", **parts))


def test_a_span_arrives_as_it_was() -> None:
    with backend() as at:
        tracer = tracer_for(at, service="shop", headers={"authorization": "Bearer t0ken"})
        tracer.ended(a_span())
        tracer.close(5)
        (got,) = at.spans
        assert (got.name, got.trace_id, got.span_id, got.parent) == ("span 0", HERE.trace_id, HERE.span_id, "00f067aa0ba902b7")
        assert (got.kind, got.begin, got.end, got.error) == ("consumer", 1_000_000, 3_000_000, "exit code 2")
        assert got.attributes == {"text": "x", "number": 3, "flag": True}
        assert (got.events, got.links) == (["started"], [str(OTHER)])
        assert (got.resource["service.name"], got.resource["service.version"]) == ("shop", "1.2.3")
        assert at.headers["authorization"] == "Bearer t0ken"
        tracer.ended(a_span(1))
        tracer.close(5)
        assert len(at.spans) == 1, "it was closed"


def test_many_spans_come_in_few_requests_and_without_being_asked() -> None:
    with backend() as at:
        tracer = tracer_for(at)
        for number in range(3_000):
            tracer.ended(a_span(number))
        at.wait(lambda spans: len(spans) == 3_000)
        assert at.requests <= 8
        tracer.close(5)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("how", ["away", "refuses", "hangs"])
def test_a_backend_that_takes_nothing_costs_little_and_is_reported_once(how: str, caplog: pytest.LogCaptureFixture) -> None:
    with backend() as at, caplog.at_level(logging.DEBUG):
        at.broken, at.hangs = how == "refuses", how == "hangs"
        tracer = tracer_for(f"http://me:s3cret@127.0.0.1:{free_port()}" if how == "away" else at)
        began = time.monotonic()
        for number in range(2_000):
            tracer.ended(a_span(number))
        assert time.monotonic() - began < 30, "nothing waits"
        if how != "hangs":
            wait_for(lambda: bool(warnings_in(caplog)))
        tracer.close(1.0)
        assert time.monotonic() - began < 50, "a backend that hangs does so for 60 s"
    told = warnings_in(caplog)
    assert len(told) == (0 if how == "hangs" else 1), told
    assert not any("s3cret" in text for text in told)
    assert [text for text in told if "spans cannot be sent to http://127.0.0.1:" not in text] == []


def test_a_backend_that_comes_back_gets_spans_again(caplog: pytest.LogCaptureFixture) -> None:
    with backend() as at:
        tracer = tracer_for(at)
        at.broken = True
        tracer.ended(a_span(1))
        wait_for(lambda: at.refused > 0)
        at.broken = False
        tracer.ended(a_span(2))
        at.wait(lambda spans: [one.name for one in spans] == ["span 2"])
        tracer.close(5)


@pytest.mark.rule("RT-137")
def test_an_engine_sends_the_trace_of_a_run_and_closes_what_it_made() -> None:
    with backend() as at:

        async def go() -> str:
            async with Engine(tracer=f"otlp:{at.url}") as engine:
                run = await engine.submit(script("true"))
                await client_of(engine).runs.wait(run)
            return run

        run = asyncio.run(go())
        assert [span.name for span in at.spans] == ["job", "run one"]
        job, whole = at.spans
        assert (job.parent, whole.parent) == (whole.span_id, "")
        assert (job.trace_id, whole.kind) == (whole.trace_id, "server")
        assert whole.attributes["cicd.pipeline.run.id"] == run
        assert (whole.attributes["cicd.pipeline.result"], whole.error) == ("success", None)
        assert whole.resource["service.name"] == "aether"


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "aether"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,deployment.environment.name=test"}, "shop"),
        ({"OTEL_SERVICE_NAME": "shop", "AETHER_TRACING_SERVICE": "mine"}, "mine"),
    ],
)
def test_the_variables_of_opentelemetry_count(
    variables: dict[str, str], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend() as at:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": at.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc", **variables}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        tracer = configured_tracer(load_configuration(file="/dev/null"))
        assert tracer is not None
        tracer.ended(a_span())
        tracer.close(5)
        (got,) = at.spans
        assert got.resource["service.name"] == service
        assert at.headers["x-key"] == "abc"
        if "OTEL_RESOURCE_ATTRIBUTES" in variables:
            assert got.resource["deployment.environment.name"] == "test"


OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop"},
        {**OTLP, "OTEL_SDK_DISABLED": "true"},
        {**OTLP, "OTEL_TRACES_EXPORTER": "none"},
        {**OTLP, "AETHER_TRACING": "false"},
        {"AETHER_TRACING_ENDPOINT": "http://127.0.0.1:9", "AETHER_TRACING": "no"},
    ],
)
def test_runs_are_not_traced_unless_asked_for(variables: dict[str, str]) -> None:
    assert configured_tracer(load_configuration(file="/dev/null", environ=variables)) is None


def test_what_cannot_be_had_is_a_warning_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def made(**variables: str) -> object:
        return configured_tracer(load_configuration(file="/dev/null", environ=variables))

    assert made(**OTLP, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") is None
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is grpc: runs are not traced" in caplog.text
    with pytest.raises(UsageError, match="'localhost:4318' is not an endpoint for spans"):
        made(AETHER_TRACING_ENDPOINT="localhost:4318")
    with pytest.raises(UsageError, match="unknown tracer 'jaeger'"):
        made(AETHER_TRACER="jaeger")
    with pytest.raises(UsageError, match="AETHER_TRACING_SAMPLE is '2', not a number from 0 to 1"):
        made(AETHER_TRACING_SAMPLE="2")
    with pytest.raises(UsageError, match=r"AETHER_TRACING_HEADERS is \['\*\*\*'\], not a list of NAME=TEXT"):
        made(AETHER_TRACING_HEADERS="tops3cret")


@pytest.mark.parametrize(
    ("sample", "sampler", "share"),
    [
        (None, {}, 1.0),
        (0.25, {}, 0.25),
        (0.0, {}, 0.0),
        (None, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
        (None, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "many"}, 1.0),
        (1.0, {"OTEL_TRACES_SAMPLER": "always_off"}, 1.0),
    ],
)
def test_a_share_of_the_traces_is_recorded(
    sample: float | None, sampler: dict[str, str], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sampler.items():
        monkeypatch.setenv(name, value)
    tracer = OtlpTracer("http://127.0.0.1:9", TracerParts(version="", sample=sample))
    ids = [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}" for number in range(1, 1001)]
    assert abs(sum(map(tracer.samples, ids)) / 1000 - share) < 0.03
    assert [tracer.samples(one) for one in ids] == [tracer.samples(one) for one in ids]
    tracer.close(0.1)
