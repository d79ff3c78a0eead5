"""What fields of case files are checked with: kinds of values, lists, maps and records of named fields.

Law: a check never raises and never stops at the first fault: it tells the `Reading`. A name that no record knows is a
fault with the nearest name as advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json, type_name
from aether_protocol.plan.model import HookEvent
from aether_protocol.ports.store import MEMORY, SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.testing.cases.model import CaseFault, Locate, Path


class Reading:
    """The faults found so far in one case."""

    def __init__(self, file: str, locate: Locate) -> None:
        self.file = file
        self.locate = locate
        self.faults: list[CaseFault] = []

    def fault(self, path: Path, message: str, hint: str | None = None) -> None:
        self.faults.append(CaseFault(self.file, self.locate(path)[0], message, hint))


Check = Callable[[Reading, Json, Path], None]


def show(path: Path) -> str:
    """`expect.tasks['main.fetch'].phase`: a path inside a case, as messages name it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def near(name: str, known: Iterable[str]) -> str | None:
    """Advice for a name that is not known."""
    names = sorted(known)
    return did_you_mean(name, names, f"known: {', '.join(names)}" if 0 < len(names) <= 25 else None)


# --- checks of single values ----------------------------------------------------------------------------------------


def anything(reading: Reading, value: Json, path: Path) -> None:
    """Any JSON."""


def kind(*types: str) -> Check:
    """A value of one of these JSON types."""

    def check(reading: Reading, value: Json, path: Path) -> None:
        if type_name(value) not in types:
            reading.fault(path, f"{show(path)} must be {' or '.join(types)}, not {type_name(value)}")

    return check


mapping: Final = kind("object")
text: Final = kind("string")
boolean: Final = kind("boolean")


def word(reading: Reading, value: Json, path: Path) -> None:
    """Text that is not empty."""
    text(reading, value, path)
    if isinstance(value, str) and not value.strip():
        reading.fault(path, f"{show(path)} is empty")


def integer(minimum: int | None = None) -> Check:
    def check(reading: Reading, value: Json, path: Path) -> None:
        if type_name(value) != "integer":
            reading.fault(path, f"{show(path)} must be an integer, not {type_name(value)}")
        elif minimum is not None and value < minimum:
            reading.fault(path, f"{show(path)} is {value}, but must be at least {minimum}")

    return check


def one_of(names: Iterable[str], noun: str) -> Check:
    """One of these texts."""
    known = tuple(map(str, names))

    def check(reading: Reading, value: Json, path: Path) -> None:
        if value not in known or not isinstance(value, str):
            reading.fault(path, f"{value!r} is not a {noun}", near(str(value), known))

    return check


def only(value_wanted: Json) -> Check:
    """Exactly this value."""

    def check(reading: Reading, value: Json, path: Path) -> None:
        if value is not value_wanted and (value != value_wanted or isinstance(value, bool)):
            reading.fault(path, f"{show(path)} can only be {value_wanted!r}, not {value!r}")

    return check


def duration(reading: Reading, value: Json, path: Path) -> None:
    """A duration, zero included."""
    if not isinstance(value, str):
        reading.fault(path, f"{show(path)} must be a duration, not {type_name(value)}", "like '1h30m' or '500ms'")
        return
    try:
        parse_duration(value, zero=True)
    except ValueError as error:
        reading.fault(path, f"{show(path)}: {error}", "like '1h30m' or '500ms'")


def parse_instant(value: str) -> int:
    """RFC 3339 text in microseconds since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no offset")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def instant(reading: Reading, value: Json, path: Path) -> None:
    try:
        parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        reading.fault(path, f"{show(path)} is not an RFC 3339 time: {value!r}", "like 2026-01-01T00:00:00Z")


def matcher(reading: Reading, value: Json, path: Path) -> None:
    """What text is compared with: text that is equal, or `{contains: text}`."""
    if isinstance(value, str):
        return
    if not isinstance(value, dict) or set(value) != {"contains"} or not isinstance(value["contains"], str):
        reading.fault(path, f"{show(path)} must be text or {{contains: text}}")
    elif not value["contains"]:
        reading.fault(path, f"{show(path)} asserts nothing: every text contains the empty one")


_STEP: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PATH: Final = re.compile(rf"{_STEP}(\.{_STEP}|\[[0-9]+\])*")
_HOOK: Final = re.compile(r"(workflow|task:(?P<path>.+)):(?P<event>\w*)")


def task_path(reading: Reading, value: Json, path: Path) -> None:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        reading.fault(path, f"{value!r} is not a task path", "like 'main.batch[1].load'")


def file_path(reading: Reading, value: Json, path: Path) -> None:
    """A path below a workspace."""
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/") or "\0" in value:
        reading.fault(path, f"{value!r} is not a path in a workspace", "like 'out/report.csv'")


def hook_name(reading: Reading, value: Json, path: Path) -> None:
    """`workflow:onStart` or `task:main.fetch:onSuccess`."""
    found = _HOOK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        reading.fault(path, f"{value!r} is not a hook", "like 'workflow:onStart' or 'task:main.fetch:onSuccess'")
        return
    if found["path"] is not None:
        task_path(reading, found["path"], path)
    one_of(HookEvent, "hook event")(reading, found["event"], path)


store: Final = one_of((MEMORY, SNAPSHOT, STATE_ACTION_LOG), "store")


def _empty(path: Path) -> str:
    return f"{show(path)} asserts nothing: it is empty" if path[0] == "expect" else f"{show(path)} is empty"


# --- checks of containers -------------------------------------------------------------------------------------------


def list_of(check: Check, *, filled: bool = False) -> Check:
    """A list; `filled`: an empty one would assert or do nothing."""

    def check_list(reading: Reading, value: Json, path: Path) -> None:
        if not isinstance(value, list):
            reading.fault(path, f"{show(path)} must be array, not {type_name(value)}")
            return
        if filled and not value:
            reading.fault(path, _empty(path))
        for index, item in enumerate(value):
            check(reading, item, (*path, index))

    return check_list


def map_of(check: Check, *, key: Check = anything, filled: bool = False) -> Check:
    def check_map(reading: Reading, value: Json, path: Path) -> None:
        if not isinstance(value, dict):
            reading.fault(path, f"{show(path)} must be object, not {type_name(value)}")
            return
        if filled and not value:
            reading.fault(path, _empty(path))
        for name, item in value.items():
            key(reading, name, (*path, name))
            check(reading, item, (*path, name))

    return check_map


class ObjectCheck:
    """An object with these fields. `one`: exactly one of them is there; `filled`: an empty one asserts nothing."""

    def __init__(
        self,
        fields: Mapping[str, Check],
        *,
        required: tuple[str, ...] = (),
        one: tuple[str, ...] = (),
        filled: bool = False,
    ) -> None:
        self.fields = fields
        self._required = required
        self._one = one
        self._filled = filled

    def __call__(self, reading: Reading, value: Json, path: Path) -> None:
        if not isinstance(value, dict):
            reading.fault(path, f"{show(path) or 'a case'} must be object, not {type_name(value)}")
            return
        where = f" in {show(path)}" if path else ""
        if self._filled and not value:
            reading.fault(path, _empty(path))
        for name, item in value.items():
            field = self.fields.get(name)
            if field is None:
                reading.fault((*path, name), f"unknown field {name!r}{where}", near(name, self.fields))
            else:
                field(reading, item, (*path, name))
        for name in self._required:
            if name not in value:
                reading.fault(path, f"missing field {name!r}{where}")
        given = [name for name in self._one if name in value]
        if self._one and len(given) != 1:
            got = ", ".join(given) or "none"
            reading.fault(path, f"expected exactly one of {', '.join(self._one)}{where}, got {got}")


def either(**checks: Check) -> Check:
    """The check for the JSON type that the value has (`string=...`, `object=...`)."""

    def check(reading: Reading, value: Json, path: Path) -> None:
        found = checks.get(type_name(value))
        if found is None:
            reading.fault(path, f"{show(path)} must be {' or '.join(checks)}, not {type_name(value)}")
        else:
            found(reading, value, path)

    return check
