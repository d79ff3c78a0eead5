"""Whether runs are traced, and what takes the spans: what an embedder gives, settings or the environment name (RT-137).

Law: where nothing asks for it, nothing of it is loaded. A variable of OpenTelemetry may be meant for other programs: what it
asks for and cannot be had is a warning; what settings ask for is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from aether_protocol.errors import AetherError, UsageError

if TYPE_CHECKING:
    from aether_protocol.assembly.configuration.effective import Configuration
    from aether_protocol.assembly.configuration.sections import TracingSection
    from aether_protocol.engine.api import RunEngine
    from aether_protocol.ports.broker import Broker
    from aether_protocol.ports.telemetry import Tracer, TracerParts

OTLP: Final = "otlp"
FLUSH_S: Final = 2.0  # that a process waits at its end for spans to be sent
WORKER: Final = "aether-worker"

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"

_log = logging.getLogger("aether_protocol")


def tracer_part(given: str | Tracer, parts: TracerParts | None = None) -> Tracer:
    """Make the tracer of a URL, or check one. Raises UsageError, PortError."""
    from aether_protocol.assembly.discovery import make, missing

    if isinstance(given, str):
        made: Tracer = make("tracers", given, given, parts or _parts())
        return made
    lacks = missing("tracers", given)
    if lacks:
        hint = "an object with the methods of the Tracer port, or the URL of an installed one: otlp:http://HOST:4318"
        raise UsageError(f"{given!r} is not a tracer: it lacks {', '.join(lacks)}", hint=hint)
    return given


def configured_tracer(settings: Configuration, component: str = "aether") -> Tracer | None:
    """Make the tracer that settings, or the variables of OpenTelemetry, ask for; None where nothing does.

    Args:
        settings: the settings.
        component: the name of the service where none is set.

    Raises:
        UsageError: settings ask for what is not installed, or is not a tracer.
        PortError: it cannot be made.
    """
    section, environ = settings.tracing, settings.environment
    if section.enabled is False:
        return None
    url = _url(section)
    if url is None and not _is_asked_for(environ):
        return None
    headers = dict(pair.split("=", 1) for pair in section.headers)
    parts = _parts(service=section.service, component=component, headers=headers, sample=section.sample)
    if url is not None:
        return tracer_part(url, parts)
    try:
        return tracer_part(OTLP, parts)
    except AetherError as error:
        told = next(name for name in _ENDPOINTS if environ.get(name))
        _log.warning("%s is set: %s (%s)", told, error.message, error.hint)
        return None


def _url(section: TracingSection) -> str | None:
    """The URL of the tracer that settings ask for."""
    if section.tracer is not None:
        if section.endpoint is not None and section.tracer != OTLP:
            told = "tracer and endpoint of [tracing] are both given"
            raise UsageError(told, hint="endpoint is that of otlp: keep one of them")
        if section.endpoint is None:
            return section.tracer
    if section.endpoint is not None:
        if not section.endpoint.startswith(("http://", "https://")):
            raise UsageError(f"{section.endpoint!r} is not an endpoint for spans", hint="http://HOST:4318, or https://...")
        return f"{OTLP}:{section.endpoint}"
    return OTLP if section.enabled else None


def _is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether the variables of OpenTelemetry ask for spans that can be sent."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", OTLP) != OTLP
    if off or not any(environ.get(name) for name in _ENDPOINTS):
        return False
    named = next((name for name in _PROTOCOLS if environ.get(name)), None)
    if named is not None and environ[named] != _SPOKEN:
        _log.warning("%s is %s: runs are not traced, for spans go by %s alone", named, environ[named], _SPOKEN)
        return False
    return True


def worker_tracer(url: str) -> Tracer:
    """Make the tracer of a URL for a worker. Raises UsageError, PortError."""
    return tracer_part(url, _parts(component=WORKER))


def _parts(**given: Any) -> TracerParts:
    from aether_protocol.ports.telemetry import TracerParts  # only where runs are traced

    return TracerParts(version=_version(), **given)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("aether-protocol")
    except PackageNotFoundError:  # it runs from its sources
        return ""


def choose_tracer(given: str | Tracer | None, settings: Configuration | None) -> tuple[Tracer | None, bool]:
    """Give the tracer of an engine, and whether it was made here. Raises UsageError, PortError."""
    if given is not None:
        return tracer_part(given), isinstance(given, str)
    return (None if settings is None else configured_tracer(settings)), True


def traced_broker(broker: Broker, tracer: object) -> Broker:
    """Give the broker whose attempts know their spans; the broker itself, where no tracer takes these."""
    if tracer is None:
        return broker
    from aether_protocol.adapters.telemetry.traced import Traced

    return Traced(broker)


def watch_spans(engine: RunEngine, given: object) -> Tracer | None:
    """Send the spans of what an engine drives to a tracer, where there is one, and let its runs begin traces."""
    if given is None:
        return None
    from aether_protocol.adapters.telemetry.run_spans import RunSpans
    from aether_protocol.views.spans import begin_trace

    tracer = cast("Tracer", given)
    RunSpans(tracer).watch(engine)
    engine.begin_trace = lambda header: begin_trace(header, tracer.samples)
    return tracer


async def close_tracer(tracer: Tracer | None) -> None:
    """Send what is left, for FLUSH_S at most."""
    if tracer is not None:
        import asyncio

        await asyncio.to_thread(tracer.close, FLUSH_S)
