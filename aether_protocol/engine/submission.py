"""What a caller gives to a run, read and checked before the run exists (DATA-4, DATA-14).

Law: every problem is reported at once, as a UsageError, and nothing has happened when it is raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from aether_protocol.engine.artifacts import named_by
from aether_protocol.errors import UsageError
from aether_protocol.expressions import NAMESPACES
from aether_protocol.expressions.json_copy import HalfCharacterError, json_copy
from aether_protocol.expressions.values import Json, respelt
from aether_protocol.plan.model import Plan
from aether_protocol.ports.clock import IdGenerator
from aether_protocol.ports.store import NewRun
from aether_protocol.ports.store.runs import LATEST
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.ports.variables import VariableSource
from aether_protocol.scheduler.binding import bind_parameters
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.summary import make_row

_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_RUN_ID: Final = r"[A-Za-z0-9]([-A-Za-z0-9._]{0,126}[A-Za-z0-9])?"
_REPLACEABLE: Final = frozenset({"system"})  # of the protocol's own namespaces


def choose_run_id(given: str | None, ids: IdGenerator, now: int) -> str:
    """The id of a new run: the one given, if there is one. Raises UsageError for one that cannot be one."""
    if given is None:
        return ids.new_id("run", now)
    check_run_id(given)
    return given


def check_run_id(run_id: str) -> None:
    """Raises UsageError for what cannot be the id of a run."""
    if not isinstance(run_id, str) or re.fullmatch(_RUN_ID, run_id) is None:
        hint = "1 to 128 letters, digits, hyphens, dots and underscores, beginning and ending with a letter or digit"
        raise UsageError(f"{run_id!r} is not a run id", hint=hint)
    if run_id == LATEST:
        raise UsageError(f"a run cannot be called {LATEST!r}", hint="every command takes that for the newest run")


def read_trace_context(given: str | None) -> str | None:
    """A `traceparent` in its usual form; None for what is not one, as W3C asks."""
    found = TraceContext.read(given)
    return None if found is None else str(found)


def read_variables(sources: Sequence[VariableSource]) -> dict[str, Mapping[str, Json]]:
    """What the sources give, by namespace; of two for one namespace the later one counts. Raises PortError too."""
    variables: dict[str, Mapping[str, Json]] = {}
    for source in sources:
        name = source.namespace
        if name not in _REPLACEABLE and (name in NAMESPACES or re.fullmatch(_LABEL, name) is None):
            raise UsageError(f"{name!r} cannot be the namespace of a variable source")
        try:
            variables[name] = json_copy(dict(source.read()))
        except ValueError as error:
            raise UsageError(f"variable source {name!r} gives {error}") from None
    return variables


def make_header(plan: Plan, arguments: Mapping[str, Json], header: RunHeader) -> RunHeader:
    """`header` with its parameters bound. Raises UsageError with all problems."""
    parameters, problems = bind_parameters(plan, copy_arguments(arguments), header)
    if problems:
        raise UsageError("; ".join(problems))
    return replace(header, parameters=parameters)


def copy_arguments(arguments: Mapping[str, Json]) -> dict[str, Json]:
    """Copy arguments, so that the caller cannot change them any more. Raises UsageError for what is not JSON."""
    if not isinstance(arguments, Mapping):
        raise UsageError(f"the arguments are {arguments!r}, not a mapping of names to values")
    try:
        copied: dict[str, Json] = json_copy(dict(arguments))
    except ValueError as error:
        raise UsageError(f"the arguments hold {error}") from None
    return copied


def new_run(plan: Plan, header: RunHeader, *, folder: str | None = None) -> NewRun:
    """Make a run to record, unowned: the next engine that recovers runs claims it. `folder`: of its document."""
    if folder is not None:
        header = replace(header, folder=folder)
    state = RunState(plan)
    state.header = header  # so that a row can be made at once
    return NewRun(make_row(state), plan, header, artifacts=named_by(header))


def read_texts(plan: Plan, texts: Mapping[str, str]) -> dict[str, Json]:
    """Arguments that came as text (a command line): JSON where it is JSON and the declared type is not string (DATA-14)."""
    types = {binding.name: binding.type for binding in plan.parameters}
    return {name: read_text(text, types.get(name, "any")) for name, text in texts.items()}


def read_text(text: str, type_: str) -> Json:
    """One value that came as text: JSON where it is JSON, unless it is a number that would lose its spelling and that no
    declared type asks for (DOC-10). Raises UsageError for JSON that escapes half of a surrogate pair."""
    if type_ == "string":
        return text
    try:
        value = json_copy(json.loads(text))
    except HalfCharacterError as error:
        raise UsageError(f"{text[:80]!a} holds {error}", hint="write the whole character, or both halves") from None
    except (ValueError, RecursionError):  # no JSON, or NaN and the like: it is that text
        return text
    return text if type_ == "any" and respelt(value, text) else value
