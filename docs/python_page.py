"""Makes docs/reference/python-api.md from the docstrings of the public names: `python docs/python_page.py`.

Law: signatures and texts are those of the code. Which names are public is the package's `__all__`; this file only sorts
them into groups and fails if one is missing. A test compares the page with what this gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct

import aether_protocol

PAGE = Path(__file__).parent / "reference" / "python-api.md"

INTRODUCTION = """\
<!-- Made by docs/python_page.py from docstrings. Change those, then run it. -->
# Python API

What `aether_protocol` exports. Importing the package is quick and loads nothing: each name is loaded when it is first used. It
is typed (`py.typed`). What is not on this page may change without notice. How to use it: [embed the engine](../how-to/embed.md)
and [write an executor](../how-to/write-an-executor.md).

Names of types in signatures:

| name | stands for |
|---|---|
| `Json` | a value as JSON knows it: None, bool, int, float, str, list, dict with text keys |
| `Document` | a path, YAML or JSON text, a dict, a list of dicts (several documents), or a `Plan` |
| `Secrets` | a `SecretProvider`, a dict `{name: {key: text}}`, or the path of [a secrets file](secrets.md) |
| `Variables` | a dict `{namespace: {name: value}}`, or several `VariableSource`s |
| `EventRecord` | [an event record](events.md) |
| `LogLine` | a piece of a log: run_id, node, path, attempt, stream, text, at, seq |
| `RunSummary`, `RunQuery` | what lists of runs show, and which ones: `aether_protocol.ports.store` |
| `Store` and its facets | what a [store of your own](../how-to/a-store-of-your-own.md) has: `aether_protocol.ports.store` |
| `Readable` | a `Document` that is not a `Plan` |
| `Source` | a workflow: a dict, YAML or JSON text, or a `Plan` |
| `StoredSchedule` | how a schedule stands: `aether_protocol.ports.store.schedules` |
| `ScheduleRunner` | starts what is due: `aether_protocol.engine.schedule_runner` |
| `RunState` | all that is so in a run, for tools: `aether_protocol.scheduler.state` |
| `Holding` | the keywords `owner` and `lease_s`, see below |

Names that end in `_us` are microseconds; instants are microseconds since 1970 in UTC, in reports text as in RFC 3339.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "Run documents": ("run", "Engine", "load_plan", "Plan"),
    "What a run came to": ("Report", "TaskReport", "HookReport", "LogRecord"),
    "What can go wrong": (
        "AetherError",
        "DocumentError",
        "Diagnostic",
        "UsageError",
        "PortError",
        "BusyError",
        "BrokenInvariant",
    ),
    "Executors": (
        "Executor",
        "ExecutionContext",
        "ExecutorType",
        "ConfigField",
        "OutputField",
        "TaskAssignment",
        "TaskResult",
        "FunctionExecutor",
    ),
    "Secrets and variables": ("SecretProvider", "VariableSource"),
}

# Not exported by the package itself, but meant for others.
SERVICE = "Ask about runs, schedules and documents (`aether_protocol.service`)"
SERVICE_NAMES = (
    *("connect", "connect_blocking", "BlockingClient", "client_of", "DocumentContext", "DocumentText", "LibraryTexts"),
    "RecordedPlan",
    "StoredWorkflow",
    *("Client", "RunReader", "RunInspector", "PlanReader", "RunExtracts",
      "RunControl", "ScheduleControl", "DocumentControl", "StoreControl"),
)
HARNESS = "Engines on virtual time (`aether_protocol.testing`)"
HARNESS_NAMES = ("EngineWorld", "Cluster", "run_on", "pass_time", "ManualClock", "SkewedClock", "ScriptedExecutor")
TESTING = "Tests of executors (`aether_protocol.testing.contracts.executor`)"
TESTING_NAMES = ("ExecutorContract", "Sample", "assignment", "attempt", "RecordingContext")


class Bare:
    """An annotation that is written as it stands in the source, without quotes."""

    def __init__(self, annotation: object) -> None:
        self._text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)

    def __repr__(self) -> str:
        return self._text


def page() -> str:
    """The whole page."""
    named = {name for names in GROUPS.values() for name in names}
    assert named == set(aether_protocol.__all__), sorted(named ^ set(aether_protocol.__all__))
    parts = [INTRODUCTION]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [entry(name, getattr(aether_protocol, name)) for name in names]
    service = import_module("aether_protocol.service")
    assert sorted(SERVICE_NAMES) == service.__all__, service.__all__
    parts.append(f"## {SERVICE}\n")
    parts += [entry(name, getattr(service, name)) for name in SERVICE_NAMES]
    testing = import_module("aether_protocol.testing")
    assert sorted(HARNESS_NAMES) == testing.__all__, testing.__all__
    parts.append(f"## {HARNESS}\n")
    parts += [entry(name, getattr(testing, name)) for name in HARNESS_NAMES]
    home = import_module("aether_protocol.testing.contracts.executor")
    parts.append(f"## {TESTING}\n")
    parts += [entry(name, getattr(home, name)) for name in TESTING_NAMES]
    return "\n".join(parts)


def entry(name: str, what: Any) -> str:
    """A function or a class with its public members."""
    if not inspect.isclass(what):
        return f"### {name}\n\n```text\n{declaration(name, what)}\n```\n\n{text(what)}\n"
    parts = [f"### {name}\n"]
    if not getattr(what, "_is_protocol", False):
        parts.append(f"```text\nclass {signature(name, what)}\n```\n")
    else:
        parts.append("```text\nclass " + name + "(Protocol)\n```\n")
    parts.append(f"{text(what)}\n")
    if issubclass(what, aether_protocol.AetherError):
        parts.append(f"On the command line it ends with exit code {what.exit_code}.\n")
    parts += members(what)
    return "\n".join(parts)


def members(what: type) -> Iterator[str]:
    """Methods and properties of ours; the nearest definition counts, its text may come from farther up."""
    seen: set[str] = set()
    homes = [one for one in what.__mro__ if one.__module__.startswith("aether_protocol")]
    for home in homes:
        for name, value in vars(home).items():
            if name.startswith(("_", "test_")) or name in seen:
                continue
            if inspect.isfunction(value):
                head = declaration(name, value, method=True)
            elif isinstance(value, property) and value.fget is not None:
                head = f"{name}: {Bare(value.fget.__annotations__.get('return', ''))!r}"
            else:
                continue
            seen.add(name)
            doc = text(value, optional=True)
            yield f"- `{head}`" + ("\\\n  " + doc.replace("\n", "\n  ") if doc else "") + "\n"


def declaration(name: str, what: Any, *, method: bool = False) -> str:
    prefix = "async " if inspect.iscoroutinefunction(what) else ""
    return prefix + signature(name, what, method=method)


def signature(name: str, what: Any, *, method: bool = False) -> str:
    """`name(parameters) -> result`; over several lines where one would be long."""
    found = signature_of(what)
    parameters = [
        one if one.annotation is one.empty else one.replace(annotation=Bare(one.annotation))
        for one in list(found.parameters.values())[1 if method else 0 :]
    ]
    result = found.return_annotation
    whole = found.replace(
        parameters=parameters, return_annotation=found.empty if result is found.empty else Bare(result)
    )
    line = f"{name}{whole}".removesuffix(" -> None")
    if method or len(line) <= 100:
        return line
    rows = "\n".join(f"    {one}" for one in rows_of(parameters))
    tail = "" if result in (found.empty, "None", None) else f" -> {Bare(result)!r}"
    return f"{name}(\n{rows}\n){tail}"


def signature_of(what: Any) -> inspect.Signature:
    """Of a struct: from its fields as written; `inspect` would look up names that only the type checker imports."""
    if not (isinstance(what, type) and issubclass(what, Struct)):
        return inspect.signature(what)
    written = {name: kind for home in reversed(what.__mro__) for name, kind in vars(home).get("__annotations__", {}).items()}
    defaults = dict(zip(reversed(what.__struct_fields__), reversed(what.__struct_defaults__), strict=False))
    empty, kind = inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(name, kind, annotation=written[name], default=shown_default(defaults.get(name, empty)))
        for name in what.__struct_fields__
    ]
    return inspect.Signature(parameters, return_annotation=None)


def shown_default(value: Any) -> Any:
    """What a field is where it is not given: a factory's product in place of the factory."""
    if value is NODEFAULT:
        return inspect.Parameter.empty
    return value.factory() if type(value).__name__ == "Factory" else value


def rows_of(parameters: list[inspect.Parameter]) -> Iterator[str]:
    star = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            yield "*,"
        yield f"{one},"


def text(what: Any, *, optional: bool = False) -> str:
    doc = inspect.cleandoc(what.__doc__ or "")
    assert doc or optional, what
    return doc


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
